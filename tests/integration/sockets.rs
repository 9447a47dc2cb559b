//! The GraphQL sockets: coming in, and being shown out. The rules of their protocols are in `conformance/`.

use std::time::Duration;

use serde_json::json;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{Server, Socket, soon};

#[tokio::test]
async fn a_token_is_taken_from_three_places() {
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
        assert_eq!(socket.closed().await, 4403, "a bad token is refused, never ignored");
    }
}

#[tokio::test]
async fn a_session_that_ends_takes_its_sockets_along() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let admin = server.admin("root").await;
    let mut sockets = vec![server.socket(Some(&ann)).await, server.socket(Some(&ann)).await];
    let mut bystander = server.socket(Some(&admin)).await;
    server.data(Some(&ann), "mutation { logoutEverywhere }", json!({})).await;
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, 4403);
    }
    assert_eq!(server.refusal(Some(&ann), "{ me { id } }", json!({})).await, "UNAUTHENTICATED");
    let ann = server.login("ann").await;
    let mut socket = server.socket(Some(&ann)).await;
    let disable = "mutation ($id: ID!) { setUserDisabled(userId: $id, disabled: true) { disabled } }";
    server.data(Some(&admin), disable, json!({"id": ann.id})).await;
    assert_eq!(socket.closed().await, 4403);
    bystander.settled().await;
}

#[tokio::test]
async fn a_socket_lives_as_long_as_its_token_unless_it_is_refreshed() {
    let server = Server::start_with(|config| config.tokens.token_lifetime = Duration::from_secs(3)).await;
    let ann = server.register("ann").await;
    let mut left = server.socket(Some(&ann)).await;
    let mut kept = server.socket(Some(&ann)).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    kept.subscribe("r", "mutation { refreshToken { token } }", json!({})).await;
    kept.item("r").await;
    kept.frame().await;
    assert_eq!(left.closed().await, 4403, "the token has expired");
    kept.settled().await;
    assert_eq!(kept.closed().await, 4403, "the refreshed one, too");
}

#[tokio::test]
async fn a_stop_closes_with_1012_before_any_complete() {
    let mut server = Server::start().await;
    let mut socket = server.socket(None).await;
    socket.subscribe("e", "subscription { events { __typename } }", json!({})).await;
    socket.item("e").await;
    let (next, ()) = tokio::join!(socket.next(), server.close());
    assert_eq!(next.expect_err("a close and no frame").0, 1012);
}

#[tokio::test]
async fn a_stranger_must_sign_in_where_nothing_is_public() {
    let server = Server::start_with(|config| config.sessions.anonymous_read = false).await;
    let mut socket = Socket::connect(server.address(), "/graphql", "graphql-transport-ws").await;
    socket.send(json!({"type": "connection_init"})).await;
    assert_eq!(socket.closed().await, 4401);
    let post = |query: &str| server.http().post(server.url("/graphql")).json(&json!({"query": query})).send();
    assert_eq!(post("{ cursor }").await.unwrap().status(), 401);
    assert_eq!(post("{ __typename }").await.unwrap().status(), 200);
    let ann = server.register("ann").await;
    server.data(Some(&ann), "{ cursor }", json!({})).await;
}

#[tokio::test]
async fn pages_of_other_origins_may_not_connect() {
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
async fn too_many_connections_are_turned_away() {
    let server = Server::start_with(|config| config.sockets.max_connections = 3).await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(Socket::connect(server.address(), "/graphql", "graphql-transport-ws").await);
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = soon("an answer", client.get(server.url("/healthz")).send()).await.expect("an answer");
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "5");
    drop(sockets);
    // The places are free again as soon as the server has noticed.
    soon("a free place", async { while client.get(server.url("/healthz")).send().await.is_none_or_busy() {} }).await;
}

/// Whether an answer says that there is no place.
pub trait Busy {
    fn is_none_or_busy(&self) -> bool;
}

impl Busy for Result<reqwest::Response, reqwest::Error> {
    fn is_none_or_busy(&self) -> bool {
        self.as_ref().map_or(true, |response| response.status() == 503)
    }
}

/// As in the body of a request (RFC 8259, 8.1).
#[tokio::test]
async fn a_byte_order_mark_before_a_frame_is_passed_over() {
    let server = Server::start().await;
    for (protocol, start, item) in [("graphql-transport-ws", "subscribe", "next"), ("graphql-ws", "start", "data")] {
        let mut socket = Socket::connect(server.address(), "/graphql", protocol).await;
        let query = json!({"id": "1", "type": start, "payload": {"query": "{ __typename }"}});
        for frame in [json!({"type": "connection_init"}), query] {
            socket.send_raw(Message::text(format!("\u{FEFF}{frame}"))).await;
        }
        while socket.frame().await["type"] != item {}
        // One mark, and before the frame only.
        socket.send_raw(Message::text("\u{FEFF}\u{FEFF}{}")).await;
        assert_ne!(socket.closed().await, 1006, "{protocol}");
    }
}
