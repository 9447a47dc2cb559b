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

use super::encoding::{Encoding, weight};

/// Below, what is gained fits into the same packet.
const LEAST: usize = 1 << 10;
/// Above, it takes long enough to hold up others: it is done on a thread that may block.
const AT_ONCE: usize = 32 << 10;

/// The same response, compressed if that is worth it and the client likes it.
pub async fn compressed(request: &HeaderMap, mut response: Response<Bytes>) -> Response<Bytes> {
    if response.body().len() < LEAST || response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    response.headers_mut().append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    if weight(request, Encoding::Gzip) <= weight(request, Encoding::Identity) {
        return response;
    }
    let body = response.body().clone();
    let made = if body.len() <= AT_ONCE {
        gzip(&body)
    } else {
        tokio::task::spawn_blocking(move || gzip(&body)).await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
    };
    match made {
        Ok(body) => {
            *response.body_mut() = body.into();
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(Encoding::Gzip.name()));
        }
        Err(error) => tracing::warn!(%error, "an answer could not be compressed"),
    }
    response
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}
