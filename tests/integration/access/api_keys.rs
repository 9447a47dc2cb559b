//! API keys over real connections: how they are presented, what they are limited to, and when they end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings::model::Timestamp;

use crate::support::json_socket::CONNECT;
use crate::support::{JsonSocket, Report, Server, Session, text, with_timeout};

const CREATE: &str = "mutation ($input: CreateApiKeyInput!) {
    createApiKey(input: $input) { secret apiKey { id name userId scopes channelIds mutationsPerSecond expiresAt } } }";
const REVOKE: &str = "mutation ($id: ID!) { revokeApiKey(id: $id) { id revokedAt } }";
const ME: &str = "{ me { username } }";

/// A new key of a user, as a session whose token is the secret.
async fn key(server: &Server, admin: &Session, user: &Session, more: Value) -> (String, Session) {
    let mut input = json!({"name": "test", "userId": user.id, "scopes": ["READ", "WRITE"]});
    for (field, value) in more.as_object().expect("an object") {
        input[field] = value.clone();
    }
    let made = server.data(Some(admin), CREATE, json!({"input": input})).await["createApiKey"].clone();
    let session = Session { id: user.id.clone(), username: user.username.clone(), token: text(&made["secret"]) };
    (text(&made["apiKey"]["id"]), session)
}

#[tokio::test]
async fn a_secret_is_accepted_wherever_a_token_is() {
    let server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    server.channel(&ann, "garden").await;
    let (_, key) = key(&server, &root, &ann, json!({})).await;
    assert_eq!(server.data(Some(&key), ME, json!({})).await["me"]["username"], "ann");
    let mut socket = server.socket(Some(&key)).await;
    socket.subscribe("1", "subscription { messageAdded { content } }", json!({})).await;
    socket.assert_idle().await;
    let mut json_socket = JsonSocket::open(server.address(), CONNECT, Some(&key)).await;
    json_socket.request(json!({"type": "join_room", "room": "garden"}), "joined").await;
    for wrong in ["tdk_", "tdk_00", &format!("{}0", &key.token[..key.token.len() - 1]), &key.token.to_uppercase()] {
        let wrong = Session { token: wrong.to_owned(), ..key.clone() };
        if wrong.token != key.token {
            assert_eq!(server.error_code(Some(&wrong), ME, json!({})).await, "UNAUTHENTICATED");
        }
    }
}

#[tokio::test]
async fn the_secret_is_shown_once_and_keys_are_listed_with_their_last_use() {
    let mut server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let (used, session) = key(&server, &root, &ann, json!({"name": "used"})).await;
    let (unused, _) = key(&server, &root, &ann, json!({"name": "unused"})).await;
    server.data(Some(&session), ME, json!({})).await;
    // The times are written once a minute, and when the server stops.
    server.restart().await;
    let query = "{ apiKeys { id name scopes channelIds lastUsedAt revokedAt user { username } } }";
    let listed = server.data(Some(&root), query, json!({})).await["apiKeys"].clone();
    let listed = listed.as_array().expect("a list");
    assert_eq!([&listed[0]["id"], &listed[1]["id"]], [&json!(used), &json!(unused)]);
    assert!(listed[0]["lastUsedAt"].is_string(), "{listed:?}");
    assert_eq!(listed[1]["lastUsedAt"], Value::Null);
    assert_eq!(listed[0]["scopes"], json!(["READ", "WRITE"]));
    assert_eq!(listed[0]["user"]["username"], "ann");
    let database = std::fs::read(server.directory().join("tidings.db")).unwrap_or_default();
    let secret = session.token.as_bytes();
    assert!(!database.windows(secret.len()).any(|window| window == secret), "the secret is in the database");
    assert_eq!(server.data(Some(&session), ME, json!({})).await["me"]["username"], "ann", "valid after a restart");
}

#[tokio::test]
async fn a_limited_key_receives_only_events_of_its_channels_live_and_in_a_replay() {
    let server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let here = server.channel(&ann, "here").await;
    let elsewhere = server.channel(&ann, "elsewhere").await;
    let before = server.cursor(Some(&ann)).await;
    let (_, key) = key(&server, &root, &ann, json!({"channelIds": [here]})).await;
    let document = "subscription ($after: Cursor) { events(after: $after) {
        __typename ... on MessageAdded { message { content } } ... on CommentAdded { comment { content } }
        ... on NotificationAdded { notification { title } } } }";
    let post = async |channel: &str, content: &str| {
        let id = server.post(&ann, channel, content).await;
        let comment = "mutation ($m: ID!, $c: String!) { createComment(input: {messageId: $m, content: $c}) { id } }";
        server.data(Some(&ann), comment, json!({"m": id, "c": format!("on {content}")})).await;
    };
    let announce = async || {
        let notify = "mutation { notifyUser(input: {title: \"all\", message: \"all\"}) { id } }";
        server.data(Some(&root), notify, json!({})).await;
    };
    post(&elsewhere, "hidden").await;
    announce().await;
    post(&here, "shown").await;
    let mut socket = server.socket(Some(&key)).await;
    socket.subscribe("1", document, json!({"after": before})).await;
    for contents in [["shown", "on shown"], ["shown live", "on shown live"]] {
        for content in contents {
            let item = loop {
                let item = socket.item("1").await;
                if item["events"]["__typename"] != "Checkpoint" {
                    break item.to_string();
                }
            };
            assert!(item.contains(&format!("\"{content}\"")), "{item} instead of {content}");
        }
        post(&elsewhere, "hidden live").await;
        announce().await;
        post(&here, "shown live").await;
    }
    let mut json_socket = JsonSocket::open(server.address(), CONNECT, Some(&key)).await;
    json_socket.request(json!({"type": "join_room", "room": "here"}), "joined").await;
    json_socket.request(json!({"type": "join_room", "room": "elsewhere"}), "error").await;
}

#[tokio::test]
async fn a_key_has_its_own_rate_of_mutations() {
    let server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let channel = server.channel(&ann, "garden").await;
    let (_, slow) = key(&server, &root, &ann, json!({"mutationsPerSecond": 1})).await;
    let (_, other) = key(&server, &root, &ann, json!({})).await;
    let post = "mutation ($c: ID!) { createMessage(input: {channelId: $c, content: \"hello\"}) { id } }";
    let mut refused = Value::Null;
    // Four mutations at once, then one per second.
    for _ in 0..20 {
        refused = server.execute(Some(&slow), post, json!({"c": channel})).await["errors"][0]["extensions"].clone();
        if !refused.is_null() {
            break;
        }
    }
    assert_eq!(refused["code"], "RATE_LIMITED");
    assert!(refused["retryAfterMs"].as_u64().is_some_and(|wait| wait <= 1_000), "{refused}");
    server.data(Some(&other), post, json!({"c": channel})).await;
    server.data(Some(&ann), post, json!({"c": channel})).await;
}

#[tokio::test]
async fn a_revoked_key_closes_its_connections_and_no_others() {
    let server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let (revoked, first) = key(&server, &root, &ann, json!({})).await;
    let (_, second) = key(&server, &root, &ann, json!({})).await;
    let mut sockets = Vec::new();
    for _ in 0..200 {
        sockets.push(server.socket(Some(&first)).await);
    }
    let mut json_socket = JsonSocket::open(server.address(), CONNECT, Some(&first)).await;
    let (mut kept, mut session) = (server.socket(Some(&second)).await, server.socket(Some(&ann)).await);
    let start = Instant::now();
    let (delays, _) = tokio::join!(
        futures_util::future::join_all(sockets.iter_mut().map(async |socket| {
            assert_eq!(socket.close_code().await, 4403);
            start.elapsed()
        })),
        server.data(Some(&root), REVOKE, json!({"id": revoked}))
    );
    assert_eq!(json_socket.close_code().await, 4403);
    let longest = delays.into_iter().max().unwrap_or_default();
    Report::new(format!("200 sockets of a revoked key are closed after {longest:?} at the latest"));
    assert_eq!(server.error_code(Some(&first), ME, json!({})).await, "UNAUTHENTICATED");
    for (socket, id) in [(&mut kept, "a"), (&mut session, "b")] {
        socket.subscribe(id, "subscription { messageAdded { content } }", json!({})).await;
        socket.assert_idle().await;
    }
    assert_eq!(server.data(Some(&second), ME, json!({})).await["me"]["username"], "ann");
}

#[tokio::test]
async fn a_key_ends_when_its_user_is_disabled_but_not_with_the_users_sessions() {
    let server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let (_, key) = key(&server, &root, &ann, json!({})).await;
    let mut socket = server.socket(Some(&key)).await;
    server.data(Some(&ann), "mutation { logoutEverywhere }", json!({})).await;
    assert_eq!(server.error_code(Some(&ann), ME, json!({})).await, "UNAUTHENTICATED");
    assert_eq!(server.data(Some(&key), ME, json!({})).await["me"]["username"], "ann");
    socket.subscribe("1", "subscription { messageAdded { content } }", json!({})).await;
    socket.assert_idle().await;
    let disable = "mutation ($id: ID!) { setUserDisabled(userId: $id, disabled: true) { id } }";
    server.data(Some(&root), disable, json!({"id": ann.id})).await;
    assert_eq!(socket.close_code().await, 4403);
    assert_eq!(server.error_code(Some(&key), ME, json!({})).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn an_expired_key_closes_its_sockets_and_is_refused() {
    let server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let expires_at = Timestamp::now().after(Duration::from_secs(2));
    let (_, key) = key(&server, &root, &ann, json!({"expiresAt": expires_at.rfc3339()})).await;
    let mut socket = server.socket(Some(&key)).await;
    assert_eq!(socket.close_code().await, 4403);
    assert!(Timestamp::now() >= expires_at, "the socket was closed before the key expired");
    let refused = async {
        while server.execute(Some(&key), ME, json!({})).await["errors"][0]["extensions"]["code"] != "UNAUTHENTICATED" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    with_timeout("the end of the key", refused).await;
}

#[tokio::test]
async fn a_key_whose_channels_were_deleted_reads_nothing() {
    let server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let channel = server.channel(&ann, "garden").await;
    server.channel(&ann, "other").await;
    let (_, key) = key(&server, &root, &ann, json!({"channelIds": [channel]})).await;
    let query = "{ channels { nodes { name } } }";
    let names = server.data(Some(&key), query, json!({})).await["channels"]["nodes"].clone();
    assert_eq!(names, json!([{"name": "garden"}]));
    server.data(Some(&ann), "mutation ($id: ID!) { deleteChannel(id: $id) }", json!({"id": channel})).await;
    let names = server.data(Some(&key), query, json!({})).await["channels"]["nodes"].clone();
    assert_eq!(names, json!([]));
}
