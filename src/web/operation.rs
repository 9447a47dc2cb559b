//! One GraphQL operation, for every transport: a query or mutation that is answered, or a subscription that is delivered.
//! It makes progress only when it is polled. A transport that cannot send does not poll.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;

use super::operation_record::OperationRecord;
use crate::error::Error;
use crate::graphql::{Answer, Caller, Engine, ItemRenderer, OperationType, Prepared, Rejection, ResponseText};
use crate::live::Deliveries;
use crate::model::Cursor;

/// One operation.
pub struct Operation {
    state: OperationState,
    /// Boxed, because the vector of a socket's operations may have room for several.
    record: Box<OperationRecord>,
    /// Whether the items of a subscription are not recorded. Then a delivery does not read the record.
    is_unrecorded: bool,
}

enum OperationState {
    Answering(BoxFuture<'static, Result<Answer, Rejection>>, OperationType),
    Opening(BoxFuture<'static, Result<Deliveries<ItemRenderer>, Rejection>>),
    Delivering(Box<Deliveries<ItemRenderer>>),
}

/// The position of the log up to which an operation has delivered everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// Up to this position.
    UpTo(Cursor),
    /// The operation does not read the log.
    NotOfLog,
    /// The subscription is being opened, so its position is not known yet.
    Unknown,
}

/// What an operation yields.
pub enum Output {
    /// The subscription is open.
    Opened,
    /// An item of a subscription, as a response, and its position if it has one in the log.
    Item(ResponseText, Option<Cursor>),
    /// The response to a query or a mutation. The operation is over.
    Answer(Answer),
    /// The subscription has ended. The operation is over.
    Completed,
    /// The operation failed and is over.
    Failed(Rejection),
}

impl Operation {
    /// Starts a prepared operation.
    pub fn start(engine: &Arc<Engine>, prepared: Prepared, caller: Caller, record: OperationRecord) -> Self {
        let engine = Arc::clone(engine);
        let state = match prepared.kind() {
            OperationType::Subscription => {
                OperationState::Opening(Box::pin(async move { engine.open(prepared, caller).await }))
            }
            kind => OperationState::Answering(Box::pin(async move { engine.answer(prepared, caller).await }), kind),
        };
        Self { state, record: Box::new(record), is_unrecorded: false }
    }

    /// Runs code in the span of the operation.
    pub fn in_scope<T>(&self, code: impl FnOnce() -> T) -> T {
        self.record.in_scope(code)
    }

    /// Records that the transport ends the operation with this error.
    pub fn fail(&mut self, rejection: &Rejection) {
        self.record.fail(rejection);
    }

    /// Whether this is a mutation whose response is still to come.
    pub fn is_writing(&self) -> bool {
        matches!(self.state, OperationState::Answering(_, OperationType::Mutation))
    }

    /// Whether this is a query or a mutation whose response is still to come.
    pub fn is_answering(&self) -> bool {
        matches!(self.state, OperationState::Answering(..))
    }

    /// The position up to which a subscription has delivered everything.
    pub fn served(&mut self) -> Served {
        match &mut self.state {
            OperationState::Delivering(deliveries) => deliveries.served().map_or(Served::NotOfLog, Served::UpTo),
            OperationState::Answering(..) => Served::NotOfLog,
            OperationState::Opening(_) => Served::Unknown,
        }
    }

    /// When a checkpoint is due. The operation must be polled then.
    pub fn checkpoint_due(&self) -> Option<Instant> {
        match &self.state {
            OperationState::Delivering(deliveries) => deliveries.checkpoint_due(),
            OperationState::Answering(..) | OperationState::Opening(_) => None,
        }
    }

    /// Checks the permissions again after they may have changed.
    ///
    /// # Errors
    /// `FORBIDDEN` if the viewer may not follow the subscription any more. It is over.
    pub fn recheck(&mut self) -> Result<(), Error> {
        let checked = match &mut self.state {
            OperationState::Delivering(deliveries) => deliveries.recheck(),
            OperationState::Answering(..) | OperationState::Opening(_) => Ok(()),
        };
        checked.inspect_err(|error| self.record.fail(&error.clone().into()))
    }

    /// Yields the next output. Must not be called after the operation is over.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Output> {
        let Self { state, record, is_unrecorded } = self;
        let output =
            if *is_unrecorded { ready!(state.poll(context)) } else { ready!(record.in_scope(|| state.poll(context))) };
        match &output {
            Output::Opened => *is_unrecorded = !record.opened(),
            Output::Item(..) if *is_unrecorded => {}
            Output::Item(..) => record.item(),
            Output::Answer(answer) => record.finish(answer.error),
            Output::Completed => record.finish(None),
            Output::Failed(rejection) => record.fail(rejection),
        }
        Poll::Ready(output)
    }
}

impl OperationState {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Output> {
        match self {
            Self::Answering(answering, _) => Poll::Ready(match ready!(answering.as_mut().poll(context)) {
                Ok(answer) => Output::Answer(answer),
                Err(refusal) => Output::Failed(refusal),
            }),
            Self::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                Ok(deliveries) => {
                    *self = Self::Delivering(Box::new(deliveries));
                    Poll::Ready(Output::Opened)
                }
                Err(refusal) => Poll::Ready(Output::Failed(refusal)),
            },
            Self::Delivering(deliveries) => Poll::Ready(match ready!(deliveries.poll_next_unpin(context)) {
                Some(Ok(delivery)) => Output::Item(delivery.output, delivery.update.cursor()),
                Some(Err(error)) => Output::Failed(error.into()),
                None => Output::Completed,
            }),
        }
    }
}
