//! Committed rows become events, each once and in order.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings::board::Retention;

use super::{FOLLOW, Fixture, follow};
use crate::support::Report;

#[tokio::test]
async fn what_a_transaction_commits_is_published_once_without_an_actor() {
    let mut fixture = Fixture::new().await;
    let program = &mut fixture.program;
    program.execute("BEGIN");
    program.publish("orders", "order.placed", r#"{"id": 7}"#, Some("order-7"));
    program.publish(&fixture.channel, "order.paid", r#"["by id"]"#, None);
    program.execute("COMMIT");
    let (placed, paid) = (fixture.next().await, fixture.next().await);
    assert_eq!((&placed["actorId"], &placed["channelId"]), (&Value::Null, &json!(fixture.channel)));
    assert_eq!((&placed["type"], &placed["data"]), (&json!("order.placed"), &json!({"id": 7})));
    assert_eq!((&placed["key"], &paid["key"]), (&json!("order-7"), &Value::Null));
    assert_eq!((&paid["type"], &paid["data"]), (&json!("order.paid"), &json!(["by id"])));
    fixture.server.restart().await;
    let mut replay = follow(&fixture.server, &fixture.channel, &fixture.start).await;
    for event in [&placed, &paid] {
        assert_eq!(replay.item("e").await["appEvent"], *event);
    }
    replay.assert_idle().await;
    fixture.program.wait_until_empty().await;
    assert_eq!(fixture.program.number("SELECT count(*) FROM outbox_rejected"), 0);
}

#[tokio::test]
async fn what_a_transaction_rolls_back_is_not_published() {
    let mut fixture = Fixture::new().await;
    fixture.program.execute("BEGIN");
    fixture.program.publish_number(1);
    fixture.program.execute("ROLLBACK");
    fixture.program.publish_number(2);
    assert_eq!(fixture.next_data(1).await, [json!(2)]);
    fixture.socket.assert_idle().await;
}

#[tokio::test]
async fn rows_that_wait_while_the_server_is_down_are_published_after_its_start() {
    let mut fixture = Fixture::new().await;
    fixture.server.close().await;
    fixture.program.publish_number(1);
    fixture.program.publish_number(2);
    fixture.server.open().await;
    fixture.socket = follow(&fixture.server, &fixture.channel, &fixture.start).await;
    assert_eq!(fixture.next_data(2).await, [json!(1), json!(2)]);
}

#[tokio::test]
async fn integers_keep_their_value_and_type() {
    let mut fixture = Fixture::new().await;
    let numbers = "9223372036854775807,-9223372036854775808,18446744073709551615,1.0,1234567890123456789,0,0.5";
    fixture.program.publish("orders", "t", &format!("[{numbers}]"), None);
    let frame = fixture.socket.text().await;
    assert!(frame.contains(&format!("\"data\":[{numbers}]")), "{frame}");
}

#[tokio::test]
async fn a_private_channel_and_another_spelling_of_a_name_are_found() {
    let mut fixture = Fixture::new().await;
    let make = "mutation { createChannel(input: { name: \"secret\", visibility: PRIVATE }) { id } }";
    let made = fixture.server.data(Some(&fixture.root), make, json!({})).await;
    fixture.program.publish("secret", "t", "1", None);
    fixture.program.publish("Orders", "t", "2", None);
    assert_eq!(fixture.next_data(1).await, [json!(2)]);
    fixture.socket.assert_idle().await;
    let mut members = fixture.server.socket(Some(&fixture.root)).await;
    members.subscribe("e", FOLLOW, json!({"channel": made["createChannel"]["id"], "after": fixture.start})).await;
    assert_eq!(members.item("e").await["appEvent"]["data"], 1);
}

/// The keys of the outbox are one set, apart from those of each user.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_whose_key_was_published_is_dropped_as_long_as_the_log_has_its_event() {
    let mut fixture = Fixture::new().await;
    fixture.server.channel(&fixture.root, "other").await;
    let publish =
        "mutation { publish(input: { channel: \"orders\", type: \"t\", data: 0, idempotencyKey: \"k\" }) { cursor } }";
    fixture.server.data(Some(&fixture.root), publish, json!({})).await;
    fixture.program.execute("BEGIN");
    fixture.program.publish("orders", "t", "1", Some("k"));
    fixture.program.publish("orders", "t", "2", Some("k"));
    fixture.program.execute("COMMIT");
    fixture.program.publish("other", "u", "3", Some("k"));
    fixture.program.publish("orders", "t", "4", Some("l"));
    assert_eq!(fixture.next_data(3).await, [json!(0), json!(1), json!(4)]);
    fixture.socket.assert_idle().await;
    fixture.wait_for_metric("tidings_outbox_published_total", 2).await;
    fixture.wait_for_metric("tidings_outbox_duplicates_total", 2).await;
    assert_eq!(fixture.program.number("SELECT count(*) FROM outbox_rejected"), 0);
    for content in ["a later event", "the event that stays"] {
        fixture.server.post(&fixture.root, &fixture.channel, content).await;
    }
    fixture.server.board().pruner(Retention { age: Duration::ZERO, events: 1 }).prune().await.expect("pruned");
    fixture.program.publish("orders", "t", "5", Some("k"));
    assert_eq!(fixture.next_data(1).await, [json!(5)]);
}

#[tokio::test]
async fn the_erasure_of_users_leaves_events_of_the_outbox() {
    let mut fixture = Fixture::new().await;
    let eve = fixture.server.admin("eve").await;
    let publish = "mutation { publish(input: { channel: \"orders\", type: \"t\", data: 1 }) { cursor } }";
    fixture.server.data(Some(&eve), publish, json!({})).await;
    fixture.program.publish("orders", "t", "2", Some("k"));
    fixture.next_data(2).await;
    let erase = "mutation ($id: ID!) { deleteUser(id: $id, content: ERASE) }";
    fixture.server.data(Some(&fixture.root), erase, json!({"id": eve.id})).await;
    fixture.server.board().remover.remove_deleted_users().await.expect("erased");
    fixture.server.restart().await;
    let mut replay = follow(&fixture.server, &fixture.channel, &fixture.start).await;
    let event = replay.item("e").await["appEvent"].take();
    assert_eq!((&event["data"], &event["key"]), (&json!(2), &json!("k")));
    replay.assert_idle().await;
}

/// Subscribers get a row soon after its commit. The limit is far above what is measured, and far below the interval at
/// which an instance looks without being woken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_wakes_the_server() {
    const EVENTS: usize = 60;
    let mut fixture = Fixture::new().await;
    let mut delays = Vec::with_capacity(EVENTS);
    for number in 0..EVENTS {
        let committed = Instant::now();
        fixture.program.publish_number(number);
        assert_eq!(fixture.next_data(1).await, [json!(number)]);
        delays.push(committed.elapsed());
    }
    delays.sort_unstable();
    let (median, slow) = (delays[EVENTS / 2], delays[EVENTS * 95 / 100]);
    let mut report = Report::new("from the call of another program to a subscriber:");
    report.line(format!("p50 {median:?}, p95 {slow:?}, of {EVENTS} events that were committed one after the other"));
    assert!(median < Duration::from_millis(500), "{median:?}");
}
