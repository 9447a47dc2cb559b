//! The end of a connection: the close handshake, and panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::{Error, error::ProtocolError};

use super::close::Close;
use super::transport::Transport;
use super::write_buffer::WriteBuffer;

/// How long the close handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The size of the buffer for bytes that are read and discarded after the close, in bytes.
const DISCARD_BUFFER: usize = 16 << 10;

/// Why a connection ends.
pub enum End {
    /// The client closed the connection or disappeared.
    Gone,
    /// The server closes the connection.
    Close(Close),
}

impl End {
    /// The end that follows from an error of the WebSocket.
    pub fn from_error(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::Close(Close::TooLarge),
            Error::Utf8(_) => Self::Close(Close::BrokenText),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Gone,
            Error::Protocol(_) => Self::Close(Close::BrokenFrame),
            _ => Self::Gone,
        }
    }
}

/// Turns a panic into close code 4500. The panic ends only the connection in whose poll it happens.
pub fn catch_panic(poll: impl FnOnce() -> Poll<End>) -> Poll<End> {
    catch_unwind(AssertUnwindSafe(poll)).unwrap_or(Poll::Ready(End::Close(Close::Fault)))
}

/// Sends the unsent frames and the close frame, then waits for the client's close frame, for [`CLOSE_TIMEOUT`] at most.
pub async fn close_handshake(transport: Transport, unsent: WriteBuffer, close: Option<&Close>) {
    let handshake = async {
        let mut socket = transport.into_socket(unsent).await?;
        // tungstenite answers a close frame of the client while the loop below reads to the end.
        if let Some(close) = close {
            socket.close(Some(close.frame())).await?;
        }
        let mut is_broken = close.is_some_and(Close::is_of_frames);
        while !is_broken && let Some(frame) = socket.next().await {
            is_broken = frame.is_err();
        }
        // Closing a TCP socket with unread data sends a reset, and the client could lose the close frame. So the rest
        // of a frame that was too large or malformed is read and discarded.
        if is_broken {
            let stream = socket.get_mut();
            stream.shutdown().await?;
            let mut rest = vec![0; DISCARD_BUFFER];
            while stream.read(&mut rest).await? > 0 {}
        }
        Ok::<_, Error>(())
    };
    drop(tokio::time::timeout(CLOSE_TIMEOUT, handshake).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_closes_with_4500() {
        let Poll::Ready(End::Close(close)) = catch_panic(|| panic!("on purpose")) else { panic!("no close") };
        assert_eq!((u16::from(close.frame().code), close), (4500, Close::Fault));
        assert!(catch_panic(|| Poll::Pending).is_pending());
    }
}
