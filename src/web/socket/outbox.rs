//! What is to be sent next, as bytes: text frames, made here once and handed to the kernel together; a long text is not
//! copied but kept, with the memory that is borrowed for it. tungstenite would copy each frame twice and keep the room
//! for the largest burst; this keeps nothing once all is sent. Control
//! frames stay tungstenite's, so whoever uses both must know when a frame of this one is half sent
//! ([`Outbox::is_amid`]).

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;

/// A whole message of text, in one frame.
const TEXT: u8 = 0x81;
/// Lengths that do not fit into seven bits follow in two bytes, or in eight.
const TWO_BYTES: u8 = 126;
const EIGHT_BYTES: u8 = 127;
/// The longest head of a frame from a server.
const HEAD: usize = 10;

/// Frames that are to be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    /// What goes before `bytes`.
    before: VecDeque<Bytes>,
    bytes: Vec<u8>,
    /// How much of the first of them was sent.
    sent: usize,
    /// Something was sent.
    is_begun: bool,
    left: usize,
    frames: usize,
}

impl Outbox {
    /// A frame with these parts of a text.
    pub fn push(&mut self, parts: &[&str]) {
        let length = parts.iter().map(|part| part.len()).sum();
        self.bytes.reserve(HEAD + length);
        self.head(length);
        parts.iter().for_each(|part| self.append(part));
        self.frames += 1;
    }

    /// A frame with this text between those of others. A long one is shared with whoever else sends it.
    pub fn push_around(&mut self, before: &[&str], text: Bytes, after: &str) {
        let length = before.iter().map(|part| part.len()).sum::<usize>() + text.len() + after.len();
        self.head(length);
        before.iter().for_each(|part| self.append(part));
        self.left += text.len();
        self.before.extend([std::mem::take(&mut self.bytes).into(), text]);
        self.append(after);
        self.frames += 1;
    }

    fn append(&mut self, part: &str) {
        self.bytes.extend_from_slice(part.as_bytes());
        self.left += part.len();
    }

    fn head(&mut self, length: usize) {
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
        self.left += self.bytes.len() - before;
    }

    /// How many frames wait.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether part of a frame may have been sent: nobody else may write now.
    pub fn is_amid(&self) -> bool {
        self.is_begun
    }

    /// Sends what waits; ready when all of it is with the kernel.
    ///
    /// # Errors
    /// Those of the line.
    pub fn poll_send(
        &mut self,
        line: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.left > 0 {
            let first: &[u8] = self.before.front().map_or(&self.bytes, |first| first);
            if self.sent == first.len() {
                self.before.pop_front();
                self.sent = 0;
                continue;
            }
            match ready!(Pin::new(&mut *line).poll_write(context, &first[self.sent..])) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.sent += count;
                    self.left -= count;
                    self.is_begun = true;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        *self = Self::default();
        Poll::Ready(Ok(()))
    }

    /// What was not sent.
    pub fn rest(&self) -> impl Iterator<Item = &[u8]> {
        let all = self.before.iter().map(|part| &part[..]).chain([&self.bytes[..]]);
        all.enumerate().map(|(at, part)| if at == 0 { &part[self.sent..] } else { part })
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

    use super::*;

    /// Takes three bytes at a time, and every other time nothing.
    #[derive(Default)]
    struct Narrow(Vec<u8>, bool);

    impl AsyncWrite for Narrow {
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
    async fn frames_of_every_length_arrive_however_little_the_line_takes() {
        let texts = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]
            .map(|length| "é".repeat(length / 2) + &"x".repeat(length % 2));
        let (mut outbox, mut line) = (Outbox::default(), Narrow::default());
        for text in &texts {
            let middle = text.len() / 4 * 2;
            outbox.push(&[&text[..middle], "", &text[middle..]]);
            outbox.push_around(&[&text[..middle]], text[middle..].to_owned().into(), "");
        }
        assert_eq!((outbox.frames(), outbox.is_amid()), (2 * texts.len(), false));
        std::future::poll_fn(|context| outbox.poll_send(&mut line, context)).await.expect("it is open");
        assert_eq!((outbox.len(), outbox.frames(), outbox.is_amid(), outbox.bytes.capacity()), (0, 0, false, 0));
        let mut client = WebSocket::from_raw_socket(io::Cursor::new(line.0), Role::Client, None);
        for text in texts.iter().flat_map(|text| [text, text]) {
            assert_eq!(client.read().expect("a frame"), Message::text(text));
        }
    }

    #[test]
    fn what_was_begun_can_be_finished_by_somebody_else() {
        let mut outbox = Outbox::default();
        outbox.push(&["hello"]);
        let (mut line, mut context) = (Narrow::default(), Context::from_waker(std::task::Waker::noop()));
        assert!(outbox.poll_send(&mut line, &mut context).is_pending() && !outbox.is_amid());
        assert!(outbox.poll_send(&mut line, &mut context).is_pending() && outbox.is_amid());
        outbox.push_around(&[""], "long".into(), "!");
        let rest: Vec<&[u8]> = outbox.rest().collect();
        assert_eq!([&line.0, &rest.concat()[..]].concat(), b"\x81\x05hello\x81\x05long!");
    }
}
