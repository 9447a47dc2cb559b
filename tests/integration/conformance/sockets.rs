//! Runs the conversations of the `.txt` files against a server.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Report, Server, Session, Socket};

/// A rule of a protocol, and the steps that show it.
struct Conversation {
    rule: &'static str,
    steps: Vec<&'static str>,
}

#[tokio::test]
async fn every_rule_of_graphql_transport_ws_is_kept() {
    run_conversations("graphql-transport-ws", include_str!("graphql-transport-ws.txt")).await;
}

#[tokio::test]
async fn every_rule_of_legacy_graphql_ws_is_kept() {
    run_conversations("graphql-ws", include_str!("graphql-ws.txt")).await;
}

async fn run_conversations(protocol: &str, script: &'static str) {
    let conversations = conversations(script);
    let mut report = Report::new(format_args!("rules of {protocol}, {} in all:", conversations.len()));
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let mut violations = Vec::new();
    for (number, conversation) in conversations.iter().enumerate() {
        let rule = conversation.rule;
        match run_conversation(&server, &ann, protocol, (number, conversation)).await {
            Ok(()) => report.line(format_args!("ok {rule}")),
            Err(why) => violations.push(format!("{rule}: {why}")),
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

fn conversations(script: &'static str) -> Vec<Conversation> {
    let (_, rules) = script.split_once("\n\n").expect("the file begins with an introduction");
    let read = |rule: &'static str| {
        let mut lines = rule.lines().filter(|line| !line.is_empty());
        let rule = lines.next().expect("a rule").trim_start_matches("# ");
        Conversation { rule, steps: lines.collect() }
    };
    rules.split("\n\n").map(read).collect()
}

async fn run_conversation(
    server: &Server,
    ann: &Session,
    protocol: &str,
    (number, conversation): (usize, &Conversation),
) -> Result<(), String> {
    let channel = server.channel(ann, &format!("room-{number}")).await;
    let message = server.post(ann, &channel, "here already").await;
    let mut socket = Socket::connect(server.address(), "/graphql", protocol).await;
    let fill =
        |text: &str| text.replace("$channel", &channel).replace("$message", &message).replace("$token", &ann.token);
    for step in &conversation.steps {
        let (what, text) = step.split_once(' ').unwrap_or((step, ""));
        match what {
            ">" => socket.send_raw(Message::text(fill(text))).await,
            ">>" => socket.send_raw(Message::binary(fill(text))).await,
            "<" => {
                let expected: Value = serde_json::from_str(&fill(text)).map_err(|error| format!("{step}: {error}"))?;
                match socket.next().await {
                    Ok(frame) if matches(&frame, &expected) => {}
                    other => return Err(format!("expected {step}, got {other:?}")),
                }
            }
            "close" => match socket.next().await {
                Err((code, reason)) if format!("{code} {reason}").starts_with(text) && reason.len() <= 123 => {}
                other => return Err(format!("expected {step}, got {other:?}")),
            },
            "!" => match text.split_once(' ').unwrap_or((text, "")) {
                ("post", content) => drop(server.post(ann, &channel, content).await),
                ("delete", _) => {
                    let query = "mutation ($id: ID!) { deleteMessage(id: $id) }";
                    server.data(Some(ann), query, json!({"id": message})).await;
                }
                _ => return Err(format!("unknown action: {text}")),
            },
            _ => return Err(format!("unknown step: {step}")),
        }
    }
    Ok(())
}

/// Whether the frame contains everything in `expected`; other fields are ignored.
fn matches(frame: &Value, expected: &Value) -> bool {
    match (frame, expected) {
        (Value::Null, Value::Null) => true,
        (Value::Null, _) => false,
        (_, Value::String(any)) if any == "*" => true,
        (Value::Object(fields), Value::Object(expected)) => {
            expected.iter().all(|(name, expected)| matches(fields.get(name).unwrap_or(&Value::Null), expected))
        }
        (Value::Array(items), Value::Array(expected)) => {
            items.len() == expected.len() && items.iter().zip(expected).all(|(item, expected)| matches(item, expected))
        }
        _ => frame == expected,
    }
}
