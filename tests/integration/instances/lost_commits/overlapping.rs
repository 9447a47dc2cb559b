//! Commits of two distant instances that are lost again and again, while both increment the same counter and post
//! messages.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel::{Connection as _, PgConnection, RunQueryDsl as _};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::{attempt, on_database, port_and_name};
use super::{LOST, POST};
use crate::support::delay_proxy::DelayProxy;
use crate::support::{NetworkFault, Proxy, Report, Server, Session, text, with_timeout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_of_overlapping_batches_are_lost_and_every_change_is_applied_once() {
    const WRITERS: usize = 8;
    let url = crate::support::database::fresh_postgres();
    let (port, name) = port_and_name(&url);
    let far = DelayProxy::start(port, Duration::from_millis(1));
    let (mut servers, mut proxies) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let proxy = Proxy::start(far.port()).await;
        let url = format!("postgres://tidings@127.0.0.1:{}/{name}", proxy.port());
        servers.push(Server::start_with(on_database(&url)).await);
        proxies.push(proxy);
    }
    let boss = servers[0].admin("boss").await;
    let channel = servers[0].channel(&boss, "general").await;
    let counter = servers[0].post(&boss, &channel, "0").await;
    let until = Instant::now() + Duration::from_secs(3);
    let acknowledged = watch::Sender::new(0);
    let losing = proxies.iter().map(|proxy| lose_commits(proxy, acknowledged.subscribe()));
    let writing = async {
        let writers = (0..WRITERS).map(|writer| {
            let server = &servers[writer % servers.len()];
            write(server, &boss, (&channel, &counter), writer, until, &acknowledged)
        });
        let written = join_all(writers).await;
        acknowledged.send_replace(usize::MAX);
        written
    };
    let losing = join(join_all(losing), terminate_commits(&url, acknowledged.subscribe()));
    let ((lost, terminated), written) = with_timeout("the end of all writers", join(losing, writing)).await;
    check_totals(&servers[0], &boss, &counter, &written, (lost.iter().sum(), terminated)).await;
}

/// Loses commits until the number of acknowledged changes is `usize::MAX`; returns how many. A few changes must be
/// acknowledged before the next commit is lost.
async fn lose_commits(proxy: &Proxy, mut acknowledged: watch::Receiver<usize>) -> usize {
    for lost in 0.. {
        let enough = acknowledged.borrow().saturating_add(rand::random_range(1..20));
        if *acknowledged.wait_for(|count| *count >= enough).await.expect("the writers run") == usize::MAX {
            return lost;
        }
        let fault = LOST[rand::random_range(0..LOST.len())];
        proxy.set_fault(fault);
        tokio::select! {
            () = proxy.wait_while(fault) => {}
            _ = acknowledged.wait_for(|count| *count == usize::MAX) => proxy.set_fault(NetworkFault::None),
        }
        if proxy.fault() == NetworkFault::CommitHeld {
            tokio::time::sleep(Duration::from_millis(rand::random_range(0..50))).await;
            proxy.deliver_commit().await;
        }
    }
    unreachable!("the loop has no end")
}

/// Terminates database connections while they commit, until the number of acknowledged changes is `usize::MAX`; returns
/// how many.
async fn terminate_commits(url: &str, mut acknowledged: watch::Receiver<usize>) -> i64 {
    const LOOKS: usize = 20;
    let mut database = PgConnection::establish(url).expect("a connection");
    let mut terminated = 0;
    loop {
        let enough = acknowledged.borrow().saturating_add(rand::random_range(1..20));
        if *acknowledged.wait_for(|count| *count >= enough).await.expect("the writers run") == usize::MAX {
            return terminated;
        }
        let during_commit = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
            WHERE datname = current_database() AND state = 'active' AND query LIKE 'WITH input AS %'";
        // A commit is short, so a few looks are needed to see one.
        for _ in 0..LOOKS {
            let terminate = diesel::select(diesel::dsl::sql::<BigInt>(&format!("({during_commit})")));
            let found = tokio::task::block_in_place(|| terminate.get_result::<i64>(&mut database)).expect("a number");
            terminated += found;
            if found > 0 {
                break;
            }
        }
    }
}

/// What a writer did: accepted and unknown increments, and posts by text with whether they were acknowledged.
struct Written {
    increments: u64,
    unknown: u64,
    posts: Vec<(String, bool)>,
}

/// Increments the counter and posts messages in turns, without idempotency keys.
async fn write(
    server: &Server,
    boss: &Session,
    (channel, counter): (&str, &str),
    writer: usize,
    until: Instant,
    acknowledged: &watch::Sender<usize>,
) -> Written {
    const INCREMENT: &str = "mutation ($message: ID!, $text: String!, $cursor: Cursor!) {
        updateMessage(input: { id: $message, content: $text, ifCursor: $cursor }) { id } }";
    let mut written = Written { increments: 0, unknown: 0, posts: Vec::new() };
    while Instant::now() < until {
        let content = format!("{writer}: {}", written.posts.len());
        let variables = json!({"channel": channel, "text": content});
        let (_, code) = attempt(server, boss, POST, &variables).await;
        assert!(code == "OK" || code == "UNAVAILABLE", "{code}");
        written.posts.push((content, code == "OK"));
        acknowledged.send_modify(|count| *count += usize::from(code == "OK"));

        let query = "query ($id: ID!) { message(id: $id) { content cursor } }";
        let (data, code) = attempt(server, boss, query, &json!({"id": counter})).await;
        if code == "UNAVAILABLE" {
            continue;
        }
        let (value, cursor) = (text(&data["message"]["content"]), &data["message"]["cursor"]);
        let value: u64 = value.parse().expect("a number");
        let variables = json!({"message": counter, "text": (value + 1).to_string(), "cursor": cursor});
        match attempt(server, boss, INCREMENT, &variables).await.1.as_str() {
            "OK" => written.increments += 1,
            "UNAVAILABLE" => written.unknown += 1,
            code => assert_eq!(code, "CONFLICT"),
        }
    }
    written
}

async fn check_totals(
    server: &Server,
    boss: &Session,
    counter: &str,
    written: &[Written],
    (lost, terminated): (usize, i64),
) {
    let increments: u64 = written.iter().map(|written| written.increments).sum();
    let unknown: u64 = written.iter().map(|written| written.unknown).sum();
    let (mut stored, mut after) = (BTreeMap::<String, usize>::new(), Value::Null);
    loop {
        let query = "query ($after: String) { messages(first: 100, after: $after) {
            nodes { id content } pageInfo { hasNextPage endCursor } } }";
        let data = server.data(Some(boss), query, json!({"after": after})).await;
        for node in data["messages"]["nodes"].as_array().expect("a list") {
            if node["id"] == counter {
                let value: u64 = text(&node["content"]).parse().expect("a number");
                assert!((increments..=increments + unknown).contains(&value), "{value} of {increments} + {unknown}");
            } else {
                *stored.entry(text(&node["content"])).or_default() += 1;
            }
        }
        if data["messages"]["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = data["messages"]["pageInfo"]["endCursor"].clone();
    }
    let posts: Vec<&(String, bool)> = written.iter().flat_map(|written| &written.posts).collect();
    for (content, is_acknowledged) in &posts {
        let count = stored.remove(content).unwrap_or_default();
        assert!(count <= 1 && (count == 1 || !is_acknowledged), "{content:?} is stored {count} times");
    }
    assert!(stored.is_empty(), "no writer posted {stored:?}");
    let acknowledged = posts.iter().filter(|(_, is_acknowledged)| *is_acknowledged).count();
    let mut report = Report::new(format!("{lost} commits of two instances were lost or late, {terminated} terminated"));
    report.line(format!("{acknowledged} of {} posts acknowledged", posts.len()));
    report.line(format!("{increments} increments accepted, {unknown} unknown"));
    assert!(lost > 0, "no commit was lost");
}
