//! A full outbox and the clients share the writer.

use serde_json::json;

use super::Fixture;
use crate::support::text;

const ROWS: usize = 100_000;
const CHANGES: usize = 20;
/// How many rows one command of the writer moves at most.
const STEP: usize = 1_000;

/// The position of a cursor.
fn seq(cursor: &str) -> usize {
    let digits = cursor.split('-').next().and_then(|first| first.strip_prefix('c')).expect("a cursor");
    usize::from_str_radix(digits, 16).expect("a number")
}

/// Each change of a client waits for a few steps of the outbox at most, and the outbox goes on between the changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_write_while_a_hundred_thousand_rows_wait() {
    let mut fixture = Fixture::new().await;
    fixture.server.close().await;
    let values = "'orders', 'order.placed', '{\"n\":' || n || '}'";
    let insert = format!("INSERT INTO outbox (channel, type, data) SELECT {values} FROM");
    let sqlite =
        format!("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS}) {insert} n");
    let postgres = format!("{insert} generate_series(1, {ROWS}) AS n (n)");
    crate::support::database::sql(&fixture.server.database_url(), &sqlite, &postgres);
    fixture.server.open().await;
    let start = seq(&fixture.start);
    let mut changes = Vec::new();
    for number in 0..CHANGES {
        let before = seq(&fixture.server.cursor(None).await);
        let post = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { cursor } }";
        let input = json!({"channelId": fixture.channel, "content": number.to_string()});
        let made = fixture.server.data(Some(&fixture.root), post, json!({"input": input})).await;
        let at = seq(&text(&made["createMessage"]["cursor"]));
        assert!(at - before <= 5 * STEP, "{} events of the outbox came before change {number}", at - before);
        changes.push(at - start);
    }
    assert!(changes[CHANGES - 1] < ROWS, "the outbox was empty before the last change: {changes:?}");
    assert!(changes[CHANGES - 1] > CHANGES, "the outbox waited for all changes: {changes:?}");
    fixture.program.wait_until_empty().await;
    assert_eq!(seq(&fixture.server.cursor(None).await), start + ROWS + CHANGES);
    fixture.wait_for_metric("tidings_outbox_published_total", ROWS as u64).await;
}
