//! Fields with the same response key are merged as the specification requires: executed once, with all selected fields.

mod random;
mod reference;

use serde_json::{Value, json};

use crate::support::{Server, Session};

async fn contents(server: &Server, session: &Session) -> Vec<String> {
    let data = server.data(Some(session), "{ messages { nodes { content } } }", json!({})).await;
    let nodes = data["messages"]["nodes"].as_array().expect("nodes").iter();
    nodes.map(|node| node["content"].as_str().expect("a text").to_owned()).collect()
}

/// Documents that contain one creation twice.
const REPEATED_CREATIONS: &[&str] = &[
    "mutation { POST { id } POST { content } }",
    "mutation { ...A ...B } fragment A on Mutation { POST { id } } fragment B on Mutation { POST { content } }",
    "mutation { ... { POST { id } } ... on Mutation { POST { content } } }",
    "mutation ($y: Boolean = true) { POST @include(if: $y) { id } POST { content } }",
    "mutation ($y: Boolean = true) { POST @skip(if: $y) { channelId } POST { id } ... @include(if: $y) { POST { content } } }",
    "mutation ($c: String = \"x\") { POST { id content } x: POST @skip(if: true) { id } createMessage: createMessage(input: { channelId: 1, content: $c }) @skip(if: true) { id } }",
];

#[tokio::test]
async fn a_repeated_mutation_field_is_executed_once() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    server.channel(&ann, "general").await;
    for (number, document) in REPEATED_CREATIONS.iter().enumerate() {
        let post = format!("createMessage(input: {{ channelId: 1, content: \"{number}\" }})");
        let mut document = document.replace("POST", &post);
        if number == REPEATED_CREATIONS.len() - 1 {
            // Fields with the same key must have the same arguments; otherwise the document is rejected.
            assert_eq!(server.error_code(Some(&ann), &document, json!({})).await, "GRAPHQL_VALIDATION_FAILED");
            document =
                document.replace("content: $c", &format!("content: \"{number}\"")).replace("($c: String = \"x\") ", "");
        }
        let data = server.data(Some(&ann), &document, json!({})).await;
        assert_eq!(data["createMessage"]["content"], json!(number.to_string()), "{document}: {data}");
        assert!(data["createMessage"]["id"].is_string(), "{document}: {data}");
        let expected: Vec<String> = (0..=number).rev().map(|number| number.to_string()).collect();
        assert_eq!(contents(&server, &ann).await, expected, "{document}");
    }
    // With several fields, each is executed once, in the order of the first occurrences.
    let several = "mutation { a: createMessage(input: { channelId: 1, content: \"a\" }) { id } b: createMessage(input: { channelId: 1, content: \"b\" }) { id } a: createMessage(input: { channelId: 1, content: \"a\" }) { content } }";
    let data = server.data(Some(&ann), several, json!({})).await;
    assert_eq!(data["a"]["content"], "a");
    assert_eq!(contents(&server, &ann).await[..2], ["b", "a"]);
    // Fields that directives exclude are not executed, whatever other fields have the same key.
    let none = "mutation ($n: Boolean!) { createChannel(input: { name: \"no\" }) @include(if: $n) { id } ... @include(if: $n) { createChannel(input: { name: \"no\" }) { name } } }";
    assert_eq!(server.data(Some(&ann), none, json!({"n": false})).await, json!({}));
    let names = server.data(None, "{ channels { nodes { name } } }", json!({})).await;
    assert_eq!(names["channels"]["nodes"], json!([{"name": "general"}]));
    // A variable of an excluded field is still validated.
    let refused = "mutation ($n: Boolean!, $c: ID) { createChannel(input: { name: \"no\" }) { id } createChannel(input: { name: \"no\" }) { id messages(after: $c) @include(if: $n) { nodes { id } } } }";
    let refused = refused.replace("$c: ID", "$c: String").replace("true", "$n");
    assert_eq!(server.error_code(Some(&ann), &refused, json!({"n": false, "c": 7})).await, "BAD_USER_INPUT");
}

#[tokio::test]
async fn a_repeated_field_that_fails_is_one_error_at_its_first_location() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    server.channel(&ann, "general").await;
    let documents = [
        "{ cursor\n  channel(id: 1) { id\n members { nodes { id } } } channel(id: 1) { members { nodes { username } } name } }",
        "{ cursor\n  channel(id: 1) { id\n members { nodes { id } } } ...F } fragment F on Query { channel(id: 1) { name } }",
        "{ ...F cursor\n  channel(id: 1) { id\n members { nodes { id } } } } fragment F on Query { x: channel(id: 1) { name id name } }",
    ];
    for document in documents {
        let response = server.execute(None, document, json!({})).await;
        let errors = response["errors"].as_array().expect("errors");
        assert_eq!(errors.len(), 1, "{document}: {response}");
        assert_eq!(errors[0]["locations"], json!([{"line": 3, "column": 2}]), "{document}: {response}");
        assert_eq!(errors[0]["path"], json!(["channel", "members"]), "{document}: {response}");
    }
    // The error location is that of the original document, although the rewritten document has other offsets.
    let literal = "mutation { broadcast(input: { room: \"é\", data: { a: 1 } }) broadcast(input: { room: \"é\", data: { a: 1 } }) }";
    let response = server.execute(Some(&ann), literal, json!({})).await;
    assert_eq!(response["errors"].as_array().map(Vec::len), Some(1), "{response}");
    assert_eq!(response["errors"][0]["locations"], json!([{"line": 1, "column": 12}]), "{response}");
}

/// Documents that contain the one field of a subscription more than once.
const REPEATED_SUBSCRIPTIONS: &[&str] = &[
    "subscription { messageAdded { id } messageAdded { content } }",
    "subscription { ...A ...B ...A } fragment A on Subscription { messageAdded { id } } fragment B on Subscription { messageAdded { content } }",
    "subscription ($c: ID = 1, $y: Boolean = true) { messageAdded(channelId: $c) @skip(if: $y) { title } messageAdded(channelId: $c) { id } ... @include(if: $y) { messageAdded(channelId: $c) { content id } } }",
];

#[tokio::test]
async fn repeated_subscription_fields_are_merged_into_one() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    for document in REPEATED_SUBSCRIPTIONS {
        let mut socket = server.socket(Some(&ann)).await;
        socket.subscribe("s", document, json!({})).await;
        socket.assert_idle().await;
        let id = server.post(&ann, &channel, "new").await;
        assert_eq!(socket.item("s").await, json!({"messageAdded": {"id": id, "content": "new"}}), "{document}");
    }
    let merged = "subscription { events { ... on Event { cursor } __typename cursor ... on MessageAdded { message { id } } ... on MessageAdded { message { content channel { id } } } ... on MessageUpdated { message { id } } } }";
    let mut socket = server.socket(Some(&ann)).await;
    socket.subscribe("s", merged, json!({})).await;
    assert_eq!(socket.item("s").await["events"]["__typename"], "Checkpoint");
    let id = server.post(&ann, &channel, "new").await;
    let item = socket.item("s").await;
    assert_eq!(item["events"]["message"], json!({"id": id, "content": "new", "channel": {"id": channel}}), "{item}");

    let refused = [
        ("subscription { messageAdded { id } other: messageAdded { id } }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { __typename }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { t: __typename }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { ... { __typename } }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { ...F } fragment F on Subscription { __typename }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { messageAdded(after: \"x\") { id } messageAdded(after: \"x\") { content } }", "BAD_USER_INPUT"),
        ("subscription { ...F } fragment F on Subscription { messageAdded(after: \"x\") { id } }", "BAD_USER_INPUT"),
        ("subscription { ... { messageAdded(after: \"x\") { id } } }", "BAD_USER_INPUT"),
        (
            "subscription { messageAdded @skip(if: true) { id } messageAdded @include(if: false) { id } }",
            "BAD_USER_INPUT",
        ),
    ];
    for (document, code) in refused {
        let mut socket = server.socket(Some(&ann)).await;
        socket.subscribe("s", document, json!({})).await;
        let frame = socket.frame().await;
        assert_eq!(frame["payload"].as_array().map(Vec::len), Some(1), "{document}: {frame}");
        assert_eq!(frame["payload"][0]["extensions"]["code"], code, "{document}: {frame}");
    }
}

#[tokio::test]
async fn items_keep_the_key_order_and_error_locations_of_the_document() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let mut socket = server.socket(Some(&ann)).await;
    socket.subscribe("o", "subscription { events { cursor kind: __typename at } }", json!({})).await;
    let text = socket.text().await;
    let places: Vec<Option<usize>> = ["\"cursor\"", "\"kind\"", "\"at\""].iter().map(|key| text.find(key)).collect();
    assert!(places.is_sorted() && places[0].is_some(), "{text}");

    let failing =
        "subscription ($n: Int = 0) {\n  messageAdded { id ...F channel {\n members(first: $n) { nodes { id } } } }\n}
        fragment F on Message { id channel { name } }";
    let mut socket = server.socket(Some(&ann)).await;
    socket.subscribe("f", failing, json!({})).await;
    socket.assert_idle().await;
    for content in ["one", "two"] {
        server.post(&ann, &channel, content).await;
        let payload = socket.frame().await["payload"].take();
        assert_eq!(payload["data"], Value::Null, "{payload}");
        assert_eq!(payload["errors"].as_array().map(Vec::len), Some(1), "{payload}");
        let error = &payload["errors"][0];
        assert_eq!(error["path"], json!(["messageAdded", "channel", "members"]), "{payload}");
        assert_eq!(error["locations"], json!([{"line": 3, "column": 2}]), "{payload}");
    }
    // Each subscriber has its own values of the variables in the selection.
    socket.subscribe("g", failing, json!({"n": 1})).await;
    socket.assert_idle().await;
    server.post(&ann, &channel, "three").await;
    let mut payloads = [socket.frame().await, socket.frame().await];
    payloads.sort_by_key(|frame| frame["id"].to_string());
    assert_eq!(payloads[1]["id"], "g");
    assert!(payloads[0]["payload"].get("errors").is_some() && payloads[1]["payload"].get("errors").is_none());
    assert_eq!(payloads[1]["payload"]["data"]["messageAdded"]["channel"]["name"], "general");
}

#[tokio::test]
async fn merging_is_within_the_complexity_limits() {
    let server = Server::start().await;
    // A long literal in a fragment that is spread under different fields.
    let spreads: String = (0..20).map(|number| format!("_{number}: channel(id: {number}) {{ ...F id id }} ")).collect();
    let long = "x".repeat(20_000);
    let document =
        format!("{{ {spreads} }} fragment F on Channel {{ messages(after: \"{long}\") {{ nodes {{ id }} }} }}");
    assert_eq!(server.error_code(None, &document, json!({})).await, "QUERY_TOO_COMPLEX");
    // A chain of fragments, each of which spreads the next one twice, up to the limit of repetitions.
    let chain: String = (0..6)
        .map(|number| format!("fragment F{number} on Query {{ ...F{next} ...F{next} }} ", next = number + 1))
        .collect();
    let document = format!("{{ ...F0 cursor }} {chain} fragment F6 on Query {{ cursor }}");
    let response = server.execute(None, &document, json!({})).await;
    assert!(response["data"]["cursor"].is_string(), "{response}");
    let response: Value = server
        .execute(None, &document.replace("F6 on Query { cursor", "F6 on Query { cursor cursor cursor"), json!({}))
        .await;
    assert_eq!(response["errors"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX", "{response}");
    // The deepest document allowed; its innermost selection is empty after `@skip`.
    let depth = 59;
    let types = "ofType { ".repeat(depth);
    let ends = " }".repeat(depth);
    let document = format!(
        "{{ __typename __typename __schema {{ queryType {{ fields {{ type {{ {types} name @skip(if: true) {ends} }} }} }} }} }}"
    );
    let response = server.execute(None, &document, json!({})).await;
    assert!(response["data"]["__schema"].is_object(), "{response}");
}
