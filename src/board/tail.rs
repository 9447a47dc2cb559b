//! The tail of the log, one per instance: turns what was committed, here or elsewhere, into one
//! contiguous stream for the hub. Lost wake-ups, other processes and interleavings are healed
//! here, once per instance, and never once per reader.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::access::Access;
use crate::error::{Error, Result};
use crate::hub::{Hub, WINDOW};
use crate::model::{Cursor, KindSet, LoggedEvent, Seq, Topic};
use crate::store::{Batch, LogPage, Store, Watch, log};

/// The safety net: how often the log is looked at even if nobody said that it moved.
const POLL: Duration = Duration::from_secs(1);
/// How long the tail waits before it reads again what it could not read.
const PAUSE: Duration = Duration::from_millis(100);
/// How many of the writer's batches may wait for the tail.
const BATCHES: usize = 64;

/// How far the hub has been told, and readers are served by the rights of.
#[derive(Default)]
pub struct Progress {
    seq: Mutex<i64>,
    moved: Condvar,
    told: Notify,
    /// What this instance committed last, if the log still is that one.
    committed: Mutex<Option<Cursor>>,
}

impl Progress {
    /// What this instance committed last; the hub may not have heard of it yet.
    pub fn committed(&self) -> Option<Cursor> {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commits(&self, batch: &[LoggedEvent]) {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = batch.last().map(|logged| logged.event.cursor);
    }

    /// The log is another one than it was, and the hub has been told of it up to here.
    fn starts_over(&self, seq: Seq) {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.reached(seq);
    }

    fn reached(&self, seq: Seq) {
        *self.seq.lock().unwrap_or_else(PoisonError::into_inner) = seq.0;
        self.moved.notify_all();
        self.told.notify_waiters();
    }

    /// Waits until the tail has passed `seq`, for so long at most.
    pub async fn passes(&self, seq: Seq, patience: Duration) {
        let passing = async {
            loop {
                // Asked for before looking: it may move in between.
                let told = self.told.notified();
                if *self.seq.lock().unwrap_or_else(PoisonError::into_inner) >= seq.0 {
                    return;
                }
                told.await;
            }
        };
        drop(tokio::time::timeout(patience, passing).await);
    }

    /// Blocks this thread until the tail has passed `seq`, for so long at most; whether it has.
    pub fn wait_for(&self, seq: Seq, patience: Duration) -> bool {
        let guard = self.seq.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.moved.wait_timeout_while(guard, patience, |reached| *reached < seq.0);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// The tail as the writer's thread sees it.
pub struct Notice {
    batches: mpsc::Sender<Batch>,
    progress: Arc<Progress>,
}

impl Notice {
    /// What to give the store, and what to start the tail with.
    #[must_use]
    pub fn new(progress: &Arc<Progress>) -> (Self, mpsc::Receiver<Batch>) {
        let (batches, receiver) = mpsc::channel(BATCHES);
        (Self { batches, progress: Arc::clone(progress) }, receiver)
    }
}

impl crate::store::Tail for Notice {
    fn committed(&mut self, batch: Batch) {
        self.progress.commits(&batch);
        // A batch that finds no room is read from the log: the tail sees that it is missing.
        drop(self.batches.try_send(batch));
    }

    fn has_rights_of(&mut self, seq: Seq, patience: Duration) -> bool {
        self.progress.wait_for(seq, patience)
    }
}

/// The task's state.
pub struct Tail {
    store: Arc<Store>,
    hub: Hub,
    access: Arc<Access>,
    progress: Arc<Progress>,
    position: Cursor,
    batches: mpsc::Receiver<Batch>,
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
        batches: mpsc::Receiver<Batch>,
    ) -> Result<(Hub, tokio::task::JoinHandle<()>)> {
        let position = store.read(|snapshot| start(snapshot.db())).await?;
        let hub = Hub::start(position);
        let watch = store.watch()?;
        let mut tail = Self { store, hub: hub.clone(), access, progress, position, batches, watch };
        tail.progress.reached(position.seq);
        tail.catch_up().await?;
        Ok((hub, tokio::spawn(tail.follow())))
    }

    async fn follow(mut self) {
        let mut is_behind = false;
        loop {
            let moved = if is_behind {
                tokio::time::sleep(PAUSE).await;
                self.catch_up().await
            } else {
                tokio::select! {
                    batch = self.batches.recv() => match batch {
                        Some(batch) => self.take(batch).await,
                        None => return,
                    },
                    // What is not above our position was said by this instance, or is known already.
                    head = self.watch.changed() => match head > self.position.seq {
                        true => self.catch_up().await,
                        false => Ok(()),
                    },
                    () = tokio::time::sleep(POLL) => self.catch_up().await,
                }
            };
            if let (Err(error), false) = (&moved, is_behind) {
                tracing::warn!(%error, "the log cannot be read; trying again until it can");
            }
            is_behind = moved.is_err();
        }
    }

    /// An own batch needs no look at the log if it is next.
    async fn take(&mut self, batch: Batch) -> Result<()> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(()) };
        let (first, last) = (first.event.cursor, last.event.cursor);
        self.watch.say(last.seq);
        if first.seq == self.position.seq.next() {
            self.advance(batch, last).await
        } else if last.seq > self.position.seq {
            self.catch_up().await
        } else {
            Ok(())
        }
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
        self.progress.reached(end.seq);
        Ok(())
    }

    /// The log does not hold this position any more: a backup was restored, or this instance slept
    /// for longer than the log is kept. Every reader's cursor is to be checked anew.
    async fn start_over(&mut self) -> Result<()> {
        tracing::warn!(position = %self.position, "the log cannot be continued: reading it anew");
        self.access.reload(&self.store).await?;
        self.position = self.store.read(|snapshot| log::head(snapshot.db())).await?;
        self.hub.reset(self.position).await;
        self.progress.starts_over(self.position.seq);
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
