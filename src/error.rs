//! The error type of all layers. Each variant is one public error code (`extensions.code`). The layers `graphql` and
//! `web` decide how an error is presented to a client.

use std::fmt;
use std::time::Duration;

use crate::model::Cursor;

/// The result of an operation that can fail with a public error code.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error, with one variant for each public error code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// `BAD_USER_INPUT`: an argument has a value that is not allowed.
    BadInput {
        /// The name of the argument, for `extensions.field`.
        field: String,
        /// Why the value is not allowed.
        message: String,
    },
    /// `UNAUTHENTICATED`: the request has no session, or one that is no longer valid.
    Unauthenticated(String),
    /// `FORBIDDEN`: the viewer may see the object, but may not perform this operation on it.
    Forbidden(String),
    /// `NOT_FOUND`: the object does not exist, or the viewer may not know that it exists. Holds the kind of object.
    NotFound(&'static str),
    /// `CONFLICT`: the object was changed by another request, or a unique name or idempotency key is in use.
    Conflict(String),
    /// `RATE_LIMITED`: the caller sent too many requests of this kind.
    RateLimited {
        /// The time until the next request may succeed.
        retry_after: Duration,
    },
    /// `QUERY_TOO_COMPLEX`: the operation exceeds a limit of size or cost.
    TooComplex(String),
    /// `CURSOR_EXPIRED`: the log no longer holds the events after the cursor, or the cursor belongs to another history.
    CursorExpired {
        /// The oldest cursor that the log can continue from.
        oldest: Cursor,
    },
    /// `UNAVAILABLE`: the operation was not done, or its outcome is unknown. The client may retry, with the same
    /// `idempotencyKey` if it gave one.
    Unavailable(String),
    /// `INTERNAL_SERVER_ERROR`: a fault of the server. The detail is for the server's log only.
    Internal(String),
}

impl Error {
    /// A `BAD_USER_INPUT` error for the argument `field`.
    pub fn input(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::BadInput { field: field.into(), message: message.into() }
    }

    /// An `INTERNAL_SERVER_ERROR`. The detail goes to the log and never to a client.
    pub fn internal(detail: impl fmt::Display) -> Self {
        Self::Internal(detail.to_string())
    }

    /// The public code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadInput { .. } => "BAD_USER_INPUT",
            Self::Unauthenticated(_) => "UNAUTHENTICATED",
            Self::Forbidden(_) => "FORBIDDEN",
            Self::NotFound(_) => "NOT_FOUND",
            Self::Conflict(_) => "CONFLICT",
            Self::RateLimited { .. } => "RATE_LIMITED",
            Self::TooComplex(_) => "QUERY_TOO_COMPLEX",
            Self::CursorExpired { .. } => "CURSOR_EXPIRED",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::Internal(_) => "INTERNAL_SERVER_ERROR",
        }
    }
}

/// The message for the client. It never contains the detail of an internal error.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput { message, .. }
            | Self::Unauthenticated(message)
            | Self::Forbidden(message)
            | Self::Conflict(message)
            | Self::TooComplex(message)
            | Self::Unavailable(message) => f.write_str(message),
            Self::NotFound(what) => write!(f, "no such {what}"),
            Self::RateLimited { retry_after } => {
                write!(f, "too many requests of this kind; try again in {} ms", retry_after.as_millis())
            }
            Self::CursorExpired { .. } => f.write_str(
                "the log cannot continue from this cursor: query the current state and subscribe after its cursor",
            ),
            Self::Internal(_) => f.write_str("internal server error"),
        }
    }
}

impl std::error::Error for Error {}
