//! Deleted users: their sessions end at once, and their data are removed.

use serde_json::{Value, json};

use crate::support::{PASSWORD, Server, Session, text};

const DELETE: &str = "mutation ($id: ID!, $content: ContentPolicy!) { deleteUser(id: $id, content: $content) }";
const TEXTS: &str = "{ messages(first: 10) { nodes { content author { username displayName }
    comments { nodes { content author { displayName } } } } } templates { nodes { content } }
    notifications { nodes { title message } } users { nodes { username } } }";

async fn delete(server: &Server, by: &Session, user: &Session, content: &str) {
    let deleted = server.data(Some(by), DELETE, json!({"id": user.id, "content": content})).await;
    assert_eq!(deleted["deleteUser"], json!(user.id));
    server.board().remover.remove_deleted_users().await.expect("removed");
}

/// A server on which zoe and ben have written, and zoe has notified ben. Returns the message of ben.
async fn written(server: &Server, zoe: &Session, ben: &Session) -> String {
    let channel = server.channel(ben, "general").await;
    server.post(zoe, &channel, "a secret of zoe, @ben").await;
    let message = server.post(ben, &channel, "a text of ben").await;
    let comment = "mutation ($m: ID!, $c: String!) { createComment(input: { messageId: $m, content: $c }) { id } }";
    server.data(Some(zoe), comment, json!({"m": message, "c": "a comment of zoe"})).await;
    server.data(Some(ben), comment, json!({"m": message, "c": "a comment of ben"})).await;
    let template = "mutation { addTemplate(input: { name: \"t\", content: \"a template of zoe\" }) { id } }";
    server.data(Some(zoe), template, json!({})).await;
    message
}

#[tokio::test]
async fn a_deleted_user_is_signed_out_at_once_and_the_name_is_gone() {
    let server = Server::start().await;
    let (root, zoe, ben) = (server.admin("root").await, server.register("zoe").await, server.register("ben").await);
    written(&server, &zoe, &ben).await;
    let mut socket = server.socket(Some(&zoe)).await;
    delete(&server, &root, &zoe, "KEEP").await;
    assert_eq!(socket.close_code().await, 4403);
    assert_eq!(server.error_code(Some(&zoe), "{ me { id } }", json!({})).await, "UNAUTHENTICATED");
    let login = "mutation ($p: String!) { login(input: { username: \"zoe\", password: $p }) { token } }";
    assert_eq!(server.error_code(None, login, json!({"p": PASSWORD})).await, "UNAUTHENTICATED");
    let seen = server.data(Some(&ben), TEXTS, json!({})).await;
    assert_eq!(seen["users"]["nodes"], json!([{"username": "ben"}, {"username": "root"}]));
    let of_ann = &seen["messages"]["nodes"][1];
    assert_eq!(of_ann["content"], "a secret of zoe, @ben");
    assert_eq!(of_ann["author"]["displayName"], "Deleted user");
    assert_eq!(server.error_code(Some(&root), DELETE, json!({"id": zoe.id, "content": "KEEP"})).await, "NOT_FOUND");
    let enable = "mutation ($id: ID!) { setUserDisabled(userId: $id, disabled: false) { id } }";
    assert_eq!(server.error_code(Some(&root), enable, json!({"id": zoe.id})).await, "NOT_FOUND");
    server.register("zoe").await;
}

#[tokio::test]
async fn an_erased_user_leaves_no_texts_anywhere() {
    let server = Server::start().await;
    let (zoe, ben) = (server.register("zoe").await, server.register("ben").await);
    let before = server.cursor(Some(&ben)).await;
    written(&server, &zoe, &ben).await;
    delete(&server, &zoe, &zoe, "ERASE").await;
    let seen = server.data(Some(&ben), TEXTS, json!({})).await;
    let all = seen.to_string();
    assert!(!all.contains("zoe"), "{all}");
    assert!(all.contains("a text of ben") && all.contains("a comment of ben"), "{all}");
    let mut socket = server.socket(Some(&ben)).await;
    let events = "subscription ($after: Cursor) { events(after: $after) { __typename
        ... on MessageAdded { message { content author { username displayName } } }
        ... on CommentAdded { comment { content author { username displayName } } }
        ... on NotificationAdded { notification { title message } } ... on TemplateAdded { template { content } } } }";
    socket.subscribe("e", events, json!({"after": before})).await;
    let mut replayed = Vec::new();
    loop {
        let event = socket.item("e").await["events"].clone();
        if event["__typename"] == "Checkpoint" {
            break;
        }
        replayed.push(event);
    }
    let replayed = json!(replayed).to_string();
    assert!(!replayed.contains("zoe"), "{replayed}");
    assert!(replayed.contains("MessageDeleted") && replayed.contains("a text of ben"), "{replayed}");
}

#[tokio::test]
async fn broadcasts_and_application_events_of_an_erased_user_are_not_replayed() {
    let server = Server::start().await;
    let (root, zoe) = (server.admin("root").await, server.admin("zoe").await);
    server.channel(&root, "general").await;
    let before = server.cursor(Some(&root)).await;
    let broadcast = "mutation { broadcast(input: { room: \"general\", data: { secret: \"of zoe\" } }) }";
    server.data(Some(&zoe), broadcast, json!({})).await;
    let publish = "mutation { publish(input: { channel: \"general\", type: \"t\", idempotencyKey: \"key of zoe\", \
                   data: { secret: \"of zoe\" } }) { cursor } }";
    server.data(Some(&zoe), publish, json!({})).await;
    delete(&server, &root, &zoe, "ERASE").await;
    let mut socket = server.socket(Some(&root)).await;
    let events = "subscription ($after: Cursor) { events(after: $after) { __typename ... on RoomBroadcast { data } ... on AppEvent { type value: data key } } }";
    socket.subscribe("e", events, json!({"after": before})).await;
    let mut seen: Vec<String> = Vec::new();
    while seen.last().is_none_or(|last| last != "Checkpoint") {
        let event: Value = socket.item("e").await["events"].clone();
        assert!(!event.to_string().contains("of zoe"), "{event}");
        seen.push(text(&event["__typename"]));
    }
    assert!(!seen.iter().any(|kind| kind == "RoomBroadcast" || kind == "AppEvent"), "{seen:?}");
}

#[tokio::test]
async fn other_members_cannot_delete_a_user() {
    let server = Server::start().await;
    let (zoe, ben) = (server.register("zoe").await, server.register("ben").await);
    assert_eq!(server.error_code(Some(&zoe), DELETE, json!({"id": ben.id, "content": "ERASE"})).await, "FORBIDDEN");
    assert_eq!(server.error_code(None, DELETE, json!({"id": ben.id, "content": "ERASE"})).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn the_api_keys_of_a_deleted_user_end_and_are_removed() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    for content in ["KEEP", "ERASE"] {
        let user = server.register(&format!("user{}", content.to_lowercase())).await;
        let create = "mutation ($user: ID!) {
            createApiKey(input: { name: \"laptop of a user\", userId: $user, scopes: [READ] }) { secret } }";
        let created = server.data(Some(&root), create, json!({"user": user.id})).await;
        let key = Session { token: text(&created["createApiKey"]["secret"]), ..user.clone() };
        let mut socket = server.socket(Some(&key)).await;
        delete(&server, &root, &user, content).await;
        assert_eq!(socket.close_code().await, 4403, "{content}");
        assert_eq!(server.error_code(Some(&key), "{ me { id } }", json!({})).await, "UNAUTHENTICATED", "{content}");
        let keys = server.data(Some(&root), "{ apiKeys { name } }", json!({})).await;
        assert_eq!(keys["apiKeys"], json!([]), "{content}");
    }
}
