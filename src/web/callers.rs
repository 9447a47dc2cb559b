//! Who calls: the address, and the token in its three places.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::hint::shown;
use super::{Peer, Site};
use crate::error::{Error, Result};
use crate::graphql::Caller;
use crate::model::{Cursor, Timestamp};

/// The client's address: that of the connection, or what trusted proxies say of it.
pub fn address(site: &Site, peer: &Peer, headers: &HeaderMap) -> IpAddr {
    let proxies = &site.settings.trusted_proxies;
    let mut address = peer.address.ip();
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = forwarded.flat_map(|line| line.split(',')).map(str::trim).collect();
    // The last hop was added by the nearest proxy: go back as long as we trust who says it.
    for hop in hops.iter().rev() {
        if !proxies.contain(address) {
            break;
        }
        let Some(named) = hop_address(hop) else {
            let hop = shown(hop.as_bytes());
            site.hints.forwarded.tell(format_args!(
                "X-Forwarded-For of the trusted proxy {address} names no address: {hop:?}; the proxy's own address counts"
            ));
            break;
        };
        address = named;
    }
    if hops.is_empty() && headers.contains_key("forwarded") && proxies.contain(address) {
        // A proxy that knows only one of the two headers passes on the other as its client sent it.
        site.hints.forwarded.tell(format_args!(
            "the trusted proxy {address} sends Forwarded, which is not read: have it send X-Forwarded-For"
        ));
    }
    address
}

/// The address in an entry of `X-Forwarded-For`. Some proxies add the port, brackets around IPv6, or quotes.
fn hop_address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim_matches(|c: char| c == '"' || c.is_ascii_whitespace());
    let bare = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || entry.parse::<SocketAddr>().ok().map(|address| address.ip());
    entry.parse().ok().or_else(bare).or_else(with_port)
}

/// The token of a request: in the `Authorization` header, else in `?token=`.
pub fn token(headers: &HeaderMap, query: &str) -> Result<Option<String>> {
    if let Some(header) = headers.get(AUTHORIZATION) {
        let header = header.to_str().map_err(|_| malformed())?;
        return bearer(header).map(Some);
    }
    Ok(parameter(query, "token").filter(|token| !token.is_empty()))
}

/// The token of an `Authorization` value.
pub fn bearer(header: &str) -> Result<String> {
    match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim().to_owned()),
        _ => Err(malformed()),
    }
}

fn malformed() -> Error {
    Error::Unauthenticated("authorization must be: Bearer TOKEN".into())
}

/// From where a client that comes back wants to go on: what its EventSource heard last, or what it says itself where
/// a header cannot be set.
///
/// # Errors
/// `BAD_USER_INPUT` if that is no cursor.
pub fn last_event_id(headers: &HeaderMap, query: &str) -> Result<Option<Cursor>> {
    let wrong = || Error::input("Last-Event-ID", "not a cursor of the log");
    let header = headers.get("last-event-id").map(|id| id.to_str().map_err(|_| wrong())).transpose()?;
    let id = header.map(str::to_owned).or_else(|| parameter(query, "lastEventId"));
    id.filter(|id| !id.is_empty()).map(|id| id.parse().map_err(|_| wrong())).transpose()
}

/// A parameter of a query string.
pub fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The caller with this token, and when their session ends.
pub async fn caller(site: &Arc<Site>, token: Option<&str>, address: IpAddr) -> Result<(Caller, Option<Timestamp>)> {
    let (viewer, until) = match token {
        Some(token) => {
            let (viewer, until) = site.board.authenticate(token).await?;
            (viewer, Some(until))
        }
        None => (site.board.stranger(address), None),
    };
    Ok((Caller { viewer, address, extends: None }, until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_spell_an_address_in_many_ways() {
        for entry in ["203.0.113.5", "203.0.113.5:4711", "\"203.0.113.5:4711\"", " \"203.0.113.5\" "] {
            assert_eq!(hop_address(entry), "203.0.113.5".parse().ok(), "{entry}");
        }
        for entry in ["2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:4711", "\"[2001:db8::7]:4711\""] {
            assert_eq!(hop_address(entry), "2001:db8::7".parse().ok(), "{entry}");
        }
        for entry in ["unknown", "_hidden", "", "203.0.113.5:", "203.0.113.5:x", "[203.0.113.5", "for=203.0.113.5"] {
            assert_eq!(hop_address(entry), None, "{entry}");
        }
    }
}
