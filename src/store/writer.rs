//! The writer of an instance: one thread that runs queued commands in batches, one transaction for each batch
//! (group commit). A command is answered only after its transaction is on disk.
//!
//! A command makes its decision before its first write. A rejection is therefore an ordinary error value, and
//! the transaction stays usable. If a command fails unexpectedly, the batch is rolled back and its commands run
//! again one by one, so a failing command does not affect the others.
//!
//! Commands check permissions in this instance's memory. A batch therefore begins only when the permissions in
//! memory are at least as new as the last permission change in the log. A command that changes permissions is
//! the last one of its batch.

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::commit_queue::{BatchWindow, CommitQueue, PushError};
use super::connection::{ConnectionUse, Connector, Db};
use super::counts::WriterCounts;
use super::tx::{Batch, BatchError, CommitSink, Tx, is_committed};
use crate::error::{Error, Result};
use crate::supervisor::Supervisor;

/// Maximum number of queued commands. Further commands are rejected at once.
const QUEUE_CAPACITY: usize = 4096;
/// A batch takes no further command after this time. Other instances wait for the lock on the log head
/// meanwhile, and the connection to the database may be slow.
const MAX_BATCH_TIME: Duration = Duration::from_millis(100);
/// How long a caller waits for the result of its command before it receives `UNAVAILABLE` (outcome unknown).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How many times a batch is retried after a lost connection or a lock timeout.
const MAX_RETRIES: usize = 3;
/// After a COMMIT fails, the writer looks for the batch in the log for up to `LOOKUP_TIMEOUT`, once every
/// `LOOKUP_INTERVAL`.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(6);
const LOOKUP_INTERVAL: Duration = Duration::from_millis(100);

type CommandFn = Box<dyn FnMut(&mut Tx<'_>) -> Result<()> + Send>;

/// A queued command. `run` may be called several times (retries); the caller is answered once.
struct QueuedCommand {
    run: CommandFn,
    answer: oneshot::Sender<Result<()>>,
}

/// Handle to the writer thread.
pub struct Writer {
    queue: Arc<CommitQueue<QueuedCommand>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the writer thread. Callers are answered from a task on the current tokio runtime.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the thread cannot be started.
    pub fn start(
        connector: Connector,
        db: Db,
        sink: impl CommitSink,
        max_batch: usize,
        counts: &Arc<WriterCounts>,
        vitals: &Supervisor,
    ) -> Result<Self> {
        let queue = Arc::new(CommitQueue::new(QUEUE_CAPACITY));
        let commands = Arc::clone(&queue);
        let counts = Arc::clone(counts);
        let (window, runtime) = (BatchWindow::default(), Handle::current());
        let writer_thread = WriterThread { connector, db: Some(db), sink, max_batch, counts, window, runtime };
        let abandoned = Arc::clone(&queue);
        // If the thread panics, drop the queued commands so that their callers get an error at once, and reject
        // new ones.
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

    /// Queues a command and waits for its result. The command stays queued if the caller stops waiting.
    ///
    /// # Errors
    /// The error of `command`; `UNAVAILABLE` if the queue is full, the writer has stopped, or the outcome is
    /// unknown.
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
        output.ok_or_else(|| Error::internal("a command was acknowledged without a result"))
    }

    fn push(&self, command: QueuedCommand) -> Result<()> {
        self.queue.push(command).map_err(|error| match error {
            PushError::Full => Error::Unavailable("too many changes are waiting; try again".into()),
            PushError::Closed => stopping(),
        })
    }

    /// Commits the commands that are already queued, then stops the thread.
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

/// The error for new commands after the queue was closed: the server is shutting down, or the writer thread
/// panicked, which also ends the process.
fn stopping() -> Error {
    Error::Unavailable("the server is stopping; try again".into())
}

/// State of the writer thread.
struct WriterThread<T> {
    connector: Connector,
    /// `None` after the connection failed or may have failed.
    db: Option<Db>,
    sink: T,
    /// How many commands are committed together at most.
    max_batch: usize,
    counts: Arc<WriterCounts>,
    window: BatchWindow,
    /// The runtime on which callers are answered.
    runtime: Handle,
}

impl<T: CommitSink> WriterThread<T> {
    fn run(mut self, queue: &CommitQueue<QueuedCommand>) {
        while let Some(batch) = queue.take(&mut self.window, self.max_batch) {
            self.commit_all(batch, Some(queue));
        }
    }

    /// Commits all commands of the batch, and those that are queued meanwhile, in as few transactions as
    /// possible. If a transaction fails for good, its commands run again, each in its own transaction.
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
                    tracing::debug!(%error, commands = batch.len(), "retrying a batch");
                }
                Err(BatchError::Failed(error)) if batch.len() > 1 => {
                    tracing::debug!(%error, commands = batch.len(), "retrying the commands of a batch one by one");
                    return batch.into_iter().for_each(|command| self.commit_all(vec![command], None));
                }
                Err(BatchError::Failed(error) | BatchError::Retryable(error) | BatchError::Unknown(error, _)) => {
                    let outcomes = batch.iter().map(|_| Err(error.clone())).collect();
                    return self.answer(batch, outcomes);
                }
            }
        }
    }

    /// Sends the results of a batch from one spawned task. If the writer thread sent them one by one, each woken
    /// task could preempt the writer thread.
    fn answer(&self, batch: Vec<QueuedCommand>, outcomes: Vec<Result<()>>) {
        self.runtime.spawn(async move {
            for (command, outcome) in batch.into_iter().zip(outcomes) {
                // An error means that the caller has stopped waiting.
                drop(command.answer.send(outcome));
            }
        });
    }

    /// Runs commands in one transaction and commits it. It stops after a command that changes permissions, or
    /// after `MAX_BATCH_TIME`. Returns the results of the commands that ran.
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
        // Commands that were queued while the writer waited for the head lock join this batch.
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
                    return Err(BatchError::before_commit(error));
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
        if wrote {
            self.sink.committed(batch);
        }
        Ok(outcomes)
    }

    /// Finds out whether a batch whose COMMIT failed is in the log. Returns the batch if it is.
    fn resolve_commit(&mut self, error: Error, batch: Batch) -> Result<Batch, BatchError> {
        tracing::warn!(%error, events = batch.events.len(), "commit failed; checking the log for the batch");
        let unknown = || Error::Unavailable("the outcome is unknown; try again".into());
        // A batch without events leaves no row in the log that could be looked up.
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

    /// Replaces the connection. Returns whether that succeeded.
    fn reconnect(&mut self) -> bool {
        self.db = None;
        self.db = self.connector.open(ConnectionUse::Writing).ok();
        self.db.is_some()
    }
}

/// Runs one command. The inner result is the caller's result; an outer error means that the batch must be rolled
/// back.
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
