//! Limits on connections per address and per user, and timeouts that free the connections of slow clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Error;

use crate::support::{EventStream, JsonSocket, PASSWORD, Program, Server, Socket, json_socket::CONNECT, with_timeout};

const MODERN: (&str, &str) = ("sec-websocket-protocol", "graphql-transport-ws");
/// The timeout for slow clients in these tests.
const SHORT_TIMEOUT: Duration = Duration::from_millis(300);

/// A connection from another loopback address, 127.0.0.`last`.
async fn connect_from(server: &Server, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0))).expect("an address");
    with_timeout("a connection", socket.connect(server.address())).await.expect("a connection")
}

/// Sends `words`; returns everything that is received until the connection ends.
async fn send_raw_request(mut connection: TcpStream, words: &str) -> String {
    connection.write_all(words.as_bytes()).await.expect("the connection is open");
    let mut answer = Vec::new();
    // A reset after the answer does not discard what was already received.
    drop(with_timeout("the end of the connection", connection.read_to_end(&mut answer)).await);
    String::from_utf8_lossy(&answer).into_owned()
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
#[cfg(target_os = "linux")]
async fn an_address_at_its_connection_limit_gets_503_and_other_addresses_are_served() {
    let server = Server::start_with(|config| config.sockets.max_per_address = Some(3)).await;
    let held = [connect_from(&server, 2).await, connect_from(&server, 2).await, connect_from(&server, 2).await];
    let refused = send_raw_request(connect_from(&server, 2).await, HEALTH).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("Retry-After: 5"), "{refused}");
    assert!(
        send_raw_request(connect_from(&server, 3).await, HEALTH).await.starts_with("HTTP/1.1 200"),
        "another address is below its limit"
    );
    drop(held);
    with_timeout("a free connection", async {
        while !send_raw_request(connect_from(&server, 2).await, HEALTH).await.starts_with("HTTP/1.1 200") {}
    })
    .await;
}

#[tokio::test]
async fn connection_limits_count_clients_and_not_their_trusted_proxy() {
    let server = Server::start_with(|config| {
        config.sockets.max_per_address = Some(2);
        config.trusted_proxies = "127.0.0.1".parse().unwrap();
    })
    .await;
    let open = async |client: &str| {
        Socket::try_connect(server.address(), "/graphql", &[MODERN, ("x-forwarded-for", client)]).await
    };
    let mut held = Vec::new();
    for client in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"] {
        held.push(open(client).await.expect(client));
    }
    for client in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::3"] {
        match open(client).await {
            Err(Error::Http(response)) => {
                assert_eq!(
                    (response.status().as_u16(), &response.headers()["retry-after"]),
                    (503, &"5".parse().unwrap())
                );
            }
            other => panic!("{client}: {:?}", other.map(|_| "an upgrade")),
        }
    }
    held.swap_remove(0);
    with_timeout("a free connection", Box::pin(async { while open("192.0.2.1").await.is_err() {} })).await;

    // An event stream counts as a connection of its client while it is open.
    let get = server.http().get(server.url("/graphql?query=subscription{messageAdded{id}}"));
    let get = get.header("accept", "text/event-stream").header("x-forwarded-for", "192.0.2.2");
    let mut stream = with_timeout("a stream", get.send()).await.expect("a stream");
    assert!(with_timeout("a frame", stream.chunk()).await.expect("the stream is open").is_some());
    assert!(open("192.0.2.2").await.is_err());
}

#[tokio::test]
async fn loopback_may_use_all_connections_by_default() {
    let server = Server::start_with(|config| {
        config.sockets.max_connections = 4;
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(Socket::connect(server.address(), "/graphql", MODERN.1).await);
    }
    assert!(Socket::try_connect(server.address(), "/graphql", &[MODERN]).await.is_err());
}

#[tokio::test]
async fn sockets_beyond_the_limit_of_a_user_are_closed_with_1013() {
    let server = Server::start_with(|config| config.sockets.max_per_user = 2).await;
    let (ann, ben) = (server.register("ann").await, server.register("ben").await);
    let held = (server.socket(Some(&ann)).await, JsonSocket::open(server.address(), CONNECT, Some(&ann)).await);
    let mut third = Socket::connect(server.address(), "/graphql", MODERN.1).await;
    third.send(json!({"type": "connection_init", "payload": {"token": ann.token}})).await;
    assert_eq!(third.close_code().await, 1013);
    assert_eq!(JsonSocket::open(server.address(), CONNECT, Some(&ann)).await.close_code().await, 1013);
    let get = server.http().get(server.url("/graphql?query=subscription{messageAdded{id}}")).bearer_auth(&ann.token);
    let mut stream = EventStream::open(get).await;
    assert_eq!(stream.next().await.code(), "UNAVAILABLE");
    assert!(stream.frame().await.expect("a frame").retry.is_some(), "the client is told when to reconnect");
    server.socket(Some(&ben)).await.assert_idle().await;
    server.socket(None).await.assert_idle().await;
    server.data(Some(&ann), "{ me { id } }", json!({})).await;
    drop(held);
    let again = async {
        loop {
            let mut socket = Socket::connect(server.address(), "/graphql", MODERN.1).await;
            socket.send(json!({"type": "connection_init", "payload": {"token": ann.token}})).await;
            if socket.next().await.is_ok() {
                break;
            }
        }
    };
    with_timeout("a free connection", Box::pin(again)).await;
}

#[tokio::test]
async fn registrations_are_limited_per_address_and_minute() {
    let server = Server::start_with(|config| {
        config.sessions.registrations_per_minute = 3;
        config.trusted_proxies = "127.0.0.1".parse().unwrap();
    })
    .await;
    let register = async |name: &str, client: &str| {
        let input = json!({"username": name, "password": PASSWORD, "displayName": name});
        let query = "mutation ($input: RegisterInput!) { register(input: $input) { token } }";
        let body = json!({"query": query, "variables": {"input": input}});
        let request = server.http().post(server.url("/graphql")).header("x-forwarded-for", client).json(&body);
        let response = with_timeout("a response", request.send()).await.expect("a response");
        let answer: serde_json::Value = response.json().await.expect("JSON");
        answer.pointer("/errors/0/extensions").cloned().unwrap_or_default()
    };
    assert_eq!(register("a b", "192.0.2.1").await["code"], "BAD_USER_INPUT", "an invalid registration is not counted");
    for name in ["ann", "ben", "cat"] {
        assert_eq!(register(name, "192.0.2.1").await, serde_json::Value::Null, "{name}");
    }
    let refused = register("dan", "192.0.2.1").await;
    assert_eq!(refused["code"], "RATE_LIMITED");
    assert!(refused["retryAfterMs"].as_i64().is_some_and(|wait| (1..=20_000).contains(&wait)), "{refused}");
    assert_eq!(register("dan", "192.0.2.2").await, serde_json::Value::Null, "another address has its own limit");
}

#[tokio::test]
async fn slow_requests_are_ended_by_the_request_and_idle_timeouts() {
    let server = Server::start_with(|config| {
        config.sockets.request_timeout = SHORT_TIMEOUT;
        config.sockets.idle_timeout = 2 * SHORT_TIMEOUT;
    })
    .await;
    let open =
        || async { with_timeout("a connection", TcpStream::connect(server.address())).await.expect("a connection") };
    assert_eq!(send_raw_request(open().await, "").await, "", "nothing is sent");
    assert_eq!(
        send_raw_request(open().await, "POST /graphql HTTP/1.1\r\nHost: localhost\r\nX-Slow:").await,
        "",
        "an incomplete head gets no answer"
    );
    let head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"que";
    let answer = send_raw_request(open().await, head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "an incomplete body: {answer:?}");
    // One byte at a time does not extend the timeout for the head.
    let mut connection = open().await;
    let slow_writing = async {
        for letter in "GET /healthz HTTP/1.1\r\nHost: localhost\r\n".bytes().chain(std::iter::repeat(b'x')) {
            if connection.write_all(&[letter]).await.is_err() {
                break;
            }
            tokio::time::sleep(SHORT_TIMEOUT / 20).await;
        }
    };
    with_timeout("the end of the slow connection", slow_writing).await;
    // A keep-alive connection ends after the idle timeout.
    let kept = send_raw_request(open().await, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(kept.starts_with("HTTP/1.1 200") && kept.ends_with("ok\n"), "{kept:?}");
}

#[tokio::test]
async fn a_client_that_reads_nothing_of_its_responses_is_disconnected() {
    let server = Server::start_with(|config| {
        config.sockets.max_connections = 2;
        config.sockets.send_timeout = SHORT_TIMEOUT;
    })
    .await;
    // The client pipelines requests and reads nothing, until the buffers of the kernel are full.
    let mut connection =
        with_timeout("a connection", TcpStream::connect(server.address())).await.expect("a connection");
    let asking = async {
        let asked = "GET /licenses.txt HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
        while connection.write_all(asked.as_bytes()).await.is_ok() {}
    };
    with_timeout("the end of the connection", asking).await;
}

#[tokio::test]
async fn silent_sockets_are_closed_by_the_init_and_silence_timeouts() {
    let server = Server::start_with(|config| {
        config.sockets.init_timeout = SHORT_TIMEOUT;
        config.sockets.ping_interval = SHORT_TIMEOUT;
        config.sockets.silence_limit = 3 * SHORT_TIMEOUT;
    })
    .await;
    let upgrade = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        )
    };
    for (path, code) in [("/graphql", 4408_u16), ("/api/v1/websocket/connect", 1013)] {
        let mut connection =
            with_timeout("a connection", TcpStream::connect(server.address())).await.expect("a connection");
        connection.write_all(upgrade(path).as_bytes()).await.expect("the connection is open");
        let mut all = Vec::new();
        // The client answers neither pings nor the close frame.
        drop(with_timeout("the end of the connection", connection.read_to_end(&mut all)).await);
        let close = code.to_be_bytes();
        assert!(all.windows(2).any(|bytes| bytes == close), "{path}: {:?}", String::from_utf8_lossy(&all));
    }
}

/// A frame that the client sent while the process was stopped counts as sent in time.
#[tokio::test]
async fn connection_init_sent_while_the_process_is_stopped_is_in_time() {
    let program = Program::new(&[("TIDINGS_INIT_TIMEOUT", "2s")]);
    let mut server = program.start();
    server.ready().await.expect("the server starts");
    let mut socket = Socket::connect(program.address(), "/graphql", "graphql-transport-ws").await;
    server.signal("STOP");
    socket.send(json!({"type": "connection_init"})).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.signal("CONT");
    assert_eq!(socket.frame().await["type"], "connection_ack");
}
