//! Random and mutated frames: each is answered or closes the socket with a code. The server keeps running, and its
//! memory does not grow.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::json_socket::CONNECT;
use crate::support::{JsonSocket, Program, with_timeout};

const FRAMES: usize = 100_000;
/// Number of frames before the measurement: tables, caches and allocator arenas reach their size.
const WARM_UP: usize = 50_000;
const CLIENTS: usize = 4;
const FRAMES_OF_A_SOCKET: usize = 500;
/// The largest accepted growth of memory: 40 bytes per frame would exceed it.
const SLACK: usize = 4 << 20;

const SEEDS: [&str; 11] = [
    r#"{"type":"subscribe","channel":"notifications"}"#,
    r#"{"type":"subscribe","channel":"dashboard_updates"}"#,
    r#"{"type":"subscribe","channel":"tickets","after":"c1-0000000000000001"}"#,
    r#"{"type":"subscribe","ticket_id":1}"#,
    r#"{"type":"join_room","room":"r"}"#,
    r#"{"type":"leave_room","room":"r"}"#,
    r#"{"type":"unsubscribe","ticket_id":"1"}"#,
    r#"{"type":"subscribe","room":"r","events":["a.*"]}"#,
    r#"{"type":"publish","room":"r","event":"a.b","data":{"n":1},"key":"k"}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"message","room":"nowhere","text":"t","key":"k"}"#,
];

#[tokio::test]
async fn random_frames_cause_no_panic_and_no_memory_growth() {
    let program = Program::new(&[("TIDINGS_FRAMES_PER_SECOND", "0")]);
    let mut process = program.start();
    process.ready().await.expect("the server starts");
    let path = format!("{CONNECT}?token={}", program.register("ann").await);
    send(&program, &path, WARM_UP, 0).await;
    let before = process.resident();
    let closes = send(&program, &path, FRAMES, 1).await;
    let after = process.resident();
    println!("{FRAMES} frames, {closes} closes, memory {} KiB, then {} KiB", before >> 10, after >> 10);
    assert!(after < before + SLACK, "{before} bytes, then {after}");
    JsonSocket::open_as(program.address(), &path).await.assert_idle().await;
    assert!(!program.log().contains("panic"), "{}", program.log());
}

/// Sends frames; returns how many sockets were closed.
async fn send(program: &Program, path: &str, frames: usize, seed: u64) -> usize {
    let clients = (0..CLIENTS).map(|client| {
        let (address, path) = (program.address(), path.to_owned());
        let mut random = StdRng::seed_from_u64(seed << 32 | client as u64);
        tokio::spawn(async move {
            let mut closes = 0;
            for _ in 0..frames / CLIENTS / FRAMES_OF_A_SOCKET {
                let socket = JsonSocket::open_as(address, &path).await;
                closes += usize::from(babble(socket, &mut random).await.is_err());
            }
            closes
        })
    });
    let mut closes = 0;
    for client in clients.collect::<Vec<_>>() {
        closes += with_timeout("the answers", client).await.expect("the client task does not panic");
    }
    closes
}

/// Sends mutated frames; an error has the close code if the socket is closed.
async fn babble(mut socket: JsonSocket, random: &mut StdRng) -> Result<(), u16> {
    for _ in 0..FRAMES_OF_A_SOCKET {
        socket.send_raw(mutated(SEEDS[random.random_range(0..SEEDS.len())], random)).await;
    }
    // Frames are answered in order, so the answer to this one is the last.
    socket.send(json!({"type": "leave_room", "room": "the end"})).await;
    loop {
        match socket.next().await {
            Ok(frame) if frame["room"] == "the end" => return Ok(()),
            Ok(_) => {}
            Err(1006) => panic!("a close without a code"),
            Err(code) => return Err(code),
        }
    }
}

fn mutated(seed: &str, random: &mut StdRng) -> Message {
    let mut bytes = seed.as_bytes().to_vec();
    for _ in 0..random.random_range(0..4) {
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..4) {
            0 => bytes[at] = random.random(),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, b"{}[]\",:0e\\"[random.random_range(0..10)]),
            _ => bytes.truncate(at.max(1)),
        }
        if bytes.is_empty() {
            bytes.push(b'x');
        }
    }
    match (random.random_range(0..50), String::from_utf8(bytes)) {
        (0, Ok(text)) => Message::binary(text.into_bytes()),
        (_, Ok(text)) => Message::text(text),
        (_, Err(error)) => Message::binary(error.into_bytes()),
    }
}
