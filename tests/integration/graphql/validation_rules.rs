//! Rules of the specification that juniper does not check.

use serde_json::{Value, json};

use crate::support::{Server, Session};

fn code(response: &Value) -> &str {
    response["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

async fn contents(server: &Server, session: &Session) -> Vec<Value> {
    let data = server.data(Some(session), "{ messages { nodes { content } } }", json!({})).await;
    data["messages"]["nodes"].as_array().cloned().unwrap_or_default()
}

/// A document, and the variable that must not be `null`.
const NULLS: &[(&str, &str)] = &[
    ("query ($b: Boolean = true) { cursor @include(if: $b) }", "b"),
    ("query ($b: Boolean = false) { cursor @skip(if: $b) }", "b"),
    ("query ($b: Boolean = true) { ... @include(if: $b) { cursor } }", "b"),
    (
        "query ($b: Boolean = true) { ...F } fragment F on Query { ...G @skip(if: $b) } fragment G on Query { cursor }",
        "b",
    ),
    ("query ($n: ID = \"1\") { message(id: $n) { id } }", "n"),
    (
        "query ($n: ID = \"1\") { channels { nodes { messages { nodes { channel { id } } } } } message(id: $n) { id } }",
        "n",
    ),
    (
        "mutation ($b: Boolean = true) { createMessage(input: { channelId: 1, content: \"no\" }) { id content @include(if: $b) } }",
        "b",
    ),
    ("mutation ($c: String = \"no\") { createMessage(input: { channelId: 1, content: $c }) { id } }", "c"),
    (
        "mutation ($l: ID = \"1\") { createMessage(input: { channelId: 1, content: \"no\", shareLocationIds: [$l] }) { id } }",
        "l",
    ),
    ("mutation ($i: CreateMessageInput = { channelId: 1, content: \"no\" }) { createMessage(input: $i) { id } }", "i"),
];

#[tokio::test]
async fn null_for_a_non_null_position_is_rejected() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    server.channel(&ann, "general").await;
    for (document, name) in NULLS {
        let response = server.execute(Some(&ann), document, json!({ *name: null })).await;
        assert_eq!(code(&response), "BAD_USER_INPUT", "{document}: {response}");
        assert_eq!(response["errors"][0]["extensions"]["field"], *name, "{document}: {response}");
        assert_eq!(response["errors"].as_array().map(Vec::len), Some(1), "{document}: {response}");
        assert!(response.get("data").is_none(), "{document}: {response}");
    }
    assert!(contents(&server, &ann).await.is_empty());

    let live = "subscription ($b: Boolean = true) { messageAdded { id content @include(if: $b) } }";
    let mut socket = server.socket(Some(&ann)).await;
    socket.subscribe("s", live, json!({"b": null})).await;
    assert_eq!(socket.error_code("s").await, "BAD_USER_INPUT");

    // Where null is allowed, or the default is used, the operation succeeds.
    let allowed = "query ($f: Int = 1, $c: ID = null) { messages(first: $f, channelId: $c) { nodes { id } } }";
    for variables in [json!({}), json!({"f": null, "c": null})] {
        let response = server.execute(Some(&ann), allowed, variables).await;
        assert!(response.get("errors").is_none(), "{response}");
    }
    let response = server.execute(Some(&ann), NULLS[0].0, json!({})).await;
    assert!(response["data"]["cursor"].is_string(), "{response}");
    // A null default for a non-null position makes the document invalid.
    let broken = "query ($b: Boolean = null) { cursor @include(if: $b) }";
    assert_eq!(code(&server.execute(None, broken, json!({})).await), "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(code(&server.execute(None, broken, json!({"b": true})).await), "GRAPHQL_VALIDATION_FAILED");
    // The rule only applies to the executed operation of a document.
    let two = "query A($b: Boolean = true) { cursor @skip(if: $b) } query B($b: String) { users(search: $b) { nodes { id } } }";
    let body = json!({"query": two, "operationName": "B", "variables": {"b": null}});
    let answer = server.http().post(server.url("/graphql")).json(&body).send().await.expect("a response");
    let answer: Value = answer.json().await.expect("JSON");
    assert!(answer.get("errors").is_none_or(|_| code(&answer) == "UNAUTHENTICATED"), "{answer}");
}

/// A document, and the column of its repeated directive.
const REPEATED: &[(&str, u64)] = &[
    ("{ cursor @skip(if: false) @skip(if: false) }", 27),
    ("{ ...F @include(if: true) @include(if: true) } fragment F on Query { cursor }", 27),
    ("{ ... @skip(if: false) @include(if: true) @skip(if: true) { cursor } }", 43),
    ("{ ...F } fragment F on Query { channels { nodes { id @skip(if: true) @skip(if: true) } } }", 70),
    ("subscription { messageAdded { id @include(if: true) @include(if: false) } }", 53),
];

#[tokio::test]
async fn repeated_directives_at_a_location_are_rejected() {
    let server = Server::start().await;
    for (document, column) in REPEATED {
        let response = server.execute(None, document, json!({})).await;
        assert_eq!(code(&response), "GRAPHQL_VALIDATION_FAILED", "{document}: {response}");
        let locations = &response["errors"][0]["locations"];
        assert_eq!(*locations, json!([{"line": 1, "column": column}]), "{document}: {response}");
    }
    let both = "{ cursor @skip(if: false) @include(if: true) again: cursor @skip(if: false) }";
    let response = server.execute(None, both, json!({})).await;
    assert!(response.get("errors").is_none() && response["data"]["again"].is_string(), "{response}");
}
