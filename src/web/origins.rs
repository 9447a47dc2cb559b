//! CORS and origin checks: which web pages may use the server from a browser.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, CONTENT_TYPE, HOST,
    HeaderMap, ORIGIN, VARY,
};
use http::{HeaderValue, Response, StatusCode};

use super::once_warning::{escaped, warn_once};
use super::refusal::Refusal;
use super::{AppState, body};

/// Whether the client may open a WebSocket or a stream of events. A browser sends the page's origin, which must be the
/// server's own or an allowed one. Other clients send no origin and may.
pub fn may_subscribe(site: &AppState, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_allowed =
        origin.to_str().is_ok_and(|origin| is_same_origin(origin, host) || site.settings.allowed_origins.allow(origin));
    if !is_allowed {
        warn_once!(
            site.hints.origin,
            origin = escaped(origin.as_bytes()),
            host = escaped(host.as_bytes()),
            "a page of another origin was refused a socket or a stream: add the origin to TIDINGS_ALLOWED_ORIGINS, or \
             let the proxy pass on the header Host unchanged"
        );
    }
    is_allowed
}

/// Whether a page's origin is the requested host. A proxy may add the default port to the host, or change its case.
fn is_same_origin(origin: &str, host: &str) -> bool {
    let Some((_, host_part)) = origin.split_once("://") else { return false };
    !host_part.is_empty() && without_default_port(host_part).eq_ignore_ascii_case(without_default_port(host))
}

fn without_default_port(host: &str) -> &str {
    host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host)
}

/// The response to a CORS preflight request. Only the origin is checked. A page that may read responses may also send
/// any request headers.
pub fn preflight(site: &AppState, request: &HeaderMap) -> Response<Bytes> {
    let mut response = body::text(StatusCode::NO_CONTENT, "");
    *response.body_mut() = Bytes::new();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
    headers.append(VARY, HeaderValue::from_static("access-control-request-headers"));
    if is_listed(site, request) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        for name in request.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.append(ACCESS_CONTROL_ALLOW_HEADERS, name.clone());
        }
    } else if request.contains_key(ORIGIN) {
        site.counts.refuse(Refusal::Origin);
    }
    response
}

/// Adds CORS headers that let pages of the allowed origins read the response. `Vary: Origin` is always added: a cached
/// response to a request without an origin lacks the headers that a page needs.
pub fn add_headers(site: &AppState, request: &HeaderMap, response: &mut HeaderMap) {
    if let Some(origin) = request.get(ORIGIN)
        && is_listed(site, request)
    {
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let exposed = HeaderValue::from_static("retry-after, www-authenticate, x-request-id");
        response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response.append(VARY, HeaderValue::from_static("origin"));
}

fn is_listed(site: &AppState, request: &HeaderMap) -> bool {
    let origin = request.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    origin.is_some_and(|origin| site.settings.allowed_origins.allow(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_ports_and_case_do_not_change_the_origin() {
        for (origin, host) in [
            ("https://board.example", "board.example"),
            ("https://board.example", "board.example:443"),
            ("http://board.example", "board.example:80"),
            ("https://board.example", "Board.Example"),
            ("http://localhost:8000", "localhost:8000"),
            ("http://[::1]:8000", "[::1]:8000"),
            ("https://[2001:db8::1]", "[2001:db8::1]:443"),
        ] {
            assert!(is_same_origin(origin, host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("https://evil.example", "board.example"),
            ("https://board.example:8443", "board.example"),
            ("https://board.example", "board.example:8443"),
            ("https://board.example.evil", "board.example"),
            ("null", "null"),
            ("https://", ""),
            ("", ""),
        ] {
            assert!(!is_same_origin(origin, host), "{origin} at {host}");
        }
    }
}
