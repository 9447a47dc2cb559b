//! Close codes of WebSockets: each code, when it is sent, and whether the client should reconnect. `docs/clients.md`
//! has the public list.

use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::super::counts::ServerCounts;
use super::super::refusal::Refusal;
use crate::model::Label as _;

/// The longest reason of a close frame, in bytes: a control frame holds 125 bytes, and the code takes two.
const MAX_REASON: usize = 123;

/// Why the server closes a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Close {
    /// 1000: the client ended the connection (legacy `connection_terminate`). It does not reconnect.
    Goodbye,
    /// 1002: a malformed frame. A bug in the client.
    BrokenFrame,
    /// 1007: a text frame that is not UTF-8. A bug in the client.
    BrokenText,
    /// 1009: a frame over the size limit. The client must not reconnect and send it again.
    TooLarge,
    /// 1012: the server stops or restarts. The client should reconnect, to any instance.
    Restarting,
    /// 1013: the client does not read, or is silent for too long. It should reconnect and resume.
    TooSlow,
    /// 1013: the server cannot authenticate the client now, but may soon. The client should reconnect later.
    Busy,
    /// 1013: the user has too many sockets on this instance. The client should reconnect later.
    TooManySockets,
    /// 4400: a message that violates the protocol. A bug in the client, which must not reconnect.
    BadMessage(String),
    /// 4401: an operation before `connection_ack`, or no token where one is required. The client must not reconnect
    /// without a token.
    Unauthorized,
    /// 4403: the token is invalid or expired, or the session was ended. The client should reconnect with a new token.
    Forbidden(String),
    /// 4406: no common sub-protocol. The client must not reconnect.
    NoProtocol,
    /// 4408: no `connection_init` in time. The client should reconnect.
    InitTimeout,
    /// 4409: an operation with the id of a running one. A bug in the client, which must not reconnect.
    Duplicate(String),
    /// 4429: a second `connection_init`. A bug in the client, which must not reconnect.
    SecondInit,
    /// 4500: an internal error, during authentication or later. The client must not reconnect: it would fail again.
    Fault,
}

impl Close {
    /// Whether the connection is closed because a frame of the client could not be read.
    pub fn is_of_frames(&self) -> bool {
        matches!(self, Self::BrokenFrame | Self::BrokenText | Self::TooLarge)
    }

    /// Counts and logs that the server closes a socket. The log has no text of the close frame, because it may quote the
    /// client.
    pub fn record(&self, counts: &ServerCounts) {
        let code = self.frame().code.into();
        counts.close(code);
        let refusal = self.refusal();
        refusal.inspect(|refusal| counts.refusals.count(*refusal));
        tracing::debug!(code, reason = refusal.map(Refusal::label), "the server closes a socket");
    }

    /// The reason of a close that refuses something. `None` for the end that the client asks for, and for a fault of
    /// the server.
    fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Goodbye | Self::Fault => None,
            Self::BrokenFrame | Self::BrokenText | Self::BadMessage(_) | Self::Duplicate(_) | Self::SecondInit => {
                Some(Refusal::MalformedMessage)
            }
            Self::TooLarge => Some(Refusal::FrameTooLarge),
            Self::Restarting => Some(Refusal::Stopping),
            Self::TooSlow => Some(Refusal::SlowClient),
            Self::Busy => Some(Refusal::Unavailable),
            Self::TooManySockets => Some(Refusal::UserLimit),
            Self::Unauthorized | Self::Forbidden(_) => Some(Refusal::Token),
            Self::NoProtocol => Some(Refusal::Subprotocol),
            Self::InitTimeout => Some(Refusal::InitTimeout),
        }
    }

    /// The close frame, with its reason cut to the maximum length.
    pub fn frame(&self) -> CloseFrame {
        let (code, reason): (u16, &str) = match self {
            Self::Goodbye => (1000, ""),
            Self::BrokenFrame => (1002, "Broken frame"),
            Self::BrokenText => (1007, "Not UTF-8"),
            Self::TooLarge => (1009, "Frame too large"),
            Self::Restarting => (1012, "Restarting: come back"),
            Self::TooSlow => (1013, "Too slow: come back"),
            Self::Busy => (1013, "Busy: come back"),
            Self::TooManySockets => (1013, "Too many sockets of this user: come back"),
            Self::BadMessage(why) => (4400, why),
            Self::Unauthorized => (4401, "Unauthorized"),
            Self::Forbidden(why) => (4403, why),
            Self::NoProtocol => (4406, "Subprotocol not acceptable"),
            Self::InitTimeout => (4408, "Connection initialisation timeout"),
            Self::Duplicate(id) => return frame(4409, &format!("Subscriber for {id} already exists")),
            Self::SecondInit => (4429, "Too many initialisation requests"),
            Self::Fault => (4500, "Internal server error"),
        };
        frame(code, reason)
    }
}

fn frame(code: u16, reason: &str) -> CloseFrame {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    CloseFrame { code: CloseCode::from(code), reason: reason[..end].into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = Close::Duplicate("é".repeat(200)).frame();
        assert!(frame.reason.len() <= MAX_REASON, "{}", frame.reason.len());
        assert!(frame.reason.starts_with("Subscriber for é"));
    }
}
