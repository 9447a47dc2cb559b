//! Which web pages may use the server from a browser: its own, and those of the allowed origins.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HOST, HeaderMap, ORIGIN, VARY};
use http::{HeaderValue, Response, StatusCode};

use super::{Site, body};

/// Whether whoever asks may hold a line open. Browsers send the page's origin: it must be our own or an allowed one.
/// Other clients send none.
pub fn may_follow(site: &Site, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = origin.split_once("://").is_some_and(|(_, origin)| Some(origin) == host);
    own || site.settings.allowed_origins.allow(origin)
}

/// What a browser asks on behalf of a page of another origin, before it sends the page's request.
pub fn preflight() -> Response<Bytes> {
    let mut response = body::text(StatusCode::NO_CONTENT, "");
    *response.body_mut() = Bytes::new();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(ALLOW, HeaderValue::from_static("GET, POST, OPTIONS"));
    headers.insert("access-control-allow-methods", HeaderValue::from_static("GET, POST"));
    let allowed = HeaderValue::from_static("authorization, content-type, accept, last-event-id");
    headers.insert("access-control-allow-headers", allowed);
    headers.insert("access-control-max-age", HeaderValue::from_static("600"));
    response
}

/// Lets pages of the allowed origins read the response. Caches are told whoever asks: what they keep of one who sends no
/// origin would keep the page from reading it.
pub fn allow(site: &Site, request: &HeaderMap, response: &mut HeaderMap) {
    if let Some(origin) = request.get(ORIGIN)
        && origin.to_str().is_ok_and(|origin| site.settings.allowed_origins.allow(origin))
    {
        response.insert("access-control-allow-origin", origin.clone());
    }
    response.append(VARY, HeaderValue::from_static("origin"));
}
