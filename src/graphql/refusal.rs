//! Why an operation is not executed.

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
    pub fn code(&self) -> &str {
        match self {
            Self::Invalid(errors) => errors[0]["extensions"]["code"].as_str().unwrap_or_default(),
            Self::PersistedQuery => "PERSISTED_QUERY_NOT_SUPPORTED",
            Self::Refused(error) => error.code(),
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
