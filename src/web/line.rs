//! A client's TCP connection, which breaks when the client takes nothing for too long, where hyper waits for ever, or is too
//! slow with the head of a request. hyper has one time for that and for the pause before, in which a proxy keeps the
//! connection for its next request.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::config::Sockets;

/// So much later than a WebSocket's own clock, which closes with a code: this is for what has no words for it.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A client's connection.
pub struct Line {
    stream: TcpStream,
    patience: Duration,
    /// Fires if the client takes nothing until then.
    stuck: Option<Pin<Box<Sleep>>>,
    requests: Arc<Requests>,
    /// Which turn `head` belongs to.
    turn: u32,
    /// Fires if the head of a request is not there until then.
    head: Option<Pin<Box<Sleep>>>,
    head_time: Duration,
}

/// How far a connection has come with its requests: twice their number, and one more while one is answered.
#[derive(Debug, Default)]
pub struct Requests(AtomicU32);

impl Requests {
    /// The head of one has been read.
    pub fn begin(&self) {
        self.0.fetch_or(1, Ordering::Release);
    }

    /// Its answer has begun, so the next bytes are of another head.
    pub fn end(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl Line {
    /// One on which a write may wait for the time to send, and a little longer.
    pub fn new(stream: TcpStream, limits: &Sockets, requests: Arc<Requests>) -> Self {
        let patience = limits.send_timeout + LAST_WORDS;
        notice_silence(&stream, patience.max(limits.silence_limit));
        let head_time = limits.request_timeout;
        Self { stream, patience, stuck: None, requests, turn: 0, head: None, head_time }
    }

    /// Ready when the head of a request is overdue. It counts from its first byte; of the first request, from the start.
    fn poll_overdue(&mut self, context: &mut Context<'_>, has_bytes: bool) -> Poll<()> {
        let turn = self.requests.0.load(Ordering::Acquire);
        if turn != self.turn {
            (self.turn, self.head) = (turn, None);
        }
        let is_answering = turn & 1 == 1;
        if is_answering || self.head.is_none() && turn != 0 && !has_bytes {
            return Poll::Pending;
        }
        let head = self.head.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.head_time)));
        head.as_mut().poll(context)
    }

    /// Ready when there is something to read, or the end; it looks at nothing else.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_read_ready(context).map(drop)
    }

    fn mind(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.patience)));
        ready!(stuck.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Who has vanished without a word, as a phone does, takes nothing and refuses nothing: the kernel would send a quiet
/// stream's few bytes again and again for a quarter of an hour.
#[cfg(target_os = "linux")]
fn notice_silence(stream: &TcpStream, limit: Duration) {
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(limit)) {
        tracing::debug!(%error, "a connection has no limit of silence");
    }
}

/// Elsewhere it is the kernel's own time.
#[cfg(not(target_os = "linux"))]
fn notice_silence(_: &TcpStream, _: Duration) {}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buf);
        let has_bytes = buf.filled().len() > before;
        match self.poll_overdue(context, has_bytes) {
            Poll::Ready(()) if read.is_pending() || has_bytes => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            _ => read,
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buf);
        self.mind(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bufs);
        self.mind(context, written)
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
    async fn the_kernel_is_told_how_long_to_wait_for_who_has_vanished() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a line");
        let line = Line::new(stream, &Sockets::default(), Arc::default());
        let told = socket2::SockRef::from(&line.stream).tcp_user_timeout().expect("an option");
        assert_eq!(told, Some(Sockets::default().silence_limit));
    }
}
