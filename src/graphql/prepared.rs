//! Operations that may be executed, and subscriptions that are open.

use std::sync::Arc;

use futures_util::FutureExt as _;
use juniper::{ExecutionError, GraphQLError, OperationType};

use super::allowance::ResponseBatch;
use super::context::{Caller, Ctx};
use super::document::Operation;
use super::errors;
use super::executable::{Executable, Validated, ValidatedItem};
use super::refusal::Rejection;
use super::scalar::Scalar;
use super::values::Variables;
use crate::board::Viewer;
use crate::model::{Cursor, GaugeGuard, MemoryLease};

/// An operation that may be executed, with its variables.
pub struct Prepared {
    pub(super) operation: Arc<Operation>,
    /// What is executed instead of its document.
    pub(super) executable: Option<Arc<Executable>>,
    pub(super) variables: Variables,
    /// From where a subscription goes on, whatever its arguments say.
    pub(super) resumed: Option<Cursor>,
    /// Where the log stood when the operation came: from there a subscription begins that names no other place.
    pub(super) came_at: Cursor,
    /// The operations that share the bytes of one answer with it.
    pub(super) batch: Arc<ResponseBatch>,
}

impl Prepared {
    /// Query, mutation or subscription.
    #[must_use]
    pub fn kind(&self) -> OperationType {
        self.operation.kind()
    }

    /// The operation to execute.
    pub(super) fn validated(&self) -> &Validated<'_> {
        self.merged().unwrap_or_else(|| self.operation.validated())
    }

    /// The operation to execute if it is not the document as it is.
    fn merged(&self) -> Option<&Validated<'_>> {
        self.executable.as_ref().and_then(|executable| executable.operation())
    }

    /// The query for an item of a subscription.
    pub(super) fn item(&self) -> Option<&ValidatedItem<'_>> {
        self.executable.as_ref().and_then(|executable| executable.item())
    }

    /// Checks the variables of a merged operation: it may have lost some that directives left out. juniper checks the
    /// variables of an operation before it refuses one of another kind, and executes nothing of this.
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

    /// The errors of fields, as `errors` of a response.
    pub(super) fn errors(&self, errors: &[ExecutionError<Scalar>], is_of_item: bool) -> serde_json::Value {
        let mut errors = match &self.executable {
            Some(executable) => executable.errors(errors, is_of_item),
            None => errors::execution_errors(errors),
        };
        self.operation.relocate(&mut errors);
        errors
    }

    /// The same, behind this position if it is a subscription of events: for clients that come back with a cursor and
    /// cannot say it anywhere but beside their request.
    #[must_use]
    pub fn after(self, cursor: Cursor) -> Self {
        Self { resumed: Some(cursor), ..self }
    }

    /// The same, as one of several that are answered together.
    #[must_use]
    pub fn in_batch(self, batch: &Arc<ResponseBatch>) -> Self {
        Self { batch: Arc::clone(batch), ..self }
    }
}

/// A subscription that was opened.
pub struct Live {
    pub(super) prepared: Prepared,
    pub(super) selection: [u8; 16],
    pub(super) caller: Caller,
    /// Checkpoints are items of it.
    pub has_checkpoints: bool,
    pub(super) _counted: GaugeGuard,
    pub(super) _trees: (Arc<MemoryLease>, Option<Arc<MemoryLease>>),
}

impl Live {
    /// Who reads it.
    #[must_use]
    pub fn viewer(&self) -> &Viewer {
        &self.caller.viewer
    }
}
