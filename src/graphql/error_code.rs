//! The values of `extensions.code`, as the metrics and the log use them.

use serde_json::Value;

use crate::error::Error;
use crate::model::{Label as _, labels};

labels! {
    /// A value of `extensions.code`. [`Error`] has a variant for each but the last three, which are about the request.
    pub enum ErrorCode {
        BadUserInput = "BAD_USER_INPUT": "an argument or a variable has a value that is not allowed",
        Unauthenticated = "UNAUTHENTICATED": "the request has no valid session",
        Forbidden = "FORBIDDEN": "the viewer may not perform the operation",
        NotFound = "NOT_FOUND": "the object does not exist for the viewer",
        Conflict = "CONFLICT": "the object was changed, or a unique name is in use",
        RateLimited = "RATE_LIMITED": "the caller sent too many requests of this kind",
        QueryTooComplex = "QUERY_TOO_COMPLEX": "the operation exceeds a limit of size or cost",
        CursorExpired = "CURSOR_EXPIRED": "the log cannot continue from the cursor",
        Unavailable = "UNAVAILABLE": "the operation was not done, or its outcome is unknown",
        InternalServerError = "INTERNAL_SERVER_ERROR": "a fault of the server",
        ParseFailed = "GRAPHQL_PARSE_FAILED": "the document does not parse",
        ValidationFailed = "GRAPHQL_VALIDATION_FAILED": "the document is not valid",
        PersistedQueryNotSupported = "PERSISTED_QUERY_NOT_SUPPORTED": "the request names a persisted query",
    }
}

impl From<&Error> for ErrorCode {
    fn from(error: &Error) -> Self {
        match error {
            Error::BadInput { .. } => Self::BadUserInput,
            Error::Unauthenticated(_) => Self::Unauthenticated,
            Error::Forbidden(_) => Self::Forbidden,
            Error::NotFound(_) => Self::NotFound,
            Error::Conflict(_) => Self::Conflict,
            Error::RateLimited { .. } => Self::RateLimited,
            Error::TooComplex(_) => Self::QueryTooComplex,
            Error::CursorExpired { .. } => Self::CursorExpired,
            Error::Unavailable(_) => Self::Unavailable,
            Error::Internal(_) => Self::InternalServerError,
        }
    }
}

impl ErrorCode {
    /// The code of the first error in the `errors` of a response.
    pub(super) fn of_errors(errors: &Value) -> Self {
        let code = errors[0]["extensions"]["code"].as_str();
        let known = Self::ALL.iter().find(|known| code == Some(known.label()));
        known.copied().unwrap_or(Self::InternalServerError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_errors() {
        for error in [Error::input("a", "b"), Error::NotFound("thing"), Error::TooComplex(String::new())] {
            assert_eq!(ErrorCode::from(&error).label(), error.code());
            let errors = serde_json::json!([crate::graphql::to_json(&error)]);
            assert_eq!(ErrorCode::of_errors(&errors), ErrorCode::from(&error));
        }
    }
}
