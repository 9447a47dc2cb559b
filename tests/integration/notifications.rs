//! Notifications: which changes notify which users, and reading them.

use serde_json::{Value, json};

use crate::support::{Server, Session, text};

const ADDED: &str = "subscription ($after: Cursor) { notificationAdded(after: $after) { userId title message priority messageId cursor } }";

async fn create(server: &Server, by: &Session, input: Value) -> String {
    let query = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }";
    text(&server.data(Some(by), query, json!({"input": input})).await["createMessage"]["id"])
}

async fn comment(server: &Server, by: &Session, message: &str, content: &str) {
    let query = "mutation ($input: CreateCommentInput!) { createComment(input: $input) { id } }";
    server.data(Some(by), query, json!({"input": {"messageId": message, "content": content}})).await;
}

/// The title and message id of each notification of a user, oldest first.
async fn notifications_of(server: &Server, user: &Session) -> Vec<(String, Option<String>)> {
    let data = server.data(Some(user), "{ notifications(last: 50) { nodes { title messageId } } }", json!({})).await;
    let nodes = data["notifications"]["nodes"].as_array().expect("nodes");
    let notifications_of =
        nodes.iter().map(|node| (text(&node["title"]), node["messageId"].as_str().map(str::to_owned)));
    notifications_of.rev().collect()
}

#[tokio::test]
async fn users_are_notified_of_mentions_comments_and_assignments_by_others() {
    let server = Server::start().await;
    let (ann, bob, cleo) = (server.register("ann").await, server.register("bob").await, server.register("cleo").await);
    let channel = server.channel(&ann, "general").await;
    let start = server.cursor(Some(&bob)).await;

    let input =
        json!({"channelId": channel, "content": "for @bob, @ann and b@cleo.org", "ticket": {"assigneeId": bob.id}});
    let ticket = create(&server, &ann, input).await;
    comment(&server, &cleo, &ticket, "Hello, @Bob.").await;
    comment(&server, &ann, &ticket, "mine").await;
    comment(&server, &bob, &ticket, "@cleo: yes").await;
    let about = |title: &str| (title.to_owned(), Some(ticket.clone()));
    assert_eq!(notifications_of(&server, &ann).await, [about("A new comment"), about("A new comment")]);
    let bobs = [about("A ticket is yours now"), about("A new comment"), about("A new comment")];
    assert_eq!(notifications_of(&server, &bob).await, bobs);
    assert_eq!(notifications_of(&server, &cleo).await, [about("You were mentioned")]);

    // An edit notifies only newly mentioned users and a new assignee.
    let update = "mutation ($input: UpdateMessageInput!) { updateMessage(input: $input) { id } }";
    let edit = json!({"id": ticket, "content": "for @bob and @cleo", "ticket": {"assigneeId": bob.id}});
    server.data(Some(&ann), update, json!({"input": edit})).await;
    assert_eq!(notifications_of(&server, &bob).await.len(), 3);
    assert_eq!(notifications_of(&server, &cleo).await.len(), 2);

    // A subscription with a cursor replays missed notifications in order.
    let mut socket = server.socket(Some(&bob)).await;
    socket.subscribe("n", ADDED, json!({"after": start})).await;
    for (title, _) in bobs {
        let item = socket.item("n").await;
        assert_eq!(item["notificationAdded"]["title"], title);
        assert_eq!(item["notificationAdded"]["userId"], bob.id);
    }
    let delete = "mutation ($id: ID!) { deleteMessage(id: $id) }";
    server.data(Some(&ann), delete, json!({"id": ticket})).await;
    assert_eq!(
        notifications_of(&server, &cleo).await,
        [("You were mentioned".to_owned(), None), ("You were mentioned".to_owned(), None)]
    );
}

#[tokio::test]
async fn users_are_not_notified_of_unreadable_channels() {
    let server = Server::start().await;
    let (ann, bob) = (server.register("ann").await, server.register("bob").await);
    let make = "mutation { createChannel(input: { name: \"secret\", visibility: PRIVATE }) { id } }";
    let channel = text(&server.data(Some(&ann), make, json!({})).await["createChannel"]["id"]);
    let input = json!({"channelId": channel, "content": "@bob", "ticket": {"assigneeId": ann.id}});
    let ticket = create(&server, &ann, input).await;
    comment(&server, &ann, &ticket, "@bob").await;
    assert_eq!(notifications_of(&server, &bob).await, []);
    let add = "mutation ($c: ID!, $u: ID!) { addMember(channelId: $c, userId: $u) { id } }";
    server.data(Some(&ann), add, json!({"c": channel, "u": bob.id})).await;
    comment(&server, &ann, &ticket, "@bob").await;
    assert_eq!(notifications_of(&server, &bob).await.len(), 1);
}

#[tokio::test]
async fn announcements_reach_all_users_and_are_marked_read_per_user() {
    let server = Server::start().await;
    let (root, ann, bob) = (server.admin("root").await, server.register("ann").await, server.register("bob").await);
    let mut sockets = Vec::new();
    for session in [None, Some(&ann), Some(&bob)] {
        let mut socket = server.socket(session).await;
        socket.subscribe("n", ADDED, json!({})).await;
        socket.assert_idle().await;
        sockets.push(socket);
    }
    let notify = "mutation ($input: NotifyUserInput!) { notifyUser(input: $input) { id readAt } }";
    let input = json!({"userId": ann.id, "title": "Psst", "message": "For you", "priority": "URGENT"});
    server.data(Some(&root), notify, json!({"input": input})).await;
    let input = json!({"title": "Hear, hear", "message": "For all"});
    let created = server.data(Some(&root), notify, json!({"input": input})).await;
    let id = text(&created["notifyUser"]["id"]);
    assert_eq!(sockets[1].item("n").await["notificationAdded"]["priority"], "URGENT");
    for socket in &mut sockets {
        let item = socket.item("n").await;
        assert_eq!(item["notificationAdded"]["title"], "Hear, hear");
        assert_eq!(item["notificationAdded"]["userId"], Value::Null);
    }
    let unread = "{ notifications(unreadOnly: true) { nodes { id } } }";
    let read = "mutation ($id: ID!) { markNotificationRead(id: $id) { readAt } }";
    let first = server.data(Some(&ann), read, json!({"id": id})).await;
    assert!(first["markNotificationRead"]["readAt"].is_string(), "{first}");
    let again = server.data(Some(&ann), read, json!({"id": id})).await;
    assert_eq!(first, again, "marking a notification again keeps the first time");
    let count = async |user| {
        server.data(Some(user), unread, json!({})).await["notifications"]["nodes"].as_array().unwrap().len()
    };
    assert_eq!((count(&ann).await, count(&bob).await), (1, 1));
}

#[tokio::test]
async fn unread_messages_are_counted_per_channel() {
    let server = Server::start().await;
    let (ann, bob) = (server.register("ann").await, server.register("bob").await);
    let (one, two) = (server.channel(&ann, "one").await, server.channel(&ann, "two").await);
    server.post(&ann, &one, "first").await;
    let read_up_to = server.cursor(Some(&bob)).await;
    let second = server.post(&ann, &one, "second").await;
    server.post(&bob, &one, "my own").await;
    server.post(&ann, &two, "elsewhere").await;
    let counts = async || {
        let data = server.data(Some(&bob), "{ channels { nodes { unreadCount } } }", json!({})).await;
        let nodes = data["channels"]["nodes"].as_array().expect("nodes").clone();
        nodes.iter().map(|node| node["unreadCount"].as_i64().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!(counts().await, [2, 1]);
    let mark = "mutation ($c: ID!, $u: Cursor!) { markChannelRead(channelId: $c, upTo: $u) { unreadCount } }";
    let marked = server.data(Some(&bob), mark, json!({"c": one, "u": read_up_to})).await;
    assert_eq!(marked["markChannelRead"]["unreadCount"], 1);
    // An edit does not make a message unread, and an earlier cursor does not move the mark back.
    let edit = "mutation ($id: ID!) { updateMessage(input: { id: $id, content: \"edited\" }) { cursor } }";
    let edited = server.data(Some(&ann), edit, json!({"id": second})).await;
    let up_to = &edited["updateMessage"]["cursor"];
    assert_eq!(server.data(Some(&bob), mark, json!({"c": one, "u": up_to})).await["markChannelRead"]["unreadCount"], 0);
    assert_eq!(
        server.data(Some(&bob), mark, json!({"c": one, "u": read_up_to})).await["markChannelRead"]["unreadCount"],
        0
    );
    assert_eq!(counts().await, [0, 1]);
    assert_eq!(
        server.data(None, "{ channels { nodes { unreadCount } } }", json!({})).await["channels"]["nodes"][0]["unreadCount"],
        0
    );
}

#[tokio::test]
async fn a_broadcast_is_replayed_and_removed_with_its_channel() {
    let mut server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let channel = server.channel(&ann, "room").await;
    let start = server.cursor(None).await;
    let data = json!({"a": [1, 2.5, null, true, "x"], "b": {"c": -1}, "big": 5_000_000_000_i64});
    let query = "mutation ($input: BroadcastInput!) { broadcast(input: $input) }";
    server.data(Some(&root), query, json!({"input": {"room": "room", "data": data}})).await;
    let events = "subscription ($c: ID!, $after: Cursor) { events(channelId: $c, after: $after) { ... on RoomBroadcast { channelId data } } }";
    let mut socket = server.socket(None).await;
    socket.subscribe("e", events, json!({"c": channel, "after": start})).await;
    let item = socket.item("e").await;
    let shown = &item["events"]["data"];
    assert_eq!((&shown["a"], &shown["b"]), (&data["a"], &data["b"]));
    assert_eq!(shown["big"].as_f64(), Some(5e9));
    // The broadcast is removed from the log together with its channel.
    server.data(Some(&ann), "mutation ($c: ID!) { deleteChannel(id: $c) }", json!({"c": channel})).await;
    server.restart().await;
    let typed = "subscription ($after: Cursor) { events(after: $after) { __typename } }";
    let mut socket = server.socket(None).await;
    socket.subscribe("e", typed, json!({"after": start})).await;
    assert_eq!(socket.item("e").await["events"]["__typename"], "ChannelDeleted");
    server.channel(&ann, "room").await;
    for (room, data, code) in [("room", json!([1]), "BAD_USER_INPUT"), ("nowhere", json!({}), "NOT_FOUND")] {
        let refusal = server.error_code(Some(&root), query, json!({"input": {"room": room, "data": data}})).await;
        assert_eq!(refusal, code);
    }
}
