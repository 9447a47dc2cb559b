//! Every refusal is in the log at level debug with its reason, and in the metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::LoggedServer;
use crate::support::{JsonSocket, Socket, with_timeout};

const METRICS_TOKEN: &str = "for Prometheus alone";
const WRONG_SIGN_IN: &str = "mutation { login(input: { username: \"ben\", password: \"a wrong guess\" }) { token } }";

/// The reasons on the metrics page, with their counts.
async fn counted(server: &LoggedServer) -> Vec<(String, u64)> {
    let request = Client::new().get(server.url("/metrics")).bearer_auth(METRICS_TOKEN);
    // A connection that the limit refuses may break before the response.
    let Ok(answer) = request.send().await else { return Vec::new() };
    let page = answer.text().await.unwrap_or_default();
    let samples = page.lines().filter_map(|line| line.strip_prefix("tidings_refused_total{reason=\""));
    samples
        .filter_map(|sample| sample.split_once("\"} "))
        .map(|(reason, count)| (reason.to_owned(), count.parse().expect("a number")))
        .collect()
}

/// The reasons that were counted, after a check that each of them is also in the log.
async fn refused(server: &LoggedServer) -> BTreeSet<String> {
    let reasons: BTreeSet<String> =
        counted(server).await.into_iter().filter(|(_, count)| *count > 0).map(|(reason, _)| reason).collect();
    for reason in &reasons {
        server.line(|line| line["reason"] == reason.as_str() && line["level"] == "DEBUG").await;
    }
    reasons
}

async fn status(request: RequestBuilder) -> StatusCode {
    with_timeout("a response", request.send()).await.expect("a response").status()
}

#[tokio::test]
async fn every_reason_of_a_refusal_is_logged_and_counted() {
    let server = LoggedServer::start(&[
        ("TIDINGS_LOG", "info,tidings=debug"),
        ("TIDINGS_METRICS_TOKEN", METRICS_TOKEN),
        ("TIDINGS_MAX_SOCKETS_PER_USER", "1"),
        ("TIDINGS_MAX_SUBSCRIPTIONS", "1"),
        ("TIDINGS_MAX_FRAME", "4KiB"),
        ("TIDINGS_MAX_BODY", "4KiB"),
        ("TIDINGS_INIT_TIMEOUT", "3s"),
        ("TIDINGS_REQUEST_TIMEOUT", "3s"),
        ("TIDINGS_SIGN_IN_ATTEMPTS", "1"),
    ])
    .await;
    let ann = server.register("ann").await;
    refused_requests(&server).await;
    refused_operations(&server, &ann.token).await;
    refused_sockets(&server, &ann).await;
    let mut all: BTreeSet<String> = counted(&server).await.into_iter().map(|(reason, _)| reason).collect();
    // The database file is away until the end of the test.
    let database = server.program.database_url().replace("sqlite://", "");
    std::fs::rename(&database, format!("{database}.away")).expect("the file is moved");
    let answer = server
        .program
        .send(Some(&ann.token), &json!({"query": "mutation { createChannel(input: { name: \"x\" }) { id } }"}))
        .await;
    assert_eq!(answer.expect("a response")["errors"][0]["extensions"]["code"], "UNAVAILABLE");
    let found = refused(&server).await;
    // The next test is about these two. The last one has no counter that can be read after it.
    for elsewhere in ["connection_limit", "address_limit", "stopping"] {
        assert!(all.remove(elsewhere), "{elsewhere}");
    }
    assert_eq!(found, all);
}

async fn refused_requests(server: &LoggedServer) {
    let (http, url) = (Client::new(), server.url("/graphql"));
    let json = |body: &str| http.post(&url).header("content-type", "application/json").body(body.to_owned());
    assert_eq!(status(http.get(&url).header("host", "board.example")).await, 421);
    assert_eq!(status(http.get(server.url("/metrics"))).await, 401);
    assert_eq!(status(json("nonsense")).await, 400);
    assert_eq!(status(http.put(&url)).await, 405);
    assert_eq!(status(http.post(&url).body("{}")).await, 415);
    assert_eq!(status(http.get(server.url("/api/v1/ws"))).await, 426);
    assert_eq!(status(json(&"x".repeat(5_000))).await, 413);
    assert_eq!(status(json("[]")).await, 400);
    assert_eq!(status(json(r#"{"query":"subscription { messageAdded { id } }"}"#)).await, 400);
    assert_eq!(status(json(r#"{"query":"{ me { id } }"}"#).bearer_auth("nonsense")).await, 401);
    let page = [("origin", "https://evil.example")];
    assert!(Socket::try_connect(server.program.address(), "/graphql", &page).await.is_err());
    let mut slow = TcpStream::connect(server.program.address()).await.expect("a connection");
    slow.write_all(b"GET /").await.expect("the connection is open");
    drop(with_timeout("the end of the connection", slow.read_to_end(&mut Vec::new())).await);
}

async fn refused_operations(server: &LoggedServer, token: &str) {
    let aliases: String = (0..31).map(|n| format!("a{n}: __typename ")).collect();
    let hash = json!({"persistedQuery": {"version": 1, "sha256Hash": "00"}});
    for (token, body, code) in [
        (None, json!({"query": "{ nothing }"}), "GRAPHQL_VALIDATION_FAILED"),
        (None, json!({"query": format!("{{ {aliases} }}")}), "QUERY_TOO_COMPLEX"),
        (None, json!({"extensions": hash}), "PERSISTED_QUERY_NOT_SUPPORTED"),
        (None, json!({"query": WRONG_SIGN_IN}), "UNAUTHENTICATED"),
        (None, json!({"query": WRONG_SIGN_IN}), "RATE_LIMITED"),
        (Some(token), json!({"query": "mutation { createOrganization(input: { name: \"x\" }) { id } }"}), "FORBIDDEN"),
    ] {
        let answer = server.program.send(token, &body).await.expect("a response");
        assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{body}: {answer}");
    }
}

async fn refused_sockets(server: &LoggedServer, ann: &crate::support::Session) {
    let address = server.program.address();
    let mut late = Socket::connect(address, "/graphql", "graphql-transport-ws").await;
    let mut first = Socket::connect_and_init(address, Some(ann)).await;
    let mut second = Socket::connect(address, "/graphql", "graphql-transport-ws").await;
    second.send(json!({"type": "connection_init", "payload": {"token": ann.token}})).await;
    assert_eq!(second.close_code().await, 1013);
    let query = "subscription { messageAdded { id } }";
    first.subscribe("1", query, json!({})).await;
    first.subscribe("2", query, json!({})).await;
    assert_eq!(first.error_code("2").await, "QUERY_TOO_COMPLEX");
    first.send(json!({"type": "nonsense"})).await;
    assert_eq!(first.close_code().await, 4400);
    assert_eq!(Socket::connect(address, "/graphql", "soap").await.close_code().await, 4406);
    let mut large = Socket::connect_and_init(address, None).await;
    large.send_raw(Message::text("x".repeat(5_000))).await;
    assert_eq!(large.close_code().await, 1009);
    assert_eq!(late.close_code().await, 4408);
}

#[tokio::test]
async fn limits_on_connections_and_the_end_of_the_server_are_logged_with_their_reasons() {
    let server = LoggedServer::start(&[
        ("TIDINGS_LOG", "info,tidings=debug"),
        ("TIDINGS_METRICS_TOKEN", METRICS_TOKEN),
        ("TIDINGS_MAX_CONNECTIONS", "3"),
        ("TIDINGS_MAX_CONNECTIONS_PER_ADDRESS", "2"),
    ])
    .await;
    let address = server.program.address();
    let mut socket = JsonSocket::open(address, "/api/v1/websocket/connect", None).await;
    let second = TcpStream::connect(address).await.expect("a connection");
    let is_refused = |reason: &'static str| move |line: &serde_json::Value| line["reason"] == reason;
    drop(TcpStream::connect(address).await.expect("a connection"));
    let line = server.line(is_refused("address_limit")).await;
    assert!(line["spans"][0]["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{line}");
    // Without the setting, loopback addresses have no limit of their own.
    let limited = LoggedServer::start(&[
        ("TIDINGS_LOG", "info,tidings=debug"),
        ("TIDINGS_METRICS_TOKEN", METRICS_TOKEN),
        ("TIDINGS_MAX_CONNECTIONS", "1"),
    ])
    .await;
    let held = TcpStream::connect(limited.program.address()).await.expect("a connection");
    limited.line(|line| line["message"] == "a connection was accepted").await;
    drop(TcpStream::connect(limited.program.address()).await.expect("a connection"));
    limited.line(is_refused("connection_limit")).await;
    drop((second, held));
    for (server, reason) in [(&server, "address_limit"), (&limited, "connection_limit")] {
        with_timeout("the count of the refusal", async {
            while !counted(server).await.iter().any(|(counted, count)| counted == reason && *count > 0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
    let id = server.process.id().expect("the process runs").to_string();
    assert!(std::process::Command::new("kill").args(["-s", "TERM", &id]).status().is_ok_and(|sent| sent.success()));
    assert_eq!(socket.close_code().await, 1012);
    let line = server.line(is_refused("stopping")).await;
    assert_eq!((&line["code"], &line["message"]), (&json!(1012), &json!("the server closes a socket")));
}
