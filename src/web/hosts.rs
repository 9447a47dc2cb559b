//! Whether a request is meant for this server: what its `Host` says (RFC 9112, 3.2).
//!
//! A page of another site can have its own name lead to this machine, and a browser then takes the server for a part of
//! that site (DNS rebinding). The name that the browser sends is still the other site's.

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response, StatusCode, Version};

use super::hint::shown;
use super::{Site, body};

/// Asked by balancers and orchestrators, by whatever name, and worth nothing to a page.
const FOR_ANY_NAME: [&str; 2] = ["/healthz", "/readyz"];

/// The refusal of a request that is not meant for this server.
pub fn refusal<B>(site: &Site, request: &Request<B>) -> Option<Response<Bytes>> {
    let mut named = request.headers().get_all(HOST).iter();
    let (first, second) = (named.next(), named.next());
    let is_old = request.version() < Version::HTTP_11;
    if second.is_some() || first.is_none() && !is_old {
        return Some(body::text(StatusCode::BAD_REQUEST, "a request has exactly one Host header"));
    }
    let allowed = site.settings.hosts.as_ref()?;
    // What stands in the first line counts more than the header.
    let host = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = host.or_else(|| first.map(|host| host.as_bytes())).unwrap_or_default();
    let is_allowed = std::str::from_utf8(host).is_ok_and(|host| allowed.allow(host));
    // Only an old client names none, and a browser is no such client.
    if is_allowed || first.is_none() || FOR_ANY_NAME.contains(&request.uri().path()) {
        return None;
    }
    let host = shown(host);
    site.hints.host.tell(format_args!(
        "a request for the host {host} was refused: name it in TIDINGS_HOSTS, or its proxy in TIDINGS_TRUSTED_PROXIES"
    ));
    let line = "this server is not known by this name: its operator names it in TIDINGS_HOSTS, or the proxy in front of it \
        in TIDINGS_TRUSTED_PROXIES";
    Some(body::text(StatusCode::MISDIRECTED_REQUEST, line))
}
