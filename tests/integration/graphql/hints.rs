//! Errors say what the schema has instead, to those who may look at it.

use serde_json::json;

use crate::support::Server;

/// A mistake, and what the answer suggests.
const MISTAKES: &[(&str, &str)] = &[
    ("{ messages { nodes { autor { id } } } }", "Did you mean \"author\""),
    ("{ mesages { nodes { id } } }", "Did you mean \"messages\""),
    ("{ messages(chanelId: 1) { nodes { id } } }", "Did you mean \"channelId\""),
    ("query ($c: Curser) { messages(after: $c) { nodes { id } } }", "Did you mean \"Cursor\""),
    ("{ messages(status: OPENED) { nodes { id } } }", "Allowed are OPEN, IN_PROGRESS, RESOLVED, CLOSED."),
    ("mutation { login(input: { usrname: \"a\", password: \"b\" }) { token } }", "Did you mean \"username\""),
];

#[tokio::test]
async fn a_mistake_is_answered_with_what_was_meant() {
    let open = Server::start().await;
    let closed = Server::start_with(|config| config.introspection = false).await;
    for (document, expected) in MISTAKES {
        let answer = open.ask(None, document, json!({})).await.to_string().replace("\\\"", "\"");
        assert!(answer.contains(expected), "{document}: {answer}");
        let answer = closed.ask(None, document, json!({})).await.to_string();
        assert!(!answer.contains("Did you mean") && !answer.contains("IN_PROGRESS"), "{document}: {answer}");
    }
    let variable = "query ($s: TicketStatus) { messages(status: $s) { nodes { id } } }";
    let answer = open.ask(None, variable, json!({"s": "DONE"})).await.to_string();
    assert!(answer.contains("Allowed are OPEN, IN_PROGRESS"), "{answer}");
    let answer = closed.ask(None, variable, json!({"s": "DONE"})).await.to_string();
    assert!(!answer.contains("IN_PROGRESS"), "{answer}");
    // What is far from everything gets no suggestion.
    let answer = open.ask(None, "{ somethingElse }", json!({})).await.to_string();
    assert!(!answer.contains("Did you mean"), "{answer}");
}
