//! Signals: to who is there now, on every instance.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::orders;
use crate::support::json_socket::CONNECT;
use crate::support::{JsonSocket, Server, Session, Socket, text};

const SEND: &str =
    "mutation ($channel: ID!, $type: String!, $data: JSON) { signal(channelId: $channel, type: $type, data: $data) }";
const FOLLOW: &str = "subscription ($channel: ID!, $types: [String!]) { signal(channelId: $channel, types: $types) { channelId type data userId } }";

async fn send(server: &Server, session: &Session, channel: &str, signal_type: &str, data: Value) {
    let variables = json!({"channel": channel, "type": signal_type, "data": data});
    server.data(Some(session), SEND, variables).await;
}

/// Subscribes, and returns once the subscription is open: it has got a signal of type `ready`.
async fn follow(server: &Server, session: Option<&Session>, channel: &str, by: &Session) -> Socket {
    let mut socket = server.socket(session).await;
    socket.subscribe("s", FOLLOW, json!({"channel": channel})).await;
    let mut is_open = false;
    while !is_open {
        send(server, by, channel, "ready", json!(null)).await;
        socket.send(json!({"type": "ping"})).await;
        loop {
            let frame = socket.frame().await;
            assert_ne!(frame["type"], "error", "{frame}");
            is_open |= frame["type"] == "next";
            if frame["type"] == "pong" {
                break;
            }
        }
    }
    socket
}

/// The next frame that is not a signal of type `ready`.
async fn frame(socket: &mut Socket) -> Value {
    loop {
        let frame = socket.frame().await;
        if frame["payload"]["data"]["signal"]["type"] != "ready" {
            return frame;
        }
    }
}

async fn next(socket: &mut Socket) -> Value {
    frame(socket).await["payload"]["data"]["signal"].take()
}

#[tokio::test]
async fn a_signal_reaches_those_who_follow_the_channel_and_is_not_in_the_log() {
    let (server, root, channel) = orders().await;
    let ben = server.register("ben").await;
    let head = server.cursor(None).await;
    let mut bens = follow(&server, Some(&ben), &channel, &root).await;
    send(&server, &ben, &channel, "typing", json!({"in": "a thread"})).await;
    let expected = json!({"channelId": channel, "type": "typing", "data": {"in": "a thread"}, "userId": ben.id});
    assert_eq!(next(&mut bens).await, expected);
    assert_eq!(server.cursor(None).await, head);
    let mut late = follow(&server, None, &channel, &root).await;
    send(&server, &ben, &channel, "typing", json!(null)).await;
    let expected = json!({"channelId": channel, "type": "typing", "data": null, "userId": null});
    assert_eq!(next(&mut late).await, expected);
}

#[tokio::test]
async fn a_signal_reaches_the_clients_of_other_instances() {
    let (server, root, channel) = orders().await;
    if !crate::support::database::is_postgres() {
        return;
    }
    let database = server.database_url().parse().expect("a database");
    let other = Server::start_with(|config| config.database.url = database).await;
    let mut socket = follow(&other, Some(&root), &channel, &root).await;
    // The listening connections of the instances may be opened after their start.
    loop {
        let variables = json!({"channel": channel, "type": "typing"});
        server.execute(Some(&root), SEND, variables).await;
        socket.send(json!({"type": "ping"})).await;
        let frame = frame(&mut socket).await;
        if frame["type"] == "next" {
            assert_eq!(frame["payload"]["data"]["signal"]["type"], "typing");
            return;
        }
    }
}

#[tokio::test]
async fn a_removed_member_gets_no_further_signal() {
    let (server, root, _) = orders().await;
    let ben = server.register("ben").await;
    let make = "mutation { createChannel(input: { name: \"secret\", visibility: PRIVATE }) { id } }";
    let channel = text(&server.data(Some(&root), make, json!({})).await["createChannel"]["id"]);
    let variables = json!({"channel": channel, "type": "typing"});
    assert_eq!(server.error_code(Some(&ben), SEND, variables.clone()).await, "NOT_FOUND");
    let membership = json!({"c": channel, "u": ben.id});
    let add = "mutation ($c: ID!, $u: ID!) { addMember(channelId: $c, userId: $u) { id } }";
    server.data(Some(&root), add, membership.clone()).await;
    let mut bens = follow(&server, Some(&ben), &channel, &root).await;
    let remove = "mutation ($c: ID!, $u: ID!) { removeMember(channelId: $c, userId: $u) { id } }";
    server.data(Some(&root), remove, membership).await;
    send(&server, &root, &channel, "typing", json!(null)).await;
    assert_eq!(frame(&mut bens).await["payload"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(server.error_code(Some(&ben), SEND, variables.clone()).await, "NOT_FOUND");
    assert_eq!(server.error_code(None, SEND, variables).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn wrong_and_too_many_signals_are_refused() {
    let (server, root, channel) = orders().await;
    for (signal_type, data) in [("a b", json!(1)), ("t", json!("x".repeat(5_000)))] {
        let variables = json!({"channel": channel, "type": signal_type, "data": data});
        assert_eq!(server.error_code(Some(&root), SEND, variables).await, "BAD_USER_INPUT");
    }
    let at_once = (0..200).map(|_| server.execute(Some(&root), SEND, json!({"channel": channel, "type": "t"})));
    let answers = futures_util::future::join_all(at_once).await;
    let code = |answer: &Value| answer["errors"][0]["extensions"]["code"].as_str().map(str::to_owned);
    assert!(answers.iter().any(|answer| code(answer).as_deref() == Some("RATE_LIMITED")));
}

#[tokio::test]
async fn the_json_socket_sends_and_delivers_signals_in_a_joined_room() {
    let (server, root, _) = orders().await;
    let mut sender = JsonSocket::open(server.address(), CONNECT, Some(&root)).await;
    let mut reader = JsonSocket::open(server.address(), CONNECT, None).await;
    let join = json!({"type": "join_room", "room": "orders"});
    reader.request(join.clone(), "joined").await;
    sender.request(join, "joined").await;
    sender.send(json!({"type": "signal", "room": "orders", "signal": "typing", "data": {"n": 1}})).await;
    let expected = |username: Value| {
        json!({"type": "signal", "room": "orders", "signal": "typing", "data": {"n": 1},
            "user": {"id": root.id, "username": username}})
    };
    assert_eq!(sender.expect("signal").await, expected(json!("root")));
    assert_eq!(reader.expect("signal").await, expected(Value::Null));
    let error = reader.request(json!({"type": "signal", "room": "orders", "signal": "typing"}), "error").await;
    assert_eq!((&error["code"], &error["room"]), (&json!("UNAUTHENTICATED"), &json!("orders")));
    // The test client refuses to send frames that are not in the schema.
    sender.send_raw(Message::text(r#"{"type":"signal","room":"orders","signal":"no type"}"#)).await;
    let error = sender.expect("error").await;
    assert_eq!(error["field"], "signal");
}
