//! The GraphQL sockets: coming in, the rules of the protocols, and every way to be shown out.

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
async fn broken_rules_have_their_codes() {
    let server = Server::start_with(|config| config.sockets.init_timeout = Duration::from_millis(200)).await;
    let address = server.address();
    let open = || Socket::connect(address, "/graphql", "graphql-transport-ws");
    let enter = || Socket::enter(address, None);
    let forever = json!({"query": "subscription { events { cursor } }"});

    assert_eq!(Socket::connect(address, "/graphql", "soap").await.closed().await, 4406);
    assert_eq!(open().await.closed().await, 4408, "no connection_init in time");
    let mut socket = open().await;
    socket.send(json!({"type": "subscribe", "id": "1", "payload": forever})).await;
    assert_eq!(socket.closed().await, 4401);
    let mut socket = enter().await;
    socket.send(json!({"type": "connection_init"})).await;
    assert_eq!(socket.closed().await, 4429);
    let mut socket = enter().await;
    socket.send(json!({"type": "subscribe", "id": "1", "payload": forever})).await;
    socket.send(json!({"type": "subscribe", "id": "1", "payload": forever})).await;
    assert_eq!(socket.closed().await, 4409);
    for bad in ["nonsense", "{}", "{\"type\":\"subscribe\"}", "{\"type\":\"greet\"}", "[]", "null"] {
        let mut socket = enter().await;
        socket.send_raw(Message::text(bad)).await;
        assert_eq!(socket.closed().await, 4400, "{bad}");
    }
    let mut socket = enter().await;
    socket.send_raw(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(socket.closed().await, 4400);
    let mut socket = enter().await;
    socket.send_raw(Message::text("x".repeat(300 << 10))).await;
    assert_eq!(socket.closed().await, 1009);
}

#[tokio::test]
async fn ids_can_be_used_again_and_a_stopped_operation_is_silent() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let mut socket = server.socket(None).await;
    for _ in 0..3 {
        let after = server.cursor(None).await;
        server.post(&ann, &channel, "hello").await;
        socket
            .subscribe("1", "subscription ($c: Cursor) { messageAdded(after: $c) { content } }", json!({"c": after}))
            .await;
        assert_eq!(socket.item("1").await["messageAdded"]["content"], "hello");
        socket.send(json!({"type": "complete", "id": "1"})).await;
        socket.settled().await;
    }
    server.post(&ann, &channel, "unheard").await;
    socket.settled().await;
}

#[tokio::test]
async fn queries_and_mutations_run_over_a_socket() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let mut socket = server.socket(Some(&ann)).await;
    socket.subscribe("m", "mutation { createChannel(input: { name: \"new\" }) { name } }", json!({})).await;
    assert_eq!(socket.item("m").await["createChannel"]["name"], "new");
    assert_eq!(socket.frame().await, json!({"type": "complete", "id": "m"}));
    socket.subscribe("e", "{ nothing }", json!({})).await;
    assert_eq!(socket.refusal("e").await, "GRAPHQL_VALIDATION_FAILED");
    socket.settled().await;
}

#[tokio::test]
async fn the_legacy_protocol_speaks_its_own_words() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let mut socket = Socket::connect(server.address(), "/subscriptions", "graphql-ws").await;
    let query = "subscription { events { __typename cursor } }";
    // Clients send the start without waiting for the acknowledgement.
    socket.send(json!({"type": "connection_init", "payload": {"authToken": ann.token}})).await;
    socket.send(json!({"type": "start", "id": "7", "payload": {"query": query}})).await;
    assert_eq!(socket.frame().await["type"], "connection_ack");
    assert_eq!(socket.frame().await["type"], "ka");
    let live = socket.frame().await;
    assert_eq!((&live["type"], &live["id"]), (&json!("data"), &json!("7")));
    server.post(&ann, &channel, "hello").await;
    assert_eq!(socket.frame().await["payload"]["data"]["events"]["__typename"], "MessageAdded");
    socket.send(json!({"type": "start", "id": "8", "payload": {"query": "{ nothing }"}})).await;
    let error = socket.frame().await;
    assert_eq!(
        (&error["type"], &error["payload"]["extensions"]["code"]),
        (&json!("error"), &json!("GRAPHQL_VALIDATION_FAILED"))
    );
    socket.send(json!({"type": "stop", "id": "7"})).await;
    assert_eq!(socket.frame().await, json!({"type": "complete", "id": "7"}));
    socket.send(json!({"type": "connection_terminate"})).await;
    assert_eq!(socket.closed().await, 1000);

    let mut socket = Socket::connect(server.address(), "/graphql", "graphql-ws").await;
    socket.send(json!({"type": "connection_init", "payload": {"authToken": "wrong"}})).await;
    assert_eq!(socket.frame().await["type"], "connection_error");
    assert_eq!(socket.closed().await, 4403);
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
    let server = Server::start_with(|config| config.sessions.token_lifetime = Duration::from_secs(3)).await;
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
