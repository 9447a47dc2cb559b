//! What juniper does with an operation, put into words: the response to it, or one item of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use juniper::ExecutionError;

use super::context::{Caller, Ctx, Delivery, Purpose};
use super::document::{Operation, Refusal};
use super::engine::Prepared;
use super::scalar::Scalar;
use super::{Value, Variables, errors};
use crate::board::Board;
use crate::error::{Error, Result};

/// The response to an operation.
#[derive(Debug)]
pub struct Answer {
    /// The response as JSON.
    pub body: String,
    /// A resolver failed in a way that must not happen.
    pub is_fault: bool,
}

/// Executes a query or a mutation.
pub(super) fn answer(prepared: &Prepared, ctx: &Ctx) -> Result<Answer, Refusal> {
    match prepared.operation.validated().execute_sync(&prepared.variables, ctx) {
        // Nobody is shown this.
        Ok(_) if ctx.is_asking() => Ok(Answer { body: String::new(), is_fault: false }),
        Ok((value, errors)) => Ok(Answer { body: body(&prepared.operation, &value, &errors), is_fault: false }),
        Err(error) => Err(prepared.operation.refusal(&error)),
    }
}

/// The same on a thread that others need, too.
pub(super) fn here(prepared: &Prepared, ctx: &Ctx) -> Result<Result<Answer, Refusal>> {
    catch_unwind(AssertUnwindSafe(|| answer(prepared, ctx))).map_err(|_| Error::internal("an operation panicked"))
}

/// The response of a resolver that failed in a way that must not happen.
pub(super) fn faulty(detail: &str) -> Answer {
    Answer { body: fault(&detail), is_fault: true }
}

/// One item of a subscription, and what it was made of.
pub(super) struct Rendered {
    /// The response; `None` if there is nothing to show.
    pub body: Option<Arc<str>>,
    /// It differs from viewer to viewer.
    pub is_personal: bool,
    /// It was read from the database.
    pub used_database: bool,
    /// The database could not be reached, so it is not what it should be.
    pub is_unavailable: bool,
}

/// Executes a subscription's selection for one item.
pub(super) fn render(
    board: &Arc<Board>,
    live: (&Operation, &Variables, &Caller),
    delivery: Delivery,
    may_block: bool,
) -> Rendered {
    let (operation, variables, caller) = live;
    let ctx = Ctx::new(Arc::clone(board), caller.clone(), Purpose::Render(delivery), may_block);
    let item = AssertUnwindSafe(item(operation, variables, &ctx)).catch_unwind().now_or_never();
    let body = match item {
        // It was deleted while its event was on the way, and the deletion has not come by yet.
        Some(Ok(Some(Err(_)))) if ctx.has_lost_object() => None,
        Some(Ok(body)) => body.map(|(Ok(body) | Err(body))| body),
        Some(Err(_)) | None => Some(fault(&"rendering an item failed")),
    };
    Rendered {
        body: body.map(Into::into),
        is_personal: ctx.is_personal(),
        used_database: ctx.used_database(),
        is_unavailable: ctx.is_unavailable(),
    }
}

/// The response with the item; `Err` if it has errors.
async fn item(operation: &Operation, variables: &Variables, ctx: &Ctx) -> Option<Result<String, String>> {
    let (value, errors) = operation.validated().resolve_into_stream(variables, ctx).await.ok()?;
    let juniper::Value::Object(fields) = value else {
        return (!errors.is_empty()).then(|| Err(body(operation, &Value::Null, &errors)));
    };
    let (name, stream) = fields.into_iter().next()?;
    let juniper::Value::Scalar(mut stream) = stream else { return None };
    match stream.next().await? {
        Ok(value) => {
            let mut data = juniper::Object::with_capacity(1);
            data.add_field(name, value);
            Some(Ok(body(operation, &Value::Object(data), &[])))
        }
        Err(errors) => Some(Err(body(operation, &Value::Null, &errors))),
    }
}

fn body(operation: &Operation, value: &Value, errors: &[ExecutionError<Scalar>]) -> String {
    #[derive(serde::Serialize)]
    struct Response<'r> {
        data: &'r Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        errors: Option<serde_json::Value>,
    }
    let errors = (!errors.is_empty()).then(|| operation.errors(errors));
    serde_json::to_string(&Response { data: value, errors }).unwrap_or_else(|error| fault(&error))
}

fn fault(detail: &dyn std::fmt::Display) -> String {
    let errors = [errors::to_json(&Error::internal(detail))];
    serde_json::json!({ "data": null, "errors": errors }).to_string()
}
