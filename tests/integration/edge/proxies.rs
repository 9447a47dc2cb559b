//! Proxies that write addresses in different forms, drop `Upgrade`, or keep connections open.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{SOCKET, UPGRADE, answer};
use crate::support::{Server, with_timeout};

/// The error code of a failed sign-in, forwarded by a proxy with this `X-Forwarded-For`.
async fn wrong_sign_in(server: &Server, forwarded: &str) -> String {
    let query = "mutation { login(input: { username: \"ann\", password: \"wrong\" }) { token } }";
    let request = server.http().post(server.url("/graphql")).header("x-forwarded-for", forwarded);
    let answer = with_timeout("a response", request.json(&json!({"query": query})).send()).await.expect("a response");
    let answer: serde_json::Value = answer.json().await.expect("JSON");
    answer["errors"][0]["extensions"]["code"].as_str().expect("a code").to_owned()
}

#[tokio::test]
async fn forwarded_addresses_are_parsed_in_every_common_form() {
    let server = Server::start_with(|config| {
        config.trusted_proxies = "127.0.0.1".parse().unwrap();
        config.sessions.attempts_per_minute = 1;
    })
    .await;
    // Each form has another client address, with its own limit of attempts.
    for forwarded in [
        "203.0.113.1:4711",
        "\"203.0.113.2:4711\"",
        "\"203.0.113.3\"",
        "[2001:db8:1::1]:4711",
        "\"[2001:db8:2::1]:4711\"",
        "[2001:db8:3::1]",
        "198.51.100.1, 203.0.113.4:1",
        "203.0.113.5",
    ] {
        assert_eq!(wrong_sign_in(&server, forwarded).await, "UNAUTHENTICATED", "{forwarded}");
    }
    // The same addresses with other ports are the same clients.
    for again in ["203.0.113.1:9", "203.0.113.2", "[2001:db8:1::1]:9", "192.0.2.99, 203.0.113.5:80"] {
        assert_eq!(wrong_sign_in(&server, again).await, "RATE_LIMITED", "{again}");
    }
    // Values without an address count together as one client: the proxy.
    assert_eq!(wrong_sign_in(&server, "unknown").await, "UNAUTHENTICATED");
    assert_eq!(wrong_sign_in(&server, "_hidden").await, "RATE_LIMITED");
}

#[tokio::test]
async fn a_request_without_upgrade_headers_gets_426() {
    let server = Server::start().await;
    let ask = async |first: &str, headers: &str| {
        answer(server.address(), first, &format!("Host: localhost\r\n{headers}")).await
    };
    for path in ["/subscriptions", "/api/v1/ws", "/api/v1/websocket/connect", "/api/v1/ws/"] {
        let dropped = ask(&format!("GET {path} HTTP/1.1"), SOCKET).await;
        assert_eq!((dropped.status(), &*dropped.header("upgrade")), (426, "websocket"), "{path}");
        assert!(dropped.body().contains("proxy"), "{}", dropped.body());
        let half = ask(&format!("GET {path} HTTP/1.1"), &format!("Upgrade: websocket\r\n{SOCKET}")).await;
        assert_eq!(half.status(), 426, "{path} without Connection: upgrade");
        let posted = ask(&format!("POST {path} HTTP/1.1"), &format!("{SOCKET}{UPGRADE}Content-Length: 0\r\n")).await;
        assert_eq!((posted.status(), &*posted.header("allow")), (405, "GET"), "{path}");
    }
    assert_eq!(ask("GET /graphql HTTP/1.1", SOCKET).await.status(), 426);
    assert_eq!(ask("GET /graphql?query=%7B__typename%7D HTTP/1.1", "").await.status(), 200);
    for (headers, expected) in [
        ("Sec-WebSocket-Version: 13\r\n", 400),
        ("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n", 400),
        ("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSBpcyBsb25n\r\n", 400),
        ("Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 426),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 426),
        (SOCKET, 101),
    ] {
        let asked = ask("GET /graphql HTTP/1.1", &format!("{UPGRADE}{headers}")).await;
        assert_eq!(asked.status(), expected, "{headers:?}");
    }
    let many = format!("Connection: keep-shutdown_signal, Upgrade\r\nUpgrade: WebSocket\r\n{SOCKET}");
    assert_eq!(ask("GET /graphql HTTP/1.1", &many).await.status(), 101, "the headers that Firefox sends");
}

/// A load balancer keeps idle connections longer than the timeout for a request.
#[tokio::test]
async fn idle_connections_outlive_the_request_timeout() {
    let server = Server::start_with(|config| {
        config.sockets.request_timeout = Duration::from_millis(300);
        config.sockets.idle_timeout = Duration::from_secs(600);
    })
    .await;
    let mut kept = TcpStream::connect(server.address()).await.expect("a connection");
    let mut ask = async |request: &str| {
        kept.write_all(request.as_bytes()).await.expect("the connection is open");
        let mut read = [0; 4096];
        let count = with_timeout("a response", kept.read(&mut read)).await.unwrap_or(0);
        String::from_utf8_lossy(&read[..count]).into_owned()
    };
    let whole = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert!(ask(whole).await.starts_with("HTTP/1.1 200"));
    // A connection that sends nothing is closed after the request timeout. When that happens, the timeout has passed
    // for the idle connection, too.
    let mut silent = TcpStream::connect(server.address()).await.expect("a connection");
    assert_eq!(with_timeout("the end of the connection", silent.read(&mut [0; 1])).await.unwrap_or(0), 0);
    assert!(ask(whole).await.starts_with("HTTP/1.1 200"), "the idle connection is still open");
    // Once a request has begun, the request timeout applies to its head.
    assert_eq!(ask("GET /healthz HTTP/1.1\r\nHost:").await, "", "an incomplete head ends with the request timeout");
}
