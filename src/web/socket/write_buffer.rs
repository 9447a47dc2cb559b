//! The write buffer of a WebSocket: encodes text frames and writes them to the stream together. Long texts are not
//! copied but shared, and keep their memory reservation. tungstenite would copy each frame twice and keep the buffer of
//! the largest burst; this buffer is freed once all is sent. Control frames stay with tungstenite. The two must not
//! interleave: [`WriteBuffer::is_mid_frame`] tells whether a frame of this buffer is partly written.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;

/// The first byte of a frame that is a whole text message: FIN and opcode 1 (RFC 6455, section 5.2).
const TEXT: u8 = 0x81;
/// Values of the second byte: the length follows in two bytes, or in eight. Smaller values are the length itself.
const TWO_BYTES: u8 = 126;
const EIGHT_BYTES: u8 = 127;
/// The longest header of an unmasked frame, in bytes.
const MAX_HEADER: usize = 10;

/// Frames that wait to be sent.
#[derive(Debug, Default)]
pub struct WriteBuffer {
    /// Buffers to be sent before `bytes`.
    queued: VecDeque<Bytes>,
    bytes: Vec<u8>,
    /// How many bytes of the first buffer were sent.
    sent: usize,
    /// Whether any byte was sent since the buffer was empty.
    is_started: bool,
    unsent: usize,
    frames: usize,
}

impl WriteBuffer {
    /// Adds a frame whose text is the concatenation of `parts`.
    pub fn push(&mut self, parts: &[&str]) {
        let length = parts.iter().map(|part| part.len()).sum();
        self.bytes.reserve(MAX_HEADER + length);
        self.header(length);
        parts.iter().for_each(|part| self.append(part));
        self.frames += 1;
    }

    /// Adds a frame with `text` between other parts. `text` is not copied: several connections can share it.
    pub fn push_around(&mut self, before: &[&str], text: Bytes, after: &str) {
        let length = before.iter().map(|part| part.len()).sum::<usize>() + text.len() + after.len();
        self.header(length);
        before.iter().for_each(|part| self.append(part));
        self.unsent += text.len();
        self.queued.extend([std::mem::take(&mut self.bytes).into(), text]);
        self.append(after);
        self.frames += 1;
    }

    fn append(&mut self, part: &str) {
        self.bytes.extend_from_slice(part.as_bytes());
        self.unsent += part.len();
    }

    fn header(&mut self, length: usize) {
        let before = self.bytes.len();
        self.bytes.push(TEXT);
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(length), _) if length < TWO_BYTES => self.bytes.push(length),
            (_, Ok(length)) => {
                self.bytes.push(TWO_BYTES);
                self.bytes.extend(length.to_be_bytes());
            }
            _ => {
                self.bytes.push(EIGHT_BYTES);
                self.bytes.extend((length as u64).to_be_bytes());
            }
        }
        self.unsent += self.bytes.len() - before;
    }

    /// The number of frames in the buffer.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The number of bytes that were not sent yet.
    pub fn len(&self) -> usize {
        self.unsent
    }

    /// Whether a frame may be partly written. Then tungstenite must not write to the stream.
    pub fn is_mid_frame(&self) -> bool {
        self.is_started
    }

    /// Writes the buffer to the stream. Ready when the kernel has accepted all of it.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn poll_send(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unsent > 0 {
            let first: &[u8] = self.queued.front().map_or(&self.bytes, |first| first);
            if self.sent == first.len() {
                self.queued.pop_front();
                self.sent = 0;
                continue;
            }
            match ready!(Pin::new(&mut *stream).poll_write(context, &first[self.sent..])) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.sent += count;
                    self.unsent -= count;
                    self.is_started = true;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        *self = Self::default();
        Poll::Ready(Ok(()))
    }

    /// The bytes that were not sent yet, in parts.
    pub fn unsent_parts(&self) -> impl Iterator<Item = &[u8]> {
        let all = self.queued.iter().map(|part| &part[..]).chain([&self.bytes[..]]);
        all.enumerate().map(|(at, part)| if at == 0 { &part[self.sent..] } else { part })
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

    use super::*;

    /// A stream that accepts three bytes at every other write, and is pending otherwise.
    #[derive(Default)]
    struct SlowStream(Vec<u8>, bool);

    impl AsyncWrite for SlowStream {
        fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.1 = !self.1;
            if self.1 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let count = bytes.len().min(3);
            self.0.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn frames_of_every_length_arrive_over_partial_writes() {
        let texts = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]
            .map(|length| "é".repeat(length / 2) + &"x".repeat(length % 2));
        let (mut write_buffer, mut stream) = (WriteBuffer::default(), SlowStream::default());
        for text in &texts {
            let middle = text.len() / 4 * 2;
            write_buffer.push(&[&text[..middle], "", &text[middle..]]);
            write_buffer.push_around(&[&text[..middle]], text[middle..].to_owned().into(), "");
        }
        assert_eq!((write_buffer.frames(), write_buffer.is_mid_frame()), (2 * texts.len(), false));
        std::future::poll_fn(|context| write_buffer.poll_send(&mut stream, context)).await.expect("the stream is open");
        assert_eq!(
            (write_buffer.len(), write_buffer.frames(), write_buffer.is_mid_frame(), write_buffer.bytes.capacity()),
            (0, 0, false, 0)
        );
        let mut client = WebSocket::from_raw_socket(io::Cursor::new(stream.0), Role::Client, None);
        for text in texts.iter().flat_map(|text| [text, text]) {
            assert_eq!(client.read().expect("read a frame"), Message::text(text));
        }
    }

    #[test]
    fn a_partly_sent_frame_can_be_finished_by_another_writer() {
        let mut write_buffer = WriteBuffer::default();
        write_buffer.push(&["hello"]);
        let (mut stream, mut context) = (SlowStream::default(), Context::from_waker(std::task::Waker::noop()));
        assert!(write_buffer.poll_send(&mut stream, &mut context).is_pending() && !write_buffer.is_mid_frame());
        assert!(write_buffer.poll_send(&mut stream, &mut context).is_pending() && write_buffer.is_mid_frame());
        write_buffer.push_around(&[""], "long".into(), "!");
        let rest: Vec<&[u8]> = write_buffer.unsent_parts().collect();
        assert_eq!([&stream.0, &rest.concat()[..]].concat(), b"\x81\x05hello\x81\x05long!");
    }
}
