//! The JSON socket: every row of its documentation, and its interoperation with GraphQL.

mod random_frames;

use std::collections::BTreeSet;

use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::json_socket::{CONNECT, TICKETS};
use crate::support::{JsonSocket, Server, Session, text};

async fn open(server: &Server, session: Option<&Session>) -> JsonSocket {
    JsonSocket::open(server.address(), CONNECT, session).await
}

async fn second_instance(server: &Server) -> Server {
    let database = server.database_url().parse().expect("a database");
    Server::start_with(|config| config.database.url = database).await
}

const TICKET: &str = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id cursor } }";
const NOTIFY: &str = "mutation ($input: NotifyUserInput!) { notifyUser(input: $input) { id cursor } }";

#[tokio::test]
async fn valid_tokens_are_accepted_and_invalid_ones_close_the_socket() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    assert_eq!(JsonSocket::open(server.address(), TICKETS, None).await.close_code().await, 4401);
    for path in [CONNECT, TICKETS] {
        assert_eq!(
            JsonSocket::open_as(server.address(), &format!("{path}?token=wrong")).await.close_code().await,
            4403
        );
    }
    let mut socket = JsonSocket::open(server.address(), TICKETS, Some(&ann)).await;
    assert_eq!(socket.expect("subscribed").await, json!({"type": "subscribed", "channel": "tickets"}));
    open(&server, None).await.assert_idle().await;
    let closed = Server::start_with(|config| config.sessions.anonymous_read = false).await;
    assert_eq!(open(&closed, None).await.close_code().await, 4401);
    server.data(Some(&ann), "mutation { logoutEverywhere }", json!({})).await;
    assert_eq!(socket.close_code().await, 4403);
}

#[tokio::test]
async fn rooms_and_graphql_channels_are_the_same() {
    let server = Server::start().await;
    let (ann, bob) = (server.register("ann").await, server.register("bob").await);
    let (mut anns, mut bobs, mut anonymous) =
        (open(&server, Some(&ann)).await, open(&server, Some(&bob)).await, open(&server, None).await);
    let join = json!({"type": "join_room", "room": "project_123"});
    let refused = anonymous.request(join.clone(), "error").await;
    assert_eq!((&refused["code"], &refused["room"]), (&json!("NOT_FOUND"), &json!("project_123")));
    for socket in [&mut anns, &mut bobs, &mut anonymous] {
        assert_eq!(socket.request(join.clone(), "joined").await["room"], "project_123");
    }
    let message = json!({"type": "message", "room": "project_123", "text": "Hello team!", "key": "k1"});
    let sent = {
        anns.send(message.clone()).await;
        let mut frames = [anns.frame().await, anns.frame().await];
        frames.sort_by_key(|frame| frame["type"] != "sent");
        let [sent, received] = frames;
        assert_eq!((&sent["type"], &sent["key"], &received["type"]), (&json!("sent"), &json!("k1"), &json!("message")));
        assert_eq!((&received["id"], &received["cursor"]), (&sent["id"], &sent["cursor"]));
        sent
    };
    assert_eq!(anns.request(message, "sent").await, sent, "the same key returns the same message");
    let received = bobs.expect("message").await;
    assert_eq!(received["user"], json!({"id": ann.id, "username": "ann"}));
    assert_eq!(anonymous.expect("message").await["user"], json!({"id": ann.id, "username": null}));

    // Changes made with GraphQL are delivered on the JSON socket.
    let channel =
        server.data(None, "{ channel(name: \"project_123\") { id messages { nodes { content } } } }", json!({})).await;
    assert_eq!(channel["channel"]["messages"]["nodes"], json!([{"content": "Hello team!"}]));
    let change =
        "mutation ($id: ID!) { updateMessage(input: { id: $id, content: \"edited\" }) { id } deleteMessage(id: $id) }";
    server.data(Some(&ann), change, json!({"id": sent["id"]})).await;
    let edited = bobs.frame().await;
    if edited["type"] == "message_updated" {
        assert_eq!(edited["text"], "edited");
        assert_eq!(bobs.expect("message_deleted").await["id"], sent["id"]);
    } else {
        assert_eq!(edited["type"], "message_deleted", "the edit of a deleted message may be omitted");
    }
    let root = server.admin("root").await;
    let broadcast = "mutation ($d: JSON!) { broadcast(input: { room: \"project_123\", data: $d }) }";
    server.data(Some(&root), broadcast, json!({"d": {"progress": 40}})).await;
    assert_eq!(bobs.expect("update").await["data"], json!({"progress": 40}));
    bobs.request(json!({"type": "leave_room", "room": "project_123"}), "left").await;
    let id = text(&channel["channel"]["id"]);
    server.post(&ann, &id, "not for bob").await;
    bobs.assert_idle().await;
    let refused = open(&server, None)
        .await
        .request(json!({"type": "message", "room": "project_123", "text": "!"}), "error")
        .await;
    assert_eq!(refused["code"], "UNAUTHENTICATED");
    server.data(Some(&ann), "mutation ($id: ID!) { deleteChannel(id: $id) }", json!({"id": id})).await;
    while anonymous.frame().await["type"] != "left" {}
}

#[tokio::test]
async fn a_removed_member_stops_receiving_a_private_room() {
    let server = Server::start().await;
    let (ann, bob) = (server.register("ann").await, server.register("bob").await);
    let make = "mutation { createChannel(input: { name: \"secret\", visibility: PRIVATE }) { id } }";
    let channel = text(&server.data(Some(&ann), make, json!({})).await["createChannel"]["id"]);
    let mut bobs = open(&server, Some(&bob)).await;
    let join = json!({"type": "join_room", "room": "secret"});
    // `accounts/private_names.rs` tests what happens if Bob joins before he is a member.
    let membership = json!({"c": channel, "u": bob.id});
    server
        .data(
            Some(&ann),
            "mutation ($c: ID!, $u: ID!) { addMember(channelId: $c, userId: $u) { id } }",
            membership.clone(),
        )
        .await;
    bobs.request(join, "joined").await;
    server.post(&ann, &channel, "for members").await;
    bobs.expect("message").await;
    server
        .data(Some(&ann), "mutation ($c: ID!, $u: ID!) { removeMember(channelId: $c, userId: $u) { id } }", membership)
        .await;
    let end = bobs.expect("error").await;
    assert_eq!((&end["code"], &end["room"]), (&json!("FORBIDDEN"), &json!("secret")));
    server.post(&ann, &channel, "not for bob").await;
    bobs.assert_idle().await;
}

#[tokio::test]
async fn ticket_events_come_once_with_overlapping_subscriptions() {
    let server = Server::start().await;
    let (ann, bob) = (server.register("ann").await, server.register("bob").await);
    let channel = server.channel(&ann, "support").await;
    let input = json!({"channelId": channel, "title": "Fire", "content": "Help!", "ticket": {"priority": "HIGH"}});
    let mut socket = JsonSocket::open(server.address(), TICKETS, Some(&bob)).await;
    socket.expect("subscribed").await;
    let start = socket.assert_idle().await;
    let id = text(&server.data(Some(&ann), TICKET, json!({"input": input})).await["createMessage"]["id"]);
    let ticket = socket.expect("ticket_created").await["ticket"].take();
    assert_eq!(
        (&ticket["status"], &ticket["priority"], &ticket["assignee_id"]),
        (&json!("open"), &json!("high"), &Value::Null)
    );
    for id in [json!(id), json!(id.parse::<i64>().unwrap())] {
        assert_eq!(
            socket.request(json!({"type": "subscribe", "ticket_id": id}), "subscribed").await["ticket_id"],
            json!(ticket["id"])
        );
    }
    let update = "mutation ($id: ID!, $u: ID!) {
        updateMessage(input: { id: $id, ticket: { status: IN_PROGRESS, assigneeId: $u } }) { id }
        createComment(input: { messageId: $id, content: \"On my way\" }) { id } }";
    server.data(Some(&ann), update, json!({"id": id, "u": bob.id})).await;
    let updated = socket.expect("ticket_updated").await;
    assert_eq!(
        (&updated["ticket"]["status"], &updated["ticket"]["assignee_id"]),
        (&json!("in_progress"), &json!(bob.id))
    );
    assert_eq!(socket.expect("comment_added").await["comment"]["content"], "On my way");
    socket.assert_idle().await;
    socket.request(json!({"type": "unsubscribe", "channel": "tickets"}), "unsubscribed").await;
    server.data(Some(&ann), TICKET, json!({"input": input})).await;
    server.data(Some(&ann), "mutation ($id: ID!) { deleteMessage(id: $id) }", json!({"id": id})).await;
    assert_eq!(socket.expect("ticket_deleted").await["ticket_id"], json!(id));
    assert_eq!(socket.expect("unsubscribed").await["ticket_id"], json!(id));
    assert_eq!(socket.request(json!({"type": "subscribe", "ticket_id": id}), "error").await["code"], "NOT_FOUND");

    // `?after=` is the start cursor of every subscription that has no `after` of its own.
    let path = format!("{TICKETS}?token={}&after={start}", bob.token);
    let mut again = JsonSocket::open_as(server.address(), &path).await;
    again.expect("subscribed").await;
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        kinds.push(text(&again.frame().await["type"]));
    }
    assert_eq!(
        kinds,
        ["ticket_created", "ticket_deleted"],
        "events of a deleted ticket are omitted, its deletion is not"
    );
    again.assert_idle().await;
}

/// A client that lags on `tickets`, and meanwhile subscribes to single tickets and unsubscribes, gets each event once.
#[tokio::test]
async fn ticket_events_come_once_when_single_subscriptions_change_during_lag() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "support").await;
    let start = server.cursor(None).await;
    let mut tickets = Vec::new();
    for title in ["Fire", "Flood"] {
        let input = json!({"channelId": channel, "title": title, "content": "!", "ticket": {}});
        tickets.push(text(&server.data(Some(&ann), TICKET, json!({"input": input})).await["createMessage"]["id"]));
    }
    let change = "mutation ($id: ID!, $text: String!) { updateMessage(input: { id: $id, content: $text }) { cursor } }";
    // More than the buffers between server and client hold: the server is far behind when the client begins to read.
    let long = "x".repeat(39_000);
    let mut expected = 2;
    for i in 0..150 {
        server.data(Some(&ann), change, json!({"id": tickets[i % 2], "text": long})).await;
        expected += 1;
    }
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    let (mut seen, mut frames) = (BTreeSet::new(), 0);
    let mut socket = open(&server, Some(&ann)).await;
    socket.send(json!({"type": "subscribe", "channel": "tickets", "after": start})).await;
    for _ in 0..60 {
        let ticket = &tickets[random.random_range(0..2)];
        match random.random_range(0..3) {
            0 => socket.send(json!({"type": "subscribe", "ticket_id": ticket})).await,
            1 => socket.send(json!({"type": "unsubscribe", "ticket_id": ticket})).await,
            _ => {
                server.data(Some(&ann), change, json!({"id": ticket, "text": long})).await;
                expected += 1;
            }
        }
        for _ in 0..random.random_range(0..4) {
            let frame = socket.frame().await;
            if frame["cursor"].is_string() {
                frames += 1;
                seen.insert(text(&frame["cursor"]));
            }
        }
    }
    socket.send(json!({"type": "ping"})).await;
    let mut served = String::new();
    let end = text(&server.data(None, "{ cursor }", json!({})).await["cursor"]);
    while served != end {
        let frame = socket.frame().await;
        if frame["type"] == "pong" {
            served = text(&frame["cursor"]);
            socket.send(json!({"type": "ping"})).await;
        } else if frame["cursor"].is_string() {
            frames += 1;
            seen.insert(text(&frame["cursor"]));
        }
    }
    assert_eq!((frames, seen.len()), (expected, expected), "number of frames, and of distinct cursors");
}

#[tokio::test]
async fn unread_notifications_are_delivered_on_subscribing() {
    let server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let notify = async |title: String, user: Option<&str>| {
        let input = json!({"userId": user, "title": title, "message": "!", "priority": "HIGH"});
        server.data(Some(&root), NOTIFY, json!({"input": input})).await["notifyUser"].take()
    };
    let mut created = Vec::new();
    for number in 0..250 {
        created.push(notify(format!("{number}"), Some(&ann.id).filter(|_| number % 10 > 0).map(String::as_str)).await);
    }
    let read = "mutation ($id: ID!) { markNotificationRead(id: $id) { id } }";
    for id in [0, 1, 249] {
        server.data(Some(&ann), read, json!({"id": created[id]["id"]})).await;
    }
    let subscribe = json!({"type": "subscribe", "channel": "notifications"});
    let mut socket = open(&server, Some(&ann)).await;
    socket.request(subscribe.clone(), "subscribed").await;
    for expected in &created[2..249] {
        let frame = socket.expect("notification").await;
        assert_eq!(
            (&frame["id"], &frame["cursor"], &frame["priority"]),
            (&expected["id"], &expected["cursor"], &json!("high"))
        );
    }
    socket.assert_idle().await;
    notify("live".into(), Some(&ann.id)).await;
    assert_eq!(socket.expect("notification").await["title"], "live");

    // With a cursor, the subscription delivers what came after it, read or not.
    let mut socket = open(&server, Some(&ann)).await;
    socket
        .request(
            json!({"type": "subscribe", "channel": "notifications", "after": created[247]["cursor"]}),
            "subscribed",
        )
        .await;
    for title in ["248", "249", "live"] {
        assert_eq!(socket.expect("notification").await["title"], title);
    }
    let mut anonymous = open(&server, None).await;
    anonymous.request(subscribe, "subscribed").await;
    notify("psst".into(), Some(&ann.id)).await;
    notify("all".into(), None).await;
    assert_eq!(anonymous.expect("notification").await["title"], "all");
}

#[tokio::test]
async fn dashboard_updates_start_with_the_current_values() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let publish = "mutation ($v: Float!) { publishMetric(input: { metric: \"load\", value: $v }) { metric } }";
    server.data(Some(&root), publish, json!({"v": 523})).await;
    let mut socket = open(&server, None).await;
    socket.request(json!({"type": "subscribe", "channel": "dashboard_updates"}), "subscribed").await;
    let mut seen = BTreeSet::new();
    while seen.len() < 4 {
        let frame = socket.expect("update").await;
        if frame["metric"] == "load" {
            assert_eq!(frame["value"], 523);
        }
        seen.insert(text(&frame["metric"]));
    }
    server.data(Some(&root), publish, json!({"v": 0.5})).await;
    while socket.expect("update").await["value"] != 0.5 {}
}

#[tokio::test]
async fn invalid_frames_get_an_error_that_names_the_field_and_the_socket_stays_open() {
    let server = Server::start_with(|config| {
        config.sockets.max_subscriptions = 2;
        config.sockets.max_frame_bytes = 2_000;
        config.limits.mutations_per_second = 1;
        config.limits.mutation_burst = 3;
    })
    .await;
    let ann = server.register("ann").await;
    let mut socket = open(&server, Some(&ann)).await;
    for (frame, code, field) in [
        ("", "BAD_USER_INPUT", "type"),
        ("{\"type\":\"dance\"}", "BAD_USER_INPUT", "type"),
        ("{\"type\":\"subscribe\",\"channel\":\"weather\"}", "BAD_USER_INPUT", "channel"),
        ("{\"type\":\"join_room\",\"room\":\"\"}", "BAD_USER_INPUT", "room"),
        ("{\"type\":\"subscribe\",\"channel\":\"tickets\",\"after\":\"c1-0000000000000000\"}", "CURSOR_EXPIRED", ""),
    ] {
        socket.send_raw(Message::text(frame)).await;
        let error = socket.expect("error").await;
        assert_eq!(
            (text(&error["code"]).as_str(), error["field"].as_str().unwrap_or_default()),
            (code, field),
            "{frame}"
        );
    }
    for (frame, field) in [
        (json!({"type": "message", "room": "one", "text": 5, "key": "k1"}), "text"),
        (json!({"type": "message", "room": "one", "key": "k1"}), "text"),
        (json!({"type": "message", "room": "one", "text": null, "key": "k1"}), "text"),
        (json!({"type": "message", "text": "x", "key": "k1"}), "room"),
        (json!({"type": "join_room", "room": "one", "after": "yesterday"}), "after"),
        (json!({"type": "join_room", "room": "one", "after": 5}), "after"),
        (json!({"type": "subscribe", "channel": "tickets", "after": "yesterday"}), "after"),
        (json!({"type": "subscribe", "ticket_id": "12", "after": "yesterday"}), "after"),
    ] {
        socket.send_raw(Message::text(frame.to_string())).await;
        let error = socket.expect("error").await;
        assert_eq!((&error["code"], &error["field"]), (&json!("BAD_USER_INPUT"), &json!(field)), "{frame}");
        for named in ["room", "channel", "ticket_id", "key"] {
            assert_eq!(error.get(named), frame.get(named), "{named} of {frame}");
        }
    }
    socket.send_raw(Message::text("\u{FEFF}{\"type\":\"ping\"}")).await;
    socket.expect("pong").await;
    socket.send_raw(Message::text("\u{FEFF}")).await;
    assert_eq!(socket.expect("error").await["code"], "BAD_USER_INPUT");
    socket.send_raw(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(socket.expect("error").await["code"], "BAD_USER_INPUT");
    socket.request(json!({"type": "join_room", "room": "one"}), "joined").await;
    socket.request(json!({"type": "subscribe", "channel": "notifications"}), "subscribed").await;
    assert_eq!(
        socket.request(json!({"type": "subscribe", "channel": "tickets"}), "error").await["code"],
        "QUERY_TOO_COMPLEX"
    );
    let message = json!({"type": "message", "room": "one", "text": " ", "key": "k"});
    let error = socket.request(message, "error").await;
    assert_eq!((&error["field"], &error["key"], &error["room"]), (&json!("text"), &json!("k"), &json!("one")));
    let mut limited = json!({});
    while limited["code"] != "RATE_LIMITED" {
        socket.send(json!({"type": "message", "room": "one", "text": "!"})).await;
        limited = socket.frame().await;
    }
    assert!(limited["retry_after_ms"].as_i64().is_some_and(|wait| wait > 0), "{limited}");
    socket.send_raw(Message::text(" ".repeat(3_000))).await;
    let code = loop {
        if let Err(code) = socket.next().await {
            break code;
        }
    };
    assert_eq!(code, 1009);
}

#[tokio::test]
async fn missed_events_are_replayed_once_and_in_order_on_every_instance() {
    const EACH: usize = 1_000;
    let server = Server::start().await;
    let other = second_instance(&server).await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let (one, two) = (server.channel(&ann, "one").await, server.channel(&ann, "two").await);
    let mut socket = open(&server, Some(&ann)).await;
    socket.request(json!({"type": "join_room", "room": "one"}), "joined").await;
    let start = socket.assert_idle().await;
    drop(socket);
    let (mut messages, mut notes) = (Vec::new(), Vec::new());
    let mut middle = String::new();
    for number in 0..EACH {
        let input = json!({"userId": ann.id, "title": number.to_string(), "message": "!"});
        notes.push(text(&server.data(Some(&root), NOTIFY, json!({"input": input})).await["notifyUser"]["id"]));
        messages.push(server.post(&ann, &one, &number.to_string()).await);
        server.post(&ann, &two, &number.to_string()).await;
        if number == EACH / 2 {
            middle = server.cursor(Some(&ann)).await;
        }
    }
    for server in [&server, &other] {
        let mut socket = open(server, Some(&ann)).await;
        socket.send(json!({"type": "join_room", "room": "one", "after": start})).await;
        socket.send(json!({"type": "join_room", "room": "two", "after": middle})).await;
        socket.send(json!({"type": "subscribe", "channel": "notifications", "after": start})).await;
        let (mut ones, mut twos, mut noted) = (Vec::new(), 0, Vec::new());
        while ones.len() < EACH || noted.len() < EACH || twos < EACH - EACH / 2 - 1 {
            let frame = socket.frame().await;
            match (frame["type"].as_str(), frame["room"].as_str()) {
                (Some("message"), Some("one")) => ones.push(text(&frame["id"])),
                (Some("message"), _) => twos += 1,
                (Some("notification"), _) => noted.push(text(&frame["id"])),
                _ => {}
            }
        }
        assert!(ones == messages && noted == notes, "every message and notification comes once and in order");
        assert_eq!(twos, EACH - EACH / 2 - 1);
        let position = socket.assert_idle().await;
        let last = text(&server.data(Some(&ann), "{ cursor }", json!({})).await["cursor"]);
        assert_eq!(position, last, "the pong's cursor is the head of the log");
    }
}

/// The server slows the client down; it rejects nothing and loses nothing. (Unit tests in `web/socket/pace.rs` check
/// the rate.)
#[tokio::test]
async fn frames_above_the_rate_limit_are_delayed_and_answered() {
    let server = Server::start_with(|config| config.sockets.frames_per_second = 100).await;
    let mut socket = open(&server, None).await;
    // The burst limit covers the first frames; the rest is read at the configured rate.
    for _ in 0..400 {
        socket.send(json!({"type": "ping"})).await;
    }
    for _ in 0..400 {
        socket.expect("pong").await;
    }
}
