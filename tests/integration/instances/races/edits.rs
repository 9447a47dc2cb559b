//! Edits of the same objects by several instances: no update is lost, and no command waits forever.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use rand::seq::IndexedRandom as _;
use serde_json::json;
use tidings::model::{EventKind, Seq};
use tokio::time::Instant;

use super::super::port_and_name;
use super::{COMMENT, Cluster, EDIT, EDIT_COMMENT, POST, SHORT, accepted, input, number, seq, until};
use crate::support::database::{fresh_postgres, sql};
use crate::support::{Report, Session, text};

/// A message or a comment whose text is a number.
struct Counter {
    message: String,
    comment: Option<String>,
}

impl Counter {
    async fn new(cluster: &Cluster, by: &Session, channel: &str, is_comment: bool) -> Self {
        let message = cluster.post(by, channel).await;
        let mut comment = None;
        if is_comment {
            let variables = input(json!({"messageId": message, "content": "0"}));
            let created = accepted(&cluster.servers[0], by, COMMENT, variables, &[]).await.expect("a comment");
            comment = Some(text(&created["id"]));
        }
        Self { message, comment }
    }

    /// The kind of the events of its edits, and its id.
    fn edits(&self) -> (EventKind, i64) {
        let id = |id: &str| id.parse().expect("a number");
        match &self.comment {
            Some(comment) => (EventKind::CommentUpdated, id(comment)),
            None => (EventKind::MessageUpdated, id(&self.message)),
        }
    }

    /// The number, and the cursor of the object.
    async fn read(&self, cluster: &Cluster, instance: usize, by: &Session) -> (u64, String) {
        let query =
            "query ($id: ID!) { message(id: $id) { content cursor comments(first: 1) { nodes { content cursor } } } }";
        let data = cluster.server(instance).data(Some(by), query, json!({"id": self.message})).await;
        let message = &data["message"];
        let object = if self.comment.is_some() { &message["comments"]["nodes"][0] } else { message };
        (text(&object["content"]).parse().expect("a number"), text(&object["cursor"]))
    }

    /// Increments the number, if no other client has changed it since it was read. Returns whether it was accepted.
    async fn increment(&self, cluster: &Cluster, instance: usize, by: &Session) -> bool {
        let (value, cursor) = self.read(cluster, instance, by).await;
        let id = self.comment.as_ref().unwrap_or(&self.message);
        let variables = input(json!({"id": id, "content": (value + 1).to_string(), "ifCursor": cursor}));
        let mutation = if self.comment.is_some() { EDIT_COMMENT } else { EDIT };
        accepted(cluster.server(instance), by, mutation, variables, &["CONFLICT"]).await.is_some()
    }
}

/// Lets writers on all instances increment random counters, and checks that each accepted increment counts.
async fn check_increments(instances: usize, counters: &[bool], writers: usize, length: Duration) {
    let cluster = Cluster::start(instances).await;
    let boss = cluster.servers[0].admin("boss").await;
    let channel = cluster.servers[0].channel(&boss, "general").await;
    let counters =
        join_all(counters.iter().map(|is_comment| Counter::new(&cluster, &boss, &channel, *is_comment))).await;
    let until = until(length);
    let writing = (0..writers).map(async |writer| {
        let (mut accepted, mut refused) = (vec![0; counters.len()], 0_u64);
        while Instant::now() < until {
            let index = rand::random_range(0..counters.len());
            if counters[index].increment(&cluster, writer, &boss).await {
                accepted[index] += 1;
            } else {
                refused += 1;
            }
        }
        (accepted, refused)
    });
    let results = join_all(writing).await;
    let log = cluster.log();
    let (mut all, mut refused) = (0, 0);
    for (index, counter) in counters.iter().enumerate() {
        let accepted: u64 = results.iter().map(|(accepted, _)| accepted[index]).sum();
        let events = log.iter().filter(|event| (event.kind, event.object) == counter.edits()).count();
        let (value, _) = counter.read(&cluster, 0, &boss).await;
        assert_eq!((value, events as u64), (accepted, accepted), "value and events of counter {index}, and its edits");
        all += accepted;
    }
    refused += results.iter().map(|(_, refused)| refused).sum::<u64>();
    let outdated = cluster.outdated().await;
    let mut report = Report::new(format!("increments by {writers} writers on {instances} instances"));
    report.line(format!("{all} accepted, {refused} refused; {outdated} batches decided again"));
    assert!(all > 0 && refused > 0, "the writers did not meet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_increment_of_a_message_or_a_comment_is_lost() {
    check_increments(3, &[false, false, false, true, true], 12, SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes about a minute: `make test-long` runs it"]
async fn no_increment_of_a_hundred_messages_is_lost_within_a_minute() {
    check_increments(2, &[false; 100], 64, Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_message_has_the_text_of_the_last_edit_in_the_log() {
    let cluster = Cluster::start(4).await;
    let boss = cluster.servers[0].admin("boss").await;
    let channel = cluster.servers[0].channel(&boss, "general").await;
    let messages = join_all((0..3).map(|_| cluster.post(&boss, &channel))).await;
    let until = until(SHORT);
    let writing = (0..16).map(async |writer| {
        let (mut edits, mut count) = (Vec::new(), 0);
        while Instant::now() < until {
            let message = messages.choose(&mut rand::rng()).expect("a message");
            let content = format!("{writer}: {count}");
            let variables = input(json!({"id": message, "content": content}));
            let edited = accepted(cluster.server(writer), &boss, EDIT, variables, &[]).await.expect("an edit");
            edits.push((number(&edited["id"]), seq(&edited), content));
            count += 1;
        }
        edits
    });
    let mut edits: BTreeMap<i64, BTreeMap<Seq, String>> = BTreeMap::new();
    for (message, seq, content) in join_all(writing).await.into_iter().flatten() {
        let other = edits.entry(message).or_default().insert(seq, content);
        assert_eq!(other, None, "two edits have the same event");
    }
    let log = cluster.log();
    for message in &messages {
        let id: i64 = message.parse().expect("a number");
        let edits = edits.remove(&id).unwrap_or_default();
        let events = log.iter().filter(|event| (event.kind, event.object) == (EventKind::MessageUpdated, id));
        let events: Vec<Seq> = events.map(|event| event.cursor.seq).collect();
        assert_eq!(events, edits.keys().copied().collect::<Vec<_>>(), "each edit has one event");
        let query = "query ($id: ID!) { message(id: $id) { content } }";
        for server in &cluster.servers {
            let data = server.data(Some(&boss), query, json!({"id": message})).await;
            let last = edits.last_key_value().map_or("0", |(_, content)| content);
            assert_eq!(text(&data["message"]["content"]), last);
        }
    }
}

/// Other writers of the same instances must be answered, too: a batch that is decided again has commands of all of
/// them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_are_answered_while_all_instances_edit_one_message_without_a_pause() {
    const LIMIT: Duration = Duration::from_secs(5);
    let cluster = Cluster::start(4).await;
    let boss = cluster.servers[0].admin("boss").await;
    let channel = cluster.servers[0].channel(&boss, "general").await;
    let message = cluster.post(&boss, &channel).await;
    let until = until(SHORT);
    let writing = (0..32).map(async |writer| {
        let (mut count, mut slowest) = (0, Duration::ZERO);
        while Instant::now() < until {
            let started = Instant::now();
            let (mutation, variables) = if writer < 24 {
                (EDIT, json!({"id": message, "content": format!("{writer}: {count}")}))
            } else {
                (POST, json!({"channelId": channel, "content": "hello"}))
            };
            accepted(cluster.server(writer), &boss, mutation, input(variables), &[]).await.expect("an answer");
            slowest = slowest.max(started.elapsed());
            count += 1;
        }
        (count, slowest)
    });
    let results = join_all(writing).await;
    let (edits, posts): (u64, u64) =
        (results[..24].iter().map(|(count, _)| count).sum(), results[24..].iter().map(|(count, _)| count).sum());
    let log = cluster.log();
    let count = |kind| log.iter().filter(|event| event.kind == kind).count() as u64;
    assert_eq!((count(EventKind::MessageUpdated), count(EventKind::MessageAdded)), (edits, posts + 1));
    let slowest = results.iter().map(|(_, slowest)| *slowest).max().unwrap_or_default();
    let outdated = cluster.outdated().await;
    let mut report = Report::new("one message, edited by 24 clients of 4 instances without a pause");
    report.line(format!("{edits} edits, {posts} posts; slowest {slowest:.0?}; {outdated} batches decided again"));
    assert!(outdated > 0, "no batch was outdated");
    assert!(slowest < LIMIT, "a command took {slowest:?}");
    for (writer, (count, _)) in results.iter().enumerate() {
        assert!(*count > 0, "writer {writer} was never answered");
    }
}

/// A stricter level would fail a commit that waits for the commit of another instance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_isolation_level_of_a_database_does_not_matter() {
    let url = fresh_postgres();
    let (_, name) = port_and_name(&url);
    for level in ["repeatable read", "serializable"] {
        sql(&url, "", &format!("ALTER DATABASE {name} SET default_transaction_isolation = '{level}'"));
        let cluster = Cluster::start_on(&url, &[1_000; 4], |_| {}).await;
        let boss = cluster.servers[0].admin(&format!("boss of {level}").replace(' ', "-")).await;
        let channel = cluster.servers[0].channel(&boss, level).await;
        let posting = (0..16).map(async |writer| {
            for _ in 0..10 {
                let post = input(json!({"channelId": channel, "content": "hello"}));
                accepted(cluster.server(writer), &boss, POST, post, &[]).await.expect("a message");
            }
        });
        join_all(posting).await;
        cluster.log();
        assert_eq!(cluster.total("tidings_commit_failures_total ").await, 0, "batches failed at level {level}");
    }
}
