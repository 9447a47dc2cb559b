//! How many of one address and one user there may be, and that nobody holds a place by being slow.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Error;

use crate::support::{Events, PASSWORD, Plain, Program, Server, Socket, plain::CONNECT, soon};

const MODERN: (&str, &str) = ("sec-websocket-protocol", "graphql-transport-ws");
/// What slow clients are given in these tests.
const SHORT: Duration = Duration::from_millis(300);

/// A line from another address of this machine.
async fn line(server: &Server, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0))).expect("an address");
    soon("a line", socket.connect(server.address())).await.expect("a line")
}

/// The whole answer to what is said on a line of its own.
async fn say(mut line: TcpStream, words: &str) -> String {
    line.write_all(words.as_bytes()).await.expect("it is open");
    let mut answer = Vec::new();
    // A reset after the answer does not take it back.
    drop(soon("an end", line.read_to_end(&mut answer)).await);
    String::from_utf8_lossy(&answer).into_owned()
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
#[cfg(target_os = "linux")]
async fn one_address_cannot_fill_the_house() {
    let server = Server::start_with(|config| config.sockets.max_per_address = Some(3)).await;
    let held = [line(&server, 2).await, line(&server, 2).await, line(&server, 2).await];
    let refused = say(line(&server, 2).await, HEALTH).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("Retry-After: 5"), "{refused}");
    assert!(say(line(&server, 3).await, HEALTH).await.starts_with("HTTP/1.1 200"), "others have places");
    drop(held);
    soon("a free place", async { while !say(line(&server, 2).await, HEALTH).await.starts_with("HTTP/1.1 200") {} })
        .await;
}

#[tokio::test]
async fn behind_a_proxy_the_clients_count_and_not_the_proxy() {
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
    soon("a free place", Box::pin(async { while open("192.0.2.1").await.is_err() {} })).await;

    // A stream of events has its place as long as it lasts.
    let get = server.http().get(server.url("/graphql?query=subscription{messageAdded{id}}"));
    let get = get.header("accept", "text/event-stream").header("x-forwarded-for", "192.0.2.2");
    let mut stream = soon("a stream", get.send()).await.expect("a stream");
    assert!(soon("a frame", stream.chunk()).await.expect("it goes on").is_some());
    assert!(open("192.0.2.2").await.is_err());
}

#[tokio::test]
async fn this_machine_itself_may_have_all_places_unless_told_otherwise() {
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
async fn one_user_has_so_many_sockets_and_more_come_back_later() {
    let server = Server::start_with(|config| config.sockets.max_per_user = 2).await;
    let (ann, ben) = (server.register("ann").await, server.register("ben").await);
    let held = (server.socket(Some(&ann)).await, Plain::open(server.address(), CONNECT, Some(&ann)).await);
    let mut third = Socket::connect(server.address(), "/graphql", MODERN.1).await;
    third.send(json!({"type": "connection_init", "payload": {"token": ann.token}})).await;
    assert_eq!(third.closed().await, 1013);
    assert_eq!(Plain::open(server.address(), CONNECT, Some(&ann)).await.closed().await, 1013);
    let get = server.http().get(server.url("/graphql?query=subscription{messageAdded{id}}")).bearer_auth(&ann.token);
    let mut stream = Events::open(get).await;
    assert_eq!(stream.next().await.code(), "UNAVAILABLE");
    assert!(stream.frame().await.expect("a frame").retry.is_some(), "it is to come back");
    server.socket(Some(&ben)).await.settled().await;
    server.socket(None).await.settled().await;
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
    soon("a place", Box::pin(again)).await;
}

#[tokio::test]
async fn one_address_makes_so_many_accounts_in_a_minute() {
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
        let response = soon("an answer", request.send()).await.expect("an answer");
        let answer: serde_json::Value = response.json().await.expect("JSON");
        answer.pointer("/errors/0/extensions").cloned().unwrap_or_default()
    };
    assert_eq!(register("a b", "192.0.2.1").await["code"], "BAD_USER_INPUT", "no account, and none is counted");
    for name in ["ann", "ben", "cat"] {
        assert_eq!(register(name, "192.0.2.1").await, serde_json::Value::Null, "{name}");
    }
    let refused = register("dan", "192.0.2.1").await;
    assert_eq!(refused["code"], "RATE_LIMITED");
    assert!(refused["retryAfterMs"].as_i64().is_some_and(|wait| (1..=20_000).contains(&wait)), "{refused}");
    assert_eq!(register("dan", "192.0.2.2").await, serde_json::Value::Null, "others may");
}

#[tokio::test]
async fn whoever_is_slow_with_a_request_is_cut_off() {
    let server = Server::start_with(|config| {
        config.sockets.request_timeout = SHORT;
        config.sockets.idle_timeout = 2 * SHORT;
    })
    .await;
    let open = || async { soon("a line", TcpStream::connect(server.address())).await.expect("a line") };
    assert_eq!(say(open().await, "").await, "", "nothing is said");
    assert_eq!(say(open().await, "POST /graphql HTTP/1.1\r\nHost: localhost\r\nX-Slow:").await, "", "half a head");
    let head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"que";
    let answer = say(open().await, head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "half a body: {answer:?}");
    // A letter now and then does not help.
    let mut line = open().await;
    let dribbling = async {
        for letter in "GET /healthz HTTP/1.1\r\nHost: localhost\r\n".bytes().chain(std::iter::repeat(b'x')) {
            if line.write_all(&[letter]).await.is_err() {
                break;
            }
            tokio::time::sleep(SHORT / 20).await;
        }
    };
    soon("the end of it", dribbling).await;
    // A line that is kept for the next request is not kept for ever.
    let kept = say(open().await, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(kept.starts_with("HTTP/1.1 200") && kept.ends_with("ok\n"), "{kept:?}");
}

#[tokio::test]
async fn whoever_takes_nothing_of_an_answer_loses_the_line() {
    let server = Server::start_with(|config| {
        config.sockets.max_connections = 2;
        config.sockets.send_timeout = SHORT;
    })
    .await;
    // Pages until everything that the kernel holds is full; nothing of it is read.
    let mut line = soon("a line", TcpStream::connect(server.address())).await.expect("a line");
    let asking = async {
        let asked = "GET /licenses.txt HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
        while line.write_all(asked.as_bytes()).await.is_ok() {}
    };
    soon("the end of the line", asking).await;
}

#[tokio::test]
async fn sockets_half_open_end_by_their_own_timeouts() {
    let server = Server::start_with(|config| {
        config.sockets.init_timeout = SHORT;
        config.sockets.ping_interval = SHORT;
        config.sockets.silence_limit = 3 * SHORT;
    })
    .await;
    let upgrade = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        )
    };
    for (path, code) in [("/graphql", 4408_u16), ("/api/v1/websocket/connect", 1013)] {
        let mut line = soon("a line", TcpStream::connect(server.address())).await.expect("a line");
        line.write_all(upgrade(path).as_bytes()).await.expect("it is open");
        let mut all = Vec::new();
        // Neither pings nor the close are answered.
        drop(soon("an end", line.read_to_end(&mut all)).await);
        let close = code.to_be_bytes();
        assert!(all.windows(2).any(|bytes| bytes == close), "{path}: {:?}", String::from_utf8_lossy(&all));
    }
}

/// What a client said while the process stood still was said in time.
#[tokio::test]
async fn a_server_that_stood_still_does_not_blame_whoever_was_coming_in() {
    let program = Program::new(&[("TIDINGS_INIT_TIMEOUT", "2s")]);
    let mut server = program.start();
    server.ready().await.expect("it starts");
    let mut socket = Socket::connect(program.address(), "/graphql", "graphql-transport-ws").await;
    server.signal("STOP");
    socket.send(json!({"type": "connection_init"})).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.signal("CONT");
    assert_eq!(socket.frame().await["type"], "connection_ack");
}
