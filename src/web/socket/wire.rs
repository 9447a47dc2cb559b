//! A client's WebSocket: when there is something to read on it, and who writes when. An event is handed to thousands of
//! sockets whose memory is cold, so whatever is not needed for that is not looked at: tungstenite is asked only when the
//! line has something for it, or it has something to send.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::super::line::Line;
use super::outbox::Outbox;

/// tungstenite zeroes all of it on every read, and every connection has one: 1 KiB instead of its 128.
const READ_BUFFER: usize = 1 << 10;
/// tungstenite writes control frames only, and none before it is told to, as long as they do not come to so much.
const WRITE_BUFFER: usize = 4 << 10;

/// A client's WebSocket.
pub struct Wire {
    socket: WebSocketStream<Line>,
    /// tungstenite has taken all that the line had.
    is_drained: bool,
    /// tungstenite may have something to send.
    is_unsent: bool,
}

impl Wire {
    /// The line of an upgraded connection; its frames may have so many bytes. `None` if it is no line of ours.
    pub async fn of(upgraded: Upgraded, max_frame: usize) -> Option<Self> {
        let parts = upgraded.downcast::<TokioIo<Line>>().ok()?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(max_frame))
            .max_frame_size(Some(max_frame));
        let (line, begun) = (parts.io.into_inner(), parts.read_buf.to_vec());
        let socket = WebSocketStream::from_partially_read(line, begun, Role::Server, Some(config)).await;
        Some(Self { socket, is_drained: false, is_unsent: false })
    }

    /// The next frame of the client.
    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        if self.is_drained {
            ready!(self.socket.get_ref().poll_readable(context));
        }
        let frame = Pin::new(&mut self.socket).poll_next(context);
        self.is_drained = frame.is_pending();
        // It may be one that tungstenite answers by itself.
        self.is_unsent = true;
        frame
    }

    /// A frame that asks the client's WebSocket whether it is there, if there is room for it. It is not sent yet: another
    /// may be half sent.
    ///
    /// # Errors
    /// Those of the line.
    pub fn ping(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        if Pin::new(&mut self.socket).poll_ready(context).is_ready() {
            self.is_unsent = true;
            Pin::new(&mut self.socket).start_send(Message::Ping(Bytes::new()))?;
        }
        Ok(())
    }

    /// Hands what is to be sent to the kernel; ready when it took all of it. There are two who write, tungstenite and the
    /// outbox, and each finishes its frame before the other begins.
    ///
    /// # Errors
    /// Those of the line.
    pub fn poll_send(&mut self, outbox: &mut Outbox, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let was_amid = outbox.is_amid();
        if !was_amid {
            ready!(self.poll_flush(context))?;
        }
        ready!(outbox.poll_send(self.socket.get_mut(), context))?;
        if was_amid { self.poll_flush(context) } else { Poll::Ready(Ok(())) }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.is_unsent {
            ready!(Pin::new(&mut self.socket).poll_flush(context))?;
            self.is_unsent = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The socket, for the last words, with what was to be said before them said.
    ///
    /// # Errors
    /// Those of the line.
    pub async fn finish(mut self, unsent: Outbox) -> Result<WebSocketStream<Line>, Error> {
        for part in unsent.rest() {
            self.socket.get_mut().write_all(part).await?;
        }
        Ok(self.socket)
    }
}
