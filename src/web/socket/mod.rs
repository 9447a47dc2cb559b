//! WebSockets: the upgrade, and the connection behind it, whether GraphQL or plain JSON is spoken on it.

mod clock;
mod close;
mod connection;
mod dialect;
mod entry;
mod goodbye;
mod graphql;
mod outbox;
mod plain;
mod protocol;
mod wire;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderValue, Method, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::content_negotiation::list;
use super::newcomers::Newcomer;
use super::site::Alive;
use super::{Peer, Site, body, callers, origins};
use close::Close;
use connection::Connection;
use dialect::Dialect;
use entry::Entry;
use graphql::GraphQl;
use outbox::Outbox;
use plain::Plain;
pub use plain::Shown;
use wire::Wire;

/// By which door somebody comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// GraphQL, in either sub-protocol.
    GraphQl,
    /// Plain JSON.
    Plain,
    /// Plain JSON for those who are signed in, beginning with all tickets.
    Tickets,
}

/// What will be spoken.
enum Language {
    GraphQl(Dialect),
    Plain(Plain),
    /// None that is known here.
    Unknown,
}

/// Answers a request to upgrade, and serves the socket from then on.
pub fn upgrade(
    door: Door,
    site: Arc<Site>,
    method: Method,
    upgrade: OnUpgrade,
    peer: Peer,
    headers: HeaderMap,
    query: String,
) -> Response<Bytes> {
    if method != Method::GET {
        return only_get();
    }
    if !list(&headers, &CONNECTION).any(|option| option.eq_ignore_ascii_case("upgrade")) {
        return dropped(&site);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut response = body::text(StatusCode::UPGRADE_REQUIRED, "use version 13 of the WebSocket protocol");
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return response;
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next().filter(|key| is_key(key.as_bytes())), keys.next()) else {
        return body::text(
            StatusCode::BAD_REQUEST,
            "the header Sec-WebSocket-Key must be there once: 16 bytes as base64",
        );
    };
    if !origins::may_follow(&site, &headers) {
        return body::text(
            StatusCode::FORBIDDEN,
            "pages of this origin may not connect: the operator names it in TIDINGS_ALLOWED_ORIGINS",
        );
    }
    if site.is_stopping() {
        return body::text(StatusCode::SERVICE_UNAVAILABLE, "stopping");
    }
    let accept = derive_accept_key(key.as_bytes());
    let token = callers::token(&headers, &query);
    let entry = Entry::new(token, callers::address(&site, &peer, &headers), door != Door::Tickets);
    let (language, protocol) = language(door, &headers, &query);
    let newcomer = Arc::new(Newcomer::default());
    let alive = site.alive();
    let serving = serve(Arc::clone(&site), upgrade, language, entry, peer, Arc::clone(&newcomer), alive);
    tokio::spawn(site.newcomers.in_turn(newcomer, serving));
    switching(&accept, protocol)
}

/// RFC 6455, 4.2.1: 16 bytes as base64.
fn is_key(key: &[u8]) -> bool {
    BASE64.decode(key).is_ok_and(|key| key.len() == 16)
}

/// Answers a request for the address of a socket that does not ask for one.
pub fn without_upgrade(site: &Site, method: &Method) -> Response<Bytes> {
    if *method == Method::GET || *method == Method::HEAD { dropped(site) } else { only_get() }
}

fn only_get() -> Response<Bytes> {
    let mut response = body::text(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is asked for by GET");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    response
}

/// Mostly it is a proxy that has dropped what asks for a WebSocket.
pub fn dropped(site: &Site) -> Response<Bytes> {
    site.hints.upgrade.tell(
        "a request for a WebSocket came without the headers Upgrade: websocket and Connection: upgrade: a proxy in between \
         must pass them on",
    );
    let line = "this address speaks WebSocket: send the headers Upgrade: websocket and Connection: upgrade. A proxy in \
        between must pass both on";
    let mut response = body::text(StatusCode::UPGRADE_REQUIRED, line);
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response
}

/// What will be spoken, and the sub-protocol to name.
fn language(door: Door, headers: &HeaderMap, query: &str) -> (Language, Option<HeaderValue>) {
    let dialect = dialect(headers);
    match (door, dialect) {
        (Door::GraphQl, Some(known)) => (Language::GraphQl(known), protocol(headers, dialect)),
        (Door::GraphQl, None) => (Language::Unknown, protocol(headers, dialect)),
        (Door::Plain | Door::Tickets, _) => {
            let after = callers::parameter(query, "after").filter(|after| !after.is_empty());
            (Language::Plain(Plain::new(door == Door::Tickets, after)), None)
        }
    }
}

/// The first of the client's sub-protocols that is spoken here.
fn dialect(headers: &HeaderMap) -> Option<Dialect> {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|line| line.split(',')).find_map(|protocol| Dialect::of(protocol.trim()))
}

/// The sub-protocol to name. If none is spoken here it is the first that was offered: browsers
/// would not tell their page the code of a close after an answer that names none.
fn protocol(headers: &HeaderMap, dialect: Option<Dialect>) -> Option<HeaderValue> {
    if let Some(dialect) = dialect {
        return Some(HeaderValue::from_static(dialect.protocol()));
    }
    let offered = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    HeaderValue::from_str(offered.split(',').next()?.trim()).ok()
}

fn switching(accept: &str, protocol: Option<HeaderValue>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

async fn serve(
    site: Arc<Site>,
    upgrade: OnUpgrade,
    language: Language,
    entry: Entry,
    peer: Peer,
    newcomer: Arc<Newcomer>,
    alive: Alive,
) {
    // Its place is taken as long as this lasts.
    let _peer = peer;
    let Ok(upgraded) = upgrade.await else { return };
    // In a box: the task that serves the socket would keep the room for it to its end.
    let Some(wire) = Box::pin(Wire::of(upgraded, site.settings.sockets.max_frame_bytes)).await else {
        return tracing::error!("an upgraded connection is no line of this server");
    };
    let _counted = match &language {
        Language::GraphQl(_) => Some(site.counts.graphql.open.enter()),
        Language::Plain(_) => Some(site.counts.plain.open.enter()),
        Language::Unknown => None,
    };
    match language {
        Language::GraphQl(dialect) => {
            Connection::new(site, wire, GraphQl::new(dialect), entry, newcomer).run(alive).await;
        }
        Language::Plain(plain) => Connection::new(site, wire, plain, entry, newcomer).enter().run(alive).await,
        Language::Unknown => {
            site.counts.close(Close::NoProtocol.frame().code.into());
            Box::pin(goodbye::say_goodbye(wire, Outbox::default(), Some(&Close::NoProtocol))).await;
        }
    }
}
