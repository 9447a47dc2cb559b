//! WebSocket frames, with the least code that the benchmark needs. The client is handwritten because the copies and
//! allocations of a library would make the load generator the bottleneck.

/// The example key of RFC 6455. Its answer is known, so neither side computes a SHA-1.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The answer to [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

// The opcodes that occur.
pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A complete frame at the beginning of some bytes.
pub struct Frame<'a> {
    pub opcode: u8,
    pub payload: &'a [u8],
    /// Length of the frame in bytes, header included.
    pub length: usize,
}

/// The frame at the beginning of `bytes`; `None` while it is incomplete.
///
/// # Errors
/// If the frame is fragmented or has 64 KiB or more: no server in this benchmark sends such frames.
pub fn first(bytes: &[u8]) -> Result<Option<Frame<'_>>, String> {
    let &[start, second, ..] = bytes else {
        return Ok(None);
    };
    if start & 0x80 == 0 {
        return Err("a fragmented frame".to_owned());
    }
    let (size, mut header) = match second & 0x7f {
        126 => match bytes.get(2..4) {
            Some(size) => (usize::from(size[0]) << 8 | usize::from(size[1]), 4),
            None => return Ok(None),
        },
        127 => return Err("a frame of 64 KiB or more".to_owned()),
        size => (usize::from(size), 2),
    };
    if second & 0x80 != 0 {
        header += 4;
    }
    let whole = bytes.get(header..header + size);
    Ok(whole.map(|payload| Frame { opcode: start & 0x0f, payload, length: header + size }))
}

/// A client frame. Its mask is zero, which is valid and leaves the payload readable for the reference servers.
pub fn from_client(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(opcode, payload.len(), 0x80);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// A server frame.
pub fn from_server(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(opcode, payload.len(), 0);
    frame.extend_from_slice(payload);
    frame
}

fn header(opcode: u8, size: usize, masked: u8) -> Vec<u8> {
    let mut header = vec![0x80 | opcode];
    match u8::try_from(size) {
        Ok(small @ 0..126) => header.push(small | masked),
        _ => {
            let size = u16::try_from(size).expect("the benchmark's own frames are small");
            header.push(126 | masked);
            header.extend_from_slice(&size.to_be_bytes());
        }
    }
    header
}
