//! The outcome of a client message.

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::subscription::PlainSubscription;

/// The result of a request: frames to send, and a new subscription.
pub struct HandlerResult {
    pub frames: Vec<Utf8Bytes>,
    pub followed: Option<PlainSubscription>,
}

impl HandlerResult {
    pub fn message(frame: Utf8Bytes) -> Self {
        Self { frames: vec![frame], followed: None }
    }
}
