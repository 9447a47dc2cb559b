//! A GraphQL socket's connection: one task, one state machine for both sub-protocols. Nothing is
//! read and nothing is taken from the log while the client does not take what is sent, so a slow
//! reader costs a cursor, not a queue.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::{Sink as _, Stream as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message, error::ProtocolError};

use super::super::Site;
use super::super::site::Alive;
use super::clock::{Clock, Due};
use super::close::Close;
use super::dialect::{Dialect, Said};
use super::entry::{Entered, Entry};
use super::operation::{Operation, Step};
use crate::error::Error;
use crate::graphql::{Caller, Request, Variables};
use crate::hub::{Next, Receiver};
use crate::model::{Cursor, Timestamp};

/// So many frames at most are handled until other tasks have their turn.
const TURN: usize = 128;
/// How long answers that are still to come hold up a close.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// How long the client may take to answer a close.
const GOODBYE: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A GraphQL socket's connection.
pub struct Connection {
    site: Arc<Site>,
    socket: Socket,
    dialect: Dialect,
    phase: Phase,
    operations: Vec<Operation>,
    /// Whose turn it is to send.
    turn: usize,
    /// What is to be sent next: the frames of one step, never a queue.
    outbox: VecDeque<String>,
    clock: Clock,
    own: Own,
    /// The end has come, as soon as the last answers are sent.
    ending: Option<(Close, Instant)>,
}

enum Phase {
    /// Before `connection_init`.
    Waiting(Arc<Entry>),
    /// Its token is being looked at; nothing is read meanwhile.
    Entering(BoxFuture<'static, Result<Entered, Close>>),
    /// Operations may run.
    Open(Caller),
}

/// What concerns the viewer alone: the end of the session, a change of their rights.
enum Own {
    Nothing,
    Following(Receiver, Cursor),
    Subscribing(BoxFuture<'static, Result<(Receiver, Cursor), Error>>),
}

/// How a connection ends.
enum End {
    /// The client is gone, or said that it goes.
    Gone,
    /// We close it.
    Close(Close),
}

impl Connection {
    /// A connection before its `connection_init`.
    pub fn new(site: Arc<Site>, socket: Socket, dialect: Dialect, entry: Entry) -> Self {
        let clock = Clock::start(&site.settings.sockets, dialect);
        Self {
            site,
            socket,
            dialect,
            phase: Phase::Waiting(Arc::new(entry)),
            operations: Vec::new(),
            turn: 0,
            outbox: VecDeque::new(),
            clock,
            own: Own::Nothing,
            ending: None,
        }
    }

    /// Serves it to its end.
    pub async fn run(mut self, mut alive: Alive) {
        let end = {
            let mut stopped = Box::pin(alive.stopped());
            let mut stopping = false;
            poll_fn(|context| {
                if !stopping && stopped.as_mut().poll(context).is_ready() {
                    stopping = true;
                    self.end(Close::Restarting);
                }
                self.poll(context)
            })
            .await
        };
        match end {
            End::Gone => drop(tokio::time::timeout(GOODBYE, self.socket.close(None)).await),
            End::Close(close) => {
                tracing::debug!(?close, "closing a socket");
                self.operations.clear();
                say_goodbye(self.socket, &close).await;
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        match self.work(context) {
            Ok(true) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(false) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    /// Does what can be done now; `true` if there is more to do.
    fn work(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        self.tick(context)?;
        let mut done = 0;
        while done < TURN {
            match Pin::new(&mut self.socket).poll_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Err(End::Gone),
                Poll::Pending => break,
            }
            if let Some(frame) = self.outbox.pop_front() {
                Pin::new(&mut self.socket).start_send(Message::text(frame)).map_err(|_| End::Gone)?;
                done += 1;
            } else if !self.step(context)? {
                break;
            }
        }
        let blocked = match Pin::new(&mut self.socket).poll_flush(context) {
            Poll::Ready(Ok(())) => false,
            Poll::Ready(Err(_)) => return Err(End::Gone),
            Poll::Pending => true,
        };
        self.clock.blocked(blocked);
        // The clock comes last: what was done may have moved it.
        let checkpoint = self.operations.iter().filter_map(Operation::checkpoint_due).min().filter(|_| !blocked);
        let ending = self.ending.as_ref().map(|(_, deadline)| *deadline);
        let other = checkpoint.into_iter().chain(ending).min();
        let is_due = self.clock.poll(context, &self.site.settings.sockets, other).is_ready();
        Ok(is_due || (done == TURN && !blocked))
    }

    /// What is due by the clock.
    fn tick(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        while let Some(due) = self.clock.due(&self.site.settings.sockets) {
            match due {
                Due::Close(close @ Close::Forbidden(_)) => {
                    self.clock.session_ends(None);
                    self.end(close);
                }
                Due::Close(close) => return Err(End::Close(close)),
                Due::Ping if matches!(self.phase, Phase::Open(_)) => self.ping(context)?,
                Due::KeepAlive if matches!(self.phase, Phase::Open(_)) => match self.served() {
                    Some(cursor) => self.say(self.dialect.ping(cursor)),
                    None => self.clock.keep_alive_soon(),
                },
                Due::Ping | Due::KeepAlive => {}
            }
        }
        Ok(())
    }

    /// Asks whether the client is there: in the words of the protocol, and by a frame that the
    /// client's WebSocket answers by itself.
    fn ping(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        match self.dialect {
            Dialect::Modern => match self.served() {
                Some(cursor) => self.say(self.dialect.ping(cursor)),
                None => self.clock.ping_soon(),
            },
            Dialect::Legacy => {
                if Pin::new(&mut self.socket).poll_ready(context).is_ready() {
                    let ping = Message::Ping(bytes::Bytes::new());
                    Pin::new(&mut self.socket).start_send(ping).map_err(|_| End::Gone)?;
                }
            }
        }
        Ok(())
    }

    /// Says something that may be left out if the client does not take what is sent before it.
    fn say(&mut self, frame: String) {
        if self.outbox.len() < 2 {
            self.outbox.push_back(frame);
        }
    }

    /// One step; `false` if there is nothing to do.
    fn step(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        if let Some((close, deadline)) = &self.ending
            && (!self.operations.iter().any(Operation::is_answering) || Instant::now() >= *deadline)
        {
            return Err(End::Close(close.clone()));
        }
        let heard_own = self.poll_own(context)?;
        let read = match self.phase {
            _ if self.ending.is_some() => false,
            Phase::Entering(_) => self.poll_entering(context)?,
            Phase::Waiting(_) | Phase::Open(_) => self.poll_read(context)?,
        };
        let sent = self.poll_operations(context);
        Ok(heard_own || read || sent)
    }

    /// Lets the next operation that has something do a step.
    fn poll_operations(&mut self, context: &mut Context<'_>) -> bool {
        let count = self.operations.len();
        for i in 0..count {
            let at = (self.turn + i) % count;
            let operation = &mut self.operations[at];
            match operation.poll_step(context, &self.site.engine, self.dialect, &mut self.outbox) {
                Poll::Pending => {}
                Poll::Ready(Step::More) => {
                    self.turn = at + 1;
                    return true;
                }
                Poll::Ready(Step::Over) => {
                    self.operations.swap_remove(at);
                    self.extend_session();
                    return true;
                }
            }
        }
        false
    }

    /// `refreshToken` may have been run.
    fn extend_session(&mut self) {
        let Phase::Open(Caller { extends: Some(extends), .. }) = &self.phase else { return };
        let until: Option<Timestamp> = extends.lock().unwrap_or_else(PoisonError::into_inner).take();
        if until.is_some() {
            self.clock.session_ends(until);
        }
    }

    /// Looks whether the session has ended or the viewer's rights are others.
    fn poll_own(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let Phase::Open(caller) = &self.phase else { return Ok(false) };
        match &mut self.own {
            Own::Nothing => return Ok(false),
            Own::Subscribing(subscribing) => match subscribing.as_mut().poll(context) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok((receiver, position))) => self.own = Own::Following(receiver, position),
                Poll::Ready(Err(_)) => self.own = Own::Nothing,
            },
            Own::Following(receiver, position) => match receiver.poll_next(position.seq, context) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Next::Event(event)) => *position = event.cursor,
                Poll::Ready(Next::Lagged) => {
                    let (board, viewer) = (Arc::clone(&self.site.board), caller.viewer.clone());
                    self.own = Own::Subscribing(Box::pin(async move { board.follow_own(&viewer).await }));
                }
            },
        }
        self.recheck();
        Ok(true)
    }

    fn recheck(&mut self) {
        let Phase::Open(caller) = &self.phase else { return };
        if let Err(error) = caller.viewer.rights() {
            self.own = Own::Nothing;
            return self.end(Close::Forbidden(error.to_string()));
        }
        let (dialect, outbox) = (self.dialect, &mut self.outbox);
        self.operations.retain_mut(|operation| match operation.recheck() {
            Ok(()) => true,
            Err(error) => {
                outbox.push_back(operation.fail(dialect, &error));
                false
            }
        });
    }

    /// Nothing new from now on: streams are silent at once, without a `complete`, which would tell
    /// clients not to come back. Answers that are still to come are waited for; after the end of a
    /// session only those of mutations.
    fn end(&mut self, close: Close) {
        let patient = close == Close::Restarting;
        self.operations.retain(|operation| if patient { operation.is_answering() } else { operation.is_writing() });
        self.turn = 0;
        self.ending.get_or_insert((close, Instant::now() + LAST_ANSWERS));
    }

    fn poll_entering(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let Phase::Entering(entering) = &mut self.phase else { return Ok(false) };
        match entering.as_mut().poll(context) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(Entered { mut caller, until, own })) => {
                caller.extends = Some(Arc::new(Mutex::new(None)));
                self.phase = Phase::Open(caller);
                self.own = own.map_or(Own::Nothing, |(receiver, position)| Own::Following(receiver, position));
                self.clock.entered(until);
                let head = self.site.board.head();
                self.outbox.push_back(self.dialect.acknowledge(head));
                if self.dialect == Dialect::Legacy {
                    self.outbox.push_back(self.dialect.ping(head));
                }
                Ok(true)
            }
            Poll::Ready(Err(close)) => {
                let reason = close.frame().reason.to_string();
                self.outbox.extend(self.dialect.refuse(&reason));
                self.end(close);
                Ok(true)
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let message = match Pin::new(&mut self.socket).poll_next(context) {
            Poll::Pending => return Ok(false),
            Poll::Ready(None) => return Err(End::Gone),
            Poll::Ready(Some(Ok(message))) => message,
            Poll::Ready(Some(Err(error))) => return Err(broken(&error)),
        };
        self.clock.heard();
        match message {
            Message::Text(text) => match self.dialect.parse(&text) {
                Ok(said) => self.hear(said)?,
                Err(why) => return Err(End::Close(Close::BadMessage(why))),
            },
            Message::Binary(_) => {
                return Err(End::Close(Close::BadMessage("Binary frames are not spoken here".into())));
            }
            Message::Close(_) => return Err(End::Gone),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
        Ok(true)
    }

    fn hear(&mut self, said: Said) -> Result<(), End> {
        match said {
            Said::Init(parameters) => self.init(parameters),
            Said::Start(id, request) => self.start(id, *request),
            Said::Stop(id) => {
                self.stop(&id);
                Ok(())
            }
            Said::Ping => {
                self.outbox.push_back(self.dialect.pong());
                Ok(())
            }
            Said::Pong => Ok(()),
            Said::Terminate => Err(End::Close(Close::Goodbye)),
        }
    }

    fn init(&mut self, parameters: Variables) -> Result<(), End> {
        let Phase::Waiting(entry) = &self.phase else { return Err(End::Close(Close::SecondInit)) };
        let (entry, site) = (Arc::clone(entry), Arc::clone(&self.site));
        self.phase = Phase::Entering(Box::pin(async move { entry.enter(&site, &parameters).await }));
        Ok(())
    }

    fn start(&mut self, id: String, request: Request) -> Result<(), End> {
        let Phase::Open(caller) = &self.phase else { return Err(End::Close(Close::Unauthorized)) };
        if self.operations.iter().any(|operation| *operation.id == *id) {
            return Err(End::Close(Close::Duplicate(id)));
        }
        let max = self.site.settings.sockets.max_subscriptions;
        let prepared = if self.operations.len() < max {
            self.site.engine.prepare(request, caller)
        } else {
            Err(Error::TooComplex(format!("a connection runs at most {max} operations at once")).into())
        };
        match prepared {
            Ok(prepared) => {
                self.operations.push(Operation::start(&self.site.engine, id, prepared, caller.clone()));
            }
            Err(refusal) => {
                let id = serde_json::Value::from(id).to_string();
                self.outbox.push_back(self.dialect.error(&id, &refusal.errors()));
            }
        }
        Ok(())
    }

    fn stop(&mut self, id: &str) {
        let Some(at) = self.operations.iter().position(|operation| *operation.id == *id) else { return };
        self.operations.swap_remove(at);
        if self.dialect == Dialect::Legacy {
            // Its clients wait for it; those of the other protocol must not get one.
            let id = serde_json::Value::from(id).to_string();
            self.outbox.push_back(self.dialect.complete(&id));
        }
    }

    /// Up to where every subscription of this socket has been served; `None` as long as one is being opened.
    fn served(&mut self) -> Option<Cursor> {
        let mut lowest = self.site.board.head();
        for operation in self.operations.iter_mut().filter(|operation| operation.is_subscription()) {
            let served = operation.served()?;
            if served.seq < lowest.seq {
                lowest = served;
            }
        }
        Some(lowest)
    }
}

fn broken(error: &SocketError) -> End {
    match error {
        SocketError::Capacity(_) => End::Close(Close::TooLarge),
        SocketError::Utf8(_) => End::Close(Close::BrokenText),
        SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
        SocketError::Protocol(_) => End::Close(Close::BrokenFrame),
        _ => End::Gone,
    }
}

/// Closes a socket and waits a little for the client's answer.
pub async fn say_goodbye(mut socket: Socket, close: &Close) {
    let closing = async {
        socket.close(Some(close.frame())).await?;
        // Reading to the end lets the close frame arrive: dropping unread data would reset the line.
        while let Some(Ok(_)) = socket.next().await {}
        Ok::<_, SocketError>(())
    };
    drop(tokio::time::timeout(GOODBYE, closing).await);
}
