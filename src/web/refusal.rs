//! Why the server refuses a connection, a request, an operation or a socket. Every refusal is counted and logged by its
//! reason, with [`ServerCounts::refuse`](super::counts::ServerCounts::refuse).

use crate::error::Error;
use crate::graphql::{ErrorCode, Rejection};
use crate::model::labels;

labels! {
    /// The reason of a refusal: the label `reason` of a metric, and of lines in the log.
    pub enum Refusal {
        ConnectionLimit = "connection_limit": "the server has the maximum number of open connections",
        AddressLimit = "address_limit": "the address has the maximum number of open connections",
        UserLimit = "user_limit": "the user has the maximum number of open sockets and streams",
        OperationLimit = "operation_limit": "the connection has the maximum number of operations",
        Host = "host": "the server does not answer to the host name of the request",
        Origin = "origin": "pages of this origin may not use the server",
        Token = "token": "the session token is missing, not valid or expired",
        MetricsToken = "metrics_token": "the token of the metrics is missing or wrong",
        MalformedRequest = "malformed_request": "the request is malformed",
        Method = "method": "the HTTP method is not allowed",
        MediaType = "media_type": "the media type or the encoding is not supported",
        Upgrade = "upgrade": "the request lacks a header of the WebSocket handshake",
        Subprotocol = "subprotocol": "the client offers no known sub-protocol",
        InitTimeout = "init_timeout": "the client did not send connection_init in time",
        MalformedMessage = "malformed_message": "a message or a frame violates the protocol",
        BodyTooLarge = "body_too_large": "the body of the request is too large",
        FrameTooLarge = "frame_too_large": "the WebSocket frame is too large",
        SlowClient = "slow_client": "the client sends or reads too slowly",
        Batch = "batch": "the batch has no operation, or too many",
        Transport = "transport": "this transport does not support the operation",
        Document = "document": "the document or its variables are not valid",
        PersistedQuery = "persisted_query": "the request names a persisted query and has no document",
        Complexity = "complexity": "the operation exceeds a limit of size or cost",
        Unauthenticated = "unauthenticated": "the operation needs a session, or the sign-in failed",
        Permission = "permission": "the user may not perform the operation",
        RateLimit = "rate_limit": "the client sends too many requests of this kind",
        Unavailable = "unavailable": "the server is busy, or the database does not answer",
        Stopping = "stopping": "the server is stopping",
    }
}

impl Refusal {
    /// The reason why an operation was not executed. `None` for a fault of the server, and for an error that the state
    /// of the data causes, such as `NOT_FOUND`.
    pub fn of_rejection(rejection: &Rejection) -> Option<Self> {
        match rejection {
            Rejection::Invalid(_) | Rejection::Refused(Error::BadInput { .. }) => Some(Self::Document),
            Rejection::PersistedQuery => Some(Self::PersistedQuery),
            Rejection::Refused(error) => Self::of_code(error.into()),
        }
    }

    /// The reason why an operation that was executed has an error with this code.
    pub fn of_code(code: ErrorCode) -> Option<Self> {
        match code {
            ErrorCode::Unauthenticated => Some(Self::Unauthenticated),
            ErrorCode::Forbidden => Some(Self::Permission),
            ErrorCode::RateLimited => Some(Self::RateLimit),
            ErrorCode::QueryTooComplex => Some(Self::Complexity),
            ErrorCode::Unavailable => Some(Self::Unavailable),
            ErrorCode::ParseFailed | ErrorCode::ValidationFailed => Some(Self::Document),
            ErrorCode::PersistedQueryNotSupported => Some(Self::PersistedQuery),
            ErrorCode::BadUserInput
            | ErrorCode::NotFound
            | ErrorCode::Conflict
            | ErrorCode::CursorExpired
            | ErrorCode::InternalServerError => None,
        }
    }

    /// The reason why a client could not be authenticated.
    pub fn of_authentication(error: &Error) -> Option<Self> {
        match error {
            Error::Unauthenticated(_) => Some(Self::Token),
            error => Self::of_code(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Label as _;

    #[test]
    fn the_manual_lists_every_reason_with_its_meaning() {
        let manual = include_str!("../../docs/operating.md");
        let rows = manual.lines().skip_while(|line| *line != "| reason | meaning |").skip(2);
        let listed: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
        let declared = Refusal::ALL.iter().map(|reason| format!("| `{}` | {} |", reason.label(), reason.meaning()));
        assert_eq!(listed, declared.collect::<Vec<_>>());
    }
}
