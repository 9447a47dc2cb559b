//! How errors look to clients: a message they may read, and `extensions.code`.

use juniper::{FieldError, GraphQLError, IntoFieldError, Object, ScalarValue, Value};

use crate::error::Error;

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
pub fn to_json(error: &Error) -> serde_json::Value {
    let shown = Shown::new(error);
    let mut extensions = serde_json::Map::new();
    for (name, value) in shown.extensions {
        let value = match value {
            Extra::Text(text) => text.into(),
            Extra::Number(number) => number.into(),
        };
        extensions.insert(name.into(), value);
    }
    serde_json::json!({ "message": shown.message, "extensions": extensions })
}

/// The errors of a document that was not executed, as `errors` of a response.
#[must_use]
pub fn of_document(error: &GraphQLError) -> serde_json::Value {
    let code = match error {
        GraphQLError::ParseError(_) => "GRAPHQL_PARSE_FAILED",
        _ => "GRAPHQL_VALIDATION_FAILED",
    };
    let mut errors = serde_json::to_value(error).unwrap_or_default();
    if !errors.is_array() {
        errors = serde_json::json!([{ "message": error.to_string() }]);
    }
    for error in errors.as_array_mut().into_iter().flatten() {
        if let Some(error) = error.as_object_mut() {
            error.insert("extensions".into(), serde_json::json!({ "code": code }));
        }
    }
    errors
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
