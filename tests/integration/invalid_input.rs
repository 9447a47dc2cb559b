//! Invalid input gets a GraphQL error with a code, never a 5xx status, and the server keeps working.

use serde_json::{Value, json};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Server, with_timeout};

#[tokio::test]
async fn invalid_input_gets_its_error_code_and_changes_nothing() {
    let server = Server::start().await;
    let (ann, ben) = (server.register("ann").await, server.register("ben").await);
    let channel = server.channel(&ann, "general").await;
    let message = server.post(&ann, &channel, "here to stay").await;
    let other_server = Server::start().await;
    let foreign = other_server.cursor(None).await;
    let long = "x".repeat(40_001);
    let create = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }";
    let update = "mutation ($input: UpdateMessageInput!) { updateMessage(input: $input) { id } }";
    let comment = "mutation ($input: CreateCommentInput!) { createComment(input: $input) { id } }";
    let created = |content: Value| json!({"input": {"channelId": channel, "content": content}});
    let in_channel = |id: Value| json!({"input": {"channelId": id, "content": "text"}});
    let list = "query ($first: Int, $after: String) { messages(first: $first, after: $after) { nodes { id } } }";

    let table: Vec<(&str, Value, &str)> = vec![
        // Unknown and impossible ids.
        (create, in_channel(json!("999")), "NOT_FOUND"),
        (create, in_channel(json!("-1")), "NOT_FOUND"),
        (create, in_channel(json!("99999999999999999999")), "BAD_USER_INPUT"),
        (create, in_channel(json!("one")), "BAD_USER_INPUT"),
        (create, in_channel(json!("01")), "BAD_USER_INPUT"),
        (update, json!({"input": {"id": "999", "content": "text"}}), "NOT_FOUND"),
        (comment, json!({"input": {"messageId": "999", "content": "text"}}), "NOT_FOUND"),
        ("mutation { deleteMessage(id: 999) }", json!({}), "NOT_FOUND"),
        ("mutation { deleteComment(id: 999) }", json!({}), "NOT_FOUND"),
        ("mutation { deleteChannel(id: 999) }", json!({}), "NOT_FOUND"),
        // Text.
        (create, created(json!("")), "BAD_USER_INPUT"),
        (create, created(json!("  \n")), "BAD_USER_INPUT"),
        (create, created(json!(long)), "BAD_USER_INPUT"),
        (create, created(json!("a\0b")), "BAD_USER_INPUT"),
        (create, created(json!(null)), "BAD_USER_INPUT"),
        (create, created(json!(7)), "BAD_USER_INPUT"),
        (
            create,
            json!({"input": {"channelId": channel, "content": "text", "title": "x".repeat(201)}}),
            "BAD_USER_INPUT",
        ),
        (create, json!({"input": {"channelId": channel, "content": "text", "surprise": 1}}), "BAD_USER_INPUT"),
        (
            create,
            json!({"input": {"channelId": channel, "content": "text", "shareLocationIds": ["1"]}}),
            "BAD_USER_INPUT",
        ),
        (
            create,
            json!({"input": {"channelId": channel, "content": "text", "ticket": {"assigneeId": "99"}}}),
            "BAD_USER_INPUT",
        ),
        (create, json!({"input": {"channelId": channel, "content": "text", "idempotencyKey": ""}}), "BAD_USER_INPUT"),
        (
            create,
            json!({"input": {"channelId": channel, "content": "text", "idempotencyKey": "k".repeat(1_001)}}),
            "BAD_USER_INPUT",
        ),
        (create, json!({}), "BAD_USER_INPUT"),
        ("mutation { createChannel(input: { name: \"general\" }) { id } }", json!({}), "CONFLICT"),
        ("mutation { createChannel(input: { name: \"\" }) { id } }", json!({}), "BAD_USER_INPUT"),
        (
            "mutation { register(input: { username: \"ann\", password: \"long enough\", displayName: \"x\" }) { token } }",
            json!({}),
            "CONFLICT",
        ),
        (
            "mutation { register(input: { username: \"a b\", password: \"long enough\", displayName: \"x\" }) { token } }",
            json!({}),
            "BAD_USER_INPUT",
        ),
        (
            "mutation { register(input: { username: \"cat\", password: \"short\", displayName: \"x\" }) { token } }",
            json!({}),
            "BAD_USER_INPUT",
        ),
        (
            "mutation { login(input: { username: \"ann\", password: \"wrong password\" }) { token } }",
            json!({}),
            "UNAUTHENTICATED",
        ),
        (
            "mutation { login(input: { username: \"nobody\", password: \"wrong password\" }) { token } }",
            json!({}),
            "UNAUTHENTICATED",
        ),
        // Lists.
        (list, json!({"first": -1}), "BAD_USER_INPUT"),
        (list, json!({"first": 0}), "BAD_USER_INPUT"),
        (list, json!({"first": 101}), "BAD_USER_INPUT"),
        (list, json!({"first": 3_000_000_000_i64}), "BAD_USER_INPUT"),
        (list, json!({"first": "2"}), "BAD_USER_INPUT"),
        (list, json!({"after": "garbled"}), "BAD_USER_INPUT"),
        (list, json!({"after": foreign}), "BAD_USER_INPUT"),
        ("{ messages(first: 3000000000) { nodes { id } } }", json!({}), "GRAPHQL_VALIDATION_FAILED"),
        // Cursors.
        (update, json!({"input": {"id": message, "content": "text", "ifCursor": "garbled"}}), "BAD_USER_INPUT"),
        (update, json!({"input": {"id": message, "content": "text", "ifCursor": foreign}}), "CONFLICT"),
        // Documents.
        ("{", json!({}), "GRAPHQL_PARSE_FAILED"),
        ("", json!({}), "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", json!({}), "GRAPHQL_VALIDATION_FAILED"),
        ("query ($id: ID!) { message(id: $id) { id } }", json!({"id": {"a": 1}}), "BAD_USER_INPUT"),
        ("query A { me { id } } query B { me { id } }", json!({}), "GRAPHQL_VALIDATION_FAILED"),
    ];
    for (query, variables, code) in table {
        let got = server.error_code(Some(&ann), query, variables.clone()).await;
        let shown: String = variables.to_string().chars().take(120).collect();
        assert_eq!(got, code, "{query} with {shown}");
    }
    // Without a session, and as a user who is not the author.
    assert_eq!(server.error_code(None, create, created(json!("text"))).await, "UNAUTHENTICATED");
    let edit = json!({"input": {"id": message, "content": "mine now"}});
    assert_eq!(server.error_code(Some(&ben), update, edit).await, "FORBIDDEN");
    // The rejected operations changed nothing.
    let all = server.data(None, "{ messages { nodes { content } } channels { nodes { name } } }", json!({})).await;
    assert_eq!(
        all,
        json!({"messages": {"nodes": [{"content": "here to stay"}]}, "channels": {"nodes": [{"name": "general"}]}})
    );
    server.post(&ann, &channel, "still working").await;
}

#[tokio::test]
async fn errors_name_the_invalid_field() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let create = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }";
    for (input, field) in [
        (json!({"channelId": channel, "content": ""}), "content"),
        (json!({"channelId": channel, "content": "x", "title": "x".repeat(201)}), "title"),
        (json!({"channelId": "x", "content": "x"}), "channelId"),
    ] {
        let response = server.execute(Some(&ann), create, json!({"input": input})).await;
        assert_eq!(response["errors"][0]["extensions"]["field"], field, "{response}");
    }
}

#[tokio::test]
async fn operations_beyond_the_limits_are_rejected() {
    let server = Server::start().await;
    let deep = format!("{{ {} id {} }}", "messages { nodes { channel { ".repeat(6), "} } } ".repeat(6));
    let deep = deep.replacen("messages", "channels { nodes { messages", 1) + " } }";
    assert_eq!(server.error_code(None, &deep, json!({})).await, "QUERY_TOO_COMPLEX");
    let aliases: String = (0..31).map(|n| format!("a{n}: __typename ")).collect();
    assert_eq!(server.error_code(None, &format!("{{ {aliases} }}"), json!({})).await, "QUERY_TOO_COMPLEX");
    let costly = "{ channels(first: 100) { nodes { messages(first: 100) { nodes { id } } } } }";
    assert_eq!(server.error_code(None, costly, json!({})).await, "QUERY_TOO_COMPLEX");
    let costly = "query ($n: Int) { channels(first: $n) { nodes { messages(first: $n) { nodes { id } } } } }";
    assert_eq!(server.error_code(None, costly, json!({"n": 100})).await, "QUERY_TOO_COMPLEX");
    server.data(None, costly, json!({"n": 10})).await;
    let costly = "query ($n: Int = 100) { channels(first: $n) { nodes { messages(first: $n) { nodes { id } } } } }";
    assert_eq!(server.error_code(None, costly, json!({})).await, "QUERY_TOO_COMPLEX", "the default value counts");
    server.data(None, costly, json!({"n": 10})).await;
    let tokens = format!("{{ {} }}", "__typename ".repeat(2_001));
    assert_eq!(server.error_code(None, &tokens, json!({})).await, "QUERY_TOO_COMPLEX");
    // The introspection query that tools send must be within the limits.
    let introspection = include_str!("introspection.graphql");
    let schema = server.data(None, introspection, json!({})).await;
    assert_eq!(schema["__schema"]["queryType"]["name"], "Query");
}

#[tokio::test]
async fn invalid_http_requests_get_4xx() {
    let server = Server::start().await;
    let url = server.url("/graphql");
    let status =
        |request: reqwest::RequestBuilder| async { request.send().await.expect("a response").status().as_u16() };
    let http = server.http();
    assert_eq!(status(http.get(&url)).await, 400, "no query");
    assert_eq!(status(http.get(format!("{url}?query=%7B__typename%7D"))).await, 200);
    let json = |body: &str| http.post(&url).header("content-type", "application/json").body(body.to_owned());
    assert_eq!(status(json("nonsense")).await, 400);
    assert_eq!(status(json("{\"query\": 7}")).await, 400);
    assert_eq!(status(json("[]")).await, 400);
    let batch = |count: usize| format!("[{}]", vec!["{\"query\":\"{__typename}\"}"; count].join(","));
    assert_eq!(status(json(&batch(10))).await, 200);
    assert_eq!(status(json(&batch(11))).await, 400);
    assert_eq!(status(json(&" ".repeat((1 << 20) + 1))).await, 413);
    assert_eq!(status(http.get(server.url("/nowhere"))).await, 404);
    for target in ["x", "*"] {
        let mut connection = TcpStream::connect(server.address()).await.expect("a connection");
        let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.expect("the connection is open");
        let mut answer = String::new();
        with_timeout("a response", connection.read_to_string(&mut answer)).await.expect("a response");
        assert!(answer.starts_with("HTTP/1.1 4"), "{target}: {answer:?}");
    }
    assert_eq!(status(json("{\"query\":\"{__typename}\"}").bearer_auth("wrong")).await, 401);
    let strict = json("{\"query\":\"{nothing}\"}").header("accept", "application/graphql-response+json");
    assert_eq!(status(strict).await, 400);
}
