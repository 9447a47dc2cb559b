//! The tail of the log, one per instance: turns what was committed, here or elsewhere, into one
//! contiguous stream for the hub. Lost wake-ups, other processes and interleavings are healed
//! here, once per instance, and never once per reader.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::MissedTickBehavior;

use super::access::Access;
use crate::error::{Error, Result};
use crate::hub::{Hub, WINDOW};
use crate::model::{Cursor, KindSet, LoggedEvent, Seq, Topic};
use crate::store::{Batch, Heard, LogPage, Store, Watch, log};
use crate::vitals::Vitals;

/// The safety net: how often the log is looked at even if nobody said that it moved.
const POLL: Duration = Duration::from_secs(1);
/// How long the tail waits before it reads again what it could not read.
const PAUSE: Duration = Duration::from_millis(100);
/// How many of the writer's batches may wait for the tail.
const BATCHES: usize = 64;
/// How many KiB of memory these batches may take together.
const BATCHES_KIB: u32 = 16 << 10;

/// How far the hub has been told, and readers are served by the rights of.
#[derive(Default)]
pub struct Progress {
    /// Where the tailer stands; `None` before it has started.
    position: Mutex<Option<Cursor>>,
    moved: Condvar,
    told: Notify,
    /// The writer found the log on another history than the tailer's, or far ahead of it.
    doubted: Notify,
    /// What this instance committed last, if the log still is that one.
    committed: Mutex<Option<Cursor>>,
}

impl Progress {
    /// What this instance committed last; the hub may not have heard of it yet.
    pub fn committed(&self) -> Option<Cursor> {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commits(&self, batch: &Batch) {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = Some(batch.end());
    }

    /// The log is another one than it was, and the hub has been told of it up to here.
    fn starts_over(&self, position: Cursor) {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.reached(position);
    }

    fn reached(&self, position: Cursor) {
        *self.position() = Some(position);
        self.moved.notify_all();
        self.told.notify_waiters();
    }

    fn position(&self) -> MutexGuard<'_, Option<Cursor>> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the tail has passed `seq`, for so long at most. It must be of a batch of this instance: a batch begins
    /// only when the tail stands on the same history, so the numbers can be compared.
    pub async fn passes(&self, seq: Seq, patience: Duration) {
        let passing = async {
            loop {
                // Asked for before looking: it may move in between.
                let told = self.told.notified();
                if self.position().is_some_and(|position| position.seq >= seq) {
                    return;
                }
                told.await;
            }
        };
        drop(tokio::time::timeout(patience, passing).await);
    }

    /// Has the tail look at the log, and blocks this thread until it has left `position` and reached `seq`, for so long
    /// at most.
    fn wait(&self, position: Cursor, seq: Seq, patience: Duration) {
        self.doubted.notify_one();
        let is_behind = |now: &mut Option<Cursor>| now.is_some_and(|now| now == position || now.seq < seq);
        drop(self.moved.wait_timeout_while(self.position(), patience, is_behind));
    }
}

/// The tail as the writer's thread sees it.
pub struct Notice {
    batches: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    progress: Arc<Progress>,
}

/// A batch that waits for the tail, with the memory that it may take.
pub struct Waiting {
    batch: Batch,
    _room: OwnedSemaphorePermit,
}

impl Notice {
    /// What to give the store, and what to start the tail with.
    #[must_use]
    pub fn new(progress: &Arc<Progress>) -> (Self, mpsc::Receiver<Waiting>) {
        let (batches, receiver) = mpsc::channel(BATCHES);
        let room = Arc::new(Semaphore::new(BATCHES_KIB as usize));
        (Self { batches, room, progress: Arc::clone(progress) }, receiver)
    }
}

impl crate::store::Tail for Notice {
    fn committed(&mut self, batch: Batch) {
        self.progress.commits(&batch);
        let bytes: usize = batch.events.iter().map(LoggedEvent::weight).sum();
        // A batch that is larger than all the room may wait when no other does.
        let kib = u32::try_from(bytes >> 10).map_or(BATCHES_KIB, |kib| kib.clamp(1, BATCHES_KIB));
        // A batch that finds no room is read from the log: the tail sees that it is missing.
        if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(kib) {
            drop(self.batches.try_send(Waiting { batch, _room: room }));
        }
    }

    fn position(&mut self) -> Option<Cursor> {
        *self.progress.position()
    }

    fn wait(&mut self, position: Cursor, seq: Seq, patience: Duration) {
        self.progress.wait(position, seq, patience);
    }
}

/// The task's state.
pub struct Tail {
    store: Arc<Store>,
    hub: Hub,
    access: Arc<Access>,
    progress: Arc<Progress>,
    position: Cursor,
    batches: mpsc::Receiver<Waiting>,
    watch: Watch,
}

impl Tail {
    /// Starts the hub a window before the head and reads up to the head, so that clients that come
    /// back after a restart are served from memory. Then follows the log until aborted.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn start(
        store: Arc<Store>,
        access: Arc<Access>,
        progress: Arc<Progress>,
        batches: mpsc::Receiver<Waiting>,
        vitals: &Vitals,
    ) -> Result<(Hub, tokio::task::JoinHandle<()>)> {
        let position = store.read(|snapshot| start(snapshot.db())).await?;
        let hub = Hub::start(position, vitals);
        let watch = store.watch()?;
        let mut tail = Self { store, hub: hub.clone(), access, progress, position, batches, watch };
        tail.progress.reached(position);
        tail.catch_up().await?;
        Ok((hub, vitals.spawn("the log tailer", tail.follow())))
    }

    async fn follow(mut self) {
        // Not a sleep in each turn: traffic must not put it off.
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let progress = Arc::clone(&self.progress);
        let mut is_behind = false;
        loop {
            let moved = if is_behind {
                tokio::time::sleep(PAUSE).await;
                self.catch_up().await
            } else {
                tokio::select! {
                    batch = self.batches.recv() => match batch {
                        Some(Waiting { batch, _room }) => self.take(batch).await,
                        None => return,
                    },
                    heard = self.watch.changed() => self.hear(heard).await,
                    () = progress.doubted.notified() => self.catch_up().await,
                    _ = poll.tick() => self.catch_up().await,
                }
            };
            if let (Err(error), false) = (&moved, is_behind) {
                tracing::warn!(%error, "the log cannot be read; trying again until it can");
            }
            is_behind = moved.is_err();
        }
    }

    /// An own batch needs no look at the log if it stands exactly where the tail does, by number and tag, or if the hub
    /// has its events already. Everything else is decided by the log: the batch may be of another history than the tail.
    async fn take(&mut self, batch: Batch) -> Result<()> {
        let end = batch.end();
        self.watch.say(end);
        if batch.after == self.position { self.advance(batch.events, end).await } else { self.reach(end).await }
    }

    /// Other processes said where the log stands, or that it moved.
    async fn hear(&mut self, heard: Heard) -> Result<()> {
        match heard {
            Heard::Heads(heads) => {
                for head in heads {
                    self.reach(head).await?;
                }
                Ok(())
            }
            Heard::Something => self.catch_up().await,
        }
    }

    /// Looks at the log, unless this position of it has been passed.
    async fn reach(&mut self, head: Cursor) -> Result<()> {
        if head == self.position || self.hub.knows(head).await? { Ok(()) } else { self.catch_up().await }
    }

    async fn catch_up(&mut self) -> Result<()> {
        loop {
            let position = self.position;
            let page = self
                .store
                .read(move |snapshot| {
                    log::page(snapshot.db(), Topic::Everything, KindSet::all(), position, Seq(i64::MAX))
                })
                .await;
            match page {
                Ok(LogPage { end, .. }) if end == position => return Ok(()),
                Ok(LogPage { events, end, has_unknown, .. }) => {
                    if has_unknown {
                        // A newer version wrote them during an update: rights may be part of it.
                        self.access.reload(&self.store).await?;
                    }
                    self.advance(events, end).await?;
                }
                Err(Error::CursorExpired { .. }) => return self.start_over().await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn advance(&mut self, events: Vec<LoggedEvent>, end: Cursor) -> Result<()> {
        self.access.apply(&self.store, events.iter().map(|logged| &logged.event)).await?;
        self.hub.publish(events, end).await;
        self.position = end;
        self.progress.reached(end);
        Ok(())
    }

    /// The log does not hold this position any more: a backup was restored, or this instance slept
    /// for longer than the log is kept. Every reader's cursor is to be checked anew.
    async fn start_over(&mut self) -> Result<()> {
        tracing::warn!(position = %self.position, "the log cannot be continued: reading it anew");
        // The head first: rights may be newer than it, and never older.
        let head = self.store.read(|snapshot| log::head(snapshot.db())).await?;
        self.access.reload(&self.store).await?;
        self.position = head;
        self.hub.reset(head).await;
        self.progress.starts_over(head);
        Ok(())
    }
}

fn start(db: &mut crate::store::Db) -> Result<Cursor> {
    let head = log::head(db)?;
    let back = Seq(head.seq.0 - i64::try_from(WINDOW).unwrap_or(0));
    match log::at(db, back)? {
        Some(cursor) => Ok(cursor),
        None => log::oldest(db),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::poll_fn;

    use super::*;
    use crate::hub::{Next, Receiver};
    use crate::model::{Body, ChannelId, EventKind, Tag};
    use crate::store::{Change, Options};

    /// A tailer that moves only when a test says so, over a SQLite file, and the batches that its writer committed.
    struct Scene {
        directory: tempfile::TempDir,
        tail: Tail,
        told: mpsc::Receiver<Waiting>,
    }

    impl Scene {
        async fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let progress = Arc::<Progress>::default();
            let (notice, told) = Notice::new(&progress);
            let options = Options::sqlite(&directory.path().join("t.db"), 1);
            let store = Arc::new(Store::open(&options, notice).expect("a store"));
            let access = Arc::new(Access::load(&store).await.expect("rights"));
            let position = store.read(|snapshot| start(snapshot.db())).await.expect("a position");
            let hub = Hub::start(position, &options.vitals);
            // The one that the tailer would be woken by is the tests' own.
            let (_, batches) = mpsc::channel(1);
            let watch = Watch::deaf();
            let tail = Tail { store, hub, access, progress, position, batches, watch };
            tail.progress.reached(position);
            Self { directory, tail, told }
        }

        /// Commits one event in a batch of its own; answers the batch.
        async fn commit(&mut self) -> Batch {
            let change = |tx: &mut crate::store::Tx<'_>| {
                tx.record(Change::new(EventKind::MessageDeleted, 1, None).in_channel(ChannelId(1)), Body::None);
                Ok(())
            };
            self.tail.store.write(change).await.expect("committed");
            self.told.recv().await.expect("the tailer is told").batch
        }

        /// Commits an event as another process does, so that no rights are waited for.
        fn commit_elsewhere(&self) -> Batch {
            let (tell, told) = std::sync::mpsc::channel();
            let store = Store::open(&Options::sqlite(&self.file(), 1), Listener(tell)).expect("a store");
            let runtime = tokio::runtime::Handle::current();
            let change = |tx: &mut crate::store::Tx<'_>| {
                tx.record(Change::new(EventKind::MessageDeleted, 1, None).in_channel(ChannelId(1)), Body::None);
                Ok(())
            };
            tokio::task::block_in_place(|| runtime.block_on(store.write(change))).expect("committed");
            told.recv().expect("told")
        }

        fn file(&self) -> std::path::PathBuf {
            self.directory.path().join("t.db")
        }

        async fn follow(&self) -> (Receiver, Cursor) {
            self.tail.hub.subscribe(Topic::Everything, KindSet::all()).await.expect("a receiver")
        }
    }

    struct Listener(std::sync::mpsc::Sender<Batch>);

    impl crate::store::Tail for Listener {
        fn committed(&mut self, batch: Batch) {
            self.0.send(batch).expect("a test waits");
        }
    }

    async fn lags(receiver: &mut Receiver, position: Cursor) -> bool {
        matches!(poll_fn(|context| receiver.poll_next(position.seq, context)).await, Next::Lagged)
    }

    /// A kept event, then so many that are lost; answers the receiver of a reader that has seen all of them.
    async fn with_lost(lost: usize) -> (Scene, Receiver, Cursor, Cursor) {
        let mut scene = Scene::new().await;
        let kept = scene.commit().await;
        scene.tail.take(kept.clone()).await.expect("taken");
        for _ in 0..lost {
            let batch = scene.commit().await;
            scene.tail.take(batch).await.expect("taken");
        }
        let seen = scene.tail.position;
        assert_eq!(seen.seq.0, 1 + i64::try_from(lost).expect("few"));
        let (receiver, _) = scene.follow().await;
        log::undo(&scene.file(), kept.end().seq);
        (scene, receiver, kept.end(), seen)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_batch_below_the_position_that_is_of_another_history_is_noticed() {
        let (mut scene, mut receiver, _, seen) = with_lost(3).await;
        let batch = scene.commit_elsewhere();
        assert!(batch.end().seq <= seen.seq);
        scene.tail.take(batch.clone()).await.expect("noticed");
        assert_eq!(scene.tail.position, batch.end());
        assert!(lags(&mut receiver, seen).await);
        assert!(!scene.tail.hub.knows(seen).await.expect("an answer"), "a lost cursor is known");
        assert_eq!((scene.tail.hub.era(), *scene.tail.progress.position()), (1, Some(batch.end())));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_batch_that_is_next_by_its_number_alone_is_not_taken() {
        let (mut scene, mut receiver, kept, seen) = with_lost(2).await;
        // Single commands: the last of them has the number that follows the position.
        let batches: Vec<Batch> = (0..3).map(|_| scene.commit_elsewhere()).collect();
        assert_eq!((batches[0].after, batches[2].after.seq), (kept, seen.seq));
        scene.tail.take(batches[2].clone()).await.expect("noticed");
        assert_eq!(scene.tail.position, batches[2].end());
        assert!(lags(&mut receiver, seen).await, "a reader went on from a lost position");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_head_that_others_say_is_noticed_also_when_it_is_shorter() {
        let (mut scene, mut receiver, _, seen) = with_lost(2).await;
        let head = scene.commit_elsewhere().end();
        scene.tail.hear(Heard::Heads(vec![head])).await.expect("noticed");
        assert_eq!(scene.tail.position, head);
        assert!(lags(&mut receiver, seen).await);
        let before = scene.tail.store.statements();
        scene.tail.hear(Heard::Heads(vec![head])).await.expect("known");
        assert_eq!(scene.tail.store.statements(), before, "what is known needs no look at the log");
    }

    #[test]
    fn batches_that_wait_for_the_tailer_are_bounded_in_bytes() {
        let (mut notice, mut told) = Notice::new(&Arc::default());
        let batch = |bytes: usize| {
            let change = Change::new(EventKind::RoomBroadcast, 1, None).carrying("x".repeat(bytes).into());
            let event = change.at(Cursor { seq: Seq(1), tag: Tag(1) }, crate::model::Timestamp(0));
            Batch { after: Cursor { seq: Seq(0), tag: Tag(0) }, events: vec![LoggedEvent { event, body: Body::None }] }
        };
        let mut send = |bytes| crate::store::Tail::committed(&mut notice, batch(bytes));
        (0..5).for_each(|_| send(5 << 20));
        let mut taken = || std::iter::from_fn(|| told.try_recv().ok()).count();
        assert_eq!(taken(), 3, "five batches of 5 MiB are more than 16 MiB");
        send(64 << 20);
        send(1);
        assert_eq!(taken(), 1, "a large batch waits alone");
        send(1);
        assert_eq!(taken(), 1, "room that was given back is not free again");
    }

    /// What an instance decides, it decides by the rights of the history that it writes to.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_batch_begins_until_the_tailer_stands_on_the_same_history() {
        let (mut scene, _, _, seen) = with_lost(2).await;
        let elsewhere = scene.commit_elsewhere().end();
        let store = Arc::clone(&scene.tail.store);
        let writing = tokio::spawn(async move {
            let head = |tx: &mut crate::store::Tx<'_>| {
                tx.record(Change::new(EventKind::MessageDeleted, 1, None).in_channel(ChannelId(1)), Body::None);
                Ok(tx.head())
            };
            store.write(head).await
        });
        // The writer asks for a look; until the tailer has looked, nothing is committed.
        scene.tail.progress.doubted.notified().await;
        let head = scene.tail.store.read(|snapshot| log::head(snapshot.db())).await.expect("a head");
        assert_eq!((head, scene.tail.position), (elsewhere, seen));
        scene.tail.catch_up().await.expect("noticed");
        assert_eq!(writing.await.expect("a task").expect("committed"), elsewhere.seq.next());
    }

    /// Traffic of batches that are known already must not keep the tailer from looking by itself.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_lost_history_is_noticed_under_traffic_that_says_nothing_of_it() {
        let mut scene = Scene::new().await;
        let known = scene.commit().await;
        scene.tail.take(known.clone()).await.expect("taken");
        let later = scene.commit().await;
        scene.tail.take(later).await.expect("taken");
        let (mut receiver, position) = scene.follow().await;
        let Scene { directory, mut tail, told: _told } = scene;
        let (batches, traffic) = mpsc::channel(1);
        tail.batches = traffic;
        let following = tokio::spawn(tail.follow());
        log::undo(&directory.path().join("t.db"), known.end().seq);
        let room = Arc::new(Semaphore::new(1));
        let talking = tokio::spawn(async move {
            while let Ok(room) = Arc::clone(&room).acquire_owned().await
                && batches.send(Waiting { batch: known.clone(), _room: room }).await.is_ok()
            {}
        });
        assert!(lags(&mut receiver, position).await);
        following.abort();
        talking.abort();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_read_of_a_lost_history_counts_as_rewritten_and_what_was_read_since_does_not() {
        let (mut scene, _, _, seen) = with_lost(3).await;
        let hub = scene.tail.hub.clone();
        let before = crate::hub::ReadAt { era: hub.era(), seq: seen.seq };
        assert!(!hub.rewritten_since(before));
        scene.tail.catch_up().await.expect("noticed");
        let now = crate::hub::ReadAt { era: hub.era(), seq: hub.head().seq };
        assert!(hub.rewritten_since(before) && !hub.rewritten_since(now), "a reader would read again for ever");
        assert!(now.seq < seen.seq);
    }
}
