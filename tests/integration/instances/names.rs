//! What cannot be looked up because the database is away is waited for or refused. It is never taken for what is not there.

use serde_json::json;

use super::away::database_behind_a_proxy;
use super::{on, outcome};
use crate::support::{Plain, Server, Session, Weather, plain, soon, text};

/// More than the buffers of a connection hold, each by an author whose name is not known yet.
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
    // It reads on, while nothing can be looked up.
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
    assert!(known < AUTHORS, "all was sent before the database was away");
    // Nor is anything kept for those who come later.
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
    // The account is made elsewhere: this instance knows nothing of it.
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
