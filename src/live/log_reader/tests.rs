//! Unit tests of the reader of the log. The test decides when events are committed, and when the hub gets them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc;

use futures_util::{FutureExt as _, StreamExt as _};
use tempfile::TempDir;

use super::*;
use crate::board::PermissionCache;
use crate::model::{ChannelId, EventBody, Seq, Tag};
use crate::store::{Batch, BatchState, CommitSink, Effects, NewEvent, Options, TestCommand};

/// A kind of event that every viewer gets and that makes no page outdated.
const PLAIN: EventKind = EventKind::AccessChanged;

const CHANNEL: ChannelId = ChannelId(1);

struct Fixture {
    directory: TempDir,
    store: Arc<Store>,
    batches: mpsc::Receiver<Batch>,
    hub: Hub,
    access: Arc<PermissionCache>,
    memory: Arc<MemoryBudget>,
    /// The position before the first event.
    genesis: Cursor,
}

struct Recorder(mpsc::Sender<Batch>);

impl CommitSink for Recorder {
    fn committed(&mut self, batch: Batch) {
        self.0.send(batch).expect("the test receives");
    }
}

impl Fixture {
    /// A log with these events, which are all below the window of the hub.
    async fn new(stored: &[EventKind]) -> Self {
        let directory = tempfile::tempdir().expect("create a directory");
        let options = Options::sqlite(&directory.path().join("t.db"), 2);
        let (sink, batches) = mpsc::channel();
        let store = Arc::new(Store::open(&options, Recorder(sink)).expect("open the store"));
        let access = Arc::new(PermissionCache::load(&store).await.expect("load permissions"));
        let genesis = store.read(|snapshot| log::head(snapshot.db())).await.expect("read the head");
        let head = if stored.is_empty() { genesis } else { commit(&store, &batches, stored).await.end() };
        let memory = MemoryBudget::new(2 * log_pages::PAGE_BYTES, log_pages::PAGE_BYTES);
        Self { directory, hub: Hub::start(head, &options.vitals), store, batches, access, memory, genesis }
    }

    async fn commit(&self, kinds: &[EventKind]) -> Batch {
        commit(&self.store, &self.batches, kinds).await
    }

    async fn publish(&self, batch: Batch) {
        let end = batch.end();
        self.hub.publish(batch.events, end).await;
        // The hub handles requests in order, so it has published the batch when it answers.
        assert!(self.hub.knows(end).await.expect("ask the hub"));
    }

    async fn commit_and_publish(&self, kinds: &[EventKind]) -> Cursor {
        let batch = self.commit(kinds).await;
        let end = batch.end();
        self.publish(batch).await;
        end
    }

    /// Removes the events after a position from the log, as a failover to a standby that lags behind does.
    fn undo(&self, after: Cursor) {
        log::undo(&self.directory.path().join("t.db"), after.seq);
    }

    async fn reader(&self, topic: Topic, kinds: KindSet, after: Cursor) -> LogReader {
        let filter = EventFilter { topic, kinds, types: None, tickets_only: false, exclude_own: false };
        let (receiver, _) = self.hub.subscribe(topic, filter.watched()).await.expect("subscribe");
        let parts = (Arc::clone(&self.store), self.hub.clone(), Arc::clone(&self.memory));
        LogReader::new(parts, self.viewer(), filter, after, receiver, None)
    }

    /// Waits until a reader thread has finished what it does for readers: they all have one address, and one caller gets
    /// one reader thread.
    async fn wait_for_page(&self) {
        self.store.read_for(Freshness::Known, self.viewer().party(), |_| Ok(())).await.expect("a snapshot");
    }

    fn viewer(&self) -> Viewer {
        Viewer::anonymous(Arc::clone(&self.access), IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    async fn reader_of_everything(&self, after: Cursor) -> LogReader {
        self.reader(Topic::Everything, KindSet::all(), after).await
    }
}

/// Commits events in one batch.
async fn commit(store: &Store, batches: &mpsc::Receiver<Batch>, kinds: &[EventKind]) -> Batch {
    let kinds = kinds.to_vec();
    let command = TestCommand(move |_: &BatchState, effects: &mut Effects| {
        for kind in &kinds {
            effects.record(NewEvent::new(*kind, CHANNEL.0, None).in_channel(CHANNEL), EventBody::None);
        }
        Ok(())
    });
    store.write(command).await.expect("commit");
    batches.recv_timeout(Duration::from_secs(30)).expect("a committed batch")
}

/// What a reader yields.
#[derive(Debug, PartialEq, Eq)]
enum Item {
    Event(i64),
    CaughtUp(i64),
    Error(&'static str),
    End,
}

use Item::{CaughtUp, End};

async fn next(reader: &mut LogReader) -> Item {
    let item = tokio::time::timeout(Duration::from_secs(30), reader.next()).await.expect("the reader must yield");
    match item {
        Some(Ok(Update::Event(event))) => Item::Event(event.cursor.seq.0),
        Some(Ok(Update::CaughtUp(cursor))) => CaughtUp(cursor.seq.0),
        Some(Ok(other)) => panic!("{other:?} is not of the log"),
        Some(Err(error)) => Item::Error(error.code()),
        None => End,
    }
}

/// Asserts that the next events have these numbers.
async fn assert_events(reader: &mut LogReader, seqs: impl IntoIterator<Item = i64>) {
    for seq in seqs {
        assert_eq!(next(reader).await, Item::Event(seq));
    }
}

#[tokio::test]
async fn a_reader_below_the_window_reads_pages_and_goes_live_without_gap_or_repetition() {
    let stored = 2 * log_pages::MAX_PAGE_ROWS + 10;
    let fixture = Fixture::new(&[PLAIN].repeat(usize::try_from(stored).expect("a small number"))).await;
    let mut reader = fixture.reader_of_everything(fixture.genesis).await;
    assert_events(&mut reader, 1..=stored).await;
    assert_eq!(next(&mut reader).await, CaughtUp(stored));
    fixture.commit_and_publish(&[PLAIN, PLAIN]).await;
    assert_events(&mut reader, [stored + 1, stored + 2]).await;
}

#[tokio::test]
async fn a_reader_in_the_window_needs_no_database() {
    let fixture = Fixture::new(&[]).await;
    fixture.commit_and_publish(&[PLAIN, PLAIN]).await;
    let before = fixture.store.statements();
    let mut reader = fixture.reader_of_everything(fixture.genesis).await;
    assert_events(&mut reader, [1, 2]).await;
    assert_eq!(next(&mut reader).await, CaughtUp(2));
    assert_eq!(fixture.store.statements(), before);
}

#[tokio::test]
async fn an_event_that_is_published_after_a_page_was_read_is_yielded_once() {
    let fixture = Fixture::new(&[PLAIN, PLAIN]).await;
    let mut reader = fixture.reader_of_everything(fixture.genesis).await;
    assert_events(&mut reader, [1]).await;
    // The page has been read, and the reader is not live yet.
    fixture.commit_and_publish(&[PLAIN]).await;
    assert_events(&mut reader, [2, 3]).await;
    assert_eq!(next(&mut reader).await, CaughtUp(3));
}

#[tokio::test]
async fn an_event_that_the_log_has_before_the_hub_is_yielded_once() {
    let fixture = Fixture::new(&[PLAIN]).await;
    let ahead = fixture.commit(&[PLAIN]).await;
    let mut reader = fixture.reader_of_everything(fixture.genesis).await;
    assert_events(&mut reader, [1]).await;
    assert_eq!(next(&mut reader).await, CaughtUp(1), "permissions may be older than an event above the hub's head");
    fixture.publish(ahead).await;
    assert_events(&mut reader, [2]).await;
    fixture.commit_and_publish(&[PLAIN]).await;
    assert_events(&mut reader, [3]).await;
}

#[tokio::test]
async fn a_page_is_read_again_if_an_object_was_deleted_since_and_repeats_no_event() {
    let fixture = Fixture::new(&[PLAIN, PLAIN]).await;
    let mut reader = fixture.reader_of_everything(fixture.genesis).await;
    assert_events(&mut reader, [1]).await;
    fixture.commit_and_publish(&[EventKind::MessageDeleted]).await;
    let before = fixture.store.statements();
    assert_events(&mut reader, [2, 3]).await;
    assert!(fixture.store.statements() > before, "the page was not read again");
    assert_eq!(next(&mut reader).await, CaughtUp(3));
}

#[tokio::test]
async fn a_reader_that_lags_reads_the_log_from_its_position_and_goes_live_again() {
    let fixture = Fixture::new(&[]).await;
    let head = fixture.commit_and_publish(&[PLAIN]).await;
    let mut reader = fixture.reader_of_everything(head).await;
    assert_eq!(next(&mut reader).await, CaughtUp(1));
    // The hub forgets its events, as it does when the tailer was away for too long.
    let missed = fixture.commit(&[PLAIN, PLAIN]).await;
    fixture.hub.reset(missed.end()).await;
    assert_events(&mut reader, [2, 3]).await;
    assert_eq!(next(&mut reader).await, CaughtUp(3));
    fixture.commit_and_publish(&[PLAIN]).await;
    assert_events(&mut reader, [4]).await;
}

#[tokio::test]
async fn a_cursor_that_the_log_does_not_hold_ends_the_stream_for_good() {
    let fixture = Fixture::new(&[PLAIN, PLAIN]).await;
    let mut reader = fixture.reader_of_everything(Cursor { seq: Seq(1), tag: Tag(0) }).await;
    assert_eq!(next(&mut reader).await, Item::Error("CURSOR_EXPIRED"));
    fixture.commit_and_publish(&[PLAIN]).await;
    assert_eq!([next(&mut reader).await, next(&mut reader).await], [End, End]);
}

#[tokio::test]
async fn readers_of_a_lost_history_end_and_readers_of_the_common_part_go_on() {
    let fixture = Fixture::new(&[]).await;
    let kept = fixture.commit_and_publish(&[PLAIN]).await;
    let mut early = fixture.reader_of_everything(kept).await;
    let lost = fixture.commit_and_publish(&[PLAIN, PLAIN]).await;
    let mut late = fixture.reader_of_everything(lost).await;
    assert_eq!(next(&mut late).await, CaughtUp(3));
    fixture.undo(kept);
    let other = fixture.commit(&[PLAIN, PLAIN]).await;
    assert_eq!(other.end().seq, lost.seq);
    fixture.hub.reset(other.end()).await;
    assert_eq!([next(&mut late).await, next(&mut late).await], [Item::Error("CURSOR_EXPIRED"), End]);
    for event in &other.events {
        let Some(Ok(Update::Event(yielded))) = early.next().await else { panic!("an event is missing") };
        assert_eq!(yielded.cursor, event.event.cursor, "an event of the lost history was yielded");
    }
    assert_eq!(next(&mut early).await, CaughtUp(3));
}

#[tokio::test]
async fn nothing_is_yielded_while_the_log_lacks_the_head_of_the_hub() {
    let fixture = Fixture::new(&[PLAIN]).await;
    let kept = fixture.hub.head();
    fixture.commit_and_publish(&[PLAIN, PLAIN]).await;
    fixture.undo(kept);
    let mut reader = fixture.reader_of_everything(fixture.genesis).await;
    let before = fixture.store.statements();
    while fixture.store.statements() == before {
        assert!(reader.next().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    fixture.wait_for_page().await;
    assert!(reader.next().now_or_never().is_none(), "an item is yielded although the history of the hub was lost");
    let other = fixture.commit(&[PLAIN]).await;
    fixture.hub.reset(other.end()).await;
    assert_events(&mut reader, [1, 2]).await;
    assert_eq!(next(&mut reader).await, CaughtUp(2));
}

#[tokio::test]
async fn a_reader_without_memory_for_a_page_waits_and_reads_nothing() {
    let fixture = Fixture::new(&[PLAIN]).await;
    let mut reader = fixture.reader_of_everything(fixture.genesis).await;
    let mut other = fixture.memory.lease(fixture.viewer().party());
    assert!(other.try_grow_to(log_pages::PAGE_BYTES));
    let before = fixture.store.statements();
    fixture.wait_for_page().await;
    let empty_snapshot = fixture.store.statements() - before;
    for _ in 0..2 {
        assert!(reader.next().now_or_never().is_none());
        // The hub answers after it has handled a request of the reader.
        assert!(fixture.hub.knows(fixture.hub.head()).await.expect("ask the hub"));
    }
    fixture.wait_for_page().await;
    assert_eq!(fixture.store.statements() - before, 2 * empty_snapshot);
    drop(other);
    assert_events(&mut reader, [1]).await;
    assert_eq!(next(&mut reader).await, CaughtUp(1));
    assert_eq!(fixture.memory.lent(), 0, "a live reader must hold no memory of a page");
}

#[tokio::test]
async fn the_deletion_of_the_channel_ends_the_stream_after_its_event() {
    let (all, added) = (KindSet::all(), KindSet::of(&[EventKind::MessageAdded]));
    let fixture = Fixture::new(&[EventKind::ChannelDeleted, PLAIN]).await;
    let topic = Topic::Channel(CHANNEL);
    let mut replaying = fixture.reader(topic, all, fixture.genesis).await;
    assert_eq!([next(&mut replaying).await, next(&mut replaying).await], [Item::Event(1), End]);
    drop(replaying);
    let mut replaying_messages = fixture.reader(topic, added, fixture.genesis).await;
    assert_eq!(next(&mut replaying_messages).await, End, "the client does not want the event, but the stream must end");
    let mut live = fixture.reader(topic, all, fixture.hub.head()).await;
    let mut live_of_messages = fixture.reader(topic, added, fixture.hub.head()).await;
    assert_eq!([next(&mut live).await, next(&mut live_of_messages).await], [CaughtUp(2), CaughtUp(2)]);
    let deleting = fixture.commit_and_publish(&[EventKind::ChannelDeleted, PLAIN]);
    let (event, end, _) = tokio::join!(next(&mut live), next(&mut live_of_messages), deleting);
    assert_eq!((event, end), (Item::Event(3), End));
    assert_eq!([next(&mut live).await, next(&mut live).await], [End, End]);
}

#[tokio::test]
async fn a_reader_goes_live_although_the_log_has_no_event_of_its_topic() {
    let fixture = Fixture::new(&[PLAIN, PLAIN]).await;
    let mut reader = fixture.reader(Topic::Channel(ChannelId(2)), KindSet::all(), fixture.genesis).await;
    assert_eq!(next(&mut reader).await, CaughtUp(2));
}

#[tokio::test]
async fn a_reader_of_a_quiet_topic_has_served_the_head_of_the_log() {
    let fixture = Fixture::new(&[]).await;
    let mut reader = fixture.reader(Topic::Channel(ChannelId(2)), KindSet::all(), fixture.genesis).await;
    assert_eq!(next(&mut reader).await, CaughtUp(0));
    let head = fixture.commit_and_publish(&[PLAIN, PLAIN]).await;
    assert_eq!((reader.position(), reader.served()), (fixture.genesis, head));
}
