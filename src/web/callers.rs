//! Who calls: the address, and the token in its three places.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

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
        let Ok(hop) = hop.parse() else { break };
        address = hop;
    }
    address
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
        None => (site.board.stranger(), None),
    };
    Ok((Caller { viewer, address, extends: None }, until))
}
