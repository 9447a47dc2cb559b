//! How a connection ends, and the last words on it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::{Error, error::ProtocolError};

use super::close::Close;
use super::outbox::Outbox;
use super::wire::Wire;

/// How long the client may take to answer a close.
const GOODBYE: Duration = Duration::from_secs(2);
/// What a client still sends after it was closed is thrown away in pieces of this size.
const THROWN_AWAY: usize = 16 << 10;

/// How a connection ends.
pub enum End {
    /// The client is gone, or said that it goes.
    Gone,
    /// We close it.
    Close(Close),
}

impl End {
    /// What an error of the socket comes to.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::Close(Close::TooLarge),
            Error::Utf8(_) => Self::Close(Close::BrokenText),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Gone,
            Error::Protocol(_) => Self::Close(Close::BrokenFrame),
            _ => Self::Gone,
        }
    }
}

/// A fault of ours ends the connection it befell with a word to its client, and no other.
pub fn or_fault(poll: impl FnOnce() -> Poll<End>) -> Poll<End> {
    catch_unwind(AssertUnwindSafe(poll)).unwrap_or(Poll::Ready(End::Close(Close::Fault)))
}

/// Closes a socket, and waits a little for the client's answer. What was said before goes before.
pub async fn say_goodbye(wire: Wire, unsent: Outbox, close: Option<&Close>) {
    let closing = async {
        let mut socket = wire.finish(unsent).await?;
        // A client's own close is answered while it is read to the end.
        if let Some(close) = close {
            socket.close(Some(close.frame())).await?;
        }
        let mut is_broken = close.is_some_and(Close::is_of_frames);
        while !is_broken && let Some(frame) = socket.next().await {
            is_broken = frame.is_err();
        }
        // Whoever closes with something unread resets the line, and our last words may be lost with it. So the
        // rest of what was too large, or was no frame, is read as well.
        if is_broken {
            let stream = socket.get_mut();
            stream.shutdown().await?;
            let mut rest = vec![0; THROWN_AWAY];
            while stream.read(&mut rest).await? > 0 {}
        }
        Ok::<_, Error>(())
    };
    drop(tokio::time::timeout(GOODBYE, closing).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_ours_is_4500() {
        let Poll::Ready(End::Close(close)) = or_fault(|| panic!("on purpose")) else { panic!("no close") };
        assert_eq!((u16::from(close.frame().code), close), (4500, Close::Fault));
        assert!(or_fault(|| Poll::Pending).is_pending());
    }
}
