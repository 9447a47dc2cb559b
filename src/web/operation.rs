//! One operation, whatever carries it: a query or mutation that is answered, or a subscription that
//! reads the log. It moves only when it is polled, so whoever cannot send does not poll.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::board::{News, Stream};
use crate::error::Error;
use crate::graphql::{Answer, Caller, Delivery, Engine, Live, OperationType, Prepared, Refusal, Rendering, Text};
use crate::hub::LiveEvent;
use crate::model::Cursor;

/// After so long without an item, `events` sends a checkpoint.
const SILENCE: Duration = Duration::from_secs(30);

/// One operation.
pub struct Operation(State);

enum State {
    Answering(BoxFuture<'static, Result<Answer, Refusal>>, OperationType),
    Opening(BoxFuture<'static, Result<(Live, Stream), Refusal>>),
    Following(Box<Following>),
}

/// An item that is being rendered; a checkpoint has no event, a live value no cursor either.
struct Pending {
    event: Option<Arc<LiveEvent>>,
    cursor: Option<Cursor>,
    body: BoxFuture<'static, Option<Text>>,
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

/// What an operation has to say.
pub enum Said {
    /// Nothing, but there is more to do.
    Nothing,
    /// An item of a subscription, as the response that shows it; and which position of the log it is, if it is one.
    Item(Text, Option<Cursor>),
    /// The response to a query or a mutation. It is over.
    Answer(Text),
    /// Nothing more will come. It is over.
    End,
    /// It is over for this reason.
    Failed(Refusal),
}

impl Operation {
    /// Starts what was prepared.
    pub fn start(engine: &Arc<Engine>, prepared: Prepared, caller: Caller) -> Self {
        let engine = Arc::clone(engine);
        Self(match prepared.kind() {
            OperationType::Subscription => State::Opening(Box::pin(async move { engine.open(prepared, caller).await })),
            kind => State::Answering(Box::pin(async move { engine.answer(prepared, caller).await }), kind),
        })
    }

    /// Whether it will change something, and its answer is still to come.
    pub fn is_writing(&self) -> bool {
        matches!(self.0, State::Answering(_, OperationType::Mutation))
    }

    /// Whether its answer is still to come.
    pub fn is_answering(&self) -> bool {
        matches!(self.0, State::Answering(..))
    }

    /// Up to where a subscription has been served.
    pub fn served(&mut self) -> Served {
        match &mut self.0 {
            State::Following(following) => following.served().map_or(Served::Whatever, Served::UpTo),
            State::Answering(..) => Served::Whatever,
            State::Opening(_) => Served::Unknown,
        }
    }

    /// When a checkpoint is due.
    pub fn checkpoint_due(&self) -> Option<Instant> {
        match &self.0 {
            State::Following(following) if following.live.has_checkpoints => Some(following.silent_since + SILENCE),
            _ => None,
        }
    }

    /// The viewer's rights may be others: the error if they no longer suffice.
    pub fn recheck(&mut self) -> Result<(), Error> {
        match &mut self.0 {
            State::Following(following) => following.stream.recheck(),
            State::Answering(..) | State::Opening(_) => Ok(()),
        }
    }

    /// Does the next step. Not to be called after it is over.
    pub fn poll(&mut self, context: &mut Context<'_>, engine: &Arc<Engine>) -> Poll<Said> {
        match &mut self.0 {
            State::Answering(answering, _) => Poll::Ready(match ready!(answering.as_mut().poll(context)) {
                Ok(answer) => Said::Answer(answer.body),
                Err(refusal) => Said::Failed(refusal),
            }),
            State::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                Ok((live, mut stream)) => {
                    let (live, handed_over, silent_since) = (Arc::new(live), stream.served(), Instant::now());
                    let following = Following { live, stream, rendering: None, handed_over, silent_since };
                    self.0 = State::Following(Box::new(following));
                    Poll::Ready(Said::Nothing)
                }
                Err(refusal) => Poll::Ready(Said::Failed(refusal)),
            },
            State::Following(following) => following.poll(context, engine),
        }
    }
}

impl Following {
    fn served(&mut self) -> Option<Cursor> {
        if self.rendering.is_some() { self.handed_over } else { self.stream.served() }
    }

    fn poll(&mut self, context: &mut Context<'_>, engine: &Arc<Engine>) -> Poll<Said> {
        if let Some(Pending { event, cursor, body }) = &mut self.rendering {
            let body = ready!(body.as_mut().poll(context));
            // Rendering took its time: rights may be others by now.
            let is_seen = event.as_ref().is_none_or(|event| self.live.viewer().sees(event) && !event.is_gone());
            let cursor = *cursor;
            self.rendering = None;
            let body = body.filter(|_| is_seen);
            return Poll::Ready(body.map_or(Said::Nothing, |body| Said::Item(body, cursor)));
        }
        self.handed_over = self.stream.position();
        let silent = self.live.has_checkpoints && self.silent_since.elapsed() >= SILENCE;
        let delivery = match self.stream.poll_next(context) {
            Poll::Ready(News::Event(event)) => Delivery::Event(event),
            Poll::Ready(News::CaughtUp(cursor)) if self.live.has_checkpoints => Delivery::Checkpoint(cursor),
            Poll::Ready(News::CaughtUp(_)) => return Poll::Ready(Said::Nothing),
            Poll::Ready(News::End(None)) => return Poll::Ready(Said::End),
            Poll::Ready(News::End(Some(error))) => return Poll::Ready(Said::Failed(error.into())),
            Poll::Ready(News::Metric(metric)) => Delivery::Metric(metric),
            Poll::Ready(News::Presence(change)) => Delivery::Presence(change),
            Poll::Pending if silent => match self.stream.served() {
                Some(cursor) => Delivery::Checkpoint(cursor),
                None => return Poll::Pending,
            },
            Poll::Pending => return Poll::Pending,
        };
        if self.live.has_checkpoints {
            self.silent_since = Instant::now();
        }
        Poll::Ready(self.show(engine, delivery))
    }

    fn show(&mut self, engine: &Arc<Engine>, delivery: Delivery) -> Said {
        let (event, cursor) = match &delivery {
            Delivery::Event(event) => (Some(Arc::clone(event)), Some(event.cursor)),
            Delivery::Checkpoint(cursor) => (None, Some(*cursor)),
            Delivery::Metric(_) | Delivery::Presence(_) => (None, None),
        };
        match engine.render(&self.live, delivery) {
            Rendering::Ready(Some(body)) => Said::Item(body, cursor),
            Rendering::Ready(None) => Said::Nothing,
            Rendering::Waiting(body) => {
                self.rendering = Some(Pending { event, cursor, body });
                Said::Nothing
            }
        }
    }
}
