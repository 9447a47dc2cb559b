//! Executes operations with juniper, and writes the results as JSON: the response to a query or a mutation, or one item
//! of a subscription.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use juniper::{ExecutionError, GraphQLError, OperationType};

use super::allowance::{Allowance, ResponseBatch, ResponseText};
use super::context::{Caller, Ctx, Purpose};
use super::error_code::ErrorCode;
use super::errors;
use super::prepared::Prepared;
use super::reader_gate::ReaderGate;
use super::refusal::Rejection;
use super::scalar::Scalar;
use super::values::Value;
use crate::board::Board;
use crate::error::{Error, Result};
use crate::live::Update;

/// The response to an operation.
#[derive(Debug)]
pub struct Answer {
    /// The response as JSON.
    pub body: ResponseText,
    /// Whether a resolver failed with an internal error, such as a panic.
    pub is_fault: bool,
    /// The code of the first error in the response, if it has errors.
    pub error: Option<ErrorCode>,
}

/// The result of juniper: the value of `data` and the errors of fields, or the reason why nothing was executed.
type Executed = Result<(Value, Vec<ExecutionError<Scalar>>), GraphQLError>;

/// Executes a query on a reader thread.
pub(super) fn query(prepared: &Prepared, ctx: &Ctx) -> Result<Answer, Rejection> {
    prepared.check_variables(ctx)?;
    answer(prepared, ctx, prepared.validated().execute_sync(&prepared.variables, ctx))
}

/// Executes a mutation. A root field starts after the change of the previous one is on disk and its result is resolved.
/// The module [`super::reader_gate`] explains on which threads this future must be polled.
pub(super) async fn mutation(prepared: Prepared, ctx: Arc<Ctx>) -> Result<Answer, Rejection> {
    prepared.check_variables(&ctx)?;
    let executed = prepared.validated().execute(&prepared.variables, &ctx).await;
    answer(&prepared, &ctx, executed)
}

fn answer(prepared: &Prepared, ctx: &Ctx, executed: Executed) -> Result<Answer, Rejection> {
    let (value, errors) = executed.map_err(|error| prepared.operation.refusal(&error, &prepared.variables))?;
    let errors = (!errors.is_empty()).then(|| prepared.errors(&errors, false));
    let error = errors.as_ref().map(ErrorCode::of_errors);
    let made = ctx.allowance().check().and_then(|()| body(&value, errors, ctx.allowance()));
    match made {
        Ok(body) => Ok(Answer { body, is_fault: false, error }),
        Err(Error::TooComplex(why)) if prepared.kind() == OperationType::Mutation => {
            Err(Error::TooComplex(format!("the change was made, but its response cannot be sent: {why}")).into())
        }
        Err(Error::Unavailable(why)) if prepared.kind() == OperationType::Mutation => {
            Err(Error::Unavailable(format!("the change was made, but its response cannot be sent: {why}")).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// The response to an operation that failed with an internal error. `detail` is not sent to the client.
pub(super) fn faulty(detail: &str) -> Answer {
    Answer { body: fault(&detail).into(), is_fault: true, error: Some(ErrorCode::InternalServerError) }
}

/// A rendered item of a subscription, with facts that decide whether the item can be cached or must be rendered again.
#[expect(clippy::struct_excessive_bools, reason = "each is an observation of its own, not a state")]
pub(super) struct Rendered {
    /// The item as a GraphQL response; `None` if the client gets no item.
    pub body: Option<ResponseText>,
    /// Whether the item depends on the viewer.
    pub is_personal: bool,
    /// Whether rendering read the database.
    pub used_database: bool,
    /// Whether the database did not answer. Then the item is incomplete.
    pub is_unavailable: bool,
    /// Whether reading exceeded the time limit: the selection is too large, or the database is slow at the moment.
    pub is_over_time: bool,
    /// Whether no memory was free for the item.
    pub is_out_of_memory: bool,
}

/// Executes a subscription's selection for one item.
pub(super) fn render(
    board: &Arc<Board>,
    (prepared, caller): (&Prepared, &Caller),
    update: Update,
    (gate, limit): (ReaderGate, usize),
) -> Rendered {
    let lease = board.response_memory.lease(caller.viewer.party());
    let allowance = Arc::new(Allowance::new(ResponseBatch::new(limit), lease));
    let ctx = Ctx::new(Arc::clone(board), caller.clone(), Purpose::Render(update), gate, allowance);
    let item = catch_unwind(AssertUnwindSafe(|| item(prepared, &ctx)));
    let body = item.unwrap_or_else(|_| Some(fault(&"rendering an item failed").into()));
    Rendered {
        body,
        is_personal: ctx.is_personal(),
        used_database: ctx.used_database(),
        is_unavailable: ctx.is_unavailable(),
        is_over_time: ctx.is_over_time(),
        is_out_of_memory: ctx.allowance().is_out_of_memory(),
    }
}

/// The item as a GraphQL response; `None` if the client gets no item.
fn item(prepared: &Prepared, ctx: &Ctx) -> Option<ResponseText> {
    let executed = prepared.item().map(|item| item.execute_sync(&prepared.variables, ctx));
    let Some(Ok((mut value, errors))) = executed else {
        return Some(fault(&"an item could not be executed").into());
    };
    let root = value.as_object_value().and_then(|data| data.iter().next());
    if root.is_none_or(|(_, root)| root.is_null()) {
        if errors.is_empty() {
            return None;
        }
        // The subscription's root field cannot be null in the schema. So the error makes the whole of `data` null.
        value = Value::Null;
    }
    // The object was deleted after this event. The event of the deletion follows, so this item is left out.
    if !errors.is_empty() && ctx.has_lost_object() {
        return None;
    }
    let errors = (!errors.is_empty()).then(|| prepared.errors(&errors, true));
    let made = ctx.allowance().check().and_then(|()| body(&value, errors, ctx.allowance()));
    // If the item is too large, the client gets the error instead of the item.
    Some(made.unwrap_or_else(|error| {
        serde_json::json!({ "data": null, "errors": [errors::to_json(&error)] }).to_string().into()
    }))
}

/// The response as JSON. Fails if the response exceeds the size limit.
fn body(value: &Value, errors: Option<serde_json::Value>, allowance: &Allowance) -> Result<ResponseText> {
    #[derive(serde::Serialize)]
    struct Response<'r> {
        data: &'r Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        errors: Option<serde_json::Value>,
    }
    let room = allowance.room();
    let mut bounded = Bounded { bytes: Vec::with_capacity(allowance.expected().min(room)), room };
    let written = serde_json::to_writer(&mut bounded, &Response { data: value, errors });
    match written {
        Ok(()) => Ok(allowance.made(String::from_utf8(bounded.bytes).map_err(Error::internal)?)),
        Err(error) if error.is_io() => Err(allowance.over()),
        Err(error) => Err(Error::internal(error)),
    }
}

/// A buffer of at most `room` bytes. A write beyond that fails with `FileTooLarge`.
struct Bounded {
    bytes: Vec<u8>,
    room: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.room {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn fault(detail: &dyn std::fmt::Display) -> String {
    let errors = [errors::to_json(&Error::internal(detail))];
    serde_json::json!({ "data": null, "errors": errors }).to_string()
}
