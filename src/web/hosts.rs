//! Checks that a request is meant for this server by its `Host` header (RFC 9112, section 3.2).
//!
//! This prevents DNS rebinding. An attacker makes the domain name of a page resolve to this server, and the browser
//! then treats the server as part of the page's site. But the browser still sends the page's domain name in `Host`.

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response, StatusCode, Version};

use super::once_warning::{escaped, warn_once};
use super::refusal::Refusal;
use super::{AppState, body};

/// Paths that any host name may request. Load balancers and orchestrators use various names; a page gains nothing here.
const ANY_HOST_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// The response to a request that is not meant for this server; `None` if the request is acceptable.
pub fn check<B>(site: &AppState, request: &Request<B>) -> Option<Response<Bytes>> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let is_http_1_0 = request.version() < Version::HTTP_11;
    if second.is_some() || first.is_none() && !is_http_1_0 {
        site.counts.refuse(Refusal::Host);
        return Some(body::text(StatusCode::BAD_REQUEST, "a request must have exactly one Host header"));
    }
    let allowed = site.settings.hosts.as_ref()?;
    // An absolute URI in the request line takes precedence over the Host header.
    let host = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = host.or_else(|| first.map(|host| host.as_bytes())).unwrap_or_default();
    let is_allowed = std::str::from_utf8(host).is_ok_and(|host| allowed.allow(host));
    // Only an HTTP/1.0 client can omit the host. Browsers never do.
    if is_allowed || first.is_none() || ANY_HOST_PATHS.contains(&request.uri().path()) {
        return None;
    }
    warn_once!(
        site.hints.host,
        host = escaped(host),
        "a request for another host was refused: name the host in TIDINGS_HOSTS, or the proxy in TIDINGS_TRUSTED_PROXIES"
    );
    site.counts.refuse(Refusal::Host);
    let message = "this server does not accept this host name: the operator can add it to TIDINGS_HOSTS, or add the \
        proxy to TIDINGS_TRUSTED_PROXIES";
    Some(body::text(StatusCode::MISDIRECTED_REQUEST, message))
}
