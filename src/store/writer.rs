//! The one writer of an instance. It takes the commands that have queued up, runs them in one
//! transaction (group commit), and answers each only when all of it is on disk.
//!
//! A command decides before its first write, so a refusal is a value and leaves nothing behind.
//! If something unexpected fails after a write, the batch is rolled back and its commands are run
//! again one by one: a failing command never harms its neighbours.
//!
//! Commands decide by the rights this instance has in memory. So a batch begins only when those are
//! as new as the newest change of rights in the log, and ends with a command that changes them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::connection::{ConnectionUse, Connector, Db};
use super::counts::Counts;
use super::queue::{BatchWindow, CommitQueue, PushError};
use super::tx::{Batch, BatchError, Tx, is_committed};
use crate::error::{Error, Result};
use crate::model::{Cursor, Seq};
use crate::vitals::Vitals;

/// How many commands may wait; more are refused at once.
const QUEUE_CAPACITY: usize = 4096;
/// After so long a batch takes no further command: other instances wait for the head of the log, and this one
/// may have a slow line to the database.
const MAX_BATCH_TIME: Duration = Duration::from_millis(100);
/// How long a caller waits for its answer before it hears that the outcome is unknown.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a batch is run again that lost its connection or waited in vain for a lock.
const MAX_RETRIES: usize = 3;
/// How long the outcome of a failed COMMIT is looked for, and how often.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(6);
const LOOKUP_INTERVAL: Duration = Duration::from_millis(100);

type Command = Box<dyn FnMut(&mut Tx<'_>) -> Result<()> + Send>;

/// A queued command: `run` may be called more than once, it is answered once.
struct QueuedCommand {
    run: Command,
    answer: oneshot::Sender<Result<()>>,
}

/// The handle to the writer's thread.
pub struct Writer {
    queue: Arc<CommitQueue<QueuedCommand>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread, which answers on the runtime it is started from.
    pub fn start(
        connector: Connector,
        db: Db,
        sink: impl Tail,
        max_batch: usize,
        counts: &Arc<Counts>,
        vitals: &Vitals,
    ) -> Result<Self> {
        let queue = Arc::new(CommitQueue::new(QUEUE_CAPACITY));
        let commands = Arc::clone(&queue);
        let counts = Arc::clone(counts);
        let (window, runtime) = (BatchWindow::default(), Handle::current());
        let writer_thread = WriterThread { connector, db: Some(db), sink, max_batch, counts, window, runtime };
        let abandoned = Arc::clone(&queue);
        // Those who wait hear at once that the outcome is unknown, and nobody else waits in vain.
        let on_panic = move || {
            abandoned.close();
            drop(abandoned.take_ready(usize::MAX));
        };
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(vitals.thread("the writer", move || writer_thread.run(&commands), on_panic))
            .map_err(Error::internal)?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Queues a command and waits for its answer. Whoever stops waiting does not take it along.
    pub async fn run<T: Send + 'static>(
        &self,
        mut command: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let output_slot = Arc::new(Mutex::new(None));
        let result = Arc::clone(&output_slot);
        self.push(QueuedCommand {
            run: Box::new(move |tx| {
                let output = command(tx)?;
                *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(output);
                Ok(())
            }),
            answer,
        })?;
        let unknown = || Error::Unavailable("the outcome is unknown; try again".into());
        let outcome = timeout(ANSWER_TIMEOUT, answered).await.map_err(|_| unknown())?;
        outcome.map_err(|_| unknown())??;
        let output = output_slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        output.ok_or_else(|| Error::internal("a command was answered without a result"))
    }

    fn push(&self, command: QueuedCommand) -> Result<()> {
        self.queue.push(command).map_err(|error| match error {
            PushError::Full => Error::Unavailable("too many changes are waiting; try again".into()),
            PushError::Closed => stopping(),
        })
    }

    /// Lets the queued commands finish and ends the thread.
    pub fn close(&self) {
        self.queue.close();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(thread.join());
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Also after a fault: the process is about to end.
fn stopping() -> Error {
    Error::Unavailable("the server is stopping; try again".into())
}

/// Who follows the log on this instance, as the writer's thread sees them.
pub trait Tail: Send + 'static {
    /// A batch was committed; batches come in order.
    fn committed(&mut self, batch: Batch);

    /// Where the tailer stands: the rights in memory are those of this position. `None` if commands of this store decide
    /// by no rights.
    fn position(&mut self) -> Option<Cursor> {
        None
    }

    /// Waits until the tailer has left `position` and reached `seq`, for so long at most.
    fn wait(&mut self, position: Cursor, seq: Seq, patience: Duration) {
        let _ = (position, seq, patience);
    }
}

/// The writer's side of the desk.
struct WriterThread<T> {
    connector: Connector,
    /// `None` after the connection broke, or may have.
    db: Option<Db>,
    sink: T,
    /// How many commands are committed together at most.
    max_batch: usize,
    counts: Arc<Counts>,
    window: BatchWindow,
    /// Where those are who wait for answers.
    runtime: Handle,
}

impl<T: Tail> WriterThread<T> {
    fn run(mut self, queue: &CommitQueue<QueuedCommand>) {
        while let Some(batch) = queue.take(&mut self.window, self.max_batch) {
            self.commit_all(batch, Some(queue));
        }
    }

    /// Commits the batch, and what else has queued, in as few transactions as can be; if one fails,
    /// each of its commands alone.
    fn commit_all(&mut self, mut batch: Vec<QueuedCommand>, queue: Option<&CommitQueue<QueuedCommand>>) {
        let mut tries = 0;
        while !batch.is_empty() {
            let attempt = self.try_commit(&mut batch, queue);
            if attempt.is_err() {
                self.counts.failures.count();
            }
            match attempt {
                Ok(outcomes) => {
                    let rest = batch.split_off(outcomes.len());
                    self.answer(batch, outcomes);
                    batch = rest;
                }
                Err(BatchError::Retryable(error)) if tries < MAX_RETRIES && self.reconnect() => {
                    tries += 1;
                    tracing::debug!(%error, commands = batch.len(), "a batch is run again");
                }
                Err(BatchError::Failed(error)) if batch.len() > 1 => {
                    tracing::debug!(%error, commands = batch.len(), "a batch is run again, command by command");
                    return batch.into_iter().for_each(|command| self.commit_all(vec![command], None));
                }
                Err(BatchError::Failed(error) | BatchError::Retryable(error) | BatchError::Unknown(error, _)) => {
                    let outcomes = batch.iter().map(|_| Err(error.clone())).collect();
                    return self.answer(batch, outcomes);
                }
            }
        }
    }

    /// Answers the commands of a batch, all of them from one task: told from here one by one, the first to hear would
    /// take the processor from this thread, and the second again.
    fn answer(&self, batch: Vec<QueuedCommand>, outcomes: Vec<Result<()>>) {
        self.runtime.spawn(async move {
            for (command, outcome) in batch.into_iter().zip(outcomes) {
                // Whoever asked may have gone.
                drop(command.answer.send(outcome));
            }
        });
    }

    /// Runs the first commands, up to one that changes rights, in one transaction.
    fn try_commit(
        &mut self,
        batch: &mut Vec<QueuedCommand>,
        queue: Option<&CommitQueue<QueuedCommand>>,
    ) -> Result<Vec<Result<()>>, BatchError> {
        if !self.connector.has_original_files() {
            self.db = None;
        }
        let db = match &mut self.db {
            Some(db) => db,
            none => none.insert(self.connector.open(ConnectionUse::Writing).map_err(BatchError::Retryable)?),
        };
        let mut tx = Tx::begin(db, &mut self.sink)?;
        // Only now: while this instance waited for the others, more has queued.
        let room = self.max_batch.saturating_sub(batch.len());
        batch.extend(queue.into_iter().flat_map(|queue| queue.take_ready(room)));
        let started = Instant::now();
        let queued = batch.len();
        let mut outcomes = Vec::with_capacity(queued);
        for command in batch {
            match run_command(command, &mut tx) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => {
                    tx.roll_back();
                    return Err(BatchError::before(error));
                }
            }
            if tx.changes_access() || started.elapsed() > MAX_BATCH_TIME {
                break;
            }
        }
        let commit_started = Instant::now();
        let wrote = tx.wrote;
        let batch = match tx.commit() {
            Err(BatchError::Unknown(error, batch)) => self.resolve_commit(error, batch)?,
            committed => committed?,
        };
        if wrote {
            self.connector.write_health().record_success();
        }
        self.window.record_batch(queued + queue.map_or(0, CommitQueue::len), started.elapsed());
        self.counts.commits.observe(commit_started.elapsed().as_secs_f64());
        self.counts.commands.observe(outcomes.len() as f64);
        self.counts.events.add(batch.events.len() as u64);
        if !batch.events.is_empty() {
            self.sink.committed(batch);
        }
        Ok(outcomes)
    }

    /// Whether a batch was committed whose COMMIT failed: its events if it was.
    fn resolve_commit(&mut self, error: Error, batch: Batch) -> Result<Batch, BatchError> {
        tracing::warn!(%error, events = batch.events.len(), "a commit failed: looking up what became of it");
        let unknown = || Error::Unavailable("the outcome is unknown; try again".into());
        // What recorded no event left no trace to look for.
        if batch.events.is_empty() {
            self.db = None;
            return Err(BatchError::Unknown(unknown(), batch));
        }
        let started = Instant::now();
        while started.elapsed() < LOOKUP_TIMEOUT {
            let found = if self.reconnect() { self.db.as_mut().map(|db| is_committed(db, batch.end())) } else { None };
            match found {
                Some(Ok(true)) => return Ok(batch),
                Some(Ok(false)) => return Err(BatchError::Retryable(error)),
                Some(Err(_)) | None => std::thread::sleep(LOOKUP_INTERVAL),
            }
        }
        Err(BatchError::Unknown(unknown(), batch))
    }

    /// Makes the connection anew; whether that worked.
    fn reconnect(&mut self) -> bool {
        self.db = None;
        self.db = self.connector.open(ConnectionUse::Writing).ok();
        self.db.is_some()
    }
}

/// The inner result is the command's answer; the outer error spoils the transaction.
fn run_command(command: &mut QueuedCommand, tx: &mut Tx<'_>) -> Result<Result<()>> {
    let wrote_before = std::mem::take(&mut tx.wrote);
    let outcome = catch_unwind(AssertUnwindSafe(|| (command.run)(tx)))
        .unwrap_or_else(|_| Err(Error::internal("a command panicked")));
    let must_roll_back = match &outcome {
        Ok(()) => false,
        Err(Error::Internal(_) | Error::Unavailable(_)) => true,
        Err(_) => tx.wrote,
    };
    tx.wrote |= wrote_before;
    match outcome {
        Err(error) if must_roll_back => Err(error),
        outcome => Ok(outcome),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Body, ChannelId, EventKind};
    use crate::store::{Change, Options, Store};

    struct Panicking;

    impl Tail for Panicking {
        fn committed(&mut self, _: Batch) {
            panic!("on purpose");
        }
    }

    /// Those who wait hear at once, and whoever comes later does, too: nobody waits for a thread that is gone.
    #[tokio::test]
    async fn a_fault_that_ends_the_thread_is_told_and_nobody_waits_for_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let options = Options::sqlite(&directory.path().join("t.db"), 1);
        let store = Store::open(&options, Panicking).expect("a store");
        let change = |tx: &mut Tx<'_>| {
            tx.record(Change::new(EventKind::MessageDeleted, 1, None).in_channel(ChannelId(1)), Body::None);
            Ok(())
        };
        let outcome = store.write(change).await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
        let fault = options.vitals.faulted().await;
        assert_eq!((fault.part, &*fault.message), ("the writer", "on purpose"));
        let error = store.write(change).await;
        assert!(matches!(error, Err(Error::Unavailable(_))), "{error:?}");
        store.close();
    }
}
