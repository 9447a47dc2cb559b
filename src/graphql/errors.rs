//! Converts errors to the `errors` of a response: a public message and `extensions.code`.

use juniper::{ExecutionError, FieldError, GraphQLError, IntoFieldError, Object, ScalarValue, Value};
use serde_json::{Value as Json, json};

use super::values::Variables;
use super::variable_messages;
use crate::error::Error;

/// Maximum number of validation errors in a response.
pub const MAX_ERRORS: usize = 50;
/// Maximum number of field errors in a response.
const MAX_FIELD_ERRORS: usize = 1_000;
/// Maximum length of a message, in bytes. A message may quote the request, which may be long.
const MAX_MESSAGE_BYTES: usize = 1_000;

impl<S: ScalarValue> IntoFieldError<S> for Error {
    fn into_field_error(self) -> FieldError<S> {
        let error = PublicError::new(&self);
        let mut extensions = Object::with_capacity(2);
        for (name, value) in error.extensions {
            let value = match value {
                ExtensionValue::Text(text) => Value::scalar(text),
                ExtensionValue::Number(number) => Value::scalar(number),
            };
            extensions.add_field(name, value);
        }
        FieldError::new(error.message, Value::Object(extensions))
    }
}

/// Converts an error to an element of a response's `errors`.
#[must_use]
pub fn to_json(error: &Error) -> Json {
    let error = PublicError::new(error);
    let mut extensions = serde_json::Map::new();
    for (name, value) in error.extensions {
        let value = match value {
            ExtensionValue::Text(text) => text.into(),
            ExtensionValue::Number(number) => number.into(),
        };
        extensions.insert(name.into(), value);
    }
    json!({ "message": error.message, "extensions": extensions })
}

/// The `errors` of a response to a document that does not parse or is not valid. Without `hints`, messages suggest no
/// names of the schema.
#[must_use]
pub fn document_errors(error: &GraphQLError, hints: bool) -> Json {
    let code = match error {
        GraphQLError::ParseError(_) => "GRAPHQL_PARSE_FAILED",
        _ => "GRAPHQL_VALIDATION_FAILED",
    };
    if let GraphQLError::ValidationError(errors) = error {
        // A mistake in a fragment causes an error for each operation that uses it, so there may be thousands.
        let mut errors: Vec<Json> = errors.iter().take(MAX_ERRORS).map(|error| json!(error)).collect();
        if !hints {
            errors.iter_mut().for_each(remove_hint);
        }
        return with_extensions(Json::Array(errors), |_| json!({ "code": code }));
    }
    error_list(error, serde_json::to_value(error).unwrap_or_default(), |_| json!({ "code": code }))
}

/// Removes juniper's suggestion from a message. Without introspection, errors must not reveal names of the schema.
fn remove_hint(error: &mut Json) {
    if let Some(Json::String(message)) = error.get_mut("message")
        && let Some(end) = message.find(" Did you mean")
    {
        message.truncate(end);
    }
}

/// The `errors` of a response to a document that breaks a validation rule.
#[must_use]
pub fn rule_error(message: &str) -> Json {
    json!([{ "message": message, "extensions": { "code": "GRAPHQL_VALIDATION_FAILED" } }])
}

/// The `errors` of a response to a document that breaks a validation rule at a location, which is counted from 1.
#[must_use]
pub fn rule_error_at(message: &str, line: usize, column: usize) -> Json {
    let location = json!({ "line": line, "column": column });
    json!([{ "message": message, "locations": [location], "extensions": { "code": "GRAPHQL_VALIDATION_FAILED" } }])
}

/// The `errors` of a response to a request that names a persisted query and has no document. Apollo Client recognizes
/// this message and this code, and sends the request again with the document.
#[must_use]
pub fn persisted_query_error() -> Json {
    json!([{ "message": "PersistedQueryNotSupported", "extensions": { "code": "PERSISTED_QUERY_NOT_SUPPORTED" } }])
}

/// The `errors` of a response to a request whose variables do not fit the operation.
#[must_use]
pub fn variable_errors(error: &GraphQLError, variables: &Variables) -> Json {
    let mut errors = serde_json::to_value(error).unwrap_or_default();
    for error in errors.as_array_mut().into_iter().flatten() {
        if let Some(Json::String(message)) = error.get_mut("message")
            && let Some(reworded) = variable_messages::reworded(message, variables)
        {
            *message = reworded;
        }
    }
    error_list(error, errors, |message| {
        // The message begins with `Variable "$name"`.
        let name = message.split("\"$").nth(1).and_then(|rest| rest.split('"').next());
        json!({ "code": "BAD_USER_INPUT", "field": name })
    })
}

/// The `errors` of a response for the fields that failed.
#[must_use]
pub fn execution_errors(errors: &[ExecutionError<super::scalar::Scalar>]) -> Json {
    let left_out = errors.len().saturating_sub(MAX_FIELD_ERRORS);
    let mut errors = serde_json::to_value(&errors[..errors.len() - left_out]).unwrap_or_default();
    if let (Json::Array(errors), 1..) = (&mut errors, left_out) {
        let message = format!("{left_out} more errors are left out");
        errors.push(json!({ "message": message, "extensions": { "code": "QUERY_TOO_COMPLEX" } }));
    }
    for error in errors.as_array_mut().into_iter().flatten().filter_map(Json::as_object_mut) {
        shorten(error);
        convert_indices(error);
        // juniper's own errors have no extensions. They are about argument values that it cannot convert.
        error.entry("extensions").or_insert_with(|| json!({ "code": "BAD_USER_INPUT" }));
    }
    errors
}

/// The response to an operation that was not executed: it has only `errors`.
#[must_use]
pub fn response(errors: &Json) -> String {
    json!({ "errors": errors }).to_string()
}

/// Makes a list of `errors`, the JSON form of `error`, which may be a single value. Then adds the extensions.
fn error_list(error: &GraphQLError, mut errors: Json, extensions: impl Fn(&str) -> Json) -> Json {
    if !errors.is_array() {
        errors = json!([{ "message": error.to_string() }]);
    }
    with_extensions(errors, extensions)
}

/// Shortens the messages of a list of errors, and sets the extensions that `extensions` returns for each message.
fn with_extensions(mut errors: Json, extensions: impl Fn(&str) -> Json) -> Json {
    for error in errors.as_array_mut().into_iter().flatten().filter_map(Json::as_object_mut) {
        shorten(error);
        let message = error.get("message").and_then(Json::as_str).unwrap_or_default();
        let extensions = extensions(message);
        error.insert("extensions".into(), extensions);
    }
    errors
}

/// Converts list indices in the path of an error to numbers. In juniper's paths they are names of digits, see `list`.
fn convert_indices(error: &mut serde_json::Map<String, Json>) {
    for step in error.get_mut("path").and_then(Json::as_array_mut).into_iter().flatten() {
        if let Some(index) = step.as_str().and_then(|step| step.parse::<u32>().ok()) {
            *step = index.into();
        }
    }
}

/// Cuts a long message at [`MAX_MESSAGE_BYTES`].
fn shorten(error: &mut serde_json::Map<String, Json>) {
    if let Some(Json::String(message)) = error.get_mut("message")
        && message.len() > MAX_MESSAGE_BYTES
    {
        let end = (0..=MAX_MESSAGE_BYTES).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
}

enum ExtensionValue {
    Text(String),
    Number(i32),
}

/// The part of an error that clients may read. An internal error has a random id here, and its detail goes to the log.
struct PublicError {
    message: String,
    extensions: Vec<(&'static str, ExtensionValue)>,
}

impl PublicError {
    fn new(error: &Error) -> Self {
        let mut extensions = vec![("code", ExtensionValue::Text(error.code().into()))];
        match error {
            Error::BadInput { field, .. } => extensions.push(("field", ExtensionValue::Text(field.clone()))),
            Error::RateLimited { retry_after } => {
                let wait = i32::try_from(retry_after.as_millis()).unwrap_or(i32::MAX);
                extensions.push(("retryAfterMs", ExtensionValue::Number(wait)));
            }
            Error::CursorExpired { oldest } => extensions.push(("oldest", ExtensionValue::Text(oldest.to_string()))),
            Error::Internal(detail) => {
                let id = format!("{:016x}", rand::random::<u64>());
                tracing::error!(%id, %detail, "internal error");
                extensions.push(("id", ExtensionValue::Text(id)));
            }
            _ => {}
        }
        Self { message: error.to_string(), extensions }
    }
}
