//! Types of application events and their schemas.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidings::model::{Event, EventKind};

use super::{PUBLISH, PUBLISH_MANY, orders, publish, publish_error};
use crate::support::json_socket::CONNECT;
use crate::support::{JsonSocket, Server, Session, text};

const DEFINE: &str = "mutation ($input: EventTypeInput!) {
    defineEventType(input: $input) { type description schema updatedAt } }";
const DELETE: &str = "mutation ($type: String!) { deleteEventType(type: $type) }";
const TYPES: &str = "{ eventTypes { type description schema updatedAt } }";

async fn define(server: &Server, session: &Session, name: &str, schema: Value) -> Value {
    let input = json!({"type": name, "schema": schema, "description": "An order was paid."});
    server.data(Some(session), DEFINE, json!({"input": input})).await["defineEventType"].take()
}

fn schema() -> Value {
    json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}})
}

#[tokio::test]
async fn a_defined_type_is_listed_replaced_and_deleted() {
    let mut server = Server::start().await;
    let root = server.admin("root").await;
    let defined = define(&server, &root, "order.paid", schema()).await;
    assert_eq!((&defined["type"], &defined["schema"]), (&json!("order.paid"), &schema()));
    define(&server, &root, "Order", json!(true)).await;
    let replaced = define(&server, &root, "order.paid", json!({"type": "integer"})).await;
    server.restart().await;
    let listed = server.data(Some(&root), TYPES, json!({})).await["eventTypes"].take();
    assert_eq!((&listed[1], listed[0]["type"].as_str()), (&replaced, Some("Order")), "in the order of the names");
    let deleted = server.data(Some(&root), DELETE, json!({"type": "order.paid"})).await;
    assert_eq!(deleted["deleteEventType"], "order.paid");
    assert_eq!(server.error_code(Some(&root), DELETE, json!({"type": "order.paid"})).await, "NOT_FOUND");
    let listed = server.data(Some(&root), TYPES, json!({})).await["eventTypes"].take();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_schema_may_be_written_as_a_literal_in_the_document() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let document = "mutation { defineEventType(input: { type: \"a\", schema: {
        type: \"object\", maximum: 9007199254740993, enum: [1.0, null], properties: { n: { minimum: -1 } } } }) { schema } }";
    let made = server.data(Some(&root), document, json!({})).await;
    let expected = json!({"type": "object", "maximum": 9_007_199_254_740_993_i64, "enum": [1.0, null],
        "properties": {"n": {"minimum": -1}}});
    assert_eq!(made["defineEventType"]["schema"], expected);
}

#[tokio::test]
async fn data_that_does_not_fit_is_refused_on_every_way_in_and_nothing_is_published() {
    let (mut server, root, channel) = orders().await;
    define(&server, &root, "order.paid", schema()).await;
    for is_restarted in [false, true] {
        if is_restarted {
            server.restart().await;
        }
        let start = server.cursor(None).await;
        let input = json!({"channelId": channel, "type": "order.paid", "data": {"id": "7"}});
        let refused = server.execute(Some(&root), PUBLISH, json!({"input": input})).await;
        let error = &refused["errors"][0];
        assert_eq!(
            (&error["extensions"]["code"], &error["extensions"]["field"]),
            (&json!("BAD_USER_INPUT"), &json!("data"))
        );
        assert!(text(&error["message"]).starts_with("data does not fit the schema of order.paid: /id: "), "{error}");
        let fitting = json!({"channelId": channel, "type": "order.paid", "data": {"id": 7}});
        let many = json!({"inputs": [fitting, input]});
        let refused = server.execute(Some(&root), PUBLISH_MANY, many).await;
        assert!(text(&refused["errors"][0]["message"]).starts_with("inputs[1]: data does not fit"), "{refused}");

        let event = |id: Value| json!({"channel": "orders", "type": "order.paid", "data": {"id": id}});
        let request = server.http().post(server.url("/api/v1/events")).bearer_auth(&root.token);
        let request = request.header("content-type", "application/x-ndjson");
        let sent =
            request.body(format!("{}\n{}\n", event(json!(1)), event(json!(null)))).send().await.expect("a response");
        assert_eq!(sent.status(), 400);
        let body: Value = sent.json().await.expect("JSON");
        assert_eq!(body["errors"][0]["extensions"]["line"], 2, "{body}");

        let mut socket = JsonSocket::open(server.address(), CONNECT, Some(&root)).await;
        let frame = json!({"type": "publish", "room": "orders", "event": "order.paid", "data": {}});
        let error = socket.request(frame, "error").await;
        assert_eq!(error["code"], "BAD_USER_INPUT", "{error}");
        assert_eq!(server.cursor(None).await, start);
    }
    publish(&server, &root, json!({"channelId": channel, "type": "order.paid", "data": {"id": 7}})).await;
    publish(&server, &root, json!({"channelId": channel, "type": "order", "data": "not defined"})).await;
}

#[tokio::test]
async fn schemas_that_are_invalid_or_expensive_are_refused() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let long = json!({"description": "x".repeat(65_536)});
    for (name, schema) in [
        ("a b", json!(true)),
        ("a.*", json!(true)),
        ("a", json!({"type": "text"})),
        ("a", json!({"$ref": "#"})),
        ("a", json!({"oneOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]})),
        ("a", json!({"$ref": "http://127.0.0.1/schema"})),
        ("a", json!({"$ref": "file:///etc/passwd"})),
        ("a", long),
        ("a", json!("true")),
        ("a", json!({"description": "a\u{0}b"})),
    ] {
        let input = json!({"input": {"type": name, "schema": schema}});
        assert_eq!(server.error_code(Some(&root), DEFINE, input).await, "BAD_USER_INPUT", "{name} {schema}");
    }
    assert_eq!(server.data(Some(&root), TYPES, json!({})).await["eventTypes"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_checks_run_beside_short_ones_and_give_the_same_result() {
    let (server, root, channel) = orders().await;
    let number = json!({"items": {"anyOf": vec![json!({"minimum": 0, "maximum": 9}); 100]}});
    define(&server, &root, "long", number).await;
    let numbers = |last: i64| (0..20_000).map(|n| if n == 19_999 { last } else { n % 10 }).collect::<Vec<i64>>();
    let input = |last| json!({"channelId": channel, "type": "long", "data": numbers(last)});
    let long = join_all((0..4).map(|_| publish(&server, &root, input(9))));
    let short =
        join_all((0..20).map(|_| publish(&server, &root, json!({"channelId": channel, "type": "x", "data": 1}))));
    let (long, short) = tokio::join!(long, short);
    assert_eq!((long.len(), short.len()), (4, 20));
    assert_eq!(publish_error(&server, Some(&root), input(10)).await, "BAD_USER_INPUT");
}

/// The data that fits the definition with this number, and no other data.
fn only(change: usize) -> usize {
    change % 2
}

/// Publishes both kinds of data on all instances while the definition changes. Checks that each event fits the definition
/// before it in the log.
pub async fn check_alternating_definitions(servers: &[Server], root: &Session, channel: &str) {
    const CHANGES: usize = 12;
    let is_over = AtomicBool::new(false);
    let input = |data: usize| json!({"channelId": channel, "type": "t", "data": data});
    let publishers = servers.iter().flat_map(|server| [0, 1].map(|data| (server, data))).map(async |(server, data)| {
        while !is_over.load(Ordering::Acquire) {
            let answer = server.execute(Some(root), PUBLISH, json!({"input": input(data)})).await;
            let code = answer["errors"][0]["extensions"]["code"].as_str();
            assert!(code.is_none_or(|code| code == "BAD_USER_INPUT"), "{answer}");
        }
    });
    let changes = async {
        for change in 0..CHANGES {
            define(&servers[change % servers.len()], root, "t", json!({"const": only(change)})).await;
            // The response means that every instance checks by this definition.
            let other = &servers[(change + 1) % servers.len()];
            publish(other, root, input(only(change))).await;
            let refused = publish_error(other, Some(root), input(1 - only(change))).await;
            assert_eq!(refused, "BAD_USER_INPUT");
        }
        is_over.store(true, Ordering::Release);
    };
    tokio::join!(join_all(publishers), changes);
    let mut definitions = Vec::new();
    for event in log(&servers[0]) {
        match event.kind {
            EventKind::EventTypeChanged => definitions.push(0),
            EventKind::AppEvent if !definitions.is_empty() => {
                let fitting = only(definitions.len() - 1).to_string();
                assert_eq!(event.payload.as_deref(), Some(fitting.as_str()), "after {} definitions", definitions.len());
                *definitions.last_mut().expect("a definition") += 1;
            }
            _ => {}
        }
    }
    assert_eq!(definitions.len(), CHANGES);
    assert!(definitions.iter().all(|events| *events > 0), "events after each definition: {definitions:?}");
}

fn log(server: &Server) -> Vec<Event> {
    let (mut events, mut after) = (Vec::new(), None);
    loop {
        let (page, end) = server.board().log.events_after(after).expect("the log");
        if page.is_empty() {
            return events;
        }
        events.extend(page);
        after = Some(end);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_committed_after_a_definition_that_it_does_not_fit() {
    let (server, root, channel) = orders().await;
    check_alternating_definitions(&[server], &root, &channel).await;
}
