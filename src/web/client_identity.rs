//! Identifies the client of a request: its address, its token, and the cursor that it resumes from.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, USER_AGENT};

use super::once_warning::{escaped, warn_once};
use super::state::AppState;
use crate::error::{Error, Result};
use crate::graphql::Caller;
use crate::model::{Cursor, Timestamp};

/// The client's address: the address of the connection's remote end, or the one that trusted proxies report in `X-Forwarded-For`.
pub fn address(site: &AppState, connection: IpAddr, headers: &HeaderMap) -> IpAddr {
    let proxies = &site.settings.trusted_proxies;
    let mut address = connection;
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let entries: Vec<&str> = forwarded.flat_map(|line| line.split(',')).map(str::trim).collect();
    // Each proxy appends the address that it received the request from. Read from the end, while the reporter is
    // trusted.
    for entry in entries.iter().rev() {
        if !proxies.contain(address) {
            break;
        }
        let Some(reported) = entry_address(entry) else {
            warn_once!(
                site.hints.forwarded,
                proxy = %address,
                entry = escaped(entry.as_bytes()),
                "X-Forwarded-For of a trusted proxy names no address; the address of the proxy counts"
            );
            break;
        };
        address = reported;
    }
    if entries.is_empty() && headers.contains_key("forwarded") && proxies.contain(address) {
        // A proxy that sets only Forwarded passes X-Forwarded-For on as the client sent it, and the reverse.
        warn_once!(
            site.hints.forwarded,
            proxy = %address,
            "a trusted proxy sends Forwarded, which is not read: have it send X-Forwarded-For"
        );
    }
    address
}

/// Parses one entry of `X-Forwarded-For`. Some proxies add the port, brackets around IPv6 addresses, or quotes.
fn entry_address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim_matches(|c: char| c == '"' || c.is_ascii_whitespace());
    let bare = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || entry.parse::<SocketAddr>().ok().map(|address| address.ip());
    entry.parse().ok().or_else(bare).or_else(with_port)
}

/// The token of a request, from the `Authorization` header, else from the query parameter `token`.
///
/// # Errors
/// `UNAUTHENTICATED` if the header has another form than `Bearer TOKEN`.
pub fn token(headers: &HeaderMap, query: &str) -> Result<Option<String>> {
    if let Some(header) = headers.get(AUTHORIZATION) {
        let header = header.to_str().map_err(|_| malformed())?;
        return bearer(header).map(Some);
    }
    Ok(parameter(query, "token").filter(|token| !token.is_empty()))
}

/// The token in the value of an `Authorization` header.
///
/// # Errors
/// `UNAUTHENTICATED` if the value has another form than `Bearer TOKEN`.
pub fn bearer(header: &str) -> Result<String> {
    match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim().to_owned()),
        _ => Err(malformed()),
    }
}

fn malformed() -> Error {
    Error::Unauthenticated("authorization must be: Bearer TOKEN".into())
}

/// The cursor after which a reconnecting client resumes: the header `Last-Event-ID` of an EventSource, else the query
/// parameter `lastEventId`, for clients that cannot set headers.
///
/// # Errors
/// `BAD_USER_INPUT` if the value is not a cursor.
pub fn last_event_id(headers: &HeaderMap, query: &str) -> Result<Option<Cursor>> {
    let invalid = || Error::input("Last-Event-ID", "not a cursor of the log");
    let header = headers.get("last-event-id").map(|id| id.to_str().map_err(|_| invalid())).transpose()?;
    let id = header.map(str::to_owned).or_else(|| parameter(query, "lastEventId"));
    id.filter(|id| !id.is_empty()).map(|id| id.parse().map_err(|_| invalid())).transpose()
}

/// The program that sends the request, as its header `User-Agent` names it.
pub fn user_agent(headers: &HeaderMap) -> Option<Arc<str>> {
    headers.get(USER_AGENT)?.to_str().ok().filter(|agent| !agent.is_empty()).map(Arc::from)
}

/// The first query parameter with this name, decoded.
pub fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The caller with this token, or the anonymous caller at this address, and when the token expires.
///
/// # Errors
/// `UNAUTHENTICATED` if the token is not valid. `UNAVAILABLE` if the database cannot be reached.
pub async fn caller(site: &Arc<AppState>, token: Option<&str>, address: IpAddr) -> Result<(Caller, Option<Timestamp>)> {
    let (viewer, expires_at) = match token {
        Some(token) => {
            let (viewer, expires_at) = site.board.accounts.authenticate(token).await?;
            (viewer, expires_at)
        }
        None => (site.board.accounts.anonymous_viewer(address), None),
    };
    Ok((Caller { viewer, address, user_agent: None, extends: None }, expires_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_with_ports_brackets_and_quotes_are_parsed() {
        for entry in ["203.0.113.5", "203.0.113.5:4711", "\"203.0.113.5:4711\"", " \"203.0.113.5\" "] {
            assert_eq!(entry_address(entry), "203.0.113.5".parse().ok(), "{entry}");
        }
        for entry in ["2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:4711", "\"[2001:db8::7]:4711\""] {
            assert_eq!(entry_address(entry), "2001:db8::7".parse().ok(), "{entry}");
        }
        for entry in ["unknown", "_hidden", "", "203.0.113.5:", "203.0.113.5:x", "[203.0.113.5", "for=203.0.113.5"] {
            assert_eq!(entry_address(entry), None, "{entry}");
        }
    }
}
