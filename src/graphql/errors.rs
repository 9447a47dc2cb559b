//! How errors look to clients: a message they may read, and `extensions.code`.

use juniper::{ExecutionError, FieldError, GraphQLError, IntoFieldError, Object, ScalarValue, Value};
use serde_json::{Value as Json, json};

use super::{Variables, coercion};
use crate::error::Error;

/// How many errors of one document are told.
pub const MAX_ERRORS: usize = 50;
/// How many errors of fields are told.
const MAX_FIELD_ERRORS: usize = 1_000;
/// The longest message, in bytes: some quote what the client sent.
const MAX_MESSAGE: usize = 1_000;

impl<S: ScalarValue> IntoFieldError<S> for Error {
    fn into_field_error(self) -> FieldError<S> {
        let shown = Shown::new(&self);
        let mut extensions = Object::with_capacity(2);
        for (name, value) in shown.extensions {
            let value = match value {
                Extra::Text(text) => Value::scalar(text),
                Extra::Number(number) => Value::scalar(number),
            };
            extensions.add_field(name, value);
        }
        FieldError::new(shown.message, Value::Object(extensions))
    }
}

/// An error as a JSON object of a response's `errors`.
#[must_use]
pub fn to_json(error: &Error) -> Json {
    let shown = Shown::new(error);
    let mut extensions = serde_json::Map::new();
    for (name, value) in shown.extensions {
        let value = match value {
            Extra::Text(text) => text.into(),
            Extra::Number(number) => number.into(),
        };
        extensions.insert(name.into(), value);
    }
    json!({ "message": shown.message, "extensions": extensions })
}

/// The errors of a document that was not executed, as `errors` of a response.
#[must_use]
pub fn of_document(error: &GraphQLError, hints: bool) -> Json {
    let code = match error {
        GraphQLError::ParseError(_) => "GRAPHQL_PARSE_FAILED",
        _ => "GRAPHQL_VALIDATION_FAILED",
    };
    if let GraphQLError::ValidationError(errors) = error {
        // One mistake in a fragment is an error for each operation that uses it: nobody reads thousands.
        let mut errors: Vec<Json> = errors.iter().take(MAX_ERRORS).map(|error| json!(error)).collect();
        if !hints {
            errors.iter_mut().for_each(without_hint);
        }
        return extended(Json::Array(errors), |_| json!({ "code": code }));
    }
    listed(error, serde_json::to_value(error).unwrap_or_default(), |_| json!({ "code": code }))
}

/// Whoever may not ask for the schema shall not guess it by mistakes.
fn without_hint(error: &mut Json) {
    if let Some(Json::String(message)) = error.get_mut("message")
        && let Some(end) = message.find(" Did you mean")
    {
        message.truncate(end);
    }
}

/// A rule of documents that is broken, as `errors` of a response.
#[must_use]
pub fn of_rule(message: &str) -> Json {
    json!([{ "message": message, "extensions": { "code": "GRAPHQL_VALIDATION_FAILED" } }])
}

/// A rule of documents that is broken at a place, as `errors` of a response.
#[must_use]
pub fn of_rule_at(message: &str, line: usize, column: usize) -> Json {
    let location = json!({ "line": line, "column": column });
    json!([{ "message": message, "locations": [location], "extensions": { "code": "GRAPHQL_VALIDATION_FAILED" } }])
}

/// A request that names a document instead of having one, as `errors` of a response. Apollo Client knows this message
/// and this code, and sends the document.
#[must_use]
pub fn persisted_query() -> Json {
    json!([{ "message": "PersistedQueryNotSupported", "extensions": { "code": "PERSISTED_QUERY_NOT_SUPPORTED" } }])
}

/// The errors of variables that do not fit their operation, as `errors` of a response.
#[must_use]
pub fn of_variables(error: &GraphQLError, variables: &Variables) -> Json {
    let mut errors = serde_json::to_value(error).unwrap_or_default();
    for error in errors.as_array_mut().into_iter().flatten() {
        if let Some(Json::String(message)) = error.get_mut("message")
            && let Some(reworded) = coercion::reworded(message, variables)
        {
            *message = reworded;
        }
    }
    listed(error, errors, |message| {
        // The message begins: Variable "$name" …
        let name = message.split("\"$").nth(1).and_then(|rest| rest.split('"').next());
        json!({ "code": "BAD_USER_INPUT", "field": name })
    })
}

/// The errors of fields, as `errors` of a response.
#[must_use]
pub fn of_execution(errors: &[ExecutionError<super::scalar::Scalar>]) -> Json {
    let left_out = errors.len().saturating_sub(MAX_FIELD_ERRORS);
    let mut errors = serde_json::to_value(&errors[..errors.len() - left_out]).unwrap_or_default();
    if let (Json::Array(errors), 1..) = (&mut errors, left_out) {
        let message = format!("{left_out} more errors are left out");
        errors.push(json!({ "message": message, "extensions": { "code": "QUERY_TOO_COMPLEX" } }));
    }
    for error in errors.as_array_mut().into_iter().flatten().filter_map(Json::as_object_mut) {
        shorten(error);
        number_indices(error);
        // juniper's own ones, about arguments it cannot convert, come without.
        error.entry("extensions").or_insert_with(|| json!({ "code": "BAD_USER_INPUT" }));
    }
    errors
}

/// A response of errors alone: nothing was executed.
#[must_use]
pub fn response(errors: &Json) -> String {
    json!({ "errors": errors }).to_string()
}

fn listed(error: &GraphQLError, mut errors: Json, extensions: impl Fn(&str) -> Json) -> Json {
    if !errors.is_array() {
        errors = json!([{ "message": error.to_string() }]);
    }
    extended(errors, extensions)
}

fn extended(mut errors: Json, extensions: impl Fn(&str) -> Json) -> Json {
    for error in errors.as_array_mut().into_iter().flatten().filter_map(Json::as_object_mut) {
        shorten(error);
        let message = error.get("message").and_then(Json::as_str).unwrap_or_default();
        let extensions = extensions(message);
        error.insert("extensions".into(), extensions);
    }
    errors
}

/// The indices of lists are words of digits in juniper's paths (see `list`).
fn number_indices(error: &mut serde_json::Map<String, Json>) {
    for step in error.get_mut("path").and_then(Json::as_array_mut).into_iter().flatten() {
        if let Some(index) = step.as_str().and_then(|step| step.parse::<u32>().ok()) {
            *step = index.into();
        }
    }
}

/// What an error quotes may be as long as a request.
fn shorten(error: &mut serde_json::Map<String, Json>) {
    if let Some(Json::String(message)) = error.get_mut("message")
        && message.len() > MAX_MESSAGE
    {
        let end = (0..=MAX_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
}

enum Extra {
    Text(String),
    Number(i32),
}

struct Shown {
    message: String,
    extensions: Vec<(&'static str, Extra)>,
}

impl Shown {
    fn new(error: &Error) -> Self {
        let mut extensions = vec![("code", Extra::Text(error.code().into()))];
        match error {
            Error::BadInput { field, .. } => extensions.push(("field", Extra::Text(field.clone()))),
            Error::RateLimited { retry_after } => {
                let wait = i32::try_from(retry_after.as_millis()).unwrap_or(i32::MAX);
                extensions.push(("retryAfterMs", Extra::Number(wait)));
            }
            Error::CursorExpired { oldest } => extensions.push(("oldest", Extra::Text(oldest.to_string()))),
            Error::Internal(detail) => {
                let id = format!("{:016x}", rand::random::<u64>());
                tracing::error!(%id, %detail, "internal error");
                extensions.push(("id", Extra::Text(id)));
            }
            _ => {}
        }
        Self { message: error.to_string(), extensions }
    }
}
