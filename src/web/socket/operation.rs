//! One operation of a socket: a query or mutation that is answered, or a subscription that reads
//! the log.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::dialect::Dialect;
use super::protocol::Outbox;
use crate::board::{News, Stream};
use crate::error::Error;
use crate::graphql::{self, Answer, Delivery, Engine, Live, OperationType, Prepared, Refusal, Rendering};
use crate::hub::LiveEvent;
use crate::model::Cursor;

/// After so long without an item, `events` sends a checkpoint.
const SILENCE: Duration = Duration::from_secs(30);

/// One operation of a socket.
pub struct Operation {
    /// Its id, as the client says it.
    pub id: Box<str>,
    /// The same as JSON.
    json_id: Box<str>,
    state: State,
}

enum State {
    Answering(BoxFuture<'static, Result<Answer, Refusal>>, OperationType),
    Opening(BoxFuture<'static, Result<(Live, Stream), Refusal>>),
    Following(Box<Following>),
}

/// An item that is being rendered; a checkpoint has no event.
struct Pending {
    event: Option<Arc<LiveEvent>>,
    body: BoxFuture<'static, Option<Arc<str>>>,
}

struct Following {
    live: Arc<Live>,
    stream: Stream,
    rendering: Option<Pending>,
    /// Up to where everything had been handed over before the item that is being rendered.
    handed_over: Option<Cursor>,
    silent_since: Instant,
}

/// Up to where an operation has been served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// Up to this position of the log.
    UpTo(Cursor),
    /// It does not read the log.
    Whatever,
    /// It is being opened: that is not known.
    Unknown,
}

/// Where an operation is after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It goes on.
    More,
    /// It is over.
    Over,
}

impl Operation {
    /// Starts what was prepared.
    pub fn start(engine: &Arc<Engine>, id: String, prepared: Prepared, caller: graphql::Caller) -> Self {
        let json_id = serde_json::Value::from(id.as_str()).to_string().into();
        let engine = Arc::clone(engine);
        let state = match prepared.kind() {
            OperationType::Subscription => State::Opening(Box::pin(async move { engine.open(prepared, caller).await })),
            kind => State::Answering(Box::pin(async move { engine.answer(prepared, caller).await }), kind),
        };
        Self { id: id.into(), json_id, state }
    }

    /// Whether it will change something, and its answer is still to come.
    pub fn is_writing(&self) -> bool {
        matches!(self.state, State::Answering(_, OperationType::Mutation))
    }

    /// Whether its answer is still to come.
    pub fn is_answering(&self) -> bool {
        matches!(self.state, State::Answering(..))
    }

    /// Up to where a subscription has been served.
    pub fn served(&mut self) -> Served {
        match &mut self.state {
            State::Following(following) => following.served().map_or(Served::Whatever, Served::UpTo),
            State::Answering(..) => Served::Whatever,
            State::Opening(_) => Served::Unknown,
        }
    }

    /// When a checkpoint is due.
    pub fn checkpoint_due(&self) -> Option<Instant> {
        match &self.state {
            State::Following(following) if following.live.has_checkpoints => Some(following.silent_since + SILENCE),
            _ => None,
        }
    }

    /// The viewer's rights may be others: the error if they no longer suffice.
    pub fn recheck(&mut self) -> Result<(), Error> {
        match &mut self.state {
            State::Following(following) => following.stream.recheck(),
            State::Answering(..) | State::Opening(_) => Ok(()),
        }
    }

    /// Puts the next frames, if there are any, into the outbox.
    pub fn poll_step(
        &mut self,
        context: &mut Context<'_>,
        engine: &Arc<Engine>,
        dialect: Dialect,
        outbox: &mut Outbox,
    ) -> Poll<Step> {
        match &mut self.state {
            State::Answering(answering, _) => {
                match ready!(answering.as_mut().poll(context)) {
                    Ok(answer) => {
                        outbox.push_back(dialect.next(&self.json_id, &answer.body).into());
                        outbox.push_back(dialect.complete(&self.json_id).into());
                    }
                    Err(refusal) => outbox.push_back(dialect.error(&self.json_id, &refusal.errors()).into()),
                }
                Poll::Ready(Step::Over)
            }
            State::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                Ok((live, mut stream)) => {
                    let (live, handed_over, silent_since) = (Arc::new(live), stream.served(), Instant::now());
                    let following = Following { live, stream, rendering: None, handed_over, silent_since };
                    self.state = State::Following(Box::new(following));
                    Poll::Ready(Step::More)
                }
                Err(refusal) => {
                    outbox.push_back(dialect.error(&self.json_id, &refusal.errors()).into());
                    Poll::Ready(Step::Over)
                }
            },
            State::Following(following) => following.poll_step(context, engine, dialect, &self.json_id, outbox),
        }
    }

    /// Ends it with an error.
    pub fn fail(&self, dialect: Dialect, error: &Error) -> String {
        dialect.error(&self.json_id, &serde_json::json!([graphql::to_json(error)]))
    }
}

impl Following {
    fn served(&mut self) -> Option<Cursor> {
        if self.rendering.is_some() { self.handed_over } else { self.stream.served() }
    }

    fn poll_step(
        &mut self,
        context: &mut Context<'_>,
        engine: &Arc<Engine>,
        dialect: Dialect,
        id: &str,
        outbox: &mut Outbox,
    ) -> Poll<Step> {
        if let Some(Pending { event, body }) = &mut self.rendering {
            let body = ready!(body.as_mut().poll(context));
            // Rendering took its time: rights may be others by now.
            let is_seen = event.as_ref().is_none_or(|event| self.live.viewer().sees(event) && !event.is_gone());
            self.rendering = None;
            if let Some(body) = body.filter(|_| is_seen) {
                outbox.push_back(dialect.next(id, &body).into());
            }
            return Poll::Ready(Step::More);
        }
        self.handed_over = self.stream.served();
        let silent = self.live.has_checkpoints && self.silent_since.elapsed() >= SILENCE;
        let delivery = match self.stream.poll_next(context) {
            Poll::Ready(News::Event(event)) => Delivery::Event(event),
            Poll::Ready(News::CaughtUp(cursor)) if self.live.has_checkpoints => Delivery::Checkpoint(cursor),
            Poll::Ready(News::CaughtUp(_)) => return Poll::Ready(Step::More),
            Poll::Ready(News::End(None)) => {
                outbox.push_back(dialect.complete(id).into());
                return Poll::Ready(Step::Over);
            }
            Poll::Ready(News::End(Some(error))) => {
                outbox.push_back(dialect.error(id, &serde_json::json!([graphql::to_json(&error)])).into());
                return Poll::Ready(Step::Over);
            }
            Poll::Ready(News::Metric(metric)) => Delivery::Metric(metric),
            Poll::Ready(News::Presence(change)) => Delivery::Presence(change),
            Poll::Pending => match self.stream.served().filter(|_| silent) {
                Some(cursor) => Delivery::Checkpoint(cursor),
                None => return Poll::Pending,
            },
        };
        self.silent_since = Instant::now();
        let event = match &delivery {
            Delivery::Event(event) => Some(Arc::clone(event)),
            Delivery::Checkpoint(_) | Delivery::Metric(_) | Delivery::Presence(_) => None,
        };
        match engine.render(&self.live, delivery) {
            Rendering::Ready(Some(body)) => outbox.push_back(dialect.next(id, &body).into()),
            Rendering::Ready(None) => {}
            Rendering::Waiting(body) => self.rendering = Some(Pending { event, body }),
        }
        Poll::Ready(Step::More)
    }
}
