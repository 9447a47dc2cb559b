//! `--log-requests`: one line for each operation.

use reqwest::Client;
use serde_json::{Value, json};

use super::LoggedServer;
use crate::support::{EventStream, JsonSocket, Socket};

fn is_request_line(line: &Value) -> bool {
    line["message"] == "operation finished"
}

/// Waits for the line of an operation. Checks the fields that every line has.
async fn finished(server: &LoggedServer, transport: &str, name: &str) -> Value {
    let line = server
        .line(|line| is_request_line(line) && line["transport"] == transport && line["operation_name"] == name)
        .await;
    assert_eq!(line["level"], "INFO", "{line}");
    assert!(line["duration_ms"].as_f64().is_some_and(|duration| duration > 0.0), "{line}");
    assert!(line["connection_id"].as_u64().is_some() && line["request_id"].is_string(), "{line}");
    line
}

#[tokio::test]
async fn each_operation_has_one_line_on_every_transport() {
    let server = LoggedServer::start(&[("TIDINGS_LOG_REQUESTS", "true")]).await;
    let ann = server.register("ann").await;
    let channel = server.program.channel(&ann.token, "general").await;
    let (address, user) = (server.program.address(), json!(ann.id.parse::<i64>().expect("a number")));
    server.program.data(Some(&ann.token), "query Me { me { id } }", &json!({})).await;
    let line = finished(&server, "http", "Me").await;
    assert_eq!((&line["kind"], &line["outcome"], &line["user_id"]), (&json!("query"), &json!("ok"), &user));
    assert_eq!(line.get("items"), None, "only subscriptions have items");

    let url = server.url("/graphql");
    let feed = "subscription Feed { messageAdded { content } }";
    let mut events = EventStream::open(Client::new().get(&url).query(&[("query", feed)]).bearer_auth(&ann.token)).await;
    let mut socket = Socket::connect_and_init(address, Some(&ann)).await;
    socket.subscribe("feed", feed, json!({})).await;
    let mut json_socket = JsonSocket::open(address, "/api/v1/websocket/connect", Some(&ann)).await;
    json_socket.request(json!({"type": "join_room", "room": "general"}), "joined").await;
    // The stream and the socket have sent the cursor at which they began, so they miss no later message.
    while events.frame().await.expect("a frame").id.is_none() {}
    socket.assert_idle().await;
    let post = "mutation Post($c: ID!) { createMessage(input: { channelId: $c, content: \"hello\" }) { id } }";
    let mut poster = Socket::connect_and_init(address, Some(&ann)).await;
    poster.subscribe("post", post, json!({"c": channel})).await;
    poster.item("post").await;
    events.next().await;
    socket.item("feed").await;
    assert_eq!(json_socket.frame().await["text"], "hello");
    json_socket.send(json!({"type": "message", "room": "general", "text": "again"})).await;
    socket.item("feed").await;
    drop((events, socket, json_socket));

    let posted = finished(&server, "websocket", "Post").await;
    assert_eq!((&posted["kind"], &posted["outcome"]), (&json!("mutation"), &json!("ok")));
    let message = finished(&server, "json", "message").await;
    assert_eq!((&message["kind"], &message["outcome"]), (&json!("mutation"), &json!("ok")));
    for (transport, name, at_least) in [("sse", "Feed", 1), ("websocket", "Feed", 2), ("json", "join_room", 1)] {
        let line = finished(&server, transport, name).await;
        assert_eq!((&line["kind"], &line["outcome"]), (&json!("subscription"), &json!("stopped")), "{line}");
        assert!(line["items"].as_u64().is_some_and(|items| (at_least..=2).contains(&items)), "{line}");
    }
    let named = |name: &str| server.lines().iter().filter(|line| line["operation_name"] == name).count();
    assert_eq!((named("Me"), named("Post"), named("Feed"), named("message"), named("join_room")), (1, 1, 2, 1, 1));
}

#[tokio::test]
async fn the_line_of_a_failed_operation_has_the_code_and_the_reason() {
    let server = LoggedServer::start(&[("TIDINGS_LOG_REQUESTS", "true")]).await;
    let ann = server.register("ann").await;
    for (token, query, outcome, reason) in [
        (Some("nonsense"), "query Who { me { id } }", "UNAUTHENTICATED", "token"),
        (None, "query Bad { nothing }", "GRAPHQL_VALIDATION_FAILED", "document"),
        (
            Some(ann.token.as_str()),
            "mutation Own { createOrganization(input: { name: \"x\" }) { id } }",
            "FORBIDDEN",
            "permission",
        ),
    ] {
        drop(server.program.send(token, &json!({"query": query})).await.expect("a response"));
        let line = server.line(|line| is_request_line(line) && line["outcome"] == outcome).await;
        assert_eq!(line["reason"], reason, "{line}");
    }
    // The name of a request that is not a name of GraphQL is not logged.
    let body = json!({"query": "{ nothing }", "operationName": "not a name"});
    drop(server.program.send(None, &body).await.expect("a response"));
    server.line(|line| is_request_line(line) && line["outcome"] == "GRAPHQL_VALIDATION_FAILED").await;
    assert!(!server.text().contains("not a name"));
}

#[tokio::test]
async fn the_default_log_has_no_line_for_an_operation() {
    let server = LoggedServer::start(&[]).await;
    let ann = server.register("ann").await;
    let channel = server.program.channel(&ann.token, "general").await;
    let mut socket = Socket::connect_and_init(server.program.address(), Some(&ann)).await;
    socket.subscribe("1", "subscription { messageAdded { id } }", json!({})).await;
    socket.assert_idle().await;
    let post = "mutation Post($c: ID!) { createMessage(input: { channelId: $c, content: \"hello\" }) { id } }";
    for _ in 0..10 {
        server.program.data(Some(&ann.token), post, &json!({"c": channel})).await;
        socket.item("1").await;
        drop(server.program.send(None, &json!({"query": "{ nothing }"})).await.expect("a response"));
        drop(server.program.send(Some("nonsense"), &json!({"query": "{ cursor }"})).await.expect("a response"));
    }
    socket.send(json!({"type": "nonsense"})).await;
    assert_eq!(socket.close_code().await, 4400);
    let lines = server.lines();
    assert!(
        lines.iter().all(|line| line["message"].as_str().is_some_and(|text| text.contains("listens on"))),
        "{lines:?}"
    );
}
