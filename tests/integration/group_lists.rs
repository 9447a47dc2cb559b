//! Lists of a small group beside a large one: the few messages of one channel, comments of one message or notifications
//! of one user are found without reading those of others, in any plan of PostgreSQL.

use diesel::sql_types::BigInt;
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _, sql_query};
use serde_json::json;

use crate::support::database::{fill, is_postgres, sql};
use crate::support::{Server, text};

/// Rows in the large groups.
const MANY: u32 = 20_000;

#[derive(QueryableByName)]
struct Rows {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

/// The rows of messages, comments, notifications and events that statements have read, as PostgreSQL counts them. It is
/// exact after all connections were closed.
fn rows_read(url: &str) -> i64 {
    let query = "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint AS rows \
                 FROM pg_stat_user_tables WHERE relname IN ('messages', 'comments', 'notifications', 'events')";
    let mut connection = PgConnection::establish(url).expect("the database");
    sql_query(query).get_result::<Rows>(&mut connection).expect("a number").rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_a_small_group_reads_no_rows_of_a_large_group() {
    let mut server = Server::start().await;
    let (ann, ben) = (server.register("ann").await, server.register("ben").await);
    let small = server.channel(&ann, "small").await;
    let large = "mutation { createChannel(input: {name: \"large\", visibility: PRIVATE}) { id } }";
    let large = text(&server.data(Some(&ann), large, json!({})).await["createChannel"]["id"]);
    let message = server.post(&ann, &small, "the only one").await;
    let ticket = "mutation ($c: ID!, $a: ID!) { createMessage(input: {channelId: $c, content: \"ticket\", \
                  ticket: {assigneeId: $a}}) { id cursor } }";
    let ticket = server.data(Some(&ann), ticket, json!({"c": small, "a": ben.id})).await["createMessage"].clone();
    let comment = "mutation ($m: ID!) { createComment(input: {messageId: $m, content: \"hello\"}) { id } }";
    server.data(Some(&ann), comment, json!({"m": message})).await;
    let url = server.database_url();
    let root = server.admin("root").await;
    let publish = "mutation ($inputs: [PublishInput!]!) { publishMany(inputs: $inputs) { cursor } }";
    let event = |channel: &str| json!({"channelId": channel, "type": "a.type", "data": 1});
    for inputs in [vec![event(&small)], vec![event(&large); 1_000]] {
        server.data(Some(&root), publish, json!({"inputs": inputs})).await;
    }
    let with_tickets = (", ticket_status, ticket_priority, assignee_id", format!(", 0, 1, {}", ann.id));
    fill(&url, &large, &ann.id, MANY, (with_tickets.0, &with_tickets.1));
    let insert = format!(
        "INSERT INTO comments (message_id, content, author_id, created_at, updated_at, seq, tag) \
         SELECT {}, 'text', {}, 0, 0, 0, 0 FROM ",
        text(&ticket["id"]),
        ann.id
    );
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})");
    sql(&url, &format!("{numbers} {insert} n"), &format!("{insert} generate_series(1, {MANY})"));
    let insert = format!(
        "INSERT INTO notifications (user_id, title, message, priority, created_at, seq, tag) SELECT {}, '', 'text', 1, 0, 0, 0 FROM ",
        ann.id
    );
    sql(&url, &format!("{numbers} {insert} n"), &format!("{insert} generate_series(1, {MANY})"));
    if is_postgres() {
        // A plan for any channel, message or user is the one that tempts PostgreSQL most.
        let generic = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET plan_cache_mode = force_generic_plan', \
                       current_database()); END $$";
        sql(&url, "", generic);
    }
    server.restart().await;
    let query = "query ($channel: ID!, $message: ID!, $ben: ID!) {
        firsts: messages(channelId: $channel, first: 5) { nodes { id } }
        lasts: messages(channelId: $channel, last: 5) { nodes { id } }
        tickets: messages(channelId: $channel, first: 5, ticketsOnly: true) { nodes { id } }
        open: messages(channelId: $channel, first: 5, status: OPEN) { nodes { id } }
        assigned: messages(channelId: $channel, first: 5, assigneeId: $ben) { nodes { id } }
        all: messages(first: 1, assigneeId: $ben) { nodes { id } }
        message(id: $message) { comments(first: 5) { nodes { id } } newest: comments(last: 5) { nodes { id } } }
        published: appEvents(channelId: $channel, last: 5) { nodes { type } }
        typed: appEvents(channelId: $channel, first: 5, types: [\"a.*\", \"b\"]) { nodes { type } }
        notifications(first: 5) { nodes { id } }
        unread: notifications(first: 5, unreadOnly: true) { nodes { id } }
        channel(id: $channel) { unreadCount }
    }";
    let mark =
        "mutation ($channel: ID!, $cursor: Cursor!) { markChannelRead(channelId: $channel, upTo: $cursor) { id } }";
    let before = is_postgres().then(|| rows_read(&url));
    for _ in 0..10 {
        let variables = json!({"channel": small, "message": message, "ben": ben.id});
        let data = server.data(Some(&ben), query, variables).await;
        let counts =
            ["firsts", "lasts", "tickets", "open", "assigned", "all", "published", "typed", "notifications", "unread"]
                .map(|list| data[list]["nodes"].as_array().expect("a list").len());
        assert_eq!(counts, [2, 2, 1, 1, 1, 1, 1, 1, 1, 1], "{data}");
        let of_message = ["comments", "newest"].map(|list| data["message"][list]["nodes"].as_array().map(Vec::len));
        assert_eq!(of_message, [Some(1), Some(1)], "{data}");
        server.data(Some(&ben), mark, json!({"channel": small, "cursor": ticket["cursor"]})).await;
    }
    server.close().await;
    if let Some(before) = before {
        let read = rows_read(&url) - before;
        assert!(read < i64::from(MANY) / 10, "10 rounds read {read} rows");
    }
}
