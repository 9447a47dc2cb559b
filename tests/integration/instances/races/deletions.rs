//! Changes of objects that another instance deletes: the log has none of them after the deletion.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidings::model::{Event, EventKind, Seq};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{COMMENT, Cluster, EDIT, EDIT_COMMENT, POST, SHORT, accepted, input, number, seq, until};
use crate::support::{Session, text, with_timeout};

/// Number of clients that change the object, on all instances together.
const WRITERS: usize = 8;
/// The deletion begins after a random number of accepted changes, below this one.
const CHANGES: usize = 12;

const DELETE: &str = "mutation ($id: ID!) { deleteMessage(id: $id) }";
const DELETE_COMMENT: &str = "mutation ($id: ID!) { deleteComment(id: $id) }";
const DELETE_CHANNEL: &str = "mutation ($id: ID!) { deleteChannel(id: $id) }";

/// Accepted changes: the position, the kind and the object of the event of each one.
type Changes = Vec<(Seq, EventKind, i64)>;

/// A mutation, its input and the kind of its event.
type Change = (&'static str, Value, EventKind);

/// A cluster, an admin and a channel.
struct Fixture {
    cluster: Cluster,
    boss: Session,
    channel: String,
}

impl Fixture {
    async fn new() -> Self {
        let cluster = Cluster::start(4).await;
        let boss = cluster.servers[0].admin("boss").await;
        let channel = cluster.servers[0].channel(&boss, "general").await;
        Self { cluster, boss, channel }
    }

    async fn comment(&self, message: &str) -> String {
        let variables = input(json!({"messageId": message, "content": "a comment"}));
        let comment = accepted(&self.cluster.servers[0], &self.boss, COMMENT, variables, &[]).await;
        text(&comment.expect("a comment")["id"])
    }

    /// Makes changes on all instances until they are refused, because the object was deleted meanwhile. Returns the
    /// changes that were accepted. `change` returns the change that a client makes next.
    async fn changes_until_deleted(&self, deletion: (&str, &str), change: impl Fn(usize) -> Change) -> Changes {
        let (count, advanced, changes) = (AtomicUsize::new(0), Notify::new(), Mutex::new(Vec::new()));
        let writing = (0..WRITERS).map(async |writer| {
            loop {
                let (mutation, input, kind) = change(writer);
                let server = self.cluster.server(writer);
                let object = accepted(server, &self.boss, mutation, super::input(input), &["NOT_FOUND"]).await;
                let Some(object) = object else { return };
                changes.lock().expect("a list").push((seq(&object), kind, number(&object["id"])));
                count.fetch_add(1, Ordering::SeqCst);
                advanced.notify_one();
            }
        });
        let deleting = async {
            let enough = rand::random_range(0..CHANGES);
            while count.load(Ordering::SeqCst) < enough {
                advanced.notified().await;
            }
            let server = self.cluster.server(rand::random_range(0..4));
            accepted(server, &self.boss, deletion.0, json!({"id": deletion.1}), &[]).await.expect("a deletion");
        };
        with_timeout("the end of all writers", futures_util::future::join(join_all(writing), deleting)).await;
        changes.into_inner().expect("a list")
    }
}

/// Checks that each accepted change has its event, and that no event of the deleted object follows the deletion.
fn check(log: &[Event], deletion: (EventKind, &str), is_of_object: impl Fn(&Event) -> bool, mut changes: Changes) {
    let id: i64 = deletion.1.parse().expect("a number");
    let is_deletion = |event: &&Event| (event.kind, event.object) == (deletion.0, id);
    let deleted: Vec<&Event> = log.iter().filter(is_deletion).collect();
    assert_eq!(deleted.len(), 1, "one deletion: {deleted:?}");
    let late = log.iter().rfind(|event| is_of_object(event) && event.cursor.seq > deleted[0].cursor.seq);
    assert!(late.is_none(), "{late:?} follows {:?}", deleted[0]);
    changes.sort_unstable_by_key(|(seq, ..)| *seq);
    let kinds: Vec<EventKind> = changes.iter().map(|(_, kind, _)| *kind).collect();
    let first = changes.first().map(|(seq, ..)| *seq);
    let is_change =
        |event: &&Event| is_of_object(event) && kinds.contains(&event.kind) && Some(event.cursor.seq) >= first;
    let logged: Changes =
        log.iter().filter(is_change).map(|event| (event.cursor.seq, event.kind, event.object)).collect();
    assert_eq!(logged, changes, "the events, and the accepted changes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_comment_or_edit_follows_the_deletion_of_its_message() {
    let fixture = Fixture::new().await;
    let (until, mut rounds) = (until(SHORT), Vec::new());
    while Instant::now() < until {
        let message = fixture.cluster.post(&fixture.boss, &fixture.channel).await;
        let changes = fixture.changes_until_deleted((DELETE, &message), |writer| match writer % 4 {
            0 => (EDIT, json!({"id": message, "content": "an edit"}), EventKind::MessageUpdated),
            _ => (COMMENT, json!({"messageId": message, "content": "a comment"}), EventKind::CommentAdded),
        });
        let changes = changes.await;
        rounds.push((message, changes));
    }
    let log = fixture.cluster.log();
    for (message, changes) in rounds {
        let is_of_message = |event: &Event| event.message.is_some_and(|id| id.to_string() == message);
        check(&log, (EventKind::MessageDeleted, &message), is_of_message, changes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_edit_follows_the_deletion_of_its_comment() {
    let fixture = Fixture::new().await;
    let (until, mut rounds) = (until(SHORT), Vec::new());
    while Instant::now() < until {
        let message = fixture.cluster.post(&fixture.boss, &fixture.channel).await;
        let comment = fixture.comment(&message).await;
        let changes = fixture.changes_until_deleted((DELETE_COMMENT, &comment), |_| {
            (EDIT_COMMENT, json!({"id": comment, "content": "an edit"}), EventKind::CommentUpdated)
        });
        let changes = changes.await;
        rounds.push((comment, changes));
    }
    let log = fixture.cluster.log();
    for (comment, changes) in rounds {
        let is_of_comment = |event: &Event| {
            [EventKind::CommentAdded, EventKind::CommentUpdated, EventKind::CommentDeleted].contains(&event.kind)
                && event.object.to_string() == comment
        };
        check(&log, (EventKind::CommentDeleted, &comment), is_of_comment, changes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_a_channel_follows_its_deletion() {
    let fixture = Arc::new(Fixture::new().await);
    let (until, mut rounds) = (until(SHORT), Vec::new());
    while Instant::now() < until {
        let name = format!("round {}", rounds.len());
        let channel = fixture.cluster.servers[0].channel(&fixture.boss, &name).await;
        let message = fixture.cluster.post(&fixture.boss, &channel).await;
        let comment = fixture.comment(&message).await;
        let changes = fixture.changes_until_deleted((DELETE_CHANNEL, &channel), |writer| match writer % 4 {
            0 => (EDIT, json!({"id": message, "content": "an edit"}), EventKind::MessageUpdated),
            1 => (EDIT_COMMENT, json!({"id": comment, "content": "an edit"}), EventKind::CommentUpdated),
            2 => (COMMENT, json!({"messageId": message, "content": "a comment"}), EventKind::CommentAdded),
            _ => (POST, json!({"channelId": channel, "content": "a message"}), EventKind::MessageAdded),
        });
        let changes = changes.await;
        rounds.push((channel, changes));
    }
    let log = fixture.cluster.log();
    for (channel, changes) in rounds {
        let is_of_channel = |event: &Event| event.channel.is_some_and(|id| id.to_string() == channel);
        check(&log, (EventKind::ChannelDeleted, &channel), is_of_channel, changes);
    }
}
