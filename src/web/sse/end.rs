//! Why a stream of Server-Sent Events ends.

use crate::error::Error;
use crate::graphql::{Rejection, ResponseText};

/// Why the stream ends.
pub enum StreamEnd {
    /// The operation is over. A query or a mutation has a response to send.
    Complete(Option<ResponseText>),
    /// The server shuts down. The client should reconnect and resume.
    Stopped,
    /// The session has ended. The client should reconnect with a new token.
    SessionEnded(Error),
    /// The operation failed.
    Failed(Rejection),
}
