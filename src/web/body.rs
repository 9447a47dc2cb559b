//! Bodies: small responses, and requests read up to a limit.

use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt as _};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};

/// A response with a content type, not to be kept by caches.
pub fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A line of text.
pub fn text(status: StatusCode, line: &str) -> Response<Bytes> {
    response(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

/// Why a body could not be read.
pub enum Unread {
    /// It is longer than allowed.
    TooLarge,
    /// It took too long.
    TooSlow,
    /// The line broke.
    Broken,
}

/// What a request's body may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Its size.
    pub bytes: usize,
    /// How long all of it may be on its way.
    pub patience: Duration,
}

/// Reads a request's body.
pub async fn read<B: Buf, E>(
    headers: &HeaderMap,
    stream: impl Stream<Item = Result<B, E>>,
    limits: Limits,
) -> Result<Vec<u8>, Unread> {
    let promised = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if promised.is_some_and(|promised| promised > limits.bytes) {
        return Err(Unread::TooLarge);
    }
    let reading = async {
        let mut stream = std::pin::pin!(stream);
        let mut body = Vec::new();
        while let Some(chunk) = stream.next().await {
            let mut chunk = chunk.map_err(|_| Unread::Broken)?;
            if body.len() + chunk.remaining() > limits.bytes {
                return Err(Unread::TooLarge);
            }
            while chunk.has_remaining() {
                let part = chunk.chunk();
                body.extend_from_slice(part);
                let length = part.len();
                chunk.advance(length);
            }
        }
        Ok(body)
    };
    tokio::time::timeout(limits.patience, reading).await.unwrap_or(Err(Unread::TooSlow))
}
