//! A backup is put in place of the database, below instances that run and clients that follow.

use serde_json::json;

use super::{on, postgres};
use crate::subscriptions::until_live;
use crate::support::database::Postgres;
use crate::support::{Server, soon, text};

const EVENTS: &str = "subscription ($after: Cursor) { events(after: $after) { __typename cursor
    ... on MessageAdded { message { content } } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_of_what_a_restore_undid_are_refused_and_life_goes_on() {
    let postgres = postgres("restored", &["fsync=off"]).await;
    let name = postgres.create_database();
    let url = postgres.url(postgres.port(), &name);
    let mut server = Server::start_with(on(&url)).await;
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
    assert_eq!(until_live(&mut follower, "e").await.len(), 1);

    let other = Server::start_with(on(&url)).await;
    tokio::task::block_in_place(|| restore(&postgres, &name));
    // Whoever had seen what is undone must not go on as if nothing were.
    assert_eq!(follower.refusal("e").await, "CURSOR_EXPIRED");
    for server in [&server, &other] {
        let content = soon("the restored state", async {
            loop {
                let query = "{ messages { nodes { content } } }";
                let answer = server.ask(Some(&ann), query, json!({})).await;
                if answer.get("errors").is_none() {
                    return answer["data"]["messages"]["nodes"].clone();
                }
            }
        });
        assert_eq!(content.await, json!([{"content": "before the backup"}]));
    }
    // The log goes on from the backup, over the same positions, and is another one.
    let redone = server.post(&ann, &channel, "after the restore").await;
    assert_eq!(redone, undone, "the ids are given again");
    for server in [&server, &other] {
        let mut socket = server.socket(Some(&ann)).await;
        socket.subscribe("old", EVENTS, json!({"after": lost})).await;
        // The other instance may still take it for its newest; not for long.
        let refused = loop {
            let frame = socket.frame().await;
            if frame["payload"]["data"]["events"]["__typename"] != "Checkpoint" {
                break frame;
            }
        };
        assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("old")), "{refused}");
        assert_eq!(text(&refused["payload"][0]["extensions"]["code"]), "CURSOR_EXPIRED");
        socket.subscribe("e", EVENTS, json!({"after": kept})).await;
        // The other instance may still have to hear of it: then it comes when it is live.
        let event = loop {
            let event = socket.item("e").await["events"].take();
            if event["__typename"] != "Checkpoint" {
                break event;
            }
        };
        assert_eq!(text(&event["message"]["content"]), "after the restore");
    }
}

/// Puts the backup in the place of the database, as an operator does: nobody may hold on to it.
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
