//! Makes an answer smaller that was made for one request. Pages and their files are compressed when they are built, and
//! streams of events are not: what is short and must be there at once gains nothing.
//!
//! Secrets beside text that an attacker chose could be guessed from the length of what is sent (BREACH), if the attacker's
//! page could have a browser ask in its user's name. It cannot: nobody is known here by a cookie.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, VARY};
use http::{HeaderValue, Response};

use tokio::sync::Semaphore;

use super::content_negotiation::{Encoding, weight};
use crate::graphql::Text;
use crate::model::Lease;

/// Below, what is gained fits into the same packet.
const LEAST: usize = 1 << 10;
/// Above, it takes long enough to hold up others: it is done on a thread that may block.
const AT_ONCE: usize = 32 << 10;

/// The same response, compressed if that is worth it and the client likes it. For answers that are the same for all.
pub async fn compressed_file(request: &HeaderMap, response: Response<Bytes>) -> Response<Bytes> {
    let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned().into();
    compressed(&Semaphore::new(1), request, response.map(text)).await
}

/// The same response, compressed if that is worth it, the client likes it, and not too many others are being compressed.
/// The memory that was borrowed for the response is held until all of it is with the kernel.
pub async fn compressed(turns: &Semaphore, request: &HeaderMap, mut response: Response<Text>) -> Response<Bytes> {
    if response.body().len() < LEAST || response.headers().contains_key(CONTENT_ENCODING) {
        return response.map(Bytes::from_owner);
    }
    response.headers_mut().append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    if weight(request, Encoding::Gzip) <= weight(request, Encoding::Identity) {
        return response.map(Bytes::from_owner);
    }
    let made = if response.body().len() <= AT_ONCE {
        gzip(response.body().as_bytes())
    } else {
        // Whoever has to wait for a turn is served sooner with what is there.
        let Ok(_turn) = turns.try_acquire() else { return response.map(Bytes::from_owner) };
        let body = response.body().clone();
        let compressing = tokio::task::spawn_blocking(move || gzip(body.as_bytes()));
        compressing.await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
    };
    match made {
        Ok(bytes) => {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(Encoding::Gzip.name()));
            response.map(|body| {
                let mut leases = body.into_leases();
                leases.iter_mut().for_each(|lease| lease.shrink_to(bytes.len()));
                Bytes::from_owner(Smaller { bytes, _leases: leases })
            })
        }
        Err(error) => {
            tracing::warn!(%error, "an answer could not be compressed");
            response.map(Bytes::from_owner)
        }
    }
}

/// What takes the place of a text.
struct Smaller {
    bytes: Vec<u8>,
    _leases: Vec<Lease>,
}

impl AsRef<[u8]> for Smaller {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}
