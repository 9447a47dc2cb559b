//! A client's TCP stream with two timeouts that hyper lacks. A write fails when the client accepts no bytes for too
//! long. A read fails when the head of a request takes too long. hyper has a single timeout for the head and the idle
//! time before it. That timeout must be long, because proxies keep idle connections open for later requests.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::config::SocketSettings;

/// How much later this stream's write timeout is than the WebSocket's own send timeout, which closes with a code. This
/// stream's timeout is for plain HTTP, and for a WebSocket that cannot even send its close frame.
const CLOSE_GRACE: Duration = Duration::from_secs(3);

/// A client's TCP stream with timeouts for writes and for request heads.
pub struct TimeoutStream {
    stream: TcpStream,
    write_timeout: Duration,
    /// Runs while a write is blocked; `None` otherwise.
    write_timer: Option<Pin<Box<Sleep>>>,
    requests: Arc<Requests>,
    /// The phase that `head_timer` was started in.
    phase: u32,
    /// Runs while the head of a request is being received; `None` otherwise.
    head_timer: Option<Pin<Box<Sleep>>>,
    head_timeout: Duration,
}

/// How many requests a connection has received, for the timeout of request heads. The value is twice the number of
/// finished requests, plus one while a request is being processed.
#[derive(Debug, Default)]
pub struct Requests(AtomicU32);

impl Requests {
    /// Records that the head of a request was received.
    pub fn begin(&self) {
        self.0.fetch_or(1, Ordering::Release);
    }

    /// Records that the response has started. The next bytes from the client belong to the next request's head.
    pub fn end(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl TimeoutStream {
    /// Wraps a stream. A write may block for `send_timeout` and [`CLOSE_GRACE`] after that.
    pub fn new(stream: TcpStream, limits: &SocketSettings, requests: Arc<Requests>) -> Self {
        let write_timeout = limits.send_timeout + CLOSE_GRACE;
        set_user_timeout(&stream, write_timeout.max(limits.silence_limit));
        let head_timeout = limits.request_timeout;
        Self { stream, write_timeout, write_timer: None, requests, phase: 0, head_timer: None, head_timeout }
    }

    /// Ready when the head of a request has taken too long. The time starts with the head's first byte, and for the
    /// first request with the connection.
    fn poll_head_timeout(&mut self, context: &mut Context<'_>, has_bytes: bool) -> Poll<()> {
        let phase = self.requests.0.load(Ordering::Acquire);
        if phase != self.phase {
            (self.phase, self.head_timer) = (phase, None);
        }
        let is_processing = phase & 1 == 1;
        if is_processing || self.head_timer.is_none() && phase != 0 && !has_bytes {
            return Poll::Pending;
        }
        let timer = self.head_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.head_timeout)));
        timer.as_mut().poll(context)
    }

    /// Ready when data or the end of the stream can be read. Checks no timeout.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_read_ready(context).map(drop)
    }

    fn check_write_timeout(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.write_timer = None;
            return written;
        }
        let write_timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.write_timeout)));
        ready!(write_timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Sets `TCP_USER_TIMEOUT`, so that the kernel gives up on a peer that disappeared without closing, as a phone does.
/// By default the kernel retransmits unacknowledged data for about 15 minutes.
#[cfg(target_os = "linux")]
fn set_user_timeout(stream: &TcpStream, limit: Duration) {
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(limit)) {
        tracing::debug!(%error, "cannot set TCP_USER_TIMEOUT on a connection");
    }
}

/// Other systems keep the kernel's default.
#[cfg(not(target_os = "linux"))]
fn set_user_timeout(_: &TcpStream, _: Duration) {}

impl AsyncRead for TimeoutStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buf);
        let has_bytes = buf.filled().len() > before;
        match self.poll_head_timeout(context, has_bytes) {
            Poll::Ready(()) if read.is_pending() || has_bytes => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            _ => read,
        }
    }
}

impl AsyncWrite for TimeoutStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buf);
        self.check_write_timeout(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bufs);
        self.check_write_timeout(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_timeout_for_a_vanished_client_is_set() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind a port");
        let stream = TcpStream::connect(listener.local_addr().expect("read the address")).await.expect("connect");
        let stream = TimeoutStream::new(stream, &SocketSettings::default(), Arc::default());
        let timeout = socket2::SockRef::from(&stream.stream).tcp_user_timeout().expect("read the option");
        assert_eq!(timeout, Some(SocketSettings::default().silence_limit));
    }
}
