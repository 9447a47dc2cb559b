//! The functions for PostgreSQL: following tables, and what a role needs.

use serde_json::{Value, json};

use super::super::Fixture;
use super::super::other_program::OtherProgram;
use super::on_postgres;

/// The table `shop.orders`, which its owner lets the outbox follow.
async fn with_table(columns: &str) -> (Fixture, String) {
    let (mut fixture, url) = on_postgres().await;
    fixture.program.execute(&format!("CREATE SCHEMA shop; CREATE TABLE shop.orders ({columns})"));
    fixture.program.execute("SELECT tidings_follow('shop.orders', 'orders', 'orders.row')");
    (fixture, url)
}

/// The data of an event about a row.
fn change(operation: &str, row: &Value, previous: &Value) -> Value {
    json!({"operation": operation, "table": "shop.orders", "row": row, "previous": previous, "partial": false})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_of_a_followed_table_is_published_with_both_rows() {
    let (mut fixture, _) = with_table("id bigint PRIMARY KEY, total numeric, more json").await;
    let program = &mut fixture.program;
    program.execute("INSERT INTO shop.orders VALUES (9223372036854775807, 12.50), (2, 3)");
    program.execute("UPDATE shop.orders SET total = 4 WHERE id = 2");
    // A change that changes nothing.
    program.execute("UPDATE shop.orders SET total = 4 WHERE id = 2");
    program.execute("BEGIN; UPDATE shop.orders SET total = 5; ROLLBACK");
    program.execute("DELETE FROM shop.orders WHERE id = 2");
    program.execute("TRUNCATE shop.orders");
    let frame = fixture.socket.text().await;
    let row = r#""row":{"id":9223372036854775807,"more":null,"total":12.50}"#;
    assert!(frame.contains(row) && frame.contains(r#""type":"orders.row""#), "{frame}");
    let row = |total| json!({"id": 2, "total": total, "more": null});
    let expected = [
        change("insert", &row(3), &Value::Null),
        change("update", &row(4), &row(3)),
        change("delete", &Value::Null, &row(4)),
        change("truncate", &Value::Null, &Value::Null),
    ];
    assert_eq!(fixture.next_data(4).await, expected);
    fixture.program.execute("SELECT tidings_follow('shop.orders', 'orders', 'renamed')");
    fixture.program.execute("INSERT INTO shop.orders VALUES (3)");
    assert_eq!(fixture.next().await["type"], "renamed");
    fixture.program.execute("SELECT tidings_unfollow('shop.orders'); INSERT INTO shop.orders VALUES (4)");
    fixture.program.publish_number(1);
    assert_eq!(fixture.next_data(1).await, [json!(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_rows_larger_than_an_event_only_the_primary_key_is_published() {
    let (mut fixture, _) = with_table("shop text, id bigint, note text, PRIMARY KEY (shop, id)").await;
    fixture.program.execute("INSERT INTO shop.orders VALUES ('here', 7, repeat('x', 70000))");
    fixture.program.execute("UPDATE shop.orders SET note = repeat('y', 40000)");
    let key = json!({"shop": "here", "id": 7});
    let partial = |operation, previous| json!({"operation": operation, "table": "shop.orders", "row": key, "previous": previous, "partial": true});
    assert_eq!(fixture.next_data(2).await, [partial("insert", Value::Null), partial("update", key.clone())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_partitions_are_published_in_the_name_of_the_followed_table() {
    let url = crate::support::database::fresh_postgres();
    let server = crate::support::Server::start_with(super::on_database(&url)).await;
    let mut fixture = Fixture::of(server).await;
    fixture.program.execute(
        "CREATE SCHEMA shop; CREATE TABLE shop.orders (id bigint PRIMARY KEY) PARTITION BY RANGE (id); \
         CREATE TABLE shop.first PARTITION OF shop.orders FOR VALUES FROM (0) TO (10); \
         SELECT tidings_follow('shop.orders', 'orders', 't'); INSERT INTO shop.orders VALUES (1)",
    );
    assert_eq!(fixture.next_data(1).await, [change("insert", &json!({"id": 1}), &Value::Null)]);
}

/// A role with the right to execute one function can publish, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_needs_one_grant_and_can_read_neither_the_log_nor_the_outbox() {
    let (mut fixture, url) = on_postgres().await;
    let role = format!("shop_{}", rand::random::<u32>());
    fixture.program.execute(&format!("CREATE ROLE {role}; CREATE SCHEMA shop AUTHORIZATION {role}"));
    let mut shop = OtherProgram::connect(&url);
    shop.execute(&format!("SET ROLE {role}; CREATE TABLE shop.orders (id bigint PRIMARY KEY)"));
    let publish = "SELECT tidings_publish('orders', 't', '1')";
    // Following needs rights on the table only. But then each change needs the right to publish.
    shop.execute("SELECT tidings_follow('shop.orders', 'orders', 't')");
    for refused in [publish, "INSERT INTO shop.orders VALUES (1)"] {
        let error = shop.try_execute(refused).expect_err(refused).to_string();
        assert_eq!(error, "permission denied for function tidings_publish", "{refused}");
    }
    fixture.program.execute(&format!("GRANT EXECUTE ON FUNCTION tidings_publish TO {role}"));
    shop.execute(publish);
    shop.execute("INSERT INTO shop.orders VALUES (1)");
    let [one, inserted] = &fixture.next_data(2).await[..] else { panic!("two events") };
    assert_eq!((one, &inserted["row"]), (&json!(1), &json!({"id": 1})));
    // A temporary table with the name of the outbox is not used instead of it.
    shop.execute("CREATE TEMPORARY TABLE outbox (channel text, type text, data text, key text, id bigint)");
    shop.execute(publish);
    assert_eq!(fixture.next_data(1).await, [json!(1)]);
    shop.execute("DROP TABLE outbox");
    for table in ["events", "outbox", "outbox_rejected", "messages", "users"] {
        for statement in [format!("SELECT FROM {table}"), format!("DELETE FROM {table}")] {
            let error = shop.try_execute(&statement).expect_err(&statement).to_string();
            assert_eq!(error, format!("permission denied for table {table}"));
        }
    }
    shop.execute("SELECT tidings_unfollow('shop.orders'); INSERT INTO shop.orders VALUES (2)");
    fixture.socket.assert_idle().await;
    shop.execute("RESET ROLE");
    fixture.program.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_call_fails_in_the_transaction_of_the_caller() {
    let (mut fixture, _) = on_postgres().await;
    for (call, why) in [
        ("tidings_publish(NULL, 't', '1')", "null value in column \"channel\""),
        ("tidings_publish('orders', 't', NULL)", "null value in column \"data\""),
        ("tidings_publish('orders', 't', '{')", "invalid input syntax for type json"),
        ("tidings_publish('orders', 't', '\"\\u0000\"')", "unsupported Unicode escape sequence"),
        ("tidings_follow('no.table', 'orders', 't')", "schema \"no\" does not exist"),
        ("tidings_follow(NULL, 'orders', 't')", "tidings_follow needs a table, a channel and a type"),
    ] {
        let error = fixture.program.try_execute(&format!("SELECT {call}")).expect_err(call).to_string();
        assert!(error.contains(why), "{call}: {error}");
    }
    assert_eq!(fixture.program.number("SELECT count(*) FROM outbox"), 0);
}
