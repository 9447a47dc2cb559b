//! Why an operation is not executed.

use super::error_code::ErrorCode;
use super::errors;
use crate::error::Error;

/// The reason why an operation is not executed.
#[derive(Debug, Clone)]
pub enum Rejection {
    /// The document does not parse or is not valid. Contains the `errors` of the response.
    Invalid(serde_json::Value),
    /// The document is valid, but the operation may not be executed.
    Refused(Error),
    /// The request names a persisted query and has no document. The server stores no persisted queries.
    PersistedQuery,
}

impl Rejection {
    /// The error of a valid document; `None` if the document is not valid or missing.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Invalid(_) | Self::PersistedQuery => None,
            Self::Refused(error) => Some(error),
        }
    }

    /// The `extensions.code` of the first error.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid(errors) => ErrorCode::of_errors(errors),
            Self::PersistedQuery => ErrorCode::PersistedQueryNotSupported,
            Self::Refused(error) => error.into(),
        }
    }

    /// The `errors` of the response.
    #[must_use]
    pub fn errors(&self) -> serde_json::Value {
        match self {
            Self::Invalid(errors) => errors.clone(),
            Self::PersistedQuery => errors::persisted_query_error(),
            Self::Refused(error) => serde_json::json!([errors::to_json(error)]),
        }
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}
