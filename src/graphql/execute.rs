//! What juniper does with an operation, put into words: the response to it, or one item of it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use juniper::{ExecutionError, GraphQLError, OperationType};

use super::allowance::{Allowance, ResponseBatch, ResponseText};
use super::context::{Caller, Ctx, Purpose};
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
    /// A resolver failed in a way that must not happen.
    pub is_fault: bool,
}

/// What juniper makes of an operation: the value of `data`, and the errors of fields.
type Executed = Result<(Value, Vec<ExecutionError<Scalar>>), GraphQLError>;

/// Executes a query on a reader thread.
pub(super) fn query(prepared: &Prepared, ctx: &Ctx) -> Result<Answer, Rejection> {
    prepared.check_variables(ctx)?;
    answer(prepared, ctx, prepared.validated().execute_sync(&prepared.variables, ctx))
}

/// Executes a mutation: each root field when the one before is on disk and shown. See [`super::reader_gate`] for the
/// threads on which it must be polled.
pub(super) async fn mutation(prepared: Prepared, ctx: Arc<Ctx>) -> Result<Answer, Rejection> {
    prepared.check_variables(&ctx)?;
    let executed = prepared.validated().execute(&prepared.variables, &ctx).await;
    answer(&prepared, &ctx, executed)
}

fn answer(prepared: &Prepared, ctx: &Ctx, executed: Executed) -> Result<Answer, Rejection> {
    let (value, errors) = executed.map_err(|error| prepared.operation.refusal(&error, &prepared.variables))?;
    let errors = (!errors.is_empty()).then(|| prepared.errors(&errors, false));
    let made = ctx.allowance().check().and_then(|()| body(&value, errors, ctx.allowance()));
    match made {
        Ok(body) => Ok(Answer { body, is_fault: false }),
        Err(Error::TooComplex(why)) if prepared.kind() == OperationType::Mutation => {
            Err(Error::TooComplex(format!("the change was made, but its response cannot be sent: {why}")).into())
        }
        Err(Error::Unavailable(why)) if prepared.kind() == OperationType::Mutation => {
            Err(Error::Unavailable(format!("the change was made, but its response cannot be sent: {why}")).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// The response of a resolver that failed in a way that must not happen.
pub(super) fn faulty(detail: &str) -> Answer {
    Answer { body: fault(&detail).into(), is_fault: true }
}

/// One item of a subscription, and what it was made of.
#[expect(clippy::struct_excessive_bools, reason = "each is an observation of its own, not a state")]
pub(super) struct Rendered {
    /// The response; `None` if there is nothing to show.
    pub body: Option<ResponseText>,
    /// It differs from viewer to viewer.
    pub is_personal: bool,
    /// It was read from the database.
    pub used_database: bool,
    /// The database could not be reached, so it is not what it should be.
    pub is_unavailable: bool,
    /// Reading took longer than an operation may: it is too much, or the database is slow now.
    pub is_over_time: bool,
    /// There was no memory for it.
    pub is_out_of_memory: bool,
}

/// Executes a subscription's selection for one item.
pub(super) fn render(
    board: &Arc<Board>,
    (prepared, caller): (&Prepared, &Caller),
    update: Update,
    (gate, limit): (ReaderGate, usize),
) -> Rendered {
    let lease = board.memory().lease(caller.viewer.party());
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

/// The response with the item; `None` if there is nothing to show.
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
        // In the schema the field cannot be null.
        value = Value::Null;
    }
    // It was deleted while its event was on the way, and the deletion has not come by yet.
    if !errors.is_empty() && ctx.has_lost_object() {
        return None;
    }
    let errors = (!errors.is_empty()).then(|| prepared.errors(&errors, true));
    let made = ctx.allowance().check().and_then(|()| body(&value, errors, ctx.allowance()));
    // An item that is too large says so in its place.
    Some(made.unwrap_or_else(|error| {
        serde_json::json!({ "data": null, "errors": [errors::to_json(&error)] }).to_string().into()
    }))
}

/// The response, if it is not too large.
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

/// Bytes up to a limit.
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
