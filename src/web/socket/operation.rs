//! One operation of a socket: a query or mutation that is answered, or a subscription that reads
//! the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::dialect::Dialect;
use crate::board::{Feed, Item};
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
    Opening(BoxFuture<'static, Result<(Live, Feed), Refusal>>),
    Following(Box<Following>),
}

/// An item that is being rendered; a checkpoint has no event.
struct Pending {
    event: Option<Arc<LiveEvent>>,
    body: BoxFuture<'static, Option<Arc<str>>>,
}

struct Following {
    live: Arc<Live>,
    feed: Feed,
    rendering: Option<Pending>,
    /// Up to where everything had been handed over before the item that is being rendered.
    handed_over: Cursor,
    silent_since: Instant,
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

    /// Up to where a subscription has been served; `None` as long as it is being opened.
    pub fn served(&mut self) -> Option<Cursor> {
        match &mut self.state {
            State::Following(following) => Some(following.served()),
            State::Answering(..) | State::Opening(_) => None,
        }
    }

    /// Whether it reads the log.
    pub fn is_subscription(&self) -> bool {
        !self.is_answering()
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
            State::Following(following) => following.feed.recheck(),
            State::Answering(..) | State::Opening(_) => Ok(()),
        }
    }

    /// Puts the next frames, if there are any, into the outbox.
    pub fn poll_step(
        &mut self,
        context: &mut Context<'_>,
        engine: &Arc<Engine>,
        dialect: Dialect,
        outbox: &mut VecDeque<String>,
    ) -> Poll<Step> {
        match &mut self.state {
            State::Answering(answering, _) => {
                match ready!(answering.as_mut().poll(context)) {
                    Ok(answer) => {
                        outbox.push_back(dialect.next(&self.json_id, &answer.body));
                        outbox.push_back(dialect.complete(&self.json_id));
                    }
                    Err(refusal) => outbox.push_back(dialect.error(&self.json_id, &refusal.errors())),
                }
                Poll::Ready(Step::Over)
            }
            State::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                Ok((live, mut feed)) => {
                    let (live, handed_over, silent_since) = (Arc::new(live), feed.served(), Instant::now());
                    let following = Following { live, feed, rendering: None, handed_over, silent_since };
                    self.state = State::Following(Box::new(following));
                    Poll::Ready(Step::More)
                }
                Err(refusal) => {
                    outbox.push_back(dialect.error(&self.json_id, &refusal.errors()));
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
    fn served(&mut self) -> Cursor {
        if self.rendering.is_some() { self.handed_over } else { self.feed.served() }
    }

    fn poll_step(
        &mut self,
        context: &mut Context<'_>,
        engine: &Arc<Engine>,
        dialect: Dialect,
        id: &str,
        outbox: &mut VecDeque<String>,
    ) -> Poll<Step> {
        if let Some(Pending { event, body }) = &mut self.rendering {
            let body = ready!(body.as_mut().poll(context));
            // Rendering took its time: rights may be others by now.
            let is_seen = event.as_ref().is_none_or(|event| self.live.viewer().sees(event) && !event.is_gone());
            self.rendering = None;
            if let Some(body) = body.filter(|_| is_seen) {
                outbox.push_back(dialect.next(id, &body));
            }
            return Poll::Ready(Step::More);
        }
        self.handed_over = self.feed.served();
        let silent = self.live.has_checkpoints && self.silent_since.elapsed() >= SILENCE;
        let delivery = match self.feed.poll_next(context) {
            Poll::Ready(Item::Event(event)) => Delivery::Event(event),
            Poll::Ready(Item::CaughtUp(cursor)) if self.live.has_checkpoints => Delivery::Checkpoint(cursor),
            Poll::Ready(Item::CaughtUp(_)) => return Poll::Ready(Step::More),
            Poll::Ready(Item::End(None)) => {
                outbox.push_back(dialect.complete(id));
                return Poll::Ready(Step::Over);
            }
            Poll::Ready(Item::End(Some(error))) => {
                outbox.push_back(dialect.error(id, &serde_json::json!([graphql::to_json(&error)])));
                return Poll::Ready(Step::Over);
            }
            Poll::Pending if silent => Delivery::Checkpoint(self.feed.served()),
            Poll::Pending => return Poll::Pending,
        };
        self.silent_since = Instant::now();
        let event = match &delivery {
            Delivery::Event(event) => Some(Arc::clone(event)),
            Delivery::Checkpoint(_) => None,
        };
        match engine.render(&self.live, delivery) {
            Rendering::Ready(Some(body)) => outbox.push_back(dialect.next(id, &body)),
            Rendering::Ready(None) => {}
            Rendering::Waiting(body) => self.rendering = Some(Pending { event, body }),
        }
        Poll::Ready(Step::More)
    }
}
