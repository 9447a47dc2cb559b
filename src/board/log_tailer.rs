//! The log tailer, one task per instance: turns commits of all instances into one gapless sequence of events and
//! publishes it to the hub. Lost wake-ups and commits of other processes are handled here, so that no subscription
//! has to handle them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::MissedTickBehavior;

use super::decision_caches::DecisionCaches;
use crate::error::{Error, Result};
use crate::hub::{Hub, WINDOW};
use crate::model::{Cursor, KindSet, LoggedEvent, Seq, Topic};
use crate::store::{Batch, ChangeWatch, LogPage, LogSignal, Store, log, log_pages};
use crate::supervisor::Supervisor;

/// How often the tailer reads the log even without a notification, because notifications can be lost.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Delay before the tailer reads the log again after an error.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// How many committed batches of this instance's writer may wait for the tailer.
const QUEUED_BATCHES: usize = 64;
/// How much memory these batches may take together, in KiB.
const QUEUED_KIB: u32 = 16 << 10;

/// How far this instance has processed the log. The tailer, the writer and the use cases share it.
#[derive(Default)]
pub struct Watermark {
    /// The tailer's position: events up to here are published and their permissions applied. `None` before the start.
    position: Mutex<Option<Cursor>>,
    moved: Condvar,
    advanced: Notify,
    /// Wakes the tailer because the writer found another history of the log, or a head far above the tailer's position.
    read_requested: Notify,
}

impl Watermark {
    fn reached(&self, position: Cursor) {
        *self.position() = Some(position);
        self.moved.notify_all();
        self.advanced.notify_waiters();
    }

    fn position(&self) -> MutexGuard<'_, Option<Cursor>> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the tailer has reached `seq`, for `timeout` at most. `seq` must be from a batch of this instance:
    /// such a batch starts only when the tailer is on the same history, so the two numbers are comparable.
    pub async fn wait_until(&self, seq: Seq, timeout: Duration) {
        let reaching = async {
            loop {
                // Create the future before the check: otherwise a notification between the check and the wait would be
                // lost.
                let advanced = self.advanced.notified();
                if self.position().is_some_and(|position| position.seq >= seq) {
                    return;
                }
                advanced.await;
            }
        };
        drop(tokio::time::timeout(timeout, reaching).await);
    }

    /// Wakes the tailer, and blocks this thread until the tailer has left `position` and reached `seq`, for `timeout`
    /// at most.
    fn wait(&self, position: Cursor, seq: Seq, timeout: Duration) {
        self.read_requested.notify_one();
        let is_behind = |now: &mut Option<Cursor>| now.is_some_and(|now| now == position || now.seq < seq);
        drop(self.moved.wait_timeout_while(self.position(), timeout, is_behind));
    }
}

/// The writer's side of the tailer: passes committed batches on.
pub struct CommitListener {
    batches: mpsc::Sender<QueuedBatch>,
    memory: Arc<Semaphore>,
    progress: Arc<Watermark>,
}

/// A batch that waits for the tailer, with its share of the memory budget.
pub struct QueuedBatch {
    batch: Batch,
    _memory: OwnedSemaphorePermit,
}

impl CommitListener {
    /// Returns the listener for the store, and the receiver for [`LogTailer::start`].
    #[must_use]
    pub fn new(progress: &Arc<Watermark>) -> (Self, mpsc::Receiver<QueuedBatch>) {
        let (batches, receiver) = mpsc::channel(QUEUED_BATCHES);
        let memory = Arc::new(Semaphore::new(QUEUED_KIB as usize));
        (Self { batches, memory, progress: Arc::clone(progress) }, receiver)
    }
}

impl crate::store::CommitSink for CommitListener {
    fn committed(&mut self, batch: Batch) {
        let bytes: usize = batch.events.iter().map(LoggedEvent::weight).sum();
        // A batch larger than the whole budget is accepted when no other batch waits.
        let kib = u32::try_from(bytes >> 10).map_or(QUEUED_KIB, |kib| kib.clamp(1, QUEUED_KIB));
        // A batch without room is dropped here. The tailer notices the gap and reads the events from the log.
        if let Ok(memory) = Arc::clone(&self.memory).try_acquire_many_owned(kib) {
            drop(self.batches.try_send(QueuedBatch { batch, _memory: memory }));
        }
    }

    fn position(&mut self) -> Option<Cursor> {
        *self.progress.position()
    }

    fn wait(&mut self, position: Cursor, seq: Seq, timeout: Duration) {
        self.progress.wait(position, seq, timeout);
    }
}

/// The state of the tailer's task.
pub struct LogTailer {
    store: Arc<Store>,
    hub: Hub,
    caches: DecisionCaches,
    progress: Arc<Watermark>,
    position: Cursor,
    batches: mpsc::Receiver<QueuedBatch>,
    watch: ChangeWatch,
}

impl LogTailer {
    /// Starts the hub one window of events below the head and publishes the log up to the head. So clients that return
    /// after a restart are served from memory. The task follows the log until it is aborted.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached; `INTERNAL_SERVER_ERROR` if a statement fails.
    pub async fn start(
        store: Arc<Store>,
        caches: DecisionCaches,
        progress: Arc<Watermark>,
        batches: mpsc::Receiver<QueuedBatch>,
        vitals: &Supervisor,
    ) -> Result<(Hub, tokio::task::JoinHandle<()>)> {
        let position = store.read(|snapshot| start_position(snapshot.db())).await?;
        let hub = Hub::start(position, vitals);
        let watch = store.watch()?;
        let mut tail = Self { store, hub: hub.clone(), caches, progress, position, batches, watch };
        tail.progress.reached(position);
        tail.store.positions().restart_at(position);
        tail.catch_up().await?;
        Ok((hub, vitals.spawn("the log tailer", tail.follow())))
    }

    async fn follow(mut self) {
        // An interval, not a sleep per iteration: steady notifications must not postpone the periodic read.
        let mut poll = tokio::time::interval(POLL_INTERVAL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let progress = Arc::clone(&self.progress);
        let mut is_behind = false;
        loop {
            let result = if is_behind {
                tokio::time::sleep(RETRY_DELAY).await;
                self.catch_up().await
            } else {
                tokio::select! {
                    batch = self.batches.recv() => match batch {
                        Some(QueuedBatch { batch, _memory }) => self.publish_own(batch).await,
                        None => return,
                    },
                    hint = self.watch.changed() => self.notified(hint).await,
                    () = progress.read_requested.notified() => self.catch_up().await,
                    _ = poll.tick() => self.catch_up().await,
                }
            };
            if let (Err(error), false) = (&result, is_behind) {
                tracing::warn!(%error, "cannot read the event log; retrying");
            }
            is_behind = result.is_err();
        }
    }

    /// Publishes a batch of this instance from memory if it starts exactly at the tailer's position, by number and tag.
    /// A batch whose last event the hub has already is skipped. In all other cases the tailer reads the log, because
    /// the batch can be of another history than the tailer's.
    async fn publish_own(&mut self, batch: Batch) -> Result<()> {
        let end = batch.end();
        self.watch.say(end);
        if batch.after == Some(self.position) {
            self.advance(batch.events, end).await
        } else {
            self.read_unless_passed(end).await
        }
    }

    /// Handles a notification from another process: new heads of the log, or only that the log changed.
    async fn notified(&mut self, hint: LogSignal) -> Result<()> {
        match hint {
            LogSignal::Heads(heads) => {
                for head in heads {
                    self.read_unless_passed(head).await?;
                }
                Ok(())
            }
            LogSignal::Something => self.catch_up().await,
        }
    }

    /// Reads the log, unless the tailer has already passed `head`.
    async fn read_unless_passed(&mut self, head: Cursor) -> Result<()> {
        if head == self.position || self.hub.knows(head).await? { Ok(()) } else { self.catch_up().await }
    }

    async fn catch_up(&mut self) -> Result<()> {
        loop {
            let position = self.position;
            let losses = self.store.positions().losses();
            let page = self
                .store
                .read(move |snapshot| {
                    log_pages::page(snapshot.db(), Topic::Everything, KindSet::all(), position, Seq(i64::MAX))
                })
                .await;
            if let Ok(LogPage { head, .. }) = &page {
                self.store.positions().confirm(losses, *head);
            }
            match page {
                Ok(LogPage { end, .. }) if end == position => return Ok(()),
                Ok(LogPage { events, end, has_unknown, .. }) => {
                    if has_unknown {
                        // A newer version of the server wrote events of unknown kinds. They may have changed
                        // permissions.
                        self.caches.reload(&self.store).await?;
                    }
                    self.advance(events, end).await?;
                }
                Err(Error::CursorExpired { .. }) => return self.restart_from_head().await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn advance(&mut self, events: Vec<LoggedEvent>, end: Cursor) -> Result<()> {
        self.caches.apply(&self.store, events.iter().map(|logged| &logged.event)).await?;
        self.store.positions().advance(events.iter().map(|logged| logged.event.cursor), end);
        self.hub.publish(events, end).await;
        self.position = end;
        self.progress.reached(end);
        Ok(())
    }

    /// Restarts from the head, because the log no longer contains the tailer's position. Either the log has another
    /// history (a restored backup, a failover), or this instance was suspended for longer than the log is kept. The
    /// hub's reset makes every subscription check its cursor against the log.
    async fn restart_from_head(&mut self) -> Result<()> {
        tracing::warn!(
            position = %self.position,
            "the event log no longer contains this position; restarting from its head"
        );
        // Read the head first. Then the permissions may be newer than the head, but never older.
        let head = self.store.read(|snapshot| log::head(snapshot.db())).await?;
        // Replicas of the lost history must not serve readers that the reset wakes.
        self.store.positions().restart_at(head);
        self.caches.reload(&self.store).await?;
        self.position = head;
        self.hub.reset(head).await;
        self.progress.reached(head);
        Ok(())
    }
}

fn start_position(db: &mut crate::store::Db) -> Result<Cursor> {
    let head = log::head(db)?;
    let back = Seq(head.seq.0 - i64::try_from(WINDOW).unwrap_or(0));
    match log::at(db, back)? {
        Some(cursor) => Ok(cursor),
        None => log::oldest(db),
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use futures_util::future::poll_fn;

    use super::*;
    use crate::hub::{Next, Receiver};
    use crate::model::{ChannelId, EventBody, EventKind, Tag};
    use crate::store::{BatchState, Effects, NewEvent, Options, TestCommand, WriteCommand};

    /// A tailer over a SQLite file that runs only when the test calls it, and the batches that its writer committed.
    struct Fixture {
        directory: tempfile::TempDir,
        tail: LogTailer,
        committed: mpsc::Receiver<QueuedBatch>,
    }

    impl Fixture {
        async fn new() -> Self {
            let directory = tempfile::tempdir().expect("create a directory");
            let progress = Arc::<Watermark>::default();
            let (notice, committed) = CommitListener::new(&progress);
            let options = Options::sqlite(&directory.path().join("t.db"), 1);
            let store = Arc::new(Store::open(&options, notice).expect("open the store"));
            let caches = DecisionCaches::load(&store).await.expect("load permissions and types");
            let position = store.read(|snapshot| start_position(snapshot.db())).await.expect("read the position");
            let hub = Hub::start(position, &options.vitals);
            // The tailer's own channel is unused: the test takes the batches and passes them on.
            let (_, batches) = mpsc::channel(1);
            let watch = ChangeWatch::deaf();
            let tail = LogTailer { store, hub, caches, progress, position, batches, watch };
            tail.progress.reached(position);
            Self { directory, tail, committed }
        }

        /// Commits one event in a batch of its own, and returns the batch.
        async fn commit(&mut self) -> Batch {
            self.tail.store.write(change()).await.expect("commit");
            self.committed.recv().await.expect("a committed batch").batch
        }

        /// Commits an event as another process does. Such a commit does not wait for the tailer.
        fn commit_elsewhere(&self) -> Batch {
            let (sender, committed) = std::sync::mpsc::channel();
            let store = Store::open(&Options::sqlite(&self.file(), 1), Listener(sender)).expect("open the store");
            let runtime = tokio::runtime::Handle::current();
            tokio::task::block_in_place(|| runtime.block_on(store.write(change()))).expect("commit");
            committed.recv().expect("commit")
        }

        fn file(&self) -> std::path::PathBuf {
            self.directory.path().join("t.db")
        }

        async fn follow(&self) -> (Receiver, Cursor) {
            self.tail.hub.subscribe(Topic::Everything, KindSet::all()).await.expect("subscribe")
        }
    }

    /// A command that records an event, and returns its position.
    fn change() -> impl WriteCommand<Output = Seq> {
        TestCommand(|_: &BatchState, effects: &mut Effects| {
            let change = NewEvent::new(EventKind::MessageDeleted, 1, None).in_channel(ChannelId(1));
            effects.record(change, EventBody::None);
            Ok(effects.end())
        })
    }

    struct Listener(std::sync::mpsc::Sender<Batch>);

    impl crate::store::CommitSink for Listener {
        fn committed(&mut self, batch: Batch) {
            self.0.send(batch).expect("the test receives");
        }
    }

    async fn is_lagging(receiver: &mut Receiver, position: Cursor) -> bool {
        matches!(poll_fn(|context| receiver.poll_next(position.seq, context)).await, Next::Lagged)
    }

    /// Publishes one event that stays and `lost` events that a restore then removes from the log. Returns the fixture,
    /// the receiver and the position of a subscriber that has seen all of them, and the end of the kept event.
    async fn with_lost_events(lost: usize) -> (Fixture, Receiver, Cursor, Cursor) {
        let mut fixture = Fixture::new().await;
        let kept = fixture.commit().await;
        fixture.tail.publish_own(kept.clone()).await.expect("publish");
        for _ in 0..lost {
            let batch = fixture.commit().await;
            fixture.tail.publish_own(batch).await.expect("publish");
        }
        let seen = fixture.tail.position;
        assert_eq!(seen.seq.0, 1 + i64::try_from(lost).expect("a small number"));
        let (receiver, _) = fixture.follow().await;
        log::undo(&fixture.file(), kept.end().seq);
        (fixture, receiver, kept.end(), seen)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_batch_of_another_history_below_the_position_resets_the_hub() {
        let (mut fixture, mut receiver, _, seen) = with_lost_events(3).await;
        let batch = fixture.commit_elsewhere();
        assert!(batch.end().seq <= seen.seq);
        fixture.tail.publish_own(batch.clone()).await.expect("detect the other history");
        assert_eq!(fixture.tail.position, batch.end());
        assert!(is_lagging(&mut receiver, seen).await);
        assert!(
            !fixture.tail.hub.knows(seen).await.expect("ask the hub"),
            "the hub accepts a cursor of a lost history"
        );
        assert_eq!((fixture.tail.hub.era(), *fixture.tail.progress.position()), (1, Some(batch.end())));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_batch_with_the_next_number_but_another_tag_is_not_published() {
        let (mut fixture, mut receiver, kept, seen) = with_lost_events(2).await;
        // One event per batch: the last batch has the number that follows the tailer's position.
        let batches: Vec<Batch> = (0..3).map(|_| fixture.commit_elsewhere()).collect();
        assert_eq!((batches[0].after, batches[2].after.map(|after| after.seq)), (Some(kept), Some(seen.seq)));
        fixture.tail.publish_own(batches[2].clone()).await.expect("detect the other history");
        assert_eq!(fixture.tail.position, batches[2].end());
        assert!(is_lagging(&mut receiver, seen).await, "a subscriber continued from a position of a lost history");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_head_of_another_history_below_the_position_resets_the_hub() {
        let (mut fixture, mut receiver, _, seen) = with_lost_events(2).await;
        let head = fixture.commit_elsewhere().end();
        fixture.tail.notified(LogSignal::Heads(vec![head])).await.expect("detect the other history");
        assert_eq!(fixture.tail.position, head);
        assert!(is_lagging(&mut receiver, seen).await);
        let before = fixture.tail.store.statements();
        fixture.tail.notified(LogSignal::Heads(vec![head])).await.expect("skip a known head");
        assert_eq!(fixture.tail.store.statements(), before, "a known head must not cause a read of the log");
    }

    #[test]
    fn batches_that_wait_for_the_tailer_are_limited_in_bytes() {
        let (mut notice, mut committed) = CommitListener::new(&Arc::default());
        let batch = |bytes: usize| {
            let change = NewEvent::new(EventKind::RoomBroadcast, 1, None).with_payload("x".repeat(bytes).into());
            let event = change.at(Cursor { seq: Seq(1), tag: Tag(1) }, crate::model::Timestamp(0));
            let after = Some(Cursor { seq: Seq(0), tag: Tag(0) });
            Batch::new(after, vec![LoggedEvent { event, body: EventBody::None }]).expect("an event")
        };
        let mut send = |bytes| crate::store::CommitSink::committed(&mut notice, batch(bytes));
        (0..5).for_each(|_| send(5 << 20));
        let mut count = || std::iter::from_fn(|| committed.try_recv().ok()).count();
        assert_eq!(count(), 3, "only three batches of 5 MiB fit into 16 MiB");
        send(64 << 20);
        send(1);
        assert_eq!(count(), 1, "a batch above the limit must wait alone");
        send(1);
        assert_eq!(count(), 1, "memory that was given back is not free again");
    }

    /// A batch decides by permissions in memory, which must be of the history that the batch is written to.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_batch_starts_until_the_tailer_is_on_the_same_history() {
        let (mut fixture, _, _, seen) = with_lost_events(2).await;
        let elsewhere = fixture.commit_elsewhere().end();
        let store = Arc::clone(&fixture.tail.store);
        let writing = tokio::spawn(async move { store.write(change()).await });
        // The writer asks the tailer to read the log. Until the tailer has read it, the writer commits nothing.
        fixture.tail.progress.read_requested.notified().await;
        let head = fixture.tail.store.read(|snapshot| log::head(snapshot.db())).await.expect("read the head");
        assert_eq!((head, fixture.tail.position), (elsewhere, seen));
        fixture.tail.catch_up().await.expect("detect the other history");
        assert_eq!(writing.await.expect("join the task").expect("commit"), elsewhere.seq.next());
    }

    /// Batches that the tailer already knows must not postpone its periodic read of the log.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_lost_history_is_detected_while_known_batches_keep_arriving() {
        let mut fixture = Fixture::new().await;
        let known = fixture.commit().await;
        fixture.tail.publish_own(known.clone()).await.expect("publish");
        let later = fixture.commit().await;
        fixture.tail.publish_own(later).await.expect("publish");
        let (mut receiver, position) = fixture.follow().await;
        let Fixture { directory, mut tail, committed: _committed } = fixture;
        let (batches, traffic) = mpsc::channel(1);
        tail.batches = traffic;
        let following = tokio::spawn(tail.follow());
        log::undo(&directory.path().join("t.db"), known.end().seq);
        let memory = Arc::new(Semaphore::new(1));
        let sending = tokio::spawn(async move {
            while let Ok(memory) = Arc::clone(&memory).acquire_owned().await
                && batches.send(QueuedBatch { batch: known.clone(), _memory: memory }).await.is_ok()
            {}
        });
        assert!(is_lagging(&mut receiver, position).await);
        following.abort();
        sending.abort();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn reads_of_a_lost_history_count_as_rewritten_and_later_reads_do_not() {
        let (mut fixture, _, _, seen) = with_lost_events(3).await;
        let hub = fixture.tail.hub.clone();
        let before = crate::hub::ReadAt { era: hub.era(), seq: seen.seq };
        assert!(!hub.rewritten_since(before));
        fixture.tail.catch_up().await.expect("detect the other history");
        let now = crate::hub::ReadAt { era: hub.era(), seq: hub.head().seq };
        assert!(
            hub.rewritten_since(before) && !hub.rewritten_since(now),
            "reads of the current history must not count as rewritten"
        );
        assert!(now.seq < seen.seq);
    }

    /// The numbers of the events that a subscriber gets above a position, until there are no more.
    fn read(receiver: &mut Receiver, mut after: Seq) -> Vec<i64> {
        let mut context = Context::from_waker(Waker::noop());
        let next = std::iter::from_fn(|| match receiver.poll_next(after, &mut context) {
            Poll::Ready(Next::Event(event)) => {
                after = event.cursor.seq;
                Some(after.0)
            }
            Poll::Ready(Next::Lagged) => panic!("the subscriber lags"),
            Poll::Pending => None,
        });
        next.collect()
    }

    impl Fixture {
        /// The numbers of all events that the hub has published since its start.
        async fn published(&self) -> Vec<i64> {
            // The hub answers after it has handled all earlier requests.
            let (mut receiver, _) = self.follow().await;
            read(&mut receiver, Seq(0))
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_batch_that_follows_the_position_is_published_without_reading_the_log() {
        let mut fixture = Fixture::new().await;
        let batches = [fixture.commit().await, fixture.commit().await];
        let before = fixture.tail.store.statements();
        for batch in batches {
            fixture.tail.publish_own(batch).await.expect("publish");
        }
        assert_eq!(fixture.published().await, [1, 2]);
        assert_eq!(fixture.tail.store.statements(), before);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_events_of_a_batch_that_was_dropped_are_read_from_the_log_and_published_once() {
        let mut fixture = Fixture::new().await;
        let (dropped, next) = (fixture.commit().await, fixture.commit().await);
        fixture.tail.publish_own(next.clone()).await.expect("read the log");
        assert_eq!(fixture.published().await, [1, 2]);
        fixture.tail.publish_own(dropped).await.expect("skip a batch that is published");
        assert_eq!((fixture.published().await, fixture.tail.position), (vec![1, 2], next.end()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn events_of_other_processes_are_published_once_although_several_signals_announce_them() {
        let mut fixture = Fixture::new().await;
        let (first, second) = (fixture.commit_elsewhere(), fixture.commit_elsewhere());
        for signal in [LogSignal::Heads(vec![second.end(), first.end()]), LogSignal::Something] {
            fixture.tail.notified(signal).await.expect("read the log");
            assert_eq!(fixture.published().await, [1, 2]);
        }
        let before = fixture.tail.store.statements();
        fixture.tail.notified(LogSignal::Heads(vec![first.end()])).await.expect("skip a known head");
        assert_eq!(fixture.tail.store.statements(), before, "a known head must not cause a read of the log");
        let own = fixture.commit().await;
        assert_eq!(own.after, Some(second.end()));
        fixture.tail.publish_own(own).await.expect("publish");
        assert_eq!(fixture.published().await, [1, 2, 3]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_tailer_starts_with_the_newest_events_of_the_log_in_the_window() {
        let mut fixture = Fixture::new().await;
        let end = [fixture.commit().await, fixture.commit().await][1].end();
        let LogTailer { store, caches, progress, batches, .. } = fixture.tail;
        let vitals = Supervisor::default();
        let started = LogTailer::start(store, caches, Arc::clone(&progress), batches, &vitals).await;
        let (hub, following) = started.expect("start");
        let (mut receiver, head) = hub.subscribe(Topic::Everything, KindSet::all()).await.expect("subscribe");
        assert_eq!((head, *progress.position()), (end, Some(end)));
        assert_eq!(read(&mut receiver, Seq(0)), [1, 2]);
        following.abort();
    }
}
