//! Application events on the plain JSON socket.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{DATA, orders, publish};
use crate::support::json_socket::CONNECT;
use crate::support::{JsonSocket, Server, Session, text};

async fn open(server: &Server, session: Option<&Session>) -> JsonSocket {
    JsonSocket::open(server.address(), CONNECT, session).await
}

async fn follow(socket: &mut JsonSocket, events: &[&str], after: Option<&str>) {
    let mut frame = json!({"type": "subscribe", "room": "orders", "events": events});
    if let Some(after) = after {
        frame["after"] = after.into();
    }
    let expected = json!({"type": "subscribed", "room": "orders", "events": events});
    assert_eq!(socket.request(frame, "subscribed").await, expected);
}

fn event(app_type: &str, data: Value) -> Value {
    json!({"type": "publish", "room": "orders", "event": app_type, "data": data})
}

#[tokio::test]
async fn events_are_published_and_delivered_live_and_on_replay() {
    let (server, root, channel) = orders().await;
    let start = server.cursor(None).await;
    let (mut admin, mut reader) = (open(&server, Some(&root)).await, open(&server, None).await);
    follow(&mut reader, &["order.*"], None).await;
    let mut frame = event("order.paid", json!({"id": 7}));
    frame["key"] = "k".into();
    let published = admin.request(frame.clone(), "published").await;
    assert_eq!(published["key"], "k");
    assert_eq!(admin.request(frame, "published").await, published, "the same key returns the same event");
    admin.request(event("paid", json!(1)), "published").await;
    // Events of other transports are delivered, too.
    let other = publish(&server, &root, json!({"channelId": channel, "type": "order.sent", "data": "x"})).await;
    let first = reader.expect("event").await;
    let created_at = text(&first["created_at"]);
    let expected = json!({"type": "event", "room": "orders", "event": "order.paid", "data": {"id": 7},
        "created_at": created_at, "cursor": published["cursor"]});
    assert_eq!(first, expected);
    assert_eq!(reader.expect("event").await["cursor"], other["cursor"]);
    reader.assert_idle().await;
    let mut late = open(&server, None).await;
    follow(&mut late, &["order.paid"], Some(&start)).await;
    assert_eq!(late.expect("event").await, first);
    late.assert_idle().await;
}

#[tokio::test]
async fn data_is_delivered_as_it_was_sent() {
    let (server, root, _) = orders().await;
    let mut socket = open(&server, Some(&root)).await;
    follow(&mut socket, &[], None).await;
    let frame = format!(r#"{{"type":"publish","room":"orders","event":"t","data":{DATA}}}"#);
    socket.send_raw(Message::text(frame)).await;
    let frames = [socket.text().await, socket.text().await];
    assert!(frames.iter().any(|frame| frame.contains(&format!(r#""data":{DATA}"#))), "{frames:?}");
}

#[tokio::test]
async fn a_second_subscription_replaces_the_types_and_unsubscribe_ends_it() {
    let (server, root, _) = orders().await;
    let mut socket = open(&server, Some(&root)).await;
    follow(&mut socket, &["a"], None).await;
    follow(&mut socket, &["b"], None).await;
    for app_type in ["a", "b"] {
        socket.send(event(app_type, json!(1))).await;
    }
    let mut types = Vec::new();
    for _ in 0..3 {
        let frame = socket.frame().await;
        types.extend(frame["event"].as_str().map(str::to_owned));
    }
    assert_eq!(types, ["b"]);
    let ended = socket.request(json!({"type": "unsubscribe", "room": "orders"}), "unsubscribed").await;
    assert_eq!(ended, json!({"type": "unsubscribed", "room": "orders"}));
    socket.request(event("b", json!(2)), "published").await;
    socket.assert_idle().await;
}

#[tokio::test]
async fn refused_frames_name_the_room_and_the_key() {
    let (server, root, _) = orders().await;
    let ben = server.register("ben").await;
    let mut frame = event("t", json!(1));
    frame["key"] = "k".into();
    for (session, code) in [(None, "UNAUTHENTICATED"), (Some(&ben), "FORBIDDEN")] {
        let error = open(&server, session).await.request(frame.clone(), "error").await;
        assert_eq!((&error["code"], &error["room"], &error["key"]), (&json!(code), &json!("orders"), &json!("k")));
    }
    let mut socket = open(&server, Some(&root)).await;
    // The test client refuses to send frames that are not in the schema.
    socket.send_raw(Message::text(event("no type", json!(1)).to_string())).await;
    let error = socket.expect("error").await;
    assert_eq!((&error["code"], &error["field"]), (&json!("BAD_USER_INPUT"), &json!("event")));
    for kind in [
        json!({"type": "subscribe", "room": "nowhere"}),
        json!({"type": "publish", "room": "nowhere", "event": "t", "data": 1}),
    ] {
        let error = socket.request(kind, "error").await;
        assert_eq!((&error["code"], &error["room"]), (&json!("NOT_FOUND"), &json!("nowhere")));
    }
}

#[tokio::test]
async fn a_subscription_ends_with_its_room() {
    let (server, root, channel) = orders().await;
    let mut socket = open(&server, None).await;
    follow(&mut socket, &[], None).await;
    server.data(Some(&root), "mutation ($c: ID!) { deleteChannel(id: $c) }", json!({"c": channel})).await;
    assert_eq!(socket.expect("unsubscribed").await, json!({"type": "unsubscribed", "room": "orders"}));
}
