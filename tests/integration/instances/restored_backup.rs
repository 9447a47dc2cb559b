//! The database is replaced by a backup, below running instances and subscribers.

use serde_json::json;

use super::{on_database, postgres};
use crate::subscriptions::events_until_checkpoint;
use crate::support::database::Postgres;
use crate::support::{Server, text, with_timeout};

const EVENTS: &str = "subscription ($after: Cursor) { events(after: $after) { __typename cursor
    ... on MessageAdded { message { content } } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restore_undone_cursors_expire_and_new_events_are_delivered() {
    let postgres = postgres("restored", &["fsync=off"]).await;
    let name = postgres.create_database();
    let url = postgres.url(postgres.port(), &name);
    let mut server = Server::start_with(on_database(&url)).await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    server.post(&ann, &channel, "before the backup").await;
    let kept = server.cursor(Some(&ann)).await;
    server.close().await;
    postgres.run("createdb", &["-T", &name, "backup"]);
    server.open().await;
    let undone = server.post(&ann, &channel, "after the backup").await;
    let lost = server.cursor(Some(&ann)).await;
    let mut follower = server.socket(Some(&ann)).await;
    follower.subscribe("e", EVENTS, json!({"after": kept})).await;
    assert_eq!(events_until_checkpoint(&mut follower, "e").await.len(), 1);

    let other = Server::start_with(on_database(&url)).await;
    tokio::task::block_in_place(|| restore(&postgres, &name));
    // A subscriber that received undone events must not continue silently.
    assert_eq!(follower.error_code("e").await, "CURSOR_EXPIRED");
    for server in [&server, &other] {
        let content = with_timeout("the restored state", async {
            loop {
                let query = "{ messages { nodes { content } } }";
                let answer = server.execute(Some(&ann), query, json!({})).await;
                if answer.get("errors").is_none() {
                    return answer["data"]["messages"]["nodes"].clone();
                }
            }
        });
        assert_eq!(content.await, json!([{"content": "before the backup"}]));
    }
    // The log continues after the backup, with the same `seq` values but other tags.
    let redone = server.post(&ann, &channel, "after the restore").await;
    assert_eq!(redone, undone, "ids are reused after the restore");
    for server in [&server, &other] {
        let mut socket = server.socket(Some(&ann)).await;
        socket.subscribe("old", EVENTS, json!({"after": lost})).await;
        // The other instance may still hold the cursor as its newest for a moment, and then answers with a checkpoint.
        let refused = loop {
            let frame = socket.frame().await;
            if frame["payload"]["data"]["events"]["__typename"] != "Checkpoint" {
                break frame;
            }
        };
        assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("old")), "{refused}");
        assert_eq!(text(&refused["payload"][0]["extensions"]["code"]), "CURSOR_EXPIRED");
        socket.subscribe("e", EVENTS, json!({"after": kept})).await;
        // The other instance may not have read the new event yet. Then the event comes after the checkpoint.
        let event = loop {
            let event = socket.item("e").await["events"].take();
            if event["__typename"] != "Checkpoint" {
                break event;
            }
        };
        assert_eq!(text(&event["message"]["content"]), "after the restore");
    }
}

/// Replaces the database by the backup, as an operator does. No connection to it may remain.
fn restore(postgres: &Postgres, name: &str) {
    let sql = format!(
        "ALTER DATABASE {name} ALLOW_CONNECTIONS false; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}';"
    );
    postgres.run("psql", &["-qAt", "-d", "postgres", "-c", "SELECT 1", "-c", &sql]);
    let count = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
    while postgres.run("psql", &["-qAt", "-d", "postgres", "-c", &count]).trim() != "0" {}
    let rename = format!("ALTER DATABASE {name} RENAME TO undone; ALTER DATABASE backup RENAME TO {name};");
    postgres.run("psql", &["-qAt", "-d", "postgres", "-c", &rename]);
}
