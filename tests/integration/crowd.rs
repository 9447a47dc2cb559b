//! As many connections as the limit allows, each in a room of the JSON socket. Prints the connection rate, the memory
//! per connection and the duration of a broadcast, and checks that one more connection gets 503.
//!
//! 300 connections by default; `TIDINGS_CROWD` sets another number (`make crowd`: 10,000, with the release build).

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

use crate::support::{Program, Session, Socket, soon};

const SMALL: usize = 300;
/// How many connections are opened concurrently.
const AT_ONCE: usize = 128;
/// Connections per source address, which has a limited number of ports.
const PER_ADDRESS: usize = 4_000;

type Line = WebSocketStream<TcpStream>;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_house_is_served_and_one_too_many_is_turned_away() {
    let crowd = std::env::var("TIDINGS_CROWD").map_or(SMALL, |number| number.parse().expect("a number"));
    let places = crowd.to_string();
    let program = Program::new(&[("TIDINGS_MAX_CONNECTIONS", &places), ("TIDINGS_LOG", "warn,tidings::app=info")]);
    let mut process = program.start();
    process.ready().await.expect("it runs");
    program.run(&["user", "add", "root", "--admin"]).await;
    let token = program.run(&["token", "root"]).await.trim().to_owned();
    let root = Session { id: String::new(), username: "root".into(), token };
    let mut admin = Socket::enter(program.address(), Some(&root)).await;
    admin.subscribe("c", "mutation { createChannel(input: { name: \"crowd\" }) { id } }", json!({})).await;
    admin.item("c").await;
    admin.frame().await;
    let empty = process.resident();

    // The admin's own connection is the last one that the limit allows.
    let since = Instant::now();
    let lines: Vec<Line> = stream::iter(0..crowd - 1)
        .map(|number| enter(program.address(), number, &root.token))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let took = since.elapsed();
    let each = (process.resident() - empty) / lines.len();
    println!("{crowd} connections: {:.0} a second, {each} bytes each", lines.len() as f64 / took.as_secs_f64());

    let lines = broadcast(&mut admin, lines, 1).await;
    let refusal = one_too_many(program.address()).await;
    assert!(refusal.starts_with("HTTP/1.1 503") && refusal.contains("Retry-After"), "{refusal}");
    let lines = broadcast(&mut admin, lines, 2).await;
    assert_eq!(lines.len(), crowd - 1);
    let after = (process.resident() - empty) / lines.len();
    println!("after two broadcasts {after} bytes each; number {} got 503", crowd + 1);
}

/// Connects and joins the room; every other connection has a token.
async fn enter(address: SocketAddr, number: usize, token: &str) -> Line {
    let socket = TcpSocket::new_v4().expect("a socket");
    if cfg!(target_os = "linux") {
        let last = u8::try_from(2 + number / PER_ADDRESS).expect("not so many");
        socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).expect("an address");
    }
    let stream = soon("a line", socket.connect(address)).await.expect("a line");
    let query = if number.is_multiple_of(2) { format!("?token={token}") } else { String::new() };
    let url = format!("ws://{address}/api/v1/websocket/connect{query}");
    let config = WebSocketConfig::default().read_buffer_size(2 << 10);
    let (mut line, _) =
        soon("an upgrade", client_async_with_config(url, stream, Some(config))).await.expect("an upgrade");
    let join = json!({"type": "join_room", "room": "crowd"}).to_string();
    line.send(Message::text(join)).await.expect("it is open");
    assert_eq!(hear(&mut line).await["type"], "joined");
    line
}

/// Sends a broadcast, waits until every connection has received it, and prints the first and the last delay.
async fn broadcast(admin: &mut Socket, lines: Vec<Line>, number: usize) -> Vec<Line> {
    let hearing = lines.into_iter().map(|mut line| {
        tokio::spawn(async move {
            let frame = hear(&mut line).await;
            let at = Instant::now();
            assert_eq!((&frame["type"], &frame["data"]["number"]), (&json!("update"), &json!(number)), "{frame}");
            (line, at)
        })
    });
    let hearing: Vec<_> = hearing.collect();
    let since = Instant::now();
    let query = "mutation ($d: JSON!) { broadcast(input: { room: \"crowd\", data: $d }) }";
    admin.subscribe("b", query, json!({"d": {"number": number}})).await;
    admin.item("b").await;
    admin.frame().await;
    let heard = future::join_all(hearing).await;
    let (lines, times): (Vec<Line>, Vec<Duration>) =
        heard.into_iter().map(|heard| heard.expect("it was heard")).map(|(line, at)| (line, at - since)).unzip();
    let (first, last) = (times.iter().min().expect("a time"), times.iter().max().expect("a time"));
    println!("broadcast {number}: the first had it after {first:.1?}, the last after {last:.1?}");
    lines
}

async fn hear(line: &mut Line) -> Value {
    loop {
        match soon("a frame", line.next()).await {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("JSON"),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("{other:?} instead of a frame"),
        }
    }
}

async fn one_too_many(address: SocketAddr) -> String {
    let mut stream = soon("a line", TcpStream::connect(address)).await.expect("a line");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is open");
    let mut answer = String::new();
    soon("an answer", stream.read_to_string(&mut answer)).await.expect("an answer");
    answer
}
