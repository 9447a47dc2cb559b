//! A socket's connection, whatever is spoken on it: one task, one state machine. Nothing is read and
//! nothing is taken from the log while the client does not take what is sent, so a slow reader costs
//! a cursor, not a queue.

use std::future::{Future as _, poll_fn};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio_tungstenite::tungstenite::Message;

use super::super::Site;
use super::super::newcomers::Newcomer;
use super::super::quota::Share;
use super::super::site::Alive;
use super::clock::{Clock, Due};
use super::close::Close;
use super::entry::{Entered, Entry};
use super::goodbye::{End, or_fault, say_goodbye};
use super::outbox::Outbox;
use super::protocol::{Asked, Desk, Heard, Protocol};
use super::wire::Wire;
use crate::board::Seated;
use crate::capacity::{Rate, Throttle};
use crate::graphql::Caller;
use crate::live::SessionWatch;
use crate::model::{Timestamp, UserId};

/// So many steps at most are taken until other tasks have their turn.
const TURN: usize = 128;
/// So many bytes of frames are gathered until they are handed to the kernel at the latest.
const GATHERED: usize = 16 << 10;
/// Number of seconds for which a client may exceed its rate of frames before the server stops reading.
const BURST_SECONDS: u32 = 2;
/// How long answers that are still to come hold up a close.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Where there was nothing new in this turn. It is not looked for again before each event: whatever comes, wakes.
#[derive(Default)]
struct News {
    no_change: bool,
    no_frame: bool,
}

/// A socket's connection, on which `P` is spoken.
pub struct Connection<P> {
    protocol: P,
    desk: Desk,
    wire: Wire,
    phase: Phase,
    /// Until somebody is in.
    newcomer: Option<Arc<Newcomer>>,
    clock: Clock,
    frame_limit: Throttle,
    /// What concerns the viewer alone.
    watch: Option<SessionWatch>,
    /// The user is active as long as this is held.
    connected: Option<Seated>,
    /// The place among the user's sockets.
    place: Option<Share<UserId>>,
    /// The end has come, as soon as the last answers are sent.
    ending: Option<(Close, Instant)>,
}

enum Phase {
    /// Before `connection_init`.
    Waiting(Arc<Entry>),
    /// Its token is being looked at; nothing is read meanwhile.
    Entering(BoxFuture<'static, Result<Entered, Close>>),
    /// Somebody is in.
    Open,
}

impl<P: Protocol> Connection<P> {
    /// A connection before anybody came in.
    pub fn new(site: Arc<Site>, wire: Wire, protocol: P, entry: Entry, newcomer: Arc<Newcomer>) -> Box<Self> {
        let clock = Clock::start(&site.settings.sockets, protocol.keeps_alive());
        let frames_per_second = site.settings.sockets.frames_per_second;
        let burst = frames_per_second.saturating_mul(BURST_SECONDS);
        let frame_limit = Throttle::new(Rate::per_second(frames_per_second, burst));
        Box::new(Self {
            protocol,
            desk: Desk { site, caller: None, outbox: Outbox::default() },
            wire,
            phase: Phase::Waiting(Arc::new(entry)),
            newcomer: Some(newcomer),
            clock,
            frame_limit,
            watch: None,
            connected: None,
            place: None,
            ending: None,
        })
    }

    /// Serves it to its end. In a box, as the last words are: a future has room for all that it ever moves, at once.
    pub async fn run(mut self: Box<Self>, mut alive: Alive) {
        let end = {
            let mut stopped = Box::pin(alive.stopped());
            let (mut is_told, mut is_stopping) = (false, false);
            poll_fn(|context| {
                // It wakes this task; until then there is no need to ask it again.
                if !is_told || (!is_stopping && self.desk.site.is_stopping()) {
                    is_told = true;
                    is_stopping = stopped.as_mut().poll(context).is_ready();
                    if is_stopping {
                        self.end(Close::Restarting);
                    }
                }
                or_fault(|| self.poll(context))
            })
            .await
        };
        match end {
            End::Gone => Box::pin(say_goodbye(self.wire, self.desk.outbox, None)).await,
            End::Close(close) => {
                tracing::debug!(?close, "closing a socket");
                self.desk.site.counts.close(close.frame().code.into());
                drop(self.protocol);
                Box::pin(say_goodbye(self.wire, self.desk.outbox, Some(&close))).await;
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
        let (now, wall) = (Instant::now(), Timestamp::now());
        self.tick(now, wall, context)?;
        let mut done = 0;
        let mut news = News::default();
        // Who takes nothing is not read either: answers to WebSocket pings would pile up.
        let mut may_work = !self.clock.is_blocked() || self.send(context)?;
        while may_work && done < TURN {
            if self.desk.outbox.len() >= GATHERED {
                may_work = self.send(context)?;
            } else if self.step(context, &mut news)? {
                done += 1;
            } else {
                break;
            }
        }
        let blocked = !self.send(context)?;
        self.clock.blocked(blocked);
        // The clock comes last: what was done may have moved it.
        let checkpoint = self.protocol.next_due().filter(|_| !blocked);
        let ending = self.ending.as_ref().map(|(_, deadline)| *deadline);
        let other = checkpoint.into_iter().chain(ending).chain(self.frame_limit.blocked_until()).min();
        let is_due = self.clock.poll(now, wall, context, &self.desk.site.settings.sockets, other).is_ready();
        Ok(is_due || (done == TURN && !blocked))
    }

    /// Hands what is to be sent to the kernel; whether it took all of it.
    fn send(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        match self.wire.poll_send(&mut self.desk.outbox, context) {
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(_)) => Err(End::Gone),
            Poll::Pending => Ok(false),
        }
    }

    /// What is due by the clock.
    fn tick(&mut self, now: Instant, wall: Timestamp, context: &mut Context<'_>) -> Result<(), End> {
        while let Some(due) = self.clock.due(now, wall, &self.desk.site.settings.sockets) {
            match due {
                Due::Close(close @ Close::Forbidden(_)) => {
                    self.clock.session_ends(None);
                    self.end(close);
                }
                // They have said who they are: it is not they who are late.
                Due::Close(Close::InitTimeout) if matches!(self.phase, Phase::Entering(_)) => {
                    return Err(End::Close(Close::Busy));
                }
                Due::Close(close) => return Err(End::Close(close)),
                Due::Ping if matches!(self.phase, Phase::Open) => self.ping(context)?,
                Due::KeepAlive if matches!(self.phase, Phase::Open) => {
                    if self.protocol.keep_alive(&mut self.desk) == Asked::Later {
                        self.clock.keep_alive_soon();
                    }
                }
                Due::Ping | Due::KeepAlive => {}
            }
        }
        Ok(())
    }

    /// Asks whether the client is there: in the words of the protocol, and by a frame that the
    /// client's WebSocket answers by itself.
    fn ping(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        match self.protocol.ping(&mut self.desk) {
            Asked::Said => {}
            Asked::Later => self.clock.ping_soon(),
            Asked::ByFrame => self.wire.ping(context).map_err(|_| End::Gone)?,
        }
        Ok(())
    }

    /// One step; `false` if there is nothing to do.
    fn step(&mut self, context: &mut Context<'_>, news: &mut News) -> Result<bool, End> {
        if let Some((close, deadline)) = &self.ending
            && (!self.protocol.is_answering() || Instant::now() >= *deadline)
        {
            return Err(End::Close(close.clone()));
        }
        let has_changed = !news.no_change && self.poll_session(context);
        news.no_change = !has_changed;
        let read = match self.phase {
            _ if self.ending.is_some() => false,
            Phase::Entering(_) => {
                let entered = self.poll_entering(context)?;
                // What concerns them alone is looked at for the first time.
                news.no_change &= !entered;
                entered
            }
            _ if self.frame_limit.blocked_until().is_some() => false,
            _ if news.no_frame || !self.protocol.may_hear() => false,
            Phase::Waiting(_) | Phase::Open => {
                let read = self.poll_read(context)?;
                news.no_frame = !read;
                read
            }
        };
        let was_answering = self.protocol.is_answering();
        let sent = self.protocol.poll(&mut self.desk, context);
        if was_answering {
            self.extend_session();
        }
        Ok(has_changed || read || sent)
    }

    /// `refreshToken` may have been run.
    fn extend_session(&mut self) {
        let Some(Caller { extends: Some(extends), .. }) = &self.desk.caller else { return };
        let until: Option<Timestamp> = extends.lock().unwrap_or_else(PoisonError::into_inner).take();
        if until.is_some() {
            self.clock.session_ends(until);
        }
    }

    /// Looks whether the session has ended or its permissions have changed.
    fn poll_session(&mut self, context: &mut Context<'_>) -> bool {
        let Some(watch) = &mut self.watch else { return false };
        match watch.poll_next_unpin(context) {
            Poll::Pending => return false,
            Poll::Ready(Some(Ok(()))) => self.protocol.recheck(&mut self.desk),
            Poll::Ready(Some(Err(error))) => {
                self.watch = None;
                self.connected = None;
                self.end(Close::Forbidden(error.to_string()));
            }
            Poll::Ready(None) => self.watch = None,
        }
        true
    }

    /// Nothing new from now on: streams are silent at once, without a `complete`, which would tell
    /// clients not to come back. Answers that are still to come are waited for; after the end of a
    /// session only those of mutations.
    fn end(&mut self, close: Close) {
        self.protocol.fall_silent(close == Close::Restarting);
        self.ending.get_or_insert((close, Instant::now() + LAST_ANSWERS));
    }

    fn poll_entering(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let Phase::Entering(entering) = &mut self.phase else { return Ok(false) };
        match entering.as_mut().poll(context) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(Entered { mut caller, until, watch, place, connected })) => {
                caller.extends = Some(Arc::new(Mutex::new(None)));
                self.phase = Phase::Open;
                self.newcomer.take().inspect(|newcomer| newcomer.set_known());
                self.desk.caller = Some(caller);
                self.watch = watch;
                self.connected = connected;
                self.place = place;
                self.clock.entered(until);
                self.protocol.welcome(&mut self.desk);
                Ok(true)
            }
            Poll::Ready(Err(close)) => {
                let reason = close.frame().reason.to_string();
                self.protocol.refuse(&mut self.desk, &reason);
                self.end(close);
                Ok(true)
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let message = match self.wire.poll_frame(context) {
            Poll::Pending => return Ok(false),
            Poll::Ready(None) => return Err(End::Gone),
            Poll::Ready(Some(Ok(message))) => message,
            Poll::Ready(Some(Err(error))) => return Err(End::of(&error)),
        };
        self.clock.heard();
        self.frame_limit.record();
        let heard = match message {
            // RFC 8259, 8.1: a byte order mark may be ignored, as it is in the body of a request.
            Message::Text(text) => self.protocol.hear(&mut self.desk, text.strip_prefix('\u{FEFF}').unwrap_or(&text)),
            Message::Binary(_) => self.protocol.hear_binary(&mut self.desk),
            Message::Close(_) => return Err(End::Gone),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(Heard::Something),
        };
        match heard.map_err(End::Close)? {
            Heard::Something => {}
            Heard::Init(parameters) => self.init(parameters)?,
        }
        Ok(true)
    }

    /// Has the client come in at once, without being asked.
    pub fn enter(mut self: Box<Self>) -> Box<Self> {
        drop(self.init(serde_json::Map::new()));
        self
    }

    fn init(&mut self, parameters: serde_json::Map<String, serde_json::Value>) -> Result<(), End> {
        let Phase::Waiting(entry) = &self.phase else { return Err(End::Close(Close::SecondInit)) };
        let (entry, site) = (Arc::clone(entry), Arc::clone(&self.desk.site));
        self.clock.asked_in(&site.settings.sockets);
        self.phase = Phase::Entering(Box::pin(async move { entry.enter(&site, &parameters).await }));
        Ok(())
    }
}
