//! Why a GraphQL socket is closed: each code, when it is sent, and whether the client should come
//! back. The public list of them is in `docs/clients.md`.

use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// A close frame's reason must fit into a control frame.
const MAX_REASON: usize = 123;

/// Why a socket is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Close {
    /// 1000: the client said goodbye (legacy `connection_terminate`). It is not coming back.
    Goodbye,
    /// 1002: a frame that is none. A bug in the client.
    BrokenFrame,
    /// 1007: text that is not UTF-8. A bug in the client.
    BrokenText,
    /// 1009: a frame over the limit. Sending it again would not help: do not come back.
    TooLarge,
    /// 1012: the server stops or restarts. Come back, to any instance.
    Restarting,
    /// 1013: the client takes nothing, or is not heard any more. Come back and catch up.
    TooSlow,
    /// 1013: the server cannot take the client in now, but may in a moment. Come back.
    Busy,
    /// 1013: this user has too many sockets here. Come back.
    Crowded,
    /// 4400: a message that breaks the protocol. A bug in the client: do not come back.
    BadMessage(String),
    /// 4401: an operation before the acknowledgement, or no token where one is needed. Do not
    /// come back without one.
    Unauthorized,
    /// 4403: the token is bad, has expired, or the session was ended. Come back with a fresh one.
    Forbidden(String),
    /// 4406: no sub-protocol in common. Do not come back.
    NoProtocol,
    /// 4408: no `connection_init` in time. Come back.
    InitTimeout,
    /// 4409: an operation with the id of a running one. A bug in the client: do not come back.
    Duplicate(String),
    /// 4429: `connection_init` for the second time. A bug in the client: do not come back.
    SecondInit,
    /// 4500: a fault of ours, while somebody comes in or later. Do not come back: it would happen again.
    Fault,
}

impl Close {
    /// Whether the client's frames cannot be read any further.
    pub fn is_of_frames(&self) -> bool {
        matches!(self, Self::BrokenFrame | Self::BrokenText | Self::TooLarge)
    }

    /// The frame that says so.
    pub fn frame(&self) -> CloseFrame {
        let (code, reason): (u16, &str) = match self {
            Self::Goodbye => (1000, ""),
            Self::BrokenFrame => (1002, "Broken frame"),
            Self::BrokenText => (1007, "Not UTF-8"),
            Self::TooLarge => (1009, "Frame too large"),
            Self::Restarting => (1012, "Restarting: come back"),
            Self::TooSlow => (1013, "Too slow: come back"),
            Self::Busy => (1013, "Busy: come back"),
            Self::Crowded => (1013, "Too many sockets of this user: come back"),
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
