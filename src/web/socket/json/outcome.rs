//! The outcome of a client message.

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::server_message::{self, ErrorContext};
use super::subscription::PlainSubscription;
use crate::error::Error;

/// The result of a request: frames to send, and a new subscription.
pub struct HandlerResult {
    pub frames: Vec<Utf8Bytes>,
    pub followed: Option<PlainSubscription>,
    /// Why the request failed.
    pub error: Option<Error>,
}

impl HandlerResult {
    pub fn message(frame: Utf8Bytes) -> Self {
        Self { frames: vec![frame], followed: None, error: None }
    }

    /// Nothing to send.
    pub fn done() -> Self {
        Self { frames: Vec::new(), followed: None, error: None }
    }

    /// A new subscription and its confirmation.
    pub fn subscription(frame: Utf8Bytes, followed: PlainSubscription) -> Self {
        Self { frames: vec![frame], followed: Some(followed), error: None }
    }

    /// An error message.
    pub fn failure(error: Error, context: &ErrorContext) -> Self {
        Self { frames: vec![server_message::error(&error, context)], followed: None, error: Some(error) }
    }
}
