//! Lookups during a database outage are retried or rejected. They never count as "not found".

use serde_json::json;

use super::away::database_behind_a_proxy;
use super::{on, outcome};
use crate::support::{Plain, Server, Session, Weather, plain, soon, text};

/// Number of authors whose names are not cached. Their messages exceed what the buffers of a connection hold.
const AUTHORS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_cannot_be_looked_up_is_waited_for_and_nobody_is_shown_without_one() {
    let (_, proxy, through) = database_behind_a_proxy().await;
    let server = Server::start_with(on(&through)).await;
    let mut authors: Vec<Session> = Vec::new();
    for number in 0..AUTHORS {
        authors.push(server.register(&format!("author{number}")).await);
    }
    let reader = server.register("reader").await;
    let channel = server.channel(&reader, "room").await;
    let start = server.cursor(Some(&reader)).await;
    let mut slow = Plain::open_narrow(server.address(), plain::CONNECT, &reader).await;
    slow.ask(json!({"type": "join_room", "room": "room"}), "joined").await;
    let content = "\u{1f600}".repeat(40_000);
    for author in &authors {
        server.post(author, &channel, &content).await;
    }
    proxy.set(Weather::Cut);
    // The client reads on while the server cannot look up names.
    let mut names = Vec::new();
    for _ in 0..3 {
        assert_eq!(outcome(&server, &reader.token, "{ channels { nodes { id } } }").await.1, "UNAVAILABLE");
        slow.send(json!({"type": "ping"})).await;
        loop {
            let frame = slow.frame().await;
            if frame["type"] == "pong" {
                break;
            }
            names.push(frame["user"]["username"].clone());
        }
    }
    let known = names.len();
    proxy.set(Weather::Fair);
    while names.len() < AUTHORS {
        names.push(slow.expect("message").await["user"]["username"].clone());
    }
    let expected: Vec<String> = (0..AUTHORS).map(|number| format!("author{number}")).collect();
    assert_eq!(json!(names), json!(expected));
    assert!(known < AUTHORS, "the outage began after all messages were sent");
    // No missing name was cached: a later client gets all names, too.
    let mut later = Plain::open(server.address(), plain::CONNECT, Some(&reader)).await;
    later.ask(json!({"type": "join_room", "room": "room", "after": start}), "joined").await;
    for name in &expected {
        assert_eq!(text(&later.expect("message").await["user"]["username"]), *name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_cannot_be_looked_up_is_not_taken_for_one_that_is_not_there() {
    let (url, proxy, through) = database_behind_a_proxy().await;
    let far = Server::start_with(on(&through)).await;
    // The account is created on another instance, so this one has nothing cached.
    let ann = Server::start_with(on(&url)).await.register("ann").await;
    proxy.set(Weather::Cut);
    for _ in 0..3 {
        assert_eq!(outcome(&far, &ann.token, "{ me { username } }").await.1, "UNAVAILABLE");
    }
    proxy.set(Weather::Fair);
    let known = async { while outcome(&far, &ann.token, "{ me { username } }").await.1 == "UNAVAILABLE" {} };
    soon("a database", known).await;
    assert_eq!(outcome(&far, &ann.token, "{ me { username } }").await, (200, "OK".into()));
}
