//! Lists have their log cursor, objects their revision, and events their time and actor. Anonymous viewers get `null`
//! for users instead of an error.

use serde_json::{Value, json};

use crate::support::{Server, Socket, text};

const EVENTS: &str = "subscription ($channelId: ID, $after: Cursor) {
    events(channelId: $channelId, after: $after) { __typename cursor at actorId
        ... on MessageAdded { message { id content cursor revision author { username } } }
        ... on MessageDeleted { messageId channelId }
        ... on ChannelDeleted { channelId }
        ... on RoomBroadcast { channelId }
        ... on UserUpdated { userId }
        ... on AppEvent { channelId type data key }
        ... on AccessChanged { changedChannelId } } }";

async fn next(socket: &mut Socket, id: &str) -> Value {
    socket.item(id).await["events"].clone()
}

async fn events_until_live(socket: &mut Socket, id: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        let event = next(socket, id).await;
        let is_live = event["__typename"] == "Checkpoint";
        seen.push(event);
        if is_live {
            return seen;
        }
    }
}

#[tokio::test]
async fn every_list_has_the_log_cursor_of_its_snapshot() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let message = server.post(&ann, &channel, "the first").await;
    let lists = "query ($message: ID!, $channel: ID!) { cursor
        users { logCursor } channels { logCursor } messages { logCursor } templates { logCursor }
        notifications { logCursor } message(id: $message) { comments { logCursor } }
        channel(id: $channel) { members { logCursor } messages { logCursor } } }";
    let data = server.data(Some(&ann), lists, json!({"message": message, "channel": channel})).await;
    let head = &data["cursor"];
    for path in [
        "/users",
        "/channels",
        "/messages",
        "/templates",
        "/notifications",
        "/message/comments",
        "/channel/members",
        "/channel/messages",
    ] {
        assert_eq!(data.pointer(path).expect(path)["logCursor"], *head, "{path}");
    }
    // Subscribing at that cursor delivers exactly the events that the list does not include.
    server.post(&ann, &channel, "the second").await;
    let mut socket = server.socket(Some(&ann)).await;
    socket.subscribe("e", EVENTS, json!({"after": data["messages"]["logCursor"]})).await;
    let missed = events_until_live(&mut socket, "e").await;
    let contents: Vec<&str> = missed.iter().filter_map(|event| event["message"]["content"].as_str()).collect();
    assert_eq!(contents, ["the second"]);
}

#[tokio::test]
async fn lists_in_a_mutation_have_the_cursor_of_that_mutation() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let two = "mutation ($c: ID!) {
        one: createMessage(input: { channelId: $c, content: \"1\" }) { cursor channel { messages { logCursor nodes { content } } } }
        two: createMessage(input: { channelId: $c, content: \"2\" }) { cursor channel { messages { logCursor nodes { content } } } } }";
    let data = server.data(Some(&ann), two, json!({"c": channel})).await;
    for (field, count) in [("one", 1), ("two", 2)] {
        let list = &data[field]["channel"]["messages"];
        assert_eq!(list["logCursor"], data[field]["cursor"], "{field}");
        assert_eq!(list["nodes"].as_array().map(Vec::len), Some(count), "{field}");
    }
}

#[tokio::test]
async fn replayed_objects_can_be_edited_with_their_revision() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let before = server.cursor(None).await;
    let message = server.post(&ann, &channel, "v1").await;
    let edit = "mutation ($id: ID!, $content: String!, $if: Cursor) {
        updateMessage(input: { id: $id, content: $content, ifCursor: $if }) { cursor revision } }";
    let edited = server.data(Some(&ann), edit, json!({"id": message, "content": "v2"})).await;
    assert_eq!(edited["updateMessage"]["cursor"], edited["updateMessage"]["revision"]);

    let mut socket = server.socket(Some(&ann)).await;
    socket.subscribe("e", EVENTS, json!({"after": before})).await;
    let added = next(&mut socket, "e").await;
    let shown = &added["message"];
    assert_eq!((&shown["content"], &shown["cursor"]), (&json!("v2"), &added["cursor"]));
    assert_eq!(shown["revision"], edited["updateMessage"]["revision"]);

    // `cursor` of a delivered object is the event's position. Only `revision` identifies the state that was shown.
    let stale = json!({"id": message, "content": "v3", "if": shown["cursor"]});
    assert_eq!(server.error_code(Some(&ann), edit, stale).await, "CONFLICT");
    let fresh = json!({"id": message, "content": "v3", "if": shown["revision"]});
    let third = server.data(Some(&ann), edit, fresh.clone()).await;
    assert_eq!(server.error_code(Some(&ann), edit, fresh).await, "CONFLICT", "a revision is valid for one edit only");

    // In a query, `cursor` equals the revision and is accepted as before.
    let query = "query ($id: ID!) { message(id: $id) { cursor revision } }";
    let read = server.data(Some(&ann), query, json!({"id": message})).await["message"].clone();
    assert_eq!((&read["cursor"], &read["revision"]), (&third["updateMessage"]["cursor"], &read["cursor"]));
    server.data(Some(&ann), edit, json!({"id": message, "content": "v4", "if": read["cursor"]})).await;
}

#[tokio::test]
async fn comments_channels_and_templates_have_revisions() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let message = server.post(&ann, &channel, "a message").await;
    let before = server.cursor(None).await;
    let comment = "mutation ($m: ID!) { createComment(input: { messageId: $m, content: \"v1\" }) { id revision } }";
    let comment = server.data(Some(&ann), comment, json!({"m": message})).await["createComment"].clone();
    let edit = "mutation ($id: ID!, $if: Cursor) {
        updateComment(input: { id: $id, content: \"v2\", ifCursor: $if }) { revision } }";
    let second = server.data(Some(&ann), edit, json!({"id": comment["id"], "if": comment["revision"]})).await;
    let rename = "mutation ($id: ID!) { updateChannel(input: { id: $id, description: \"new\" }) { revision cursor } }";
    let renamed = server.data(Some(&ann), rename, json!({"id": channel})).await["updateChannel"].clone();
    let template = "mutation { addTemplate(input: { name: \"t\", content: \"t\" }) { revision cursor } }";
    let template = server.data(Some(&ann), template, json!({})).await["addTemplate"].clone();

    let followed = "subscription ($after: Cursor) { events(after: $after) { __typename cursor
        ... on CommentAdded { comment { revision } } ... on ChannelUpdated { channel { revision cursor } }
        ... on TemplateAdded { template { revision cursor } } } }";
    let mut socket = server.socket(Some(&ann)).await;
    socket.subscribe("e", followed, json!({"after": before})).await;
    let seen = events_until_live(&mut socket, "e").await;
    let of = |kind: &str| seen.iter().find(|event| event["__typename"] == kind).expect("the event").clone();
    assert_eq!(of("CommentAdded")["comment"]["revision"], second["updateComment"]["revision"]);
    assert_eq!(of("ChannelUpdated")["channel"], renamed);
    assert_eq!(of("TemplateAdded")["template"], template);
}

#[tokio::test]
async fn events_have_time_and_actor_live_and_replayed() {
    let server = Server::start().await;
    let (ann, ben) = (server.register("ann").await, server.register("ben").await);
    let channel = server.channel(&ann, "general").await;
    let before = server.cursor(None).await;
    let mut live = server.socket(Some(&ann)).await;
    live.subscribe("e", EVENTS, json!({})).await;
    let checkpoint = next(&mut live, "e").await;
    assert_eq!((&checkpoint["__typename"], &checkpoint["actorId"]), (&json!("Checkpoint"), &Value::Null));
    let sent_at = text(&checkpoint["at"]);

    server.post(&ben, &channel, "hello").await;
    let posted = next(&mut live, "e").await;
    assert_eq!(posted["actorId"], json!(ben.id));
    assert!(text(&posted["at"]) >= sent_at, "{posted} after {sent_at}");

    let mut late = server.socket(Some(&ben)).await;
    late.subscribe("e", EVENTS, json!({"after": before})).await;
    let replayed = next(&mut late, "e").await;
    assert_eq!((&replayed["at"], &replayed["actorId"]), (&posted["at"], &posted["actorId"]));
    // A later checkpoint at the same cursor has a later time.
    let again = next(&mut late, "e").await;
    assert_eq!(again["__typename"], "Checkpoint");
    assert!(text(&again["at"]) > sent_at);

    let mut anonymous = server.socket(None).await;
    anonymous.subscribe("e", EVENTS, json!({"after": before})).await;
    let hidden = next(&mut anonymous, "e").await;
    assert_eq!((&hidden["at"], &hidden["actorId"]), (&posted["at"], &Value::Null));
    assert_eq!((&hidden["message"]["content"], &hidden["message"]["author"]), (&json!("hello"), &Value::Null));
}

#[tokio::test]
async fn access_changed_events_have_changed_channel_id_and_no_channel_id() {
    let server = Server::start().await;
    let (ann, ben) = (server.register("ann").await, server.register("ben").await);
    let channel = server.channel(&ann, "general").await;
    let mut socket = server.socket(Some(&ben)).await;
    socket.subscribe("e", EVENTS, json!({})).await;
    events_until_live(&mut socket, "e").await;
    let private = "mutation ($id: ID!) { updateChannel(input: { id: $id, visibility: PRIVATE }) { id } }";
    server.data(Some(&ann), private, json!({"id": channel})).await;
    let changed = loop {
        let event = next(&mut socket, "e").await;
        if event["__typename"] == "AccessChanged" {
            break event;
        }
    };
    assert_eq!(changed["changedChannelId"], json!(channel));
    assert!(changed.get("channelId").is_none());
}

#[tokio::test]
async fn anonymous_viewers_get_null_for_users_and_all_other_fields() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let message = server.post(&ann, &channel, "a message").await;
    let ticket = "mutation ($id: ID!, $me: ID!) {
        updateMessage(input: { id: $id, ticket: { assigneeId: $me } }) { id } }";
    server.data(Some(&ann), ticket, json!({"id": message, "me": ann.id})).await;
    let comment = "mutation ($m: ID!) { createComment(input: { messageId: $m, content: \"a comment\" }) { id } }";
    server.data(Some(&ann), comment, json!({"m": message})).await;
    let query =
        "{ channels(first: 2) { nodes { owner { id } messages(first: 2) { nodes { content authorId author { id }
        ticket { assignee { id } } comments(first: 2) { nodes { content author { id } } } } } } } }";
    let person = |is_anonymous: bool| if is_anonymous { Value::Null } else { json!({"id": ann.id}) };
    for viewer in [None, Some(&ann)] {
        let data = server.data(viewer, query, json!({})).await;
        let channel = &data["channels"]["nodes"][0];
        let message = &channel["messages"]["nodes"][0];
        let comment = &message["comments"]["nodes"][0];
        assert_eq!((&message["content"], &message["authorId"]), (&json!("a message"), &json!(ann.id)));
        assert_eq!(comment["content"], "a comment");
        for somebody in [&channel["owner"], &message["author"], &message["ticket"]["assignee"], &comment["author"]] {
            assert_eq!(*somebody, person(viewer.is_none()), "{data}");
        }
    }
    // The same for subscription items, which are rendered once and shared.
    for viewer in [None, Some(&ann)] {
        let mut socket = server.socket(viewer).await;
        socket.subscribe("m", "subscription { messageAdded { content author { id } } }", json!({})).await;
        socket.assert_idle().await;
        server.post(&ann, &channel, "another").await;
        let item = socket.item("m").await["messageAdded"].clone();
        assert_eq!(item, json!({"content": "another", "author": person(viewer.is_none())}));
    }
}
