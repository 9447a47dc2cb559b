//! Deleted objects disappear for all users at once; their rows are removed later in bounded steps.

use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _, SqliteConnection};
use serde_json::{Value, json};
use tidings::app::Services;
use tidings::board::Removed;
use tidings::config::Config;
use tidings::model::{ChannelId, MessageId};

use crate::support::{Server, Session, database, text};

/// Number of messages in a large channel, and of comments on a message. `TIDINGS_TEST_ROWS=200000` sets it for a long
/// run.
fn rows() -> usize {
    std::env::var("TIDINGS_TEST_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(3_000)
}

/// Executes statements directly on the database, with or without a running server.
pub fn sql(server: &Server, statements: &str) {
    let url = server.database_url();
    if database::is_postgres() {
        PgConnection::establish(&url).expect("a connection").batch_execute(statements).expect("statements");
    } else {
        let path = url.strip_prefix("sqlite://").expect("a path");
        let mut connection = SqliteConnection::establish(path).expect("a connection");
        connection.batch_execute(&format!("PRAGMA busy_timeout = 5000; {statements}")).expect("statements");
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

/// The number of rows in a table, optionally with a WHERE clause.
fn count(server: &Server, of: &str) -> i64 {
    let (url, query) = (server.database_url(), diesel::sql_query(format!("SELECT count(*) AS count FROM {of}")));
    if database::is_postgres() {
        query.get_result::<Count>(&mut PgConnection::establish(&url).expect("a connection")).expect("a count").count
    } else {
        let path = url.strip_prefix("sqlite://").expect("a path");
        query.get_result::<Count>(&mut SqliteConnection::establish(path).expect("a connection")).expect("a count").count
    }
}

/// SQL for a table of the numbers from 1 to `most`: a WITH clause and a FROM item.
fn numbers(most: usize) -> (String, String) {
    if database::is_postgres() {
        (String::new(), format!("generate_series(1, {most}) AS n(i)"))
    } else {
        (format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {most})"), "n".into())
    }
}

/// Fills a channel with messages of one comment each, and one message with comments and notifications.
fn fill(server: &Server, author: &Session, channel: &str, message: &str) {
    let ((with, series), user) = (numbers(rows()), &author.id);
    sql(
        server,
        &format!(
            "INSERT INTO messages (channel_id, content, author_id, restricted, created_at, updated_at, seq, tag)
                {with} SELECT {channel}, 'text', {user}, false, 0, 0, 0, 0 FROM {series};
             INSERT INTO comments (message_id, content, author_id, created_at, updated_at, seq, tag)
                SELECT id, 'reply', {user}, 0, 0, 0, 0 FROM messages WHERE channel_id = {channel};
             INSERT INTO comments (message_id, content, author_id, created_at, updated_at, seq, tag)
                {with} SELECT {message}, 'reply', {user}, 0, 0, 0, 0 FROM {series};
             INSERT INTO notifications (user_id, title, message, priority, message_id, created_at, seq, tag)
                {with} SELECT {user}, 'title', 'text', 1, {message}, 0, 0, 0 FROM {series};"
        ),
    );
}

/// Opens the service on the same database without a running server, so that only the test changes the database.
async fn open_service(server: &Server) -> Services {
    let config = Config {
        database: server.database_url().parse::<tidings::config::DatabaseUrl>().expect("a URL").into(),
        tokens: tidings::config::TokenSettings { secret: database::secret(), ..Default::default() },
        ..Config::default()
    };
    Services::open(&config).await.expect("the database opens")
}

fn number(id: &str) -> i64 {
    id.parse().expect("an id")
}

#[tokio::test]
async fn rows_are_removed_in_bounded_steps_and_removal_resumes_after_an_interruption() {
    let mut server = Server::start().await;
    let ann = server.register("ann").await;
    let (large, other) = (server.channel(&ann, "large").await, server.channel(&ann, "other").await);
    let commented = server.post(&ann, &other, "much was said").await;
    let kept = server.post(&ann, &other, "to stay").await;
    server.close().await;
    fill(&server, &ann, &large, &commented);

    let first = open_service(&server).await;
    let (viewer, _) = first.board().accounts.authenticate(&ann.token).await.expect("a valid session");
    first.board().channels.delete(&viewer, ChannelId(number(&large))).await.expect("the deletion");
    first.board().messages.delete(&viewer, MessageId(number(&commented))).await.expect("the deletion");
    let all = 4 * i64::try_from(rows()).expect("a number");
    let left = || ["messages", "comments"].map(|table| count(&server, table)).iter().sum::<i64>();
    assert!(left() > all * 2 / 3, "the deletion itself must remove few rows, but only {} of {all} are left", left());

    // The removal is interrupted, as by a crash.
    let before = left();
    while left() == before {
        drop(tokio::time::timeout(Duration::from_millis(20), first.board().remover.remove_deleted()).await);
    }
    let is_stopped = left() > 1;
    println!("stopped in the middle: {} rows of {before} are left", left());
    // The removal lease of the first instance is still valid, so another instance removes nothing.
    let second = open_service(&server).await;
    if is_stopped {
        let idle = second.board().remover.remove_deleted().await.expect("the check for deleted rows");
        assert_eq!(idle, Removed::default(), "only the holder of the lease removes rows");
    }
    let removed = first.board().remover.remove_deleted().await.expect("the removal");
    println!("{removed:?}");
    assert!(removed.most <= 1_000, "{removed:?}");
    assert_eq!(
        ["messages", "comments"].map(|table| count(&server, table)),
        [1, 0],
        "exactly the message that was not deleted is left"
    );
    assert_eq!(count(&server, "notifications WHERE message_id IS NOT NULL"), 0);
    assert_eq!(first.board().remover.remove_deleted().await.expect("the check for deleted rows"), Removed::default());
    for service in [first, second] {
        service.close(Duration::from_secs(5)).await;
    }
    server.open().await;
    let shown = server.data(None, "{ messages { nodes { id } } }", json!({})).await;
    assert_eq!(shown["messages"]["nodes"], json!([{"id": kept}]));
}

#[tokio::test]
async fn objects_marked_as_deleted_are_hidden_from_all_users() {
    let mut server = Server::start().await;
    let (ann, root) = (server.register("ann").await, server.admin("root").await);
    let bob = server.register("bob").await;
    let (doomed, other) = (server.channel(&ann, "doomed").await, server.channel(&ann, "other").await);
    let create = "mutation ($i: CreateMessageInput!) { createMessage(input: $i) { id } }";
    let mut messages = Vec::new();
    for channel in [&doomed, &other] {
        let input = json!({"channelId": channel, "content": "@bob", "ticket": {"assigneeId": ann.id}, "idempotencyKey": channel});
        messages.push(text(&server.data(Some(&ann), create, json!({"i": input})).await["createMessage"]["id"]));
    }
    let mut comments = Vec::new();
    for message in &messages {
        let comment = "mutation ($m: ID!) { createComment(input: { messageId: $m, content: \"x\" }) { id } }";
        let created = server.data(Some(&ann), comment, json!({"m": message})).await;
        comments.push(text(&created["createComment"]["id"]));
    }
    // The state of an interrupted deletion: a channel, and a message in another channel, are marked.
    server.close().await;
    sql(
        &server,
        &format!(
            "UPDATE channels SET deleted_at = 1, emptied_at = 1 WHERE id = {doomed};
             UPDATE messages SET deleted_at = 1 WHERE id = {}; UPDATE log_head SET removing_until = 9000000000000000000, removing_instance = 1;",
            messages[1]
        ),
    );
    server.open().await;
    for user in [&ann, &bob, &root] {
        let all =
            "{ messages(first: 9) { nodes { id } } channels { nodes { id unreadCount messages { nodes { id } } } }
            notifications { nodes { messageId } } }";
        let shown = server.data(Some(user), all, json!({})).await;
        assert_eq!(shown["messages"]["nodes"], json!([]), "{shown}");
        assert_eq!(
            shown["channels"]["nodes"],
            json!([{"id": other, "unreadCount": 0, "messages": {"nodes": []}}]),
            "{shown}"
        );
        let notes = shown["notifications"]["nodes"].as_array().expect("nodes");
        assert!(notes.iter().all(|note| note["messageId"].is_null()), "{shown}");
        for (message, comment) in messages.iter().zip(&comments) {
            let one = "query ($m: ID!) { message(id: $m) { id } }";
            assert_eq!(server.data(Some(user), one, json!({"m": message})).await["message"], Value::Null);
            for (document, id) in [
                ("mutation ($m: ID!) { deleteMessage(id: $m) }", message),
                ("mutation ($m: ID!) { updateMessage(input: { id: $m, content: \"x\" }) { id } }", message),
                ("mutation ($m: ID!) { createComment(input: { messageId: $m, content: \"x\" }) { id } }", message),
                ("mutation ($m: ID!) { updateComment(input: { id: $m, content: \"x\" }) { id } }", comment),
                ("mutation ($m: ID!) { deleteComment(id: $m) }", comment),
            ] {
                assert_eq!(server.error_code(Some(user), document, json!({"m": id})).await, "NOT_FOUND", "{document}");
            }
        }
        assert_eq!(
            server.data(Some(user), "{ channel(name: \"doomed\") { id } }", json!({})).await["channel"],
            Value::Null
        );
    }
    // The idempotency key of a deleted message neither creates a message nor shows the old one.
    let input =
        json!({"channelId": other, "content": "@bob", "ticket": {"assigneeId": ann.id}, "idempotencyKey": other});
    assert_eq!(server.error_code(Some(&ann), create, json!({"i": input})).await, "NOT_FOUND");
    // The name of a deleted channel is free.
    server.channel(&bob, "doomed").await;
}

#[tokio::test]
async fn other_writers_are_served_while_a_large_channel_is_removed() {
    let mut server = Server::start().await;
    let ann = server.register("ann").await;
    let (large, other) = (server.channel(&ann, "large").await, server.channel(&ann, "other").await);
    let commented = server.post(&ann, &other, "much was said").await;
    server.close().await;
    fill(&server, &ann, &large, &commented);
    server.open().await;
    let delete = "mutation ($c: ID!, $m: ID!) { deleteChannel(id: $c) deleteMessage(id: $m) }";
    server.data(Some(&ann), delete, json!({"c": large, "m": commented})).await;
    let (mut waits, mut longest) = (0, Duration::ZERO);
    // The server removes the rows in the background meanwhile.
    while count(&server, &format!("messages WHERE channel_id = {large} OR id = {commented}")) > 0 {
        let since = std::time::Instant::now();
        server.post(&ann, &other, "meanwhile").await;
        longest = longest.max(since.elapsed());
        waits += 1;
        let shown = server.data(Some(&ann), "{ messages(first: 1) { nodes { content } } }", json!({})).await;
        assert_eq!(shown["messages"]["nodes"], json!([{"content": "meanwhile"}]));
        assert!(waits < 100_000, "the rows are not removed");
    }
    println!("{waits} messages were posted while {} rows went; the longest took {longest:?}", 4 * rows());
    assert_eq!(count(&server, "comments"), 0);
}
