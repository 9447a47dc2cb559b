//! Which web pages may use the server from a browser: its own, and those of the allowed origins.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, CONTENT_TYPE, HOST,
    HeaderMap, ORIGIN, VARY,
};
use http::{HeaderValue, Response, StatusCode};

use super::hint::shown;
use super::{Site, body};

/// Whether whoever asks may hold a line open. Browsers send the page's origin: it must be our own or an allowed one.
/// Other clients send none.
pub fn may_follow(site: &Site, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let may = origin.to_str().is_ok_and(|origin| is_own(origin, host) || site.settings.allowed_origins.allow(origin));
    if !may {
        let (origin, host) = (shown(origin.as_bytes()), shown(host.as_bytes()));
        site.hints.origin.tell(format_args!(
            "a page of the origin {origin} was refused a socket or stream of {host}: name it in TIDINGS_ALLOWED_ORIGINS, \
             or let the proxy pass on Host as it came"
        ));
    }
    may
}

/// Whether a page's origin is the host that it asks. Proxies may add the usual port to a host, or change its case.
fn is_own(origin: &str, host: &str) -> bool {
    let Some((_, place)) = origin.split_once("://") else { return false };
    !place.is_empty() && without_usual_port(place).eq_ignore_ascii_case(without_usual_port(host))
}

fn without_usual_port(host: &str) -> &str {
    host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host)
}

/// What a browser asks on behalf of a page of another origin, before it sends the page's request. The origin decides: a page
/// that may read answers may send whatever headers its libraries add.
pub fn preflight(site: &Site, request: &HeaderMap) -> Response<Bytes> {
    let mut response = body::text(StatusCode::NO_CONTENT, "");
    *response.body_mut() = Bytes::new();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
    headers.append(VARY, HeaderValue::from_static("access-control-request-headers"));
    if is_listed(site, request) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        for wanted in request.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.append(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
    }
    response
}

/// Lets pages of the allowed origins read the response. Caches are told whoever asks: what they keep of one who sends no
/// origin would keep the page from reading it.
pub fn allow(site: &Site, request: &HeaderMap, response: &mut HeaderMap) {
    if let Some(origin) = request.get(ORIGIN)
        && is_listed(site, request)
    {
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after, www-authenticate"));
    }
    response.append(VARY, HeaderValue::from_static("origin"));
}

fn is_listed(site: &Site, request: &HeaderMap) -> bool {
    let origin = request.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    origin.is_some_and(|origin| site.settings.allowed_origins.allow(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_host_is_our_own_whatever_a_proxy_made_of_the_host() {
        for (origin, host) in [
            ("https://board.example", "board.example"),
            ("https://board.example", "board.example:443"),
            ("http://board.example", "board.example:80"),
            ("https://board.example", "Board.Example"),
            ("http://localhost:8000", "localhost:8000"),
            ("http://[::1]:8000", "[::1]:8000"),
            ("https://[2001:db8::1]", "[2001:db8::1]:443"),
        ] {
            assert!(is_own(origin, host), "{origin} at {host}");
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
            assert!(!is_own(origin, host), "{origin} at {host}");
        }
    }
}
