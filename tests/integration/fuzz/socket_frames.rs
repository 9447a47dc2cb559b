//! Random frames to the real binary: no panic, each socket ends with a close code or stays usable, and another client
//! is still served.

use std::net::SocketAddr;

use tokio::runtime::Runtime;

use super::target::Target;
use super::{Choices, Tally, check_property, choices, mutated};
use crate::support::raw_socket::{self, RawSocket};

const MODERN: &[&str] = &[
    r#"{"type":"connection_init","payload":{"authorization":"Bearer x.y.z"}}"#,
    r#"{"type":"connection_init"}"#,
    r#"{"type":"subscribe","id":"1","payload":{"query":"subscription ($a: Cursor) { events(after: $a) { cursor } }","variables":{"a":null}}}"#,
    r#"{"type":"subscribe","id":"2","payload":{"query":"{ cursor }","operationName":null,"extensions":{}}}"#,
    r#"{"type":"complete","id":"1"}"#,
    r#"{"type":"ping","payload":{"a":[1,2,{"b":null}]}}"#,
    r#"{"type":"pong"}"#,
];
const LEGACY: &[&str] = &[
    r#"{"type":"connection_init","payload":{}}"#,
    r#"{"type":"start","id":"1","payload":{"query":"subscription { messageAdded { id } }","variables":{}}}"#,
    r#"{"type":"start","id":"2","payload":{"query":"{ channels { nodes { id } } }"}}"#,
    r#"{"type":"stop","id":"1"}"#,
];
const JSON_SOCKET: &[&str] = &[
    r#"{"type":"subscribe","channel":"notifications","after":"c1-0000000000000000"}"#,
    r#"{"type":"subscribe","channel":"dashboard_updates"}"#,
    r#"{"type":"subscribe","ticket_id":1}"#,
    r#"{"type":"join_room","room":"project_123"}"#,
    r#"{"type":"message","room":"project_123","text":"Hello","key":"k"}"#,
    r#"{"type":"subscribe","room":"r","events":["a.*"]}"#,
    r#"{"type":"publish","room":"r","event":"a.b","data":{"n":1},"key":"k"}"#,
    r#"{"type":"leave_room","room":"project_123"}"#,
    r#"{"type":"ping"}"#,
];

/// Path, sub-protocol, valid frames, the last frame, and a text that the answer to the last frame contains.
type Protocol = (&'static str, &'static str, &'static [&'static str], &'static str, &'static str);
const PROTOCOLS: [Protocol; 3] = [
    ("/graphql", "graphql-transport-ws", MODERN, r#"{"type":"ping"}"#, r#""type":"pong""#),
    ("/subscriptions", "graphql-ws", LEGACY, r#"{"type":"connection_terminate"}"#, "(no answer)"),
    ("/api/v1/websocket/connect", "", JSON_SOCKET, r#"{"type":"ping"}"#, r#""type":"pong""#),
];

#[test]
fn every_socket_with_random_frames_gets_a_close_code_or_stays_usable() {
    let runtime = Runtime::new().expect("a runtime");
    let target = runtime.block_on(Target::start());
    let tally = Tally::default();
    check_property(600, &choices(120), |choices| {
        let mut choices = Choices::new(&choices);
        let protocol_case = *choices.one(&PROTOCOLS);
        let (bytes, are_headers_mutated) = mutated_frames(protocol_case, &mut choices);
        runtime.block_on(async {
            send_and_observe(target.address(), protocol_case, &bytes, are_headers_mutated)
                .await
                .map_err(|end| format!("{end} after {bytes:?}"))
                .map(|end| tally.count(end))?;
            target.check_health().await
        })
    });
    tally.show("sockets", &["stays open", "1000", "1002", "4400"]);
    runtime.block_on(async { drop(target) });
}

/// Mutated frames of a protocol, some of them in fragments; and whether the frame headers are mutated, too.
fn mutated_frames((_, _, frames, _, _): Protocol, choices: &mut Choices<'_>) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    for at in 0..=choices.below(8) {
        let payload = if at == 0 { frames[0] } else { *choices.one(frames) };
        let payload = mutated(payload.as_bytes(), choices);
        let opcode = *choices.one(&[raw_socket::TEXT, raw_socket::TEXT, raw_socket::TEXT, raw_socket::BINARY]);
        let cut = choices.below(payload.len() + 1);
        if choices.below(3) == 2 {
            bytes.extend(raw_socket::frame(false, opcode, &payload[..cut]));
            bytes.extend(raw_socket::frame(
                true,
                *choices.one(&[raw_socket::PING, raw_socket::PONG]),
                &payload[..cut.min(125)],
            ));
            bytes.extend(raw_socket::frame(true, raw_socket::CONTINUATION, &payload[cut..]));
        } else {
            bytes.extend(raw_socket::frame(true, opcode, &payload));
        }
        if !choices.has_more() {
            break;
        }
    }
    let are_headers_mutated = choices.below(4) == 3;
    (if are_headers_mutated { mutated(&bytes, choices) } else { bytes }, are_headers_mutated)
}

/// Sends everything; returns the close code or "stays open". An error if the connection ends without a code.
async fn send_and_observe(
    address: SocketAddr,
    (path, protocol, _, last, answer): Protocol,
    bytes: &[u8],
    are_headers_mutated: bool,
) -> Result<String, String> {
    let mut raw = RawSocket::open(address, path, protocol).await;
    raw.write(bytes).await;
    if are_headers_mutated {
        // Completes whatever frame the server still waits for. The zeros after it are no valid frame.
        raw.write(&vec![0; 300 << 10]).await;
    } else {
        raw.write(&raw_socket::text(last)).await;
    }
    loop {
        match raw.next().await {
            Some((raw_socket::CLOSE, payload)) => {
                return Ok(payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]])).to_string());
            }
            Some((raw_socket::TEXT, payload))
                if !are_headers_mutated && String::from_utf8_lossy(&payload).contains(answer) =>
            {
                return Ok("stays open".into());
            }
            Some(_) => {}
            None => return Err("the connection ended without a close code".into()),
        }
    }
}
