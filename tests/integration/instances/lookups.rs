//! Lookups during a database outage are retried or rejected. They never count as "not found".

use serde_json::json;

use super::database_outage::database_behind_a_proxy;
use super::{on_database, outcome};
use crate::support::{JsonSocket, NetworkFault, Server, Session, json_socket, text, with_timeout};

/// Number of authors whose names are not cached. Their messages exceed what the buffers of a connection hold.
const AUTHORS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delivery_waits_for_author_names_during_a_database_outage() {
    let (_, proxy, through) = database_behind_a_proxy().await;
    let server = Server::start_with(on_database(&through)).await;
    let mut authors: Vec<Session> = Vec::new();
    for number in 0..AUTHORS {
        authors.push(server.register(&format!("author{number}")).await);
    }
    let reader = server.register("reader").await;
    let channel = server.channel(&reader, "room").await;
    let start = server.cursor(Some(&reader)).await;
    let mut slow = JsonSocket::open_narrow(server.address(), json_socket::CONNECT, &reader).await;
    slow.request(json!({"type": "join_room", "room": "room"}), "joined").await;
    let content = "\u{1f600}".repeat(40_000);
    for author in &authors {
        server.post(author, &channel, &content).await;
    }
    proxy.set_fault(NetworkFault::Cut);
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
    proxy.set_fault(NetworkFault::None);
    while names.len() < AUTHORS {
        names.push(slow.expect("message").await["user"]["username"].clone());
    }
    let expected: Vec<String> = (0..AUTHORS).map(|number| format!("author{number}")).collect();
    assert_eq!(json!(names), json!(expected));
    assert!(known < AUTHORS, "the outage began after all messages were sent");
    // No missing name was cached: a later client gets all names, too.
    let mut later = JsonSocket::open(server.address(), json_socket::CONNECT, Some(&reader)).await;
    later.request(json!({"type": "join_room", "room": "room", "after": start}), "joined").await;
    for name in &expected {
        assert_eq!(text(&later.expect("message").await["user"]["username"]), *name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_cannot_be_loaded_is_unavailable_and_not_unauthenticated() {
    let (url, proxy, through) = database_behind_a_proxy().await;
    let far = Server::start_with(on_database(&through)).await;
    // The account is created on another instance, so this one has nothing cached.
    let ann = Server::start_with(on_database(&url)).await.register("ann").await;
    proxy.set_fault(NetworkFault::Cut);
    for _ in 0..3 {
        assert_eq!(outcome(&far, &ann.token, "{ me { username } }").await.1, "UNAVAILABLE");
    }
    proxy.set_fault(NetworkFault::None);
    let known = async { while outcome(&far, &ann.token, "{ me { username } }").await.1 == "UNAVAILABLE" {} };
    with_timeout("a reachable database", known).await;
    assert_eq!(outcome(&far, &ann.token, "{ me { username } }").await, (200, "OK".into()));
}
