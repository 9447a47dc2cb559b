//! Responses have a limit in bytes, whatever they contain, and all responses share one memory budget.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Server, Session, Socket, text, with_timeout};

const KIB: usize = 1 << 10;
/// The limit of a response in these tests, in bytes.
const LIMIT: usize = 256 * KIB;
/// The length of a text: ten of them fit into a response, twenty do not.
const LONG: usize = 20_000;

async fn server() -> Server {
    Server::start_with(|config| {
        config.limits.max_response_bytes = LIMIT;
        config.limits.response_memory_bytes = 32 * LIMIT;
    })
    .await
}

/// Creates a channel with ten long messages.
async fn room(server: &Server, author: &Session) -> String {
    let room = server.channel(author, "general").await;
    for _ in 0..10 {
        server.post(author, &room, &"x".repeat(LONG)).await;
    }
    room
}

/// Asserts that the query `within` returns data, and that the query `beyond` is rejected as too large.
async fn assert_size_limit(server: &Server, reader: Option<&Session>, within: &str, beyond: &str) {
    let data = server.data(reader, within, json!({})).await;
    assert!(data.to_string().len() > 9 * LONG, "the response to {within} is too short");
    assert_eq!(server.error_code(reader, beyond, json!({})).await, "QUERY_TOO_COMPLEX", "{beyond}");
}

#[tokio::test]
async fn lists_of_messages_and_comments_have_a_size_limit() {
    let server = server().await;
    let eva = server.register("eva").await;
    let room = room(&server, &eva).await;
    let comment = "mutation ($text: String!) { createComment(input: { messageId: 1, content: $text }) { id } }";
    for _ in 0..10 {
        server.data(Some(&eva), comment, json!({"text": "y".repeat(LONG)})).await;
    }
    let once = "{ messages { nodes { content } } }";
    assert_size_limit(&server, None, once, "{ a: messages { nodes { content } } b: messages { nodes { content } } }")
        .await;
    assert_size_limit(&server, None, once, "{ messages { nodes { a: content b: content } } }").await;
    let comments = "{ message(id: 1) { comments { nodes { content } } } }";
    assert_size_limit(&server, None, comments, "{ message(id: 1) { comments { nodes { a: content b: content } } } }")
        .await;
    // The text of the message counts once for each comment.
    let nested = "{ message(id: 1) { comments { nodes { message { content } } } } }";
    assert_size_limit(
        &server,
        None,
        nested,
        "{ message(id: 1) { comments { nodes { content message { content } } } } }",
    )
    .await;
    // Texts that are loaded count as well, even if the response does not show them.
    let unseen = "{ a: messages { nodes { id } } b: messages { nodes { id } } }";
    assert_eq!(server.error_code(None, unseen, json!({})).await, "QUERY_TOO_COMPLEX");
    let pages = format!(
        "{{ a: messages(last: 5) {{ nodes {{ id content }} }} b: channel(id: {room}) {{ messages(first: 5) {{ nodes {{ content }} }} }} }}"
    );
    let data = server.data(None, &pages, json!({})).await;
    assert_eq!(data["a"]["nodes"].as_array().map(Vec::len), Some(5));
    assert_eq!(data["a"]["nodes"][4]["id"], "1", "the order of the list is kept");
}

#[tokio::test]
async fn lists_of_templates_notifications_and_channels_have_a_size_limit() {
    let server = server().await;
    let admin = server.admin("root").await;
    let template = "mutation ($text: String!) { addTemplate(input: { name: \"t\", content: $text }) { id } }";
    let notify = "mutation ($text: String!) { notifyUser(input: { title: \"n\", message: $text }) { id } }";
    for _ in 0..10 {
        server.data(Some(&admin), template, json!({"text": "x".repeat(LONG)})).await;
        server.data(Some(&admin), notify, json!({"text": "x".repeat(LONG)})).await;
    }
    let channel = "mutation ($name: String!, $text: String!) { createChannel(input: { name: $name, description: $text }) { id } }";
    for number in 0..30 {
        let variables = json!({"name": format!("c{number}"), "text": "\u{1F600}".repeat(2_000)});
        server.data(Some(&admin), channel, variables).await;
    }
    let reader = Some(&admin);
    let templates = "{ templates { nodes { content } } }";
    assert_size_limit(&server, reader, templates, "{ templates { nodes { a: content b: content } } }").await;
    let notes = "{ notifications { nodes { message } } }";
    assert_size_limit(&server, reader, notes, "{ notifications { nodes { a: message b: message } } }").await;
    let channels = "{ channels(first: 30) { nodes { description } } }";
    assert_size_limit(&server, reader, channels, "{ channels(first: 30) { nodes { a: description b: description } } }")
        .await;
}

#[tokio::test]
async fn the_size_limit_counts_json_escapes() {
    let server = server().await;
    let eva = server.register("eva").await;
    let room = server.channel(&eva, "general").await;
    for _ in 0..3 {
        server.post(&eva, &room, &format!("x{}", "\u{1}".repeat(LONG))).await;
    }
    let data = server.data(None, "{ messages(first: 2) { nodes { content } } }", json!({})).await;
    assert_eq!(data["messages"]["nodes"][0]["content"].as_str().map(str::len), Some(LONG + 1));
    let three = "{ messages(first: 3) { nodes { content } } }";
    assert_eq!(
        server.error_code(None, three, json!({})).await,
        "QUERY_TOO_COMPLEX",
        "the JSON escapes make it 360,000 bytes"
    );
}

#[tokio::test]
async fn a_batch_has_the_limit_of_one_response() {
    let server = server().await;
    let eva = server.register("eva").await;
    room(&server, &eva).await;
    let one = json!({"query": "{ messages { nodes { content } } }"});
    let body = Value::from(vec![one; 10]);
    let request = server.http().post(server.url("/graphql")).json(&body);
    let answer = with_timeout("a response", request.send()).await.expect("a response").text().await.expect("a body");
    assert!(answer.len() < LIMIT + 10 * KIB, "{}", answer.len());
    let answers: Vec<Value> = serde_json::from_str(&answer).expect("a list");
    let refused = answers.iter().filter(|one| one["errors"][0]["extensions"]["code"] == "QUERY_TOO_COMPLEX").count();
    assert!(answers.len() == 10 && refused >= 9, "{refused} of {}", answers.len());
    assert_eq!(server.board().response_memory.lent(), 0, "all response memory was returned");
}

#[tokio::test]
async fn a_mutation_whose_response_is_too_large_is_committed() {
    let server = server().await;
    let eva = server.register("eva").await;
    let room = room(&server, &eva).await;
    let query = "mutation ($room: ID!) { createMessage(input: { channelId: $room, content: \"here\" }) {
        channel { a: messages { nodes { content } } b: messages { nodes { content } } } } }";
    let response = server.execute(Some(&eva), query, json!({"room": room})).await;
    assert_eq!(response["errors"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX", "{response}");
    let message = text(&response["errors"][0]["message"]);
    assert!(message.starts_with("the change was made"), "{message}");
    let data = server.data(None, "{ messages(first: 1) { nodes { content } } }", json!({})).await;
    assert_eq!(data["messages"]["nodes"][0]["content"], "here");
}

#[tokio::test]
async fn socket_operations_and_subscription_items_have_the_size_limit() {
    let server = server().await;
    let eva = server.register("eva").await;
    let room = room(&server, &eva).await;
    let mut socket: Socket = server.socket(None).await;
    let twice = "{ messages { nodes { a: content b: content } } }";
    socket.subscribe("q", twice, json!({})).await;
    assert_eq!(socket.error_code("q").await, "QUERY_TOO_COMPLEX");
    socket.subscribe("q", "{ messages { nodes { content } } }", json!({})).await;
    let data = socket.item("q").await;
    assert_eq!(data["messages"]["nodes"].as_array().map(Vec::len), Some(10));
    assert_eq!(socket.frame().await["type"], "complete");
    let items = "subscription { messageAdded { id channel { messages { nodes { a: content b: content } } } } }";
    socket.subscribe("s", items, json!({})).await;
    socket.assert_idle().await;
    server.post(&eva, &room, "one more").await;
    let item = socket.frame().await;
    assert_eq!(item["payload"]["errors"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX", "{item}");
}

#[tokio::test]
async fn documents_variables_and_ids_of_subscriptions_are_bounded() {
    let server = server().await;
    let mut socket = server.socket(None).await;
    let query = "subscription ($after: Cursor) { messageAdded(after: $after) { id } }";
    socket.subscribe("1", query, json!({"after": "x".repeat(20_000)})).await;
    assert_eq!(socket.error_code("1").await, "QUERY_TOO_COMPLEX");
    let commented = format!("subscription {{ messageAdded {{ id }} }} # {}", "x".repeat(20_000));
    socket.subscribe("2", &commented, json!({})).await;
    assert_eq!(socket.error_code("2").await, "QUERY_TOO_COMPLEX");
    let metric = "subscription ($name: String) { metricUpdated(metric: $name) { value } }";
    socket.subscribe("3", metric, json!({"name": "x".repeat(10_000)})).await;
    assert_eq!(socket.error_code("3").await, "BAD_USER_INPUT");
    // Variables that the document does not declare are not stored.
    socket.subscribe("4", query, json!({"other": "x".repeat(20_000)})).await;
    socket.assert_idle().await;
    socket.subscribe(&"x".repeat(2_000), query, json!({})).await;
    assert_eq!(socket.close_code().await, 4400);
}

/// Sends a request and does not read the response.
async fn request_without_reading(server: &Server) -> TcpStream {
    let body = json!({"query": "{ messages { nodes { content } } }"}).to_string();
    let mut stream = TcpStream::connect(server.address()).await.expect("a connection");
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("the connection is open");
    stream
}

#[tokio::test]
async fn unread_responses_use_only_the_memory_share_of_their_client() {
    let server = Server::start_with(|config| {
        config.limits.max_response_bytes = 2 << 20;
        config.limits.response_memory_bytes = 16 << 20;
    })
    .await;
    let eva = server.register("eva").await;
    let room = server.channel(&eva, "general").await;
    for _ in 0..12 {
        server.post(&eva, &room, &"\u{1F600}".repeat(40_000)).await;
    }
    let mut held = Vec::new();
    for _ in 0..24 {
        held.push(request_without_reading(&server).await);
    }
    // Requests that get no response memory are answered with 503 after a while.
    let mut refused = None;
    let waiting = async {
        while refused.is_none() {
            for stream in &mut held {
                let mut head = [0; 64];
                let peeked = tokio::time::timeout(Duration::from_millis(10), stream.peek(&mut head)).await;
                if let Ok(Ok(count)) = peeked
                    && head[..count].starts_with(b"HTTP/1.1 503")
                {
                    refused = Some(());
                }
            }
        }
    };
    with_timeout("a 503 response", waiting).await;
    let lent = server.board().response_memory.lent();
    assert!(lent <= 6 << 20, "{lent} bytes are lent to one address");
    let mut answer = vec![0; 4 << 10];
    let data = server.data(Some(&eva), "{ messages { nodes { content } } }", json!({})).await;
    assert_eq!(data["messages"]["nodes"].as_array().map(Vec::len), Some(12), "signed-in users have their own share");
    assert!(with_timeout("a response", held[0].read(&mut answer)).await.expect("the connection is open") > 0);
    drop(held);
    let freed = async {
        while server.board().response_memory.lent() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    with_timeout("the return of the memory of closed connections", freed).await;
}

#[tokio::test]
async fn input_lists_are_limited_to_1000_ids() {
    let server = Server::start().await;
    let eva = server.register("eva").await;
    let room = server.channel(&eva, "general").await;
    let message = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }";
    let template = "mutation ($input: AddTemplateInput!) { addTemplate(input: $input) { id } }";
    for many in [1_001, 80_000] {
        let ids: Vec<String> = (1..=many).map(|id| id.to_string()).collect();
        for (query, input) in [
            (message, json!({"channelId": room, "content": "x", "shareLocationIds": ids})),
            (template, json!({"name": "t", "content": "x", "shareLocationIds": ids})),
        ] {
            let response = server.execute(Some(&eva), query, json!({"input": input})).await;
            let error = &response["errors"][0];
            assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{error}");
            assert_eq!(error["extensions"]["field"], "shareLocationIds");
            assert!(text(&error["message"]).contains("at most 1000"), "{error}");
        }
    }
    // The allowed maximum is looked up in the database.
    let ids: Vec<String> = (1..=1_000).map(|id| id.to_string()).collect();
    let input = json!({"channelId": room, "content": "x", "shareLocationIds": ids});
    let response = server.execute(Some(&eva), message, json!({"input": input})).await;
    assert_eq!(response["errors"][0]["message"], "no such location", "{response}");
    let channel = format!("{{ channel(name: \"{}\") {{ id }} }}", "x".repeat(10_000));
    assert_eq!(server.data(None, &channel, json!({})).await["channel"], Value::Null);
    let cursor = format!("{{ messages(after: \"e{}\") {{ nodes {{ id }} }} }}", "x".repeat(10_000));
    assert_eq!(server.error_code(None, &cursor, json!({})).await, "BAD_USER_INPUT");
}

/// A subscription of about 15 KiB with a unique document.
fn unique_document(number: usize) -> String {
    format!("subscription {{ events {{ cursor # {number} {} \n }} }}", "x".repeat(15 * KIB))
}

/// Opens a subscription. Returns `true` if its first item, a checkpoint, arrives; `false` if memory for it is missing.
async fn try_open(socket: &mut Socket, id: &str, document: &str) -> bool {
    try_open_with(socket, id, document, json!({})).await
}

async fn try_open_with(socket: &mut Socket, id: &str, document: &str, variables: Value) -> bool {
    socket.subscribe(id, document, variables).await;
    loop {
        let frame = socket.frame().await;
        match (frame["id"] == id, frame["type"].as_str()) {
            (true, Some("next")) => return true,
            (true, Some("error")) => {
                assert_eq!(frame["payload"][0]["extensions"]["code"], "UNAVAILABLE", "{frame}");
                return false;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn documents_of_open_subscriptions_have_a_memory_budget() {
    let server = server().await;
    let eva = server.register("eva").await;
    let mut anonymous = server.socket(None).await;
    // Each document may use 1.5 MB. A client has 2 MiB of the 8 MiB.
    assert!(try_open(&mut anonymous, "first", &unique_document(1)).await);
    assert!(try_open(&mut anonymous, "same", &unique_document(1)).await, "the same document is counted once");
    assert!(!try_open(&mut anonymous, "second", &unique_document(2)).await);
    let mut other = server.socket(None).await;
    assert!(
        !try_open(&mut other, "second", &unique_document(2)).await,
        "another connection from the same address has the same share"
    );
    let mut member = server.socket(Some(&eva)).await;
    assert!(try_open(&mut member, "second", &unique_document(2)).await);
    assert!(try_open(&mut other, "second", &unique_document(2)).await, "the document is already held for a member");

    anonymous.send(json!({"type": "complete", "id": "first"})).await;
    anonymous.assert_idle().await;
    assert!(
        !try_open(&mut anonymous, "third", &unique_document(3)).await,
        "one of two subscriptions still holds the document"
    );
    anonymous.send(json!({"type": "complete", "id": "same"})).await;
    let reopened = async {
        let mut attempt = 0;
        while !try_open(&mut anonymous, &format!("again {attempt}"), &unique_document(3)).await {
            attempt += 1;
        }
    };
    with_timeout("memory for another document", reopened).await;
}

#[tokio::test]
async fn each_conditional_form_of_a_document_counts_towards_the_memory_budget() {
    let server = server().await;
    let mut socket = server.socket(None).await;
    let long: String = (0..12).map(|number| format!("{}{number}: cursor ", "x".repeat(180))).collect();
    let names: Vec<String> = (0..5).map(|number| format!("c{number}")).collect();
    let variables: String = names.iter().map(|name| format!("${name}: Boolean! ")).collect();
    let conditions: String = names.iter().map(|name| format!("{name}: cursor @include(if: ${name}) ")).collect();
    let document = format!("subscription ({variables}) {{ events {{ {long} {conditions} }} }}");
    let mut opened = 0;
    for set in 0..32 {
        let values = names.iter().enumerate().map(|(at, name)| (name.clone(), json!(set >> at & 1 == 1)));
        let values: Value = Value::Object(values.collect());
        if !try_open_with(&mut socket, &format!("form {set}"), &document, values).await {
            break;
        }
        opened += 1;
    }
    assert!((3..16).contains(&opened), "each form takes over 200 KB of the 2 MiB, but {opened} were opened");
}
