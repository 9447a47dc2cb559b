//! The transport of a WebSocket: reads frames, and orders the writes of tungstenite and the [`WriteBuffer`].
//!
//! One event can wake thousands of connections whose memory is not in the CPU cache. So tungstenite is called only when
//! the stream has data for it, or it has something to send.

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

use super::super::timeout_stream::TimeoutStream;
use super::write_buffer::WriteBuffer;

/// tungstenite's read buffer, in bytes. It is zeroed on every read, and every connection has one; its default is 128
/// KiB.
const READ_BUFFER: usize = 1 << 10;
/// tungstenite's write buffer, in bytes. tungstenite writes control frames only, and sends them on a flush or when the
/// buffer exceeds this size.
const WRITE_BUFFER: usize = 4 << 10;

/// A client's WebSocket.
pub struct Transport {
    socket: WebSocketStream<TimeoutStream>,
    /// Whether tungstenite has read all that the stream had.
    is_drained: bool,
    /// Whether tungstenite may have a frame to send.
    needs_flush: bool,
}

impl Transport {
    /// Takes over the stream of an upgraded connection. Frames may have `max_frame` bytes. `None` if the connection has
    /// another I/O type than this server's.
    pub async fn from_upgraded(upgraded: Upgraded, max_frame: usize) -> Option<Self> {
        let parts = upgraded.downcast::<TokioIo<TimeoutStream>>().ok()?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(max_frame))
            .max_frame_size(Some(max_frame));
        let (stream, received) = (parts.io.into_inner(), parts.read_buf.to_vec());
        let socket = WebSocketStream::from_partially_read(stream, received, Role::Server, Some(config)).await;
        Some(Self { socket, is_drained: false, needs_flush: false })
    }

    /// The next frame from the client.
    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        if self.is_drained {
            ready!(self.socket.get_ref().poll_readable(context));
        }
        let frame = Pin::new(&mut self.socket).poll_next(context);
        self.is_drained = frame.is_pending();
        // tungstenite answers pings and close frames by itself.
        self.needs_flush = true;
        frame
    }

    /// Queues a WebSocket ping if tungstenite has room for it. It is sent by [`Self::poll_send`], because a frame of
    /// the [`WriteBuffer`] may be partly written now.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn ping(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        if Pin::new(&mut self.socket).poll_ready(context).is_ready() {
            self.needs_flush = true;
            Pin::new(&mut self.socket).start_send(Message::Ping(Bytes::new()))?;
        }
        Ok(())
    }

    /// Writes buffered frames to the kernel. Ready when the kernel has accepted all of them. Tungstenite and the
    /// [`WriteBuffer`] both write to the stream: each one finishes its frame before the other starts.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn poll_send(&mut self, write_buffer: &mut WriteBuffer, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let was_mid_frame = write_buffer.is_mid_frame();
        if !was_mid_frame {
            ready!(self.poll_flush(context))?;
        }
        ready!(write_buffer.poll_send(self.socket.get_mut(), context))?;
        if was_mid_frame { self.poll_flush(context) } else { Poll::Ready(Ok(())) }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.needs_flush {
            ready!(Pin::new(&mut self.socket).poll_flush(context))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes the unsent frames and returns the WebSocket for the close handshake.
    ///
    /// # Errors
    /// If the connection is broken.
    pub async fn into_socket(mut self, unsent: WriteBuffer) -> Result<WebSocketStream<TimeoutStream>, Error> {
        for part in unsent.unsent_parts() {
            self.socket.get_mut().write_all(part).await?;
        }
        Ok(self.socket)
    }
}
