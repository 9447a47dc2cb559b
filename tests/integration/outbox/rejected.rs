//! Rows that cannot be published are put aside with the reason, and block nothing.

use std::time::Duration;

use serde_json::json;
use tidings::board::Retention;

use super::Fixture;
use super::other_program::OtherProgram;

const REASONS: &str = "SELECT reason AS line FROM outbox_rejected ORDER BY id";

#[tokio::test]
async fn rows_that_cannot_be_published_are_rejected_with_the_reason_and_block_no_other() {
    let mut fixture = Fixture::new().await;
    let program = &mut fixture.program;
    let large = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    program.execute("BEGIN");
    program.publish_number(1);
    program.insert("no such channel", "t", "1", "a");
    program.insert("1000000", "t", "1", "b");
    program.insert("orders", "no type", "1", "c");
    program.insert("orders", "t", "{\"id\":", "d");
    program.insert("orders", "t", "null", "e");
    program.insert("orders", "t", "\"\\u0000\"", "f");
    program.insert("orders", "t", &large((64 << 10) + 1), "g");
    program.insert("orders", "t", &large(3 << 20), "h");
    program.insert("orders", "t", "1", " ");
    program.insert(&"o".repeat(5_000), &"t".repeat(5_000), "1", &"k".repeat(5_000));
    program.insert("orders", "t", &large(64 << 10), "fits");
    program.execute("COMMIT");
    program.publish_number(2);
    let data = fixture.next_data(3).await;
    assert_eq!((&data[0], &data[2], data[1].as_str().map(str::len)), (&json!(1), &json!(2), Some((64 << 10) - 2)));
    let expected = [
        ("unknown_channel", 3),
        ("invalid_type", 1),
        ("not_json", 1),
        ("invalid_data", 1),
        ("nul_character", 1),
        ("too_large", 2),
        ("invalid_key", 1),
    ];
    for (reason, count) in expected {
        let sample = format!("tidings_outbox_rejected_total{{reason=\"{reason}\"}}");
        fixture.wait_for_metric(&sample, count).await;
        let kept = format!("SELECT count(*) FROM outbox_rejected WHERE reason = '{reason}'");
        assert_eq!(fixture.program.number(&kept), i64::try_from(count).expect("a count"), "{reason}");
    }
    let details = fixture.program.lines("SELECT detail AS line FROM outbox_rejected WHERE reason = 'invalid_type'");
    assert_eq!(details, ["type must be 1 to 64 of the characters A-Z a-z 0-9 . _ -"]);
    fixture.wait_for_metric("tidings_outbox_waiting", 0).await;
    fixture.wait_for_metric("tidings_outbox_rejected_rows", 10).await;
    // The longest data is cut.
    assert_eq!(fixture.program.number("SELECT CAST(max(length(data)) AS BIGINT) FROM outbox_rejected"), 1 << 20);
}

/// SQLite stores any bytes and any type in a column.
#[tokio::test]
async fn bytes_that_are_no_text_are_rejected() {
    let mut fixture = Fixture::new().await;
    if matches!(fixture.program, OtherProgram::Postgres(_)) {
        return;
    }
    fixture.program.execute("INSERT INTO outbox (channel, type, data) VALUES ('orders', 't', CAST(x'22ff22' AS TEXT))");
    fixture.program.execute("INSERT INTO outbox (channel, type, data) VALUES ('orders', 't', x'ff00')");
    fixture.program.execute("INSERT INTO outbox (channel, type, data) VALUES (x'ff00', 't', '1')");
    fixture.program.execute("INSERT INTO outbox (channel, type, data, key) VALUES ('orders', 't', 12, 34)");
    let event = fixture.next().await;
    assert_eq!((&event["data"], &event["key"]), (&json!(12), &json!("34")));
    assert_eq!(fixture.program.lines(REASONS), ["not_json", "not_json", "unknown_channel"]);
}

#[tokio::test]
async fn a_rejected_row_can_be_put_back() {
    let mut fixture = Fixture::new().await;
    fixture.program.insert("later", "t", "1", "k");
    fixture.program.wait_until_empty().await;
    assert_eq!(fixture.program.lines(REASONS), ["unknown_channel"]);
    let channel = fixture.server.channel(&fixture.root, "later").await;
    fixture.program.execute(
        "BEGIN; INSERT INTO outbox (channel, type, data, key) SELECT channel, type, data, key FROM outbox_rejected; \
         DELETE FROM outbox_rejected; COMMIT",
    );
    let mut socket = super::follow(&fixture.server, &channel, &fixture.start).await;
    let event = socket.item("e").await["appEvent"].take();
    assert_eq!((&event["data"], &event["key"]), (&json!(1), &json!("k")));
    assert_eq!(fixture.program.number("SELECT count(*) FROM outbox_rejected"), 0);
}

#[tokio::test]
async fn rejected_rows_are_kept_as_long_as_events() {
    let mut fixture = Fixture::new().await;
    for (name, key) in [("no such channel", "old"), ("no such channel", "new")] {
        fixture.program.insert(name, "t", "1", key);
    }
    fixture.program.wait_until_empty().await;
    fixture.program.execute("UPDATE outbox_rejected SET rejected_at = rejected_at - 7200000000 WHERE key = 'old'");
    let pruner = fixture.server.board().pruner(Retention { age: Duration::from_secs(3600), events: 1 });
    pruner.prune_rejected().await.expect("pruned");
    assert_eq!(fixture.program.lines("SELECT key AS line FROM outbox_rejected"), ["new"]);
}

/// Deleting a channel between the check of a row and its batch must not stop the batch.
#[tokio::test]
async fn rows_for_a_deleted_channel_are_rejected() {
    let mut fixture = Fixture::new().await;
    let doomed = fixture.server.channel(&fixture.root, "doomed").await;
    let delete = "mutation ($id: ID!) { deleteChannel(id: $id) }";
    fixture.server.data(Some(&fixture.root), delete, json!({"id": doomed})).await;
    fixture.program.publish("doomed", "t", "1", None);
    fixture.program.publish(&doomed, "t", "2", None);
    fixture.program.publish_number(3);
    assert_eq!(fixture.next_data(1).await, [json!(3)]);
    assert_eq!(fixture.program.lines(REASONS), ["unknown_channel", "unknown_channel"]);
}

#[tokio::test]
async fn data_that_does_not_fit_its_type_is_rejected_and_its_key_stays_free() {
    let mut fixture = Fixture::new().await;
    let define = "mutation ($schema: JSON!) { defineEventType(input: { type: \"order\", schema: $schema }) { type } }";
    fixture.server.data(Some(&fixture.root), define, json!({"schema": {"required": ["id"]}})).await;
    let program = &mut fixture.program;
    program.execute("BEGIN");
    program.insert("orders", "order", "{}", "k");
    program.insert("orders", "order", "{\"id\":1}", "k");
    program.insert("orders", "order", "{\"id\":2}", "k");
    program.insert("orders", "other", "3", "other");
    program.execute("COMMIT");
    assert_eq!(fixture.next_data(2).await, [json!({"id": 1}), json!(3)]);
    fixture.wait_for_metric("tidings_outbox_rejected_total{reason=\"misfit\"}", 1).await;
    assert_eq!(fixture.program.lines(REASONS), ["misfit"]);
    let details = fixture.program.lines("SELECT detail AS line FROM outbox_rejected");
    assert_eq!(details, ["data does not fit the schema of order: \"id\" is a required property"]);
}

/// Another program may choose the ids of its rows, and use one again.
#[tokio::test]
async fn a_rejected_row_with_an_id_that_was_rejected_before_blocks_no_other() {
    let mut fixture = Fixture::new().await;
    for text in ["first", "second"] {
        let insert =
            format!("INSERT INTO outbox (id, channel, type, data) VALUES (1000, 'nowhere', 't', '\"{text}\"')");
        fixture.program.execute(&insert);
        fixture.program.wait_until_empty().await;
    }
    fixture.program.publish_number(1);
    assert_eq!(fixture.next_data(1).await, [json!(1)]);
    assert_eq!(fixture.program.lines("SELECT data AS line FROM outbox_rejected"), ["\"second\""]);
}
