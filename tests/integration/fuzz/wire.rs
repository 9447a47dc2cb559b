//! Random frames to the real binary: no panic, each socket ends with a close code or stays usable, and another client
//! is still served.

use std::net::SocketAddr;

use tokio::runtime::Runtime;

use super::target::Target;
use super::{Choices, Tally, choices, mutated, prove};
use crate::support::raw::{self, Raw};

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
const PLAIN: &[&str] = &[
    r#"{"type":"subscribe","channel":"notifications","after":"c1-0000000000000000"}"#,
    r#"{"type":"subscribe","channel":"dashboard_updates"}"#,
    r#"{"type":"subscribe","ticket_id":1}"#,
    r#"{"type":"join_room","room":"project_123"}"#,
    r#"{"type":"message","room":"project_123","text":"Hello","key":"k"}"#,
    r#"{"type":"leave_room","room":"project_123"}"#,
    r#"{"type":"ping"}"#,
];

/// Path, sub-protocol, valid frames, the last frame, and a text that the answer to the last frame contains.
type Speech = (&'static str, &'static str, &'static [&'static str], &'static str, &'static str);
const SPEECHES: [Speech; 3] = [
    ("/graphql", "graphql-transport-ws", MODERN, r#"{"type":"ping"}"#, r#""type":"pong""#),
    ("/subscriptions", "graphql-ws", LEGACY, r#"{"type":"connection_terminate"}"#, "(no answer)"),
    ("/api/v1/websocket/connect", "", PLAIN, r#"{"type":"ping"}"#, r#""type":"pong""#),
];

#[test]
fn every_socket_ends_with_a_code_or_goes_on() {
    let runtime = Runtime::new().expect("a runtime");
    let target = runtime.block_on(Target::start());
    let tally = Tally::default();
    prove(600, &choices(120), |choices| {
        let mut choices = Choices::new(&choices);
        let speech = *choices.one(&SPEECHES);
        let (bytes, is_wild) = said(speech, &mut choices);
        runtime.block_on(async {
            speak(target.address(), speech, &bytes, is_wild)
                .await
                .map_err(|end| format!("{end} after {bytes:?}"))
                .map(|end| tally.count(end))?;
            target.is_well().await
        })
    });
    tally.show("sockets", &["stays open", "1000", "1002", "4400"]);
    runtime.block_on(async { drop(target) });
}

/// Mutated frames of a protocol, some of them in fragments; and whether the frame headers are mutated, too.
fn said((_, _, frames, _, _): Speech, choices: &mut Choices<'_>) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    for at in 0..=choices.below(8) {
        let words = if at == 0 { frames[0] } else { *choices.one(frames) };
        let words = mutated(words.as_bytes(), choices);
        let opcode = *choices.one(&[raw::TEXT, raw::TEXT, raw::TEXT, raw::BINARY]);
        let cut = choices.below(words.len() + 1);
        if choices.below(3) == 2 {
            bytes.extend(raw::frame(false, opcode, &words[..cut]));
            bytes.extend(raw::frame(true, *choices.one(&[raw::PING, raw::PONG]), &words[..cut.min(125)]));
            bytes.extend(raw::frame(true, raw::CONTINUATION, &words[cut..]));
        } else {
            bytes.extend(raw::frame(true, opcode, &words));
        }
        if !choices.has_more() {
            break;
        }
    }
    let is_wild = choices.below(4) == 3;
    (if is_wild { mutated(&bytes, choices) } else { bytes }, is_wild)
}

/// Sends everything; returns the close code or "stays open". An error if the connection ends without a code.
async fn speak(
    address: SocketAddr,
    (path, protocol, _, last, answer): Speech,
    bytes: &[u8],
    is_wild: bool,
) -> Result<String, String> {
    let mut raw = Raw::open(address, path, protocol).await;
    raw.write(bytes).await;
    if is_wild {
        // Completes whatever frame the server still waits for. The zeros after it are no valid frame.
        raw.write(&vec![0; 300 << 10]).await;
    } else {
        raw.write(&raw::text(last)).await;
    }
    loop {
        match raw.next().await {
            Some((raw::CLOSE, words)) => {
                return Ok(words.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]])).to_string());
            }
            Some((raw::TEXT, words)) if !is_wild && String::from_utf8_lossy(&words).contains(answer) => {
                return Ok("stays open".into());
            }
            Some(_) => {}
            None => return Err("the connection ended without a close code".into()),
        }
    }
}
