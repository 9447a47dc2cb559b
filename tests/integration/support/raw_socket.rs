//! A WebSocket client that writes raw bytes, for frames that no library sends.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::with_timeout;

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A WebSocket connection without a library.
pub struct RawSocket {
    pub stream: TcpStream,
    /// Bytes that were received and belong to frames not yet parsed.
    read: Vec<u8>,
}

/// A client frame. The mask is zero, so the payload is not changed by it.
pub fn frame(is_last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(is_last, opcode, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// The header of a client frame with this payload length.
pub fn head(is_last: bool, opcode: u8, length: u64) -> Vec<u8> {
    let mut head = vec![u8::from(is_last) << 7 | opcode];
    match length {
        0..126 => head.push(0x80 | length as u8),
        126..0x1_0000 => {
            head.push(0x80 | 126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend(length.to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}

/// A text frame.
pub fn text(text: &str) -> Vec<u8> {
    frame(true, TEXT, text.as_bytes())
}

impl RawSocket {
    /// Connects and upgrades. An empty `protocol` requests no sub-protocol.
    pub async fn open(address: SocketAddr, path: &str, protocol: &str) -> Self {
        let stream = with_timeout("a connection", TcpStream::connect(address)).await.expect("a connection");
        Self::upgrade(stream, path, protocol).await
    }

    /// Upgrades an open connection.
    pub async fn upgrade(mut stream: TcpStream, path: &str, protocol: &str) -> Self {
        let named = if protocol.is_empty() { String::new() } else { format!("Sec-WebSocket-Protocol: {protocol}\r\n") };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{named}\r\n"
        );
        with_timeout("writing the request", stream.write_all(request.as_bytes()))
            .await
            .expect("the connection is open");
        let mut raw = Self { stream, read: Vec::new() };
        let end = loop {
            if let Some(at) = raw.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(raw.more().await, "no upgrade: {:?}", String::from_utf8_lossy(&raw.read));
        };
        let head = String::from_utf8_lossy(&raw.read[..end]).into_owned();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        raw.read.drain(..end);
        raw
    }

    /// Writes raw bytes; `false` if the connection is lost.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        with_timeout("writing", self.stream.write_all(bytes)).await.is_ok()
    }

    /// Writes without reading; `None` if the write does not finish within `patience`.
    pub async fn push(&mut self, bytes: &[u8], patience: Duration) -> Option<bool> {
        tokio::time::timeout(patience, self.stream.write_all(bytes)).await.ok().map(|written| written.is_ok())
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((opcode, payload, end)) = parse(&self.read) {
                self.read.drain(..end);
                return Some((opcode, payload));
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The payload of the next frame with this opcode; skips others, and fails on a close frame.
    pub async fn expect(&mut self, opcode: u8) -> Vec<u8> {
        loop {
            match self.next().await {
                Some((found, payload)) if found == opcode => return payload,
                Some((CLOSE, payload)) => panic!("closed: {payload:?}"),
                Some(_) => {}
                None => panic!("the connection ended before the frame came"),
            }
        }
    }

    /// The code and reason of the close frame; skips other frames. 1005 if it has no code, 1006 if there is none.
    pub async fn close_frame(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Some((CLOSE, payload)) if payload.len() >= 2 => {
                    let reason = String::from_utf8(payload[2..].to_vec()).expect("a reason is text");
                    return (u16::from_be_bytes([payload[0], payload[1]]), reason);
                }
                Some((CLOSE, _)) => return (1005, String::new()),
                Some(_) => {}
                None => return (1006, String::new()),
            }
        }
    }

    async fn more(&mut self) -> bool {
        let mut piece = vec![0; 16 << 10];
        let count = with_timeout("bytes", self.stream.read(&mut piece)).await.unwrap_or(0);
        self.read.extend_from_slice(&piece[..count]);
        count > 0
    }
}

/// The opcode and payload of the first server frame, and where it ends in `bytes`.
fn parse(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "servers do not mask");
    let (length, start) = match second {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize, 10),
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(start..start + length)?.to_vec();
    Some((first & 0x0f, payload, start + length))
}
