//! The one error type of the house. It says what went wrong in the words of the public
//! surface (`extensions.code`); how an error is *shown* is decided at the edge (`graphql`, `web`).

use std::fmt;
use std::time::Duration;

use crate::model::Cursor;

/// The result of anything that can fail with a public code.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, one variant per public code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// `BAD_USER_INPUT`: an argument has a wrong value.
    BadInput {
        /// The argument's name, for `extensions.field`.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// `UNAUTHENTICATED`: no session, or one that is no longer valid.
    Unauthenticated(String),
    /// `FORBIDDEN`: the viewer may know of the object but not do this to it.
    Forbidden(String),
    /// `NOT_FOUND`: there is no such object, as far as this viewer may know.
    NotFound(&'static str),
    /// `CONFLICT`: the object changed meanwhile, or a unique name or key is taken.
    Conflict(String),
    /// `RATE_LIMITED`: too often; try again after this time.
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// `QUERY_TOO_COMPLEX`: over a limit of size or cost.
    TooComplex(String),
    /// `CURSOR_EXPIRED`: the log cannot continue from that cursor.
    CursorExpired {
        /// The oldest cursor that still works.
        oldest: Cursor,
    },
    /// `UNAVAILABLE`: unknown or not done; retry (with the same `idempotencyKey`).
    Unavailable(String),
    /// `INTERNAL_SERVER_ERROR`: the detail is for the server's log only.
    Internal(String),
}

impl Error {
    /// A wrong argument.
    pub fn input(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::BadInput { field: field.into(), message: message.into() }
    }

    /// A fault of ours; `detail` goes to the log, never to a client.
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

/// The public message: never more than a client may read.
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
