//! What readers see while all instances write: snapshots at a position of the log, read markers and unread counts.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tidings::model::{Cursor, Event, EventKind, Seq};
use tokio::time::Instant;

use super::{COMMENT, Cluster, EDIT, POST, SHORT, accepted, input, seq, until};
use crate::support::{Session, text};

const WRITERS: usize = 8;
const READ: &str = "query ($id: ID!) {
    cursor channel(id: $id) { unreadCount messages(first: 1) { nodes { id cursor } } } }";
const MARK: &str = "mutation ($id: ID!, $cursor: Cursor!) { markChannelRead(channelId: $id, upTo: $cursor) { id } }";

/// What a query showed of a channel.
struct Snapshot {
    cursor: Cursor,
    unread: usize,
    newest: Option<i64>,
}

/// Two channels in which clients write.
struct Fixture {
    cluster: Cluster,
    boss: Session,
    channels: Vec<String>,
    is_over: AtomicBool,
}

impl Fixture {
    async fn new() -> Self {
        let cluster = Cluster::start(4).await;
        let boss = cluster.servers[0].admin("boss").await;
        let mut channels = Vec::new();
        for name in ["general", "random"] {
            channels.push(cluster.servers[0].channel(&boss, name).await);
        }
        Self { cluster, boss, channels, is_over: AtomicBool::new(false) }
    }

    /// Writes messages, comments and edits on all instances for a while. Then the readers end, too.
    async fn write(&self) {
        let until = until(SHORT);
        let writing = (0..WRITERS).map(async |writer| {
            let server = self.cluster.server(writer);
            while Instant::now() < until {
                let channel = &self.channels[rand::random_range(0..self.channels.len())];
                let post = input(json!({"channelId": channel, "content": "hello"}));
                let message = accepted(server, &self.boss, POST, post, &[]).await.expect("a message");
                let comment = input(json!({"messageId": message["id"], "content": "a comment"}));
                accepted(server, &self.boss, COMMENT, comment, &[]).await.expect("a comment");
                let edit = input(json!({"id": message["id"], "content": "an edit"}));
                accepted(server, &self.boss, EDIT, edit, &[]).await.expect("an edit");
            }
        });
        join_all(writing).await;
        self.is_over.store(true, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    async fn read(&self, instance: usize, by: &Session, channel: &str) -> Snapshot {
        let data = self.cluster.server(instance).data(Some(by), READ, json!({"id": channel})).await;
        let newest = &data["channel"]["messages"]["nodes"][0]["id"];
        Snapshot {
            cursor: text(&data["cursor"]).parse().expect("a cursor"),
            unread: data["channel"]["unreadCount"].as_u64().expect("a number") as usize,
            newest: newest.as_str().map(|id| id.parse().expect("a number")),
        }
    }

    async fn mark(&self, instance: usize, by: &Session, channel: &str, cursor: Cursor) {
        let variables = json!({"id": channel, "cursor": cursor.to_string()});
        self.cluster.server(instance).data(Some(by), MARK, variables).await;
    }
}

/// The ids of the messages that were added to the channel after one position and up to another one.
fn added(log: &[Event], channel: &str, after: Seq, up_to: Seq) -> Vec<i64> {
    let is_added = |event: &&Event| {
        event.kind == EventKind::MessageAdded
            && event.channel.is_some_and(|id| id.to_string() == channel)
            && event.cursor.seq > after
            && event.cursor.seq <= up_to
    };
    log.iter().filter(is_added).map(|event| event.object).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_shows_exactly_the_messages_up_to_its_cursor() {
    let fixture = Fixture::new().await;
    let reading = (0..4).map(async |instance| {
        let mut snapshots = Vec::new();
        while !fixture.is_over() {
            let channel = &fixture.channels[snapshots.len() % 2];
            let snapshot = fixture.read(instance, &fixture.boss, channel).await;
            snapshots.push((channel, snapshot));
        }
        snapshots
    });
    let (snapshots, ()) = join(join_all(reading), fixture.write()).await;
    let log = fixture.cluster.log();
    for (channel, snapshot) in snapshots.iter().flatten() {
        let added = added(&log, channel, Seq(0), snapshot.cursor.seq);
        assert_eq!(snapshot.newest, added.last().copied(), "at {}", snapshot.cursor);
    }
    // Each snapshot of an instance is as new as its earlier ones.
    for snapshots in &snapshots {
        let seqs: Vec<Seq> = snapshots.iter().map(|(_, snapshot)| snapshot.cursor.seq).collect();
        assert!(seqs.is_sorted(), "{seqs:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_counts_are_the_messages_between_the_read_marker_and_the_cursor() {
    let fixture = Fixture::new().await;
    let ann = fixture.cluster.servers[0].register("ann").await;
    let channel = &fixture.channels[0];
    let marking = async {
        let (mut steps, mut instance) = (Vec::new(), 0);
        let mut marked: Cursor = fixture.cluster.servers[0].cursor(None).await.parse().expect("a cursor");
        fixture.mark(0, &ann, channel, marked).await;
        while !fixture.is_over() {
            let before = fixture.read(instance, &ann, channel).await;
            steps.push((marked.seq, before.cursor.seq, before.unread));
            // The older position must change nothing, whichever of the two is written last.
            let older = fixture.mark(instance + 3, &ann, channel, marked);
            join(fixture.mark(instance + 1, &ann, channel, before.cursor), older).await;
            marked = before.cursor;
            let after = fixture.read(instance + 2, &ann, channel).await;
            steps.push((marked.seq, after.cursor.seq, after.unread));
            instance += 1;
        }
        steps
    };
    let (steps, ()) = join(marking, fixture.write()).await;
    let log = fixture.cluster.log();
    assert!(steps.len() >= 2, "the reader marked nothing");
    for (marker, up_to, unread) in steps {
        assert_eq!(unread, added(&log, channel, marker, up_to).len(), "unread at {up_to:?} after {marker:?}");
    }
}

/// An acknowledged change is in the log at the position that was returned, and is visible on every instance at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_message_is_visible_on_all_instances_at_its_cursor() {
    let fixture = Fixture::new().await;
    let reading = async {
        let mut rounds = 0;
        while !fixture.is_over() {
            let channel = &fixture.channels[0];
            let post = input(json!({"channelId": channel, "content": "hello"}));
            let posted = accepted(fixture.cluster.server(rounds), &fixture.boss, POST, post, &[]).await;
            let posted: Value = posted.expect("a message");
            for instance in 0..4 {
                let query = "query ($id: ID!) { cursor message(id: $id) { cursor } }";
                let shown = fixture.cluster.server(instance);
                let shown = shown.data(Some(&fixture.boss), query, json!({"id": posted["id"]})).await;
                assert_eq!(shown["message"]["cursor"], posted["cursor"]);
                assert!(seq(&shown) >= seq(&posted), "{shown} after {posted}");
            }
            rounds += 1;
        }
        rounds
    };
    let (rounds, ()) = join(reading, fixture.write()).await;
    assert!(rounds > 0, "no message was read");
    fixture.cluster.log();
}
