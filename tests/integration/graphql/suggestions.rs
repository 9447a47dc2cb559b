//! Error messages suggest names of the schema, but only if introspection is enabled.

use serde_json::json;

use crate::support::{Server, with_timeout};

/// A document with a mistake, and the expected suggestion.
const MISTAKES: &[(&str, &str)] = &[
    ("{ messages { nodes { autor { id } } } }", "Did you mean \"author\""),
    ("{ mesages { nodes { id } } }", "Did you mean \"messages\""),
    ("{ messages(chanelId: 1) { nodes { id } } }", "Did you mean \"channelId\""),
    ("query ($c: Curser) { messages(after: $c) { nodes { id } } }", "Did you mean \"Cursor\""),
    ("{ cursor @skp(if: true) }", "Did you mean \"skip\""),
    ("{ ...F @inclde(if: true) } fragment F on Query { cursor }", "Did you mean \"include\""),
    ("{ cursor @skip(iff: true) }", "Did you mean \"if\""),
    ("{ ... @include(If: true) { cursor } }", "Did you mean \"if\""),
    ("{ messages(status: OPENED) { nodes { id } } }", "Allowed are OPEN, IN_PROGRESS, RESOLVED, CLOSED."),
    ("mutation { login(input: { usrname: \"a\", password: \"b\" }) { token } }", "Did you mean \"username\""),
];

#[tokio::test]
async fn errors_suggest_names_only_with_introspection() {
    let open = Server::start().await;
    let closed = Server::start_with(|config| config.introspection = false).await;
    for (document, expected) in MISTAKES {
        let answer = open.execute(None, document, json!({})).await.to_string().replace("\\\"", "\"");
        assert!(answer.contains(expected), "{document}: {answer}");
        let answer = closed.execute(None, document, json!({})).await.to_string();
        assert!(!answer.contains("Did you mean") && !answer.contains("IN_PROGRESS"), "{document}: {answer}");
    }
    let variable = "query ($s: TicketStatus) { messages(status: $s) { nodes { id } } }";
    let answer = open.execute(None, variable, json!({"s": "DONE"})).await;
    let expected = "Variable \"$s\" is \"DONE\": not a value for enum \"TicketStatus\". Allowed are OPEN, IN_PROGRESS, RESOLVED, CLOSED.";
    assert_eq!(answer["errors"][0]["message"], expected, "{answer}");
    assert_eq!(answer["errors"][0]["extensions"]["field"], "s", "{answer}");
    let answer = closed.execute(None, variable, json!({"s": "DONE"})).await.to_string();
    assert!(!answer.contains("IN_PROGRESS"), "{answer}");
    // An unknown field in the value of a variable, at any depth.
    let create = "mutation ($i: CreateMessageInput!) { createMessage(input: $i) { id } }";
    let update = "mutation ($i: UpdateMessageInput!) { updateMessage(input: $i) { id } }";
    let values = [
        (create, json!({"chanelId": "1", "channelId": "1", "content": "x"}), "channelId"),
        (create, json!({"channelId": "1", "content": "x", "ticket": {"priorty": "LOW"}}), "priority"),
        (update, json!({"id": "1", "ticket": {"asigneeId": "1"}}), "assigneeId"),
    ];
    for (document, input, meant) in values {
        let answer = open.execute(None, document, json!({"i": input})).await.to_string().replace("\\\"", "\"");
        assert!(answer.contains(&format!("Unknown field. Did you mean \"{meant}\"?")), "{input}: {answer}");
        let answer = closed.execute(None, document, json!({"i": input})).await.to_string();
        assert!(answer.contains("Unknown field.") && !answer.contains("Did you mean"), "{input}: {answer}");
    }
    // A name that is similar to none gets no suggestion.
    let answer = open.execute(None, "{ somethingElse }", json!({})).await.to_string();
    assert!(!answer.contains("Did you mean"), "{answer}");
}

#[tokio::test]
async fn errors_have_one_message_with_a_location() {
    let server = Server::start().await;
    let first = "query ($first: Int) { messages(first: $first) { nodes { id } } }";
    let answer = server.execute(None, first, json!({"first": "ten"})).await;
    let error = &answer["errors"][0];
    assert_eq!(error["message"], "Variable \"$first\" must be of type Int, found \"ten\"", "{answer}");
    assert_eq!(error["locations"], json!([{"line": 1, "column": 8}]), "{answer}");

    let inside = "mutation ($i: UpdateMessageInput!) { updateMessage(input: $i) { id } }";
    let answer = server.execute(None, inside, json!({"i": {"id": "1", "ticket": {"status": "DONE"}}})).await;
    let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
    let expected =
        "Variable \"$i\" at \"i.ticket.status\" is \"DONE\": not a value for enum \"TicketStatus\". Allowed are";
    assert!(message.starts_with(expected), "{answer}");

    let answer = server.execute(None, "query (\n  $c: [Curser!]) { cursor }", json!({})).await;
    assert_eq!(answer["errors"][0]["locations"], json!([{"line": 2, "column": 7}]), "{answer}");

    let body = json!({"query": "query A { cursor } query B { cursor }", "operationName": "C"});
    let request = server.http().post(server.url("/graphql")).json(&body);
    let answer = with_timeout("a response", request.send()).await.expect("a response").text().await.expect("text");
    assert!(answer.contains(r#"Unknown operation \"C\""#), "{answer}");

    let costly = "query ($n: Int) { cursor channels(first: $n) { nodes { members { nodes { id } } messages(first: $n) { nodes { comments(first: 100) { nodes { id } } } } } } }";
    let answer = server.execute(None, costly, json!({"n": 100})).await;
    let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
    let expected = "most of it for \"channels.messages.comments\"; ask for shorter lists";
    assert!(message.ends_with(expected), "{answer}");
    // The costliest list depends on the variables.
    let either = "query ($m: Int, $n: Int) { channels(first: 100) { nodes { members(first: $m) { nodes { id } } messages(first: $n) { nodes { id } } } } }";
    for (variables, dearest) in [(json!({"m": 1, "n": 100}), "messages"), (json!({"m": 100, "n": 1}), "members")] {
        let answer = server.execute(None, either, variables).await;
        let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(message.contains(&format!("most of it for \"channels.{dearest}\"")), "{answer}");
    }
}
