//! Compresses responses at request time. Static files are compressed at build time. Streams of events are not
//! compressed: their parts are short and must be sent at once.
//!
//! BREACH attacks do not apply. They need a secret beside text that the attacker chose, and a browser that sends
//! requests in the user's name. Such requests are anonymous here, because authentication uses no cookies.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, VARY};
use http::{HeaderValue, Response};

use tokio::sync::Semaphore;

use super::content_negotiation::{Encoding, weight};
use crate::graphql::ResponseText;
use crate::model::MemoryLease;

/// Smaller bodies are not compressed: they fit into one packet anyway. In bytes.
const MIN_BYTES: usize = 1 << 10;
/// Larger bodies are compressed on a blocking thread, because they would delay other tasks. In bytes.
const MAX_INLINE: usize = 32 << 10;

/// Compresses a response that is the same for all clients, if that helps and the client accepts gzip.
pub async fn compressed_file(request: &HeaderMap, response: Response<Bytes>) -> Response<Bytes> {
    let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned().into();
    compressed(&Semaphore::new(1), request, response.map(text)).await
}

/// Compresses a response if that helps, the client accepts gzip, and a slot of `slots` is free for a large body. The
/// memory reserved for the body is held until the kernel has all of the response.
pub async fn compressed(
    slots: &Semaphore,
    request: &HeaderMap,
    mut response: Response<ResponseText>,
) -> Response<Bytes> {
    if response.body().len() < MIN_BYTES || response.headers().contains_key(CONTENT_ENCODING) {
        return response.map(Bytes::from_owner);
    }
    response.headers_mut().append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    if weight(request, Encoding::Gzip) <= weight(request, Encoding::Identity) {
        return response.map(Bytes::from_owner);
    }
    let result = if response.body().len() <= MAX_INLINE {
        gzip(response.body().as_bytes())
    } else {
        // Do not wait for a slot: sending the uncompressed body takes less time.
        let Ok(_slot) = slots.try_acquire() else { return response.map(Bytes::from_owner) };
        let body = response.body().clone();
        let compressing = tokio::task::spawn_blocking(move || gzip(body.as_bytes()));
        compressing.await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
    };
    match result {
        Ok(bytes) => {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(Encoding::Gzip.name()));
            response.map(|body| {
                let mut leases = body.into_leases();
                leases.iter_mut().for_each(|lease| lease.shrink_to(bytes.len()));
                Bytes::from_owner(Compressed { bytes, _leases: leases })
            })
        }
        Err(error) => {
            tracing::warn!(%error, "cannot compress a response; sending it uncompressed");
            response.map(Bytes::from_owner)
        }
    }
}

/// The compressed body, with what remains of the memory reserved for the original.
struct Compressed {
    bytes: Vec<u8>,
    _leases: Vec<MemoryLease>,
}

impl AsRef<[u8]> for Compressed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}
