//! GraphQL sockets: authentication, limits, and how the server closes them. `conformance/` tests the rules of the
//! protocols.

use std::time::Duration;

use serde_json::json;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{Server, Socket, with_timeout};

#[tokio::test]
async fn a_token_is_accepted_from_payload_header_and_query_string() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let bearer = format!("Bearer {}", ann.token);
    let query_token = format!("/graphql?token={}", ann.token);
    for (path, header, payload) in [
        ("/graphql", "", json!({"authorization": bearer})),
        ("/graphql", "", json!({"Authorization": bearer})),
        ("/subscriptions", "", json!({"token": ann.token})),
        ("/graphql", "", json!({"authToken": ann.token})),
        ("/graphql", bearer.as_str(), json!({})),
        (query_token.as_str(), "", json!({})),
        (query_token.as_str(), "Bearer wrong", json!({"token": ann.token})),
    ] {
        let headers = [("sec-websocket-protocol", "graphql-transport-ws"), ("authorization", header)];
        let mut socket = Socket::try_connect(server.address(), path, &headers).await.expect("an upgrade");
        socket.send(json!({"type": "connection_init", "payload": payload})).await;
        let ack = socket.frame().await;
        assert_eq!(ack["payload"]["cursor"], json!(server.cursor(None).await), "{path} {payload}");
        socket.subscribe("me", "{ me { username } }", json!({})).await;
        assert_eq!(socket.item("me").await["me"]["username"], "ann", "{path} {payload}");
        assert_eq!(socket.frame().await["type"], "complete");
    }
    for (path, payload) in [("/graphql", json!({"token": "wrong"})), ("/graphql?token=wrong", json!({}))] {
        let mut socket = Socket::connect(server.address(), path, "graphql-transport-ws").await;
        socket.send(json!({"type": "connection_init", "payload": payload})).await;
        assert_eq!(socket.close_code().await, 4403, "a bad token closes the socket and is not ignored");
    }
}

#[tokio::test]
async fn the_end_of_a_session_closes_its_sockets() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let admin = server.admin("root").await;
    let mut sockets = vec![server.socket(Some(&ann)).await, server.socket(Some(&ann)).await];
    let mut bystander = server.socket(Some(&admin)).await;
    server.data(Some(&ann), "mutation { logoutEverywhere }", json!({})).await;
    for socket in &mut sockets {
        assert_eq!(socket.close_code().await, 4403);
    }
    assert_eq!(server.error_code(Some(&ann), "{ me { id } }", json!({})).await, "UNAUTHENTICATED");
    let ann = server.login("ann").await;
    let mut socket = server.socket(Some(&ann)).await;
    let disable = "mutation ($id: ID!) { setUserDisabled(userId: $id, disabled: true) { disabled } }";
    server.data(Some(&admin), disable, json!({"id": ann.id})).await;
    assert_eq!(socket.close_code().await, 4403);
    bystander.assert_idle().await;
}

#[tokio::test]
async fn a_socket_is_closed_when_its_token_expires_unless_it_is_refreshed() {
    let server = Server::start_with(|config| config.tokens.token_lifetime = Duration::from_secs(3)).await;
    let ann = server.register("ann").await;
    let mut left = server.socket(Some(&ann)).await;
    let mut kept = server.socket(Some(&ann)).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    kept.subscribe("r", "mutation { refreshToken { token } }", json!({})).await;
    kept.item("r").await;
    kept.frame().await;
    assert_eq!(left.close_code().await, 4403, "the token of this socket has expired");
    kept.assert_idle().await;
    assert_eq!(kept.close_code().await, 4403, "the refreshed token has expired, too");
}

#[tokio::test]
async fn shutdown_closes_with_1012_before_any_complete() {
    let mut server = Server::start().await;
    let mut socket = server.socket(None).await;
    socket.subscribe("e", "subscription { events { __typename } }", json!({})).await;
    socket.item("e").await;
    let (next, ()) = tokio::join!(socket.next(), server.close());
    assert_eq!(next.expect_err("a close and no frame").0, 1012);
}

#[tokio::test]
async fn anonymous_operations_are_rejected_without_anonymous_read() {
    let server = Server::start_with(|config| config.sessions.anonymous_read = false).await;
    let mut socket = Socket::connect(server.address(), "/graphql", "graphql-transport-ws").await;
    socket.send(json!({"type": "connection_init"})).await;
    assert_eq!(socket.close_code().await, 4401);
    let post = |query: &str| server.http().post(server.url("/graphql")).json(&json!({"query": query})).send();
    assert_eq!(post("{ cursor }").await.unwrap().status(), 401);
    assert_eq!(post("{ __typename }").await.unwrap().status(), 200);
    let ann = server.register("ann").await;
    server.data(Some(&ann), "{ cursor }", json!({})).await;
}

#[tokio::test]
async fn sockets_from_other_origins_are_rejected() {
    let server = Server::start_with(|config| config.allowed_origins = "https://app.example".parse().unwrap()).await;
    let own = format!("http://{}", server.address());
    for (origin, allowed) in [(own, true), ("https://app.example".into(), true), ("https://evil.example".into(), false)]
    {
        let address = server.address();
        let headers = [("sec-websocket-protocol", "graphql-transport-ws"), ("origin", origin.as_str())];
        match Socket::try_connect(address, "/graphql", &headers).await {
            Ok(_) => assert!(allowed, "{origin}"),
            Err(Error::Http(response)) => assert!(!allowed && response.status() == 403, "{origin}"),
            Err(error) => panic!("{origin}: {error}"),
        }
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_get_503() {
    let server = Server::start_with(|config| config.sockets.max_connections = 3).await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(Socket::connect(server.address(), "/graphql", "graphql-transport-ws").await);
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = with_timeout("a response", client.get(server.url("/healthz")).send()).await.expect("a response");
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "5");
    drop(sockets);
    // The connections are free again once the server has noticed that they are closed.
    with_timeout("a free connection", async {
        while client.get(server.url("/healthz")).send().await.is_error_or_503() {}
    })
    .await;
}

/// Whether a request failed or was answered with 503.
pub trait ConnectionCheck {
    fn is_error_or_503(&self) -> bool;
}

impl ConnectionCheck for Result<reqwest::Response, reqwest::Error> {
    fn is_error_or_503(&self) -> bool {
        self.as_ref().map_or(true, |response| response.status() == 503)
    }
}

/// RFC 8259, section 8.1: a parser may ignore a byte order mark.
#[tokio::test]
async fn one_byte_order_mark_before_a_frame_is_ignored() {
    let server = Server::start().await;
    for (protocol, start, item) in [("graphql-transport-ws", "subscribe", "next"), ("graphql-ws", "start", "data")] {
        let mut socket = Socket::connect(server.address(), "/graphql", protocol).await;
        let query = json!({"id": "1", "type": start, "payload": {"query": "{ __typename }"}});
        for frame in [json!({"type": "connection_init"}), query] {
            socket.send_raw(Message::text(format!("\u{FEFF}{frame}"))).await;
        }
        while socket.frame().await["type"] != item {}
        // Only one byte order mark is ignored, and only at the beginning of the frame.
        socket.send_raw(Message::text("\u{FEFF}\u{FEFF}{}")).await;
        assert_ne!(socket.close_code().await, 1006, "{protocol}");
    }
}
