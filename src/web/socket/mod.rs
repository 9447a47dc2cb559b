//! WebSockets: the upgrade request, and the connection after it, with GraphQL or plain JSON as its protocol.

mod authentication;
mod close;
mod close_handshake;
mod connection;
mod graphql;
mod json;
mod protocol;
mod subprotocol;
mod timers;
mod transport;
mod write_buffer;

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
use tracing::Instrument as _;

use super::admission::Admission;
use super::content_negotiation::list;
use super::once_warning::warn_once;
use super::refusal::Refusal;
use super::state::ShutdownSignal;
use super::{AppState, Peer, body, client_identity, origins};
use authentication::Credentials;
use close::Close;
use connection::Connection;
use graphql::GraphQl;
pub use json::FrameCache;
use json::JsonProtocol;
use subprotocol::Subprotocol;
use transport::Transport;
use write_buffer::WriteBuffer;

/// The kind of WebSocket, which follows from the path of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// GraphQL, in either of its two sub-protocols.
    GraphQl,
    /// Plain JSON.
    Json,
    /// Plain JSON for signed-in users only, starting with a subscription to all tickets.
    Tickets,
}

/// The protocol of a connection.
enum Handler {
    GraphQl(Subprotocol),
    Json(JsonProtocol),
    /// The client offered no sub-protocol that the server supports.
    Unknown,
}

/// Responds to an upgrade request and spawns the task that serves the WebSocket.
pub fn upgrade(
    endpoint: Endpoint,
    site: Arc<AppState>,
    method: Method,
    upgrade: OnUpgrade,
    peer: Peer,
    headers: HeaderMap,
    query: String,
) -> Response<Bytes> {
    if let Some(rejection) = check_handshake(&site, &method, &headers) {
        return rejection;
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next().filter(|key| is_key(key.as_bytes())), keys.next()) else {
        site.counts.refuse(Refusal::Upgrade);
        return body::text(
            StatusCode::BAD_REQUEST,
            "the request must have one header Sec-WebSocket-Key: 16 bytes as base64",
        );
    };
    if !origins::may_subscribe(&site, &headers) {
        site.counts.refuse(Refusal::Origin);
        return body::text(
            StatusCode::FORBIDDEN,
            "pages of this origin may not connect: the operator can allow the origin in TIDINGS_ALLOWED_ORIGINS",
        );
    }
    if site.is_stopping() {
        site.counts.refuse(Refusal::Stopping);
        return body::text(StatusCode::SERVICE_UNAVAILABLE, "stopping");
    }
    let accept = derive_accept_key(key.as_bytes());
    let token = client_identity::token(&headers, &query);
    let address = client_identity::address(&site, peer.address.ip(), &headers);
    let credentials = Credentials::new(token, address, endpoint != Endpoint::Tickets, peer.connection_id);
    let (handler, protocol) = select_handler(endpoint, &headers, &query);
    let (admission, span) = (Arc::new(Admission::default()), peer.socket_span());
    let shutdown = site.shutdown_signal();
    let serving = serve(Arc::clone(&site), upgrade, handler, credentials, peer, Arc::clone(&admission), shutdown);
    tokio::spawn(site.admission_queue.throttle(admission, serving.instrument(span)));
    switching(&accept, protocol)
}

/// Checks the method, `Connection` and the version of a handshake. The response if one is wrong.
fn check_handshake(site: &AppState, method: &Method, headers: &HeaderMap) -> Option<Response<Bytes>> {
    if *method != Method::GET {
        return Some(get_only(site));
    }
    if !list(headers, &CONNECTION).any(|option| option.eq_ignore_ascii_case("upgrade")) {
        return Some(upgrade_required(site));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        site.counts.refuse(Refusal::Upgrade);
        let mut response = body::text(StatusCode::UPGRADE_REQUIRED, "use version 13 of the WebSocket protocol");
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Some(response);
    }
    None
}

/// Whether the value is 16 bytes in base64, as RFC 6455, section 4.2.1 requires.
fn is_key(key: &[u8]) -> bool {
    BASE64.decode(key).is_ok_and(|key| key.len() == 16)
}

/// Responds to a request for a WebSocket path without the header `Upgrade`.
pub fn without_upgrade(site: &AppState, method: &Method) -> Response<Bytes> {
    if *method == Method::GET || *method == Method::HEAD { upgrade_required(site) } else { get_only(site) }
}

fn get_only(site: &AppState) -> Response<Bytes> {
    site.counts.refuse(Refusal::Method);
    let mut response = body::text(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket handshake uses GET");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    response
}

/// Responds to a request that lacks a header of the upgrade. The usual cause is a proxy that drops it.
pub fn upgrade_required(site: &AppState) -> Response<Bytes> {
    warn_once!(
        site.hints.upgrade,
        "a request for a WebSocket lacks the headers Upgrade: websocket and Connection: upgrade; \
         a proxy in between must pass them on"
    );
    site.counts.refuse(Refusal::Upgrade);
    let message = "this path serves WebSocket connections only: send the headers Upgrade: websocket and \
        Connection: upgrade. A proxy in between must pass both on";
    let mut response = body::text(StatusCode::UPGRADE_REQUIRED, message);
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response
}

/// The protocol of the connection, and the value of `Sec-WebSocket-Protocol` for the response.
fn select_handler(endpoint: Endpoint, headers: &HeaderMap, query: &str) -> (Handler, Option<HeaderValue>) {
    let subprotocol = subprotocol(headers);
    match (endpoint, subprotocol) {
        (Endpoint::GraphQl, Some(known)) => (Handler::GraphQl(known), protocol(headers, subprotocol)),
        (Endpoint::GraphQl, None) => (Handler::Unknown, protocol(headers, subprotocol)),
        (Endpoint::Json | Endpoint::Tickets, _) => {
            let after = client_identity::parameter(query, "after").filter(|after| !after.is_empty());
            (Handler::Json(JsonProtocol::new(endpoint == Endpoint::Tickets, after)), None)
        }
    }
}

/// The first of the client's sub-protocols that the server supports.
fn subprotocol(headers: &HeaderMap) -> Option<Subprotocol> {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|line| line.split(',')).find_map(|protocol| Subprotocol::from_name(protocol.trim()))
}

/// The value of `Sec-WebSocket-Protocol` for the response. If the server supports none of the client's sub-protocols,
/// the response names the first one: otherwise a browser would not give its page the close code 4406.
fn protocol(headers: &HeaderMap, subprotocol: Option<Subprotocol>) -> Option<HeaderValue> {
    if let Some(subprotocol) = subprotocol {
        return Some(HeaderValue::from_static(subprotocol.name()));
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
    site: Arc<AppState>,
    upgrade: OnUpgrade,
    handler: Handler,
    credentials: Credentials,
    peer: Peer,
    admission: Arc<Admission>,
    shutdown: ShutdownSignal,
) {
    // Keeps the connection's permits until this function returns.
    let _peer = peer;
    let Ok(upgraded) = upgrade.await else { return };
    // Boxed: otherwise the task's future would have room for this one until its end.
    let Some(transport) = Box::pin(Transport::from_upgraded(upgraded, site.settings.sockets.max_frame_bytes)).await
    else {
        return tracing::error!("internal error: an upgraded connection has an unexpected I/O type");
    };
    let _counted = match &handler {
        Handler::GraphQl(_) => Some(site.counts.graphql.open.enter()),
        Handler::Json(_) => Some(site.counts.plain.open.enter()),
        Handler::Unknown => None,
    };
    match handler {
        Handler::GraphQl(subprotocol) => {
            Connection::new(site, transport, GraphQl::new(subprotocol), credentials, admission).run(shutdown).await;
        }
        Handler::Json(plain) => {
            Connection::new(site, transport, plain, credentials, admission).start_authentication().run(shutdown).await;
        }
        Handler::Unknown => {
            Close::NoProtocol.record(&site.counts);
            Box::pin(close_handshake::close_handshake(transport, WriteBuffer::default(), Some(&Close::NoProtocol)))
                .await;
        }
    }
}
