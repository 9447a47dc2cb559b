//! Anonymous clients that request large responses and read slowly, against the real binary with default limits. The
//! tests check its memory and that users are still served.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::raw_socket::{self, RawSocket};
use crate::support::{Process, Program, with_timeout};

/// The largest accepted resident memory, in bytes.
const MAX_MEMORY: usize = 300 << 20;
/// Number of connections that request large responses.
const CONNECTIONS: usize = 40;
/// Duration of the flood.
const FLOOD_TIME: Duration = Duration::from_secs(8);
/// Number of subscriptions on one socket.
const SUBSCRIPTIONS: usize = 95;
const CREATE: &str = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }";

/// Starts a server with long public messages. Returns the token of a user and the cursor before the messages.
async fn start_server(messages: usize) -> (Program, Process, String, String) {
    let program = Program::new(&[]);
    let mut server = program.start();
    server.ready().await.expect("the server starts");
    let token = program.register("ann").await;
    let channel = program.channel(&token, "general").await;
    let before = program.cursor().await;
    let input = json!({"channelId": channel, "content": "\u{1F600}".repeat(40_000)});
    let one = json!({"query": CREATE, "variables": {"input": input}});
    for _ in 0..messages / 5 {
        let batch: Value = vec![one.clone(); 5].into();
        let answers = program.send(Some(&token), &batch).await.expect("responses");
        assert!(answers.as_array().expect("a batch").iter().all(|one| one.get("errors").is_none()), "{answers}");
    }
    (program, server, token, before)
}

/// Sends a request repeatedly and reads 64 KiB of the response every 50 ms.
async fn request_and_read_slowly(program: std::net::SocketAddr, body: String) {
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut piece = vec![0; 64 << 10];
    loop {
        let Ok(mut stream) = TcpStream::connect(program).await else { continue };
        if stream.write_all(request.as_bytes()).await.is_err() {
            continue;
        }
        for _ in 0..40 {
            match timeout(Duration::from_secs(1), stream.read(&mut piece)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(_)) | Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_responses_use_bounded_memory_and_users_are_served_meanwhile() {
    let (program, server, token, _) = start_server(100).await;
    let largest = "{ messages(first: 100) { nodes { content } } }";
    let refused = |aliases: usize| {
        let fields: String =
            (0..aliases).map(|at| format!("a{at}: messages(first: 100) {{ nodes {{ content }} }} ")).collect();
        json!({"query": format!("{{ {fields} }}")})
    };
    // Without limits, one such request took 1.4 GB of memory, and a batch of ten 6 GB.
    let response = program.send(None, &refused(24)).await.expect("a response");
    assert_eq!(response["errors"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX", "{}", response["errors"]);
    assert!(server.resident() < MAX_MEMORY, "{} MiB after one request", server.resident() >> 20);
    let bodies = [
        json!({"query": largest}).to_string(),
        Value::from(vec![json!({"query": largest}); 10]).to_string(),
        refused(24).to_string(),
    ];
    let flood: Vec<JoinHandle<()>> = (0..CONNECTIONS)
        .map(|at| tokio::spawn(request_and_read_slowly(program.address(), bodies[at % 3].clone())))
        .collect();
    let (mut most, mut slowest, mut served, since) = (0, Duration::ZERO, 0, Instant::now());
    while since.elapsed() < FLOOD_TIME || served == 0 {
        let asked = Instant::now();
        let query = "{ messages(first: 2) { nodes { id content } } }";
        let answer = program.execute(Some(&token), query, &json!({})).await;
        // An unoptimised server on a busy machine may have no free reader thread in time.
        if answer.is_ok_and(|answer| answer["data"]["messages"]["nodes"].as_array().map(Vec::len) == Some(2)) {
            served += 1;
            slowest = slowest.max(asked.elapsed());
        }
        most = most.max(server.resident());
        assert!(since.elapsed() < 10 * FLOOD_TIME, "no query of a user was answered");
    }
    flood.iter().for_each(JoinHandle::abort);
    println!(
        "{CONNECTIONS} slow readers of large answers: {} MiB; a user was served {served} times, within {slowest:?}",
        most >> 20
    );
    assert!(most < MAX_MEMORY, "{} MiB", most >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lagging_subscriptions_use_bounded_memory_and_queries_are_still_answered() {
    let (program, server, token, before) = start_server(150).await;
    let mut raw = RawSocket::open(program.address(), "/graphql", "graphql-transport-ws").await;
    assert!(raw.write(&raw_socket::text(r#"{"type":"connection_init"}"#)).await);
    raw.expect(raw_socket::TEXT).await;
    let query = "subscription($a:Cursor){messageAdded(after:$a){id content}}";
    for id in 0..SUBSCRIPTIONS {
        let payload = json!({"query": query, "variables": {"a": before}});
        let frame = json!({"type": "subscribe", "id": id.to_string(), "payload": payload}).to_string();
        assert!(raw.write(&raw_socket::text(&frame)).await);
    }
    // One item of each subscription; then the client reads slowly.
    for _ in 0..SUBSCRIPTIONS {
        raw.expect(raw_socket::TEXT).await;
    }
    let mut most = 0;
    for _ in 0..10 {
        sleep(Duration::from_millis(300)).await;
        most = most.max(server.resident());
        raw.expect(raw_socket::TEXT).await;
    }
    println!("{SUBSCRIPTIONS} lagging subscriptions on one socket: {} MiB", most >> 20);
    assert!(most < MAX_MEMORY, "{} MiB", most >> 20);
    let none = json!({});
    let asking = program.data(Some(&token), "{ messages(first: 1) { nodes { id } } }", &none);
    assert_eq!(with_timeout("a response", asking).await["messages"]["nodes"][0]["id"], "150");
}
