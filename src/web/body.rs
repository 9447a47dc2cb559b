//! Builds small responses, and reads request bodies up to a limit.

use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt as _};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};

/// A response with a content type that caches must not store.
pub fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A response with one line of plain text.
pub fn text(status: StatusCode, line: &str) -> Response<Bytes> {
    response(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

/// Why a request body could not be read.
pub enum ReadError {
    /// The body is longer than allowed.
    TooLarge,
    /// The body took longer than allowed.
    TooSlow,
    /// The connection ended before the end of the body.
    Broken,
}

/// Limits on a request body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// The size, in bytes.
    pub bytes: usize,
    /// The time from the head of the request to the end of the body.
    pub timeout: Duration,
}

/// Reads a request body.
///
/// # Errors
/// If the body exceeds a limit, or the connection breaks.
pub async fn read<B: Buf, E>(
    headers: &HeaderMap,
    stream: impl Stream<Item = Result<B, E>>,
    limits: BodyLimits,
) -> Result<Vec<u8>, ReadError> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|declared| declared > limits.bytes) {
        return Err(ReadError::TooLarge);
    }
    let reading = async {
        let mut stream = std::pin::pin!(stream);
        let mut body = Vec::new();
        while let Some(chunk) = stream.next().await {
            let mut chunk = chunk.map_err(|_| ReadError::Broken)?;
            if body.len() + chunk.remaining() > limits.bytes {
                return Err(ReadError::TooLarge);
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
    tokio::time::timeout(limits.timeout, reading).await.unwrap_or(Err(ReadError::TooSlow))
}
