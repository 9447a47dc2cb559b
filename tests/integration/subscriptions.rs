//! Live delivery and replay of subscriptions.

use std::sync::Arc;

use serde_json::{Value, json};
use tidings::model::MessageId;
use tidings::store::{BatchState, Effects};

use crate::support::{Decide, Server, Socket};

/// A subscription with every event from which a client folds its state.
pub const EVENTS: &str = "subscription ($after: Cursor) { events(after: $after) { __typename cursor
    ... on MessageAdded { message { id content } } ... on MessageUpdated { message { id content } }
    ... on MessageDeleted { messageId } ... on CommentAdded { comment { id content } }
    ... on ChannelAdded { channel { id name } } ... on ChannelDeleted { channelId } } }";

#[tokio::test]
async fn the_basic_subscriptions_deliver_messages_comments_and_templates() {
    let server = Server::start().await;
    let (ann, ben) = (server.register("ann").await, server.register("ben").await);
    let channel = server.channel(&ann, "general").await;
    let message = server.post(&ann, &channel, "the first").await;
    assert_eq!(message, "1", "the document subscribes to message 1");
    let mut socket = server.socket(Some(&ben)).await;
    socket.subscribe("m", "subscription { messageAdded { id title content authorId createdAt } }", json!({})).await;
    socket
        .subscribe("c", "subscription { commentAdded(messageId: 1) { id content authorId createdAt } }", json!({}))
        .await;
    socket.subscribe("t", "subscription { templateAdded { id name shareLocationIds } }", json!({})).await;
    wait_until_live(&mut socket).await;

    let posted = server.post(&ann, &channel, "the second").await;
    let item = &socket.item("m").await["messageAdded"];
    assert_eq!(
        (&item["id"], &item["content"], &item["authorId"]),
        (&json!(posted), &json!("the second"), &json!(ann.id))
    );
    let comment = "mutation { createComment(input: { messageId: 1, content: \"hear, hear\" }) { id } }";
    server.data(Some(&ann), comment, json!({})).await;
    assert_eq!(socket.item("c").await["commentAdded"]["content"], "hear, hear");
    let template = "mutation { addTemplate(input: { name: \"Hi\", content: \"Hello!\" }) { id } }";
    server.data(Some(&ann), template, json!({})).await;
    assert_eq!(socket.item("t").await["templateAdded"]["name"], "Hi");
}

#[tokio::test]
async fn a_client_with_a_cursor_gets_missed_events_and_then_live_ones() {
    let mut server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let after = server.cursor(None).await;
    let kept = server.post(&ann, &channel, "kept").await;
    let gone = server.post(&ann, &channel, "gone").await;
    server.data(Some(&ann), "mutation ($id: ID!) { deleteMessage(id: $id) }", json!({"id": gone})).await;
    server.restart().await;
    let mut socket = server.socket(None).await;
    socket.subscribe("e", EVENTS, json!({"after": after})).await;
    let missed = events_until_checkpoint(&mut socket, "e").await;
    let shown: Vec<(&str, &str)> = missed.iter().map(|event| (kind(event), message_id(event))).collect();
    assert_eq!(shown, [("MessageAdded", kept.as_str()), ("MessageDeleted", gone.as_str())]);
    let live = server.post(&ann, &channel, "live").await;
    assert_eq!(socket.item("e").await["events"]["message"]["id"], json!(live));
}

#[tokio::test]
async fn a_subscription_completes_when_its_message_is_deleted() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let message = server.post(&ann, &channel, "short-lived").await;
    let before = server.cursor(None).await;
    let mut socket = server.socket(None).await;
    let bound =
        "subscription ($id: ID!, $after: Cursor) { messageDeleted(messageId: $id, after: $after) { id cursor } }";
    socket.subscribe("d", bound, json!({"id": message})).await;
    wait_until_live(&mut socket).await;
    server.data(Some(&ann), "mutation ($id: ID!) { deleteMessage(id: $id) }", json!({"id": message})).await;
    assert_eq!(socket.item("d").await["messageDeleted"]["id"], json!(message));
    assert_eq!(socket.frame().await, json!({"id": "d", "type": "complete"}));
    // The same in a replay that includes the deletion.
    socket.subscribe("again", bound, json!({"id": message, "after": before})).await;
    assert_eq!(socket.item("again").await["messageDeleted"]["id"], json!(message));
    assert_eq!(socket.frame().await, json!({"id": "again", "type": "complete"}));
    // Without a cursor before the deletion, the message does not exist.
    socket.subscribe("late", bound, json!({"id": message})).await;
    assert_eq!(socket.error_code("late").await, "NOT_FOUND");
}

#[tokio::test]
async fn filters_select_a_channel_tickets_or_messages_of_others() {
    let server = Server::start().await;
    let (ann, ben) = (server.register("ann").await, server.register("ben").await);
    let (one, other) = (server.channel(&ann, "one").await, server.channel(&ann, "other").await);
    let mut socket = server.socket(Some(&ann)).await;
    let added = "subscription ($channelId: ID, $tickets: Boolean, $own: Boolean) {
        messageAdded(channelId: $channelId, ticketsOnly: $tickets, excludeOwn: $own) { content } }";
    socket.subscribe("one", added, json!({"channelId": one})).await;
    socket.subscribe("tickets", added, json!({"tickets": true})).await;
    socket.subscribe("others", added, json!({"own": true})).await;
    wait_until_live(&mut socket).await;
    server.post(&ann, &other, "mine elsewhere").await;
    server.post(&ben, &other, "yours elsewhere").await;
    assert_eq!(socket.item("others").await["messageAdded"]["content"], "yours elsewhere");
    server.post(&ann, &one, "mine here").await;
    assert_eq!(socket.item("one").await["messageAdded"]["content"], "mine here");
    let ticket = "mutation ($id: ID!) {
        createMessage(input: { channelId: $id, content: \"a ticket\", ticket: {} }) { ticket { status priority } } }";
    let created = server.data(Some(&ann), ticket, json!({"id": other})).await;
    assert_eq!(created["createMessage"]["ticket"], json!({"status": "OPEN", "priority": "MEDIUM"}));
    assert_eq!(socket.item("tickets").await["messageAdded"]["content"], "a ticket");
    socket.assert_idle().await;
}

#[tokio::test]
async fn cursors_of_other_logs_are_rejected() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let other_server = Server::start().await;
    let bob = other_server.register("bob").await;
    other_server.channel(&bob, "elsewhere").await;
    let foreign = other_server.cursor(None).await;
    server.post(&ann, &channel, "a message").await;
    let mut socket = server.socket(None).await;
    for (after, code) in [
        (foreign.as_str(), "CURSOR_EXPIRED"),
        ("cffffff-0123456789abcdef", "CURSOR_EXPIRED"),
        ("nonsense", "BAD_USER_INPUT"),
        ("", "BAD_USER_INPUT"),
    ] {
        socket.subscribe("x", EVENTS, json!({"after": after})).await;
        assert_eq!(socket.error_code("x").await, code, "{after:?}");
    }
    let edge = server.data(None, "{ channels { pageInfo { endCursor } } }", json!({})).await;
    socket.subscribe("x", EVENTS, json!({"after": edge["channels"]["pageInfo"]["endCursor"]})).await;
    assert_eq!(socket.error_code("x").await, "BAD_USER_INPUT", "the cursor of an edge is not a log cursor");
}

/// A subscription without a cursor must not deliver events that were acknowledged before it, even if the hub has not
/// published them yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_without_a_cursor_skips_acknowledged_events() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let mut socket = server.socket(Some(&ann)).await;
    for round in 0..100 {
        let id = round.to_string();
        server.post(&ann, &channel, "before").await;
        socket.subscribe(&id, "subscription { messageAdded { content } }", json!({})).await;
        socket.assert_idle().await;
        server.post(&ann, &channel, "after").await;
        assert_eq!(socket.item(&id).await["messageAdded"]["content"], "after");
        socket.send(json!({"type": "complete", "id": id})).await;
        socket.assert_idle().await;
    }
}

#[tokio::test]
async fn subscribing_at_the_cursor_of_a_query_leaves_no_gap() {
    const ROUNDS: usize = 1_000;
    let server = Arc::new(Server::start().await);
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (server, ann, channel, stop) = (server.clone(), ann.clone(), channel.clone(), stop.clone());
            tokio::spawn(async move {
                let mut count = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    server.post(&ann, &channel, &format!("{writer}-{count}")).await;
                    count += 1;
                }
            })
        })
        .collect();
    let mut socket = server.socket(None).await;
    let query = "query ($id: ID!) { cursor channel(id: $id) { messages(first: 1) { nodes { id } } } }";
    let added = "subscription ($after: Cursor) { messageAdded(after: $after) { id } }";
    for round in 0..ROUNDS {
        let known = server.data(None, query, json!({"id": channel})).await;
        let newest = known["channel"]["messages"]["nodes"][0]["id"].as_str().map_or(0, |id| id.parse::<u64>().unwrap());
        let id = round.to_string();
        socket.subscribe(&id, added, json!({"after": known["cursor"]})).await;
        for next in 1..=3 {
            let item = socket.item(&id).await;
            assert_eq!(item["messageAdded"]["id"], json!((newest + next).to_string()), "round {round}");
        }
        socket.send(json!({"type": "complete", "id": id})).await;
        socket.send(json!({"type": "ping"})).await;
        while socket.frame().await["type"] != "pong" {}
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("a writer");
    }
}

/// Waits until every subscription sent before is live. Subscriptions are started in order, but opened on other threads.
/// So two further subscriptions are opened and awaited here.
async fn wait_until_live(socket: &mut Socket) {
    socket.assert_idle().await;
    for _ in 0..2 {
        socket.subscribe("live?", "subscription { events { __typename } }", json!({})).await;
        assert_eq!(socket.item("live?").await["events"]["__typename"], "Checkpoint");
        socket.send(json!({"type": "complete", "id": "live?"})).await;
        socket.assert_idle().await;
    }
}

/// The events before the checkpoint that ends the replay.
pub async fn events_until_checkpoint(socket: &mut Socket, id: &str) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let event = socket.item(id).await["events"].take();
        if event["__typename"] == "Checkpoint" {
            return events;
        }
        events.push(event);
    }
}

fn kind(event: &Value) -> &str {
    event["__typename"].as_str().expect("a kind")
}

fn message_id(event: &Value) -> &str {
    let id = if event["messageId"].is_null() { &event["message"]["id"] } else { &event["messageId"] };
    id.as_str().expect("an id")
}

/// The database may be ahead of the delivered events. An event whose object is already deleted must be omitted as a
/// whole.
#[tokio::test]
async fn events_of_already_deleted_objects_are_skipped() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let start = server.cursor(None).await;
    let message = server.post(&ann, &channel, "soon gone").await;
    let comment = "mutation ($m: ID!) { createComment(input: { messageId: $m, content: \"!\" }) { id } }";
    server.data(Some(&ann), comment, json!({"m": message})).await;
    let id = MessageId(message.parse().expect("a number"));
    let deleting = server.board().store().write(Decide(move |_: &BatchState, effects: &mut Effects| {
        // Without an event.
        effects.delete_message(id);
        Ok(())
    }));
    deleting.await.expect("the deletion");
    let mut socket = server.socket(Some(&ann)).await;
    let query = "subscription ($after: Cursor) { commentAdded(after: $after) { content message { title } } }";
    socket.subscribe("c", query, json!({"after": start})).await;
    let other = server.post(&ann, &channel, "it stays").await;
    server.data(Some(&ann), comment, json!({"m": other})).await;
    assert_eq!(socket.item("c").await["commentAdded"]["message"], json!({"title": null}));
    socket.assert_idle().await;
}
