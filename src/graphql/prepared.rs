//! Operations that passed all checks and may be executed, and open subscriptions.

use std::sync::Arc;

use futures_util::FutureExt as _;
use juniper::{ExecutionError, GraphQLError, OperationType};

use super::allowance::ResponseBatch;
use super::context::{Caller, Ctx};
use super::document::ParsedOperation;
use super::errors;
use super::executable::{Executable, Validated, ValidatedItem};
use super::refusal::Rejection;
use super::scalar::Scalar;
use super::values::Variables;
use crate::board::Viewer;
use crate::model::{Cursor, GaugeGuard, MemoryLease};

/// An operation that passed all checks and may be executed, with its variables.
pub struct Prepared {
    pub(super) operation: Arc<ParsedOperation>,
    /// The documents that juniper executes instead of the client's document, if there are any.
    pub(super) executable: Option<Arc<Executable>>,
    pub(super) variables: Variables,
    /// The position from which a subscription resumes. It overrides the argument `after`.
    pub(super) resumed: Option<Cursor>,
    /// The head of the log when the operation arrived. A subscription without `after` starts there.
    pub(super) came_at: Cursor,
    /// The size counters that the operation shares with the other operations of the request.
    pub(super) batch: Arc<ResponseBatch>,
}

impl Prepared {
    /// The type of the operation: query, mutation or subscription.
    #[must_use]
    pub fn kind(&self) -> OperationType {
        self.operation.kind()
    }

    /// The name of the operation in its document.
    #[must_use]
    pub fn operation_name(&self) -> Option<&str> {
        self.operation.label()
    }

    /// The operation that juniper executes: the merged one if there is one, else the client's document.
    pub(super) fn validated(&self) -> &Validated<'_> {
        self.merged().unwrap_or_else(|| self.operation.validated())
    }

    /// The operation with merged fields, if it replaces the client's document.
    fn merged(&self) -> Option<&Validated<'_>> {
        self.executable.as_ref().and_then(|executable| executable.operation())
    }

    /// The query that renders an item of a subscription. `None` if the operation is not a subscription.
    pub(super) fn item(&self) -> Option<&ValidatedItem<'_>> {
        self.executable.as_ref().and_then(|executable| executable.item())
    }

    /// Checks the variables that the client's document declares, if a merged operation replaces the document. The
    /// merged operation lacks fields that directives exclude, so juniper would not check variables that only those
    /// fields use.
    ///
    /// The check passes the operation to an entry point of juniper for another operation type. juniper checks the
    /// variables first, then refuses the type, and executes nothing.
    pub(super) fn check_variables(&self, ctx: &Ctx) -> Result<(), Rejection> {
        if self.merged().is_none() {
            return Ok(());
        }
        let (operation, variables) = (self.operation.validated(), &self.variables);
        let checked = match self.kind() {
            OperationType::Subscription => operation.execute_sync(variables, ctx).map(drop),
            OperationType::Query | OperationType::Mutation => {
                operation.resolve_into_stream(variables, ctx).now_or_never().map_or(Ok(()), |checked| checked.map(drop))
            }
        };
        match checked {
            Err(error @ GraphQLError::ValidationError(_)) => Err(self.operation.refusal(&error, variables)),
            Err(_) | Ok(()) => Ok(()),
        }
    }

    /// Converts errors of fields to the `errors` of a response. Their locations refer to the client's document.
    pub(super) fn errors(&self, errors: &[ExecutionError<Scalar>], is_of_item: bool) -> serde_json::Value {
        let mut errors = match &self.executable {
            Some(executable) => executable.errors(errors, is_of_item),
            None => errors::execution_errors(errors),
        };
        self.operation.relocate(&mut errors);
        errors
    }

    /// Makes a subscription resume behind this position. This is for clients that reconnect and send their cursor
    /// beside the request, for example in the header `Last-Event-ID`, because they cannot change the document.
    #[must_use]
    pub fn after(self, cursor: Cursor) -> Self {
        Self { resumed: Some(cursor), ..self }
    }

    /// Makes the operation share the size counters of `batch` with the other operations of its request.
    #[must_use]
    pub fn in_batch(self, batch: &Arc<ResponseBatch>) -> Self {
        Self { batch: Arc::clone(batch), ..self }
    }
}

/// An open subscription: what is needed to render its items.
pub struct Live {
    pub(super) prepared: Prepared,
    pub(super) selection: [u8; 16],
    pub(super) caller: Caller,
    /// Whether checkpoints are items of the subscription.
    pub has_checkpoints: bool,
    pub(super) _counted: GaugeGuard,
    pub(super) _trees: (Arc<MemoryLease>, Option<Arc<MemoryLease>>),
}

impl Live {
    /// The viewer who reads the subscription.
    #[must_use]
    pub fn viewer(&self) -> &Viewer {
        &self.caller.viewer
    }
}
