//! The idempotency keys of `broadcast`, `notifyUser` and `publishMetric`.

use serde_json::{Value, json};

use crate::support::Server;

const BROADCAST: &str = "mutation ($input: BroadcastInput!) { broadcast(input: $input) }";
const NOTIFY: &str = "mutation ($input: NotifyUserInput!) { notifyUser(input: $input) { id title cursor createdAt } }";
const METRIC: &str = "mutation ($input: MetricInput!) { publishMetric(input: $input) { metric value } }";

#[tokio::test]
async fn a_repeated_key_changes_nothing_and_returns_the_first_result() {
    let mut server = Server::start().await;
    let root = server.admin("root").await;
    server.channel(&root, "room").await;
    let cases = [
        (BROADCAST, json!({"room": "room", "data": {"n": 1}, "idempotencyKey": "a"}), "data", json!({"n": 2})),
        (NOTIFY, json!({"title": "t", "message": "m", "idempotencyKey": "b"}), "title", json!("other")),
        (
            NOTIFY,
            json!({"userId": root.id, "title": "t", "message": "m", "idempotencyKey": "c"}),
            "message",
            json!("o"),
        ),
        (METRIC, json!({"metric": "load", "value": 1.5, "idempotencyKey": "d"}), "value", json!(2.5)),
    ];
    for (document, input, field, other) in cases {
        let first = server.data(Some(&root), document, json!({"input": input})).await;
        let head = server.cursor(Some(&root)).await;
        for is_restarted in [false, true] {
            if is_restarted {
                server.restart().await;
            }
            let again = server.data(Some(&root), document, json!({"input": input})).await;
            assert_eq!((&again, server.cursor(Some(&root)).await), (&first, head.clone()), "{document}");
        }
        let mut changed: Value = input.clone();
        changed[field] = other;
        let refused = server.error_code(Some(&root), document, json!({"input": changed})).await;
        assert_eq!(refused, "CONFLICT", "{document}");
    }
    // A late retry of an old value does not replace a newer one.
    server.data(Some(&root), METRIC, json!({"input": {"metric": "load", "value": 9.5}})).await;
    let retry = json!({"input": {"metric": "load", "value": 1.5, "idempotencyKey": "d"}});
    server.data(Some(&root), METRIC, retry).await;
    let metrics = server.data(None, "{ metrics { metric value } }", json!({})).await;
    let load = metrics["metrics"].as_array().expect("a list").iter().find(|metric| metric["metric"] == "load");
    assert_eq!(load.expect("the metric")["value"], 9.5);
}

#[tokio::test]
async fn the_event_of_a_metric_is_not_delivered() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let channel = server.channel(&root, "room").await;
    let start = server.cursor(Some(&root)).await;
    let input = json!({"metric": "load", "value": 1.5, "idempotencyKey": "a"});
    server.data(Some(&root), METRIC, json!({"input": input})).await;
    server.post(&root, &channel, "a message").await;
    let mut socket = server.socket(Some(&root)).await;
    let events = "subscription ($after: Cursor) { events(after: $after) { __typename } }";
    socket.subscribe("e", events, json!({"after": start})).await;
    assert_eq!(socket.item("e").await["events"]["__typename"], "MessageAdded");
}
