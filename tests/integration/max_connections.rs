//! As many connections as the limit allows, each in a room of the JSON socket. Prints the connection rate, the memory
//! per connection and the duration of a broadcast, and checks that one more connection gets 503.
//!
//! 300 connections by default; `TIDINGS_CONNECTIONS` sets another number (`make connections`: 10,000, with the release build).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use futures_util::{SinkExt as _, future};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::support::{Program, Session, Socket, with_timeout};

const DEFAULT_CONNECTIONS: usize = 300;
/// How many connections are opened concurrently.
const CONCURRENT_CONNECTS: usize = 128;
/// Connections per source address, which has a limited number of ports.
const PER_ADDRESS: usize = 4_000;

type Connection = WebSocketStream<TcpStream>;

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_up_to_the_limit_gets_broadcasts_and_one_more_gets_503() {
    let limit =
        std::env::var("TIDINGS_CONNECTIONS").map_or(DEFAULT_CONNECTIONS, |number| number.parse().expect("a number"));
    let limit_setting = limit.to_string();
    let program =
        Program::new(&[("TIDINGS_MAX_CONNECTIONS", &limit_setting), ("TIDINGS_LOG", "warn,tidings::app=info")]);
    let mut process = program.start();
    process.ready().await.expect("the process runs");
    program.run(&["user", "add", "root", "--admin"]).await;
    let token = program.run(&["token", "root"]).await.trim().to_owned();
    let root = Session { id: String::new(), username: "root".into(), token };
    let mut admin = Socket::connect_and_init(program.address(), Some(&root)).await;
    admin.subscribe("c", "mutation { createChannel(input: { name: \"all\" }) { id } }", json!({})).await;
    admin.item("c").await;
    admin.frame().await;
    let empty = process.resident();

    // The admin's own connection is the last one that the limit allows.
    let since = Instant::now();
    let connections: Vec<Connection> = stream::iter(0..limit - 1)
        .map(|number| connect_and_join(program.address(), number, &root.token))
        .buffer_unordered(CONCURRENT_CONNECTS)
        .collect()
        .await;
    let took = since.elapsed();
    let each = (process.resident() - empty) / connections.len();
    println!("{limit} connections: {:.0} a second, {each} bytes each", connections.len() as f64 / took.as_secs_f64());

    let connections = broadcast(&mut admin, connections, 1).await;
    let refusal = request_health(program.address()).await;
    assert!(refusal.starts_with("HTTP/1.1 503") && refusal.contains("Retry-After"), "{refusal}");
    let connections = broadcast(&mut admin, connections, 2).await;
    assert_eq!(connections.len(), limit - 1);
    let after = (process.resident() - empty) / connections.len();
    println!("after two broadcasts {after} bytes each; number {} got 503", limit + 1);
}

/// Connects and joins the room; every other connection has a token.
async fn connect_and_join(address: SocketAddr, number: usize, token: &str) -> Connection {
    let socket = TcpSocket::new_v4().expect("a socket");
    if cfg!(target_os = "linux") {
        let last = u8::try_from(2 + number / PER_ADDRESS).expect("few enough source addresses");
        socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).expect("an address");
    }
    let stream = with_timeout("a connection", socket.connect(address)).await.expect("a connection");
    let query = if number.is_multiple_of(2) { format!("?token={token}") } else { String::new() };
    let url = format!("ws://{address}/api/v1/websocket/connect{query}");
    let config = WebSocketConfig::default().read_buffer_size(2 << 10);
    let (mut connection, _) =
        with_timeout("an upgrade", client_async_with_config(url, stream, Some(config))).await.expect("an upgrade");
    let join = json!({"type": "join_room", "room": "all"}).to_string();
    connection.send(Message::text(join)).await.expect("the connection is open");
    assert_eq!(next_frame(&mut connection).await["type"], "joined");
    connection
}

/// Sends a broadcast, waits until every connection has received it, and prints the first and the last delay.
async fn broadcast(admin: &mut Socket, connections: Vec<Connection>, number: usize) -> Vec<Connection> {
    let receiving = connections.into_iter().map(|mut connection| {
        tokio::spawn(async move {
            let frame = next_frame(&mut connection).await;
            let at = Instant::now();
            assert_eq!((&frame["type"], &frame["data"]["number"]), (&json!("update"), &json!(number)), "{frame}");
            (connection, at)
        })
    });
    let receiving: Vec<_> = receiving.collect();
    let since = Instant::now();
    let query = "mutation ($d: JSON!) { broadcast(input: { room: \"all\", data: $d }) }";
    admin.subscribe("b", query, json!({"d": {"number": number}})).await;
    admin.item("b").await;
    admin.frame().await;
    let received = future::join_all(receiving).await;
    let (connections, times): (Vec<Connection>, Vec<Duration>) = received
        .into_iter()
        .map(|received| received.expect("the receiving task"))
        .map(|(connection, at)| (connection, at - since))
        .unzip();
    let (first, last) = (times.iter().min().expect("a time"), times.iter().max().expect("a time"));
    println!("broadcast {number}: the first had it after {first:.1?}, the last after {last:.1?}");
    connections
}

async fn next_frame(connection: &mut Connection) -> Value {
    loop {
        match with_timeout("a frame", connection.next()).await {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("JSON"),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("{other:?} instead of a frame"),
        }
    }
}

async fn request_health(address: SocketAddr) -> String {
    let mut stream = with_timeout("a connection", TcpStream::connect(address)).await.expect("a connection");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("the connection is open");
    let mut answer = String::new();
    with_timeout("a response", stream.read_to_string(&mut answer)).await.expect("a response");
    answer
}
