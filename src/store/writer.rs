//! The writer of an instance: one thread that runs queued commands in batches (`batch`), one transaction for each batch
//! (group commit). A command is answered only after its transaction is on disk.
//!
//! A command decides without writing, so a refusal is an ordinary value. If the statements of a batch fail, the batch is
//! rolled back and its commands run again one by one, so a failing command does not affect the others.
//!
//! Commands check permissions in this instance's memory. A batch therefore decides only when the permissions in memory
//! are at least as new as the last permission change in the log. A command that changes permissions is the last one of
//! its batch.
//!
//! Maintenance jobs run between the batches, each in a transaction of its own.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::batch::{
    Attempt, Batch, BatchError, CommitSink, Numbers, PendingCommand, QueuedCommand, Unresolved, WriteCommand, attempt,
    find_written,
};
use super::commit_queue::{BatchWindow, CommitQueue, PushError};
use super::connection::{ConnectionUse, Connector, Db};
use super::counts::WriterCounts;
use super::maintenance::{PendingJob, QueuedJob};
use crate::error::{Error, Result};
use crate::supervisor::Supervisor;

/// Maximum number of queued commands. Further commands are rejected at once.
const QUEUE_CAPACITY: usize = 4096;
/// How long a caller waits for the result of its command before it receives `UNAVAILABLE` (outcome unknown).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How many times a batch is retried after a lost connection or a lock timeout.
const MAX_RETRIES: usize = 3;
/// How many times a batch decides again because other batches were faster. Then it locks the log head first.
const MAX_OUTDATED: usize = 3;
/// After a COMMIT fails, the writer looks for the batch in the log for up to `LOOKUP_TIMEOUT`, once every
/// `LOOKUP_INTERVAL`.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(6);
const LOOKUP_INTERVAL: Duration = Duration::from_millis(100);

/// What the writer runs.
enum QueuedWork {
    Command(Box<dyn QueuedCommand>),
    Job(Box<dyn QueuedJob>),
}

/// Handle to the writer thread.
pub struct Writer {
    queue: Arc<CommitQueue<QueuedWork>>,
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
    pub async fn run<C: WriteCommand>(&self, command: C) -> Result<C::Output> {
        let (pending, answer) = PendingCommand::new(command);
        self.push(QueuedWork::Command(Box::new(pending)))?;
        answered(answer).await
    }

    /// Queues a maintenance job and waits for its result. The job stays queued if the caller stops waiting.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn maintain<T: Send + 'static>(
        &self,
        job: impl FnMut(&mut Db) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (pending, answer) = PendingJob::new(job);
        self.push(QueuedWork::Job(Box::new(pending)))?;
        answered(answer).await
    }

    fn push(&self, work: QueuedWork) -> Result<()> {
        self.queue.push(work).map_err(|error| match error {
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

/// Waits for the answer of the writer.
async fn answered<T>(answer: oneshot::Receiver<Result<T>>) -> Result<T> {
    let answer = timeout(ANSWER_TIMEOUT, answer).await.map_err(|_| unknown_outcome())?;
    answer.map_err(|_| unknown_outcome())?
}

fn unknown_outcome() -> Error {
    Error::Unavailable("the outcome is unknown; try again".into())
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
    fn run(mut self, queue: &CommitQueue<QueuedWork>) {
        while let Some(work) = queue.take(&mut self.window, self.max_batch) {
            let (started, taken) = (Instant::now(), work.len());
            let (mut commands, mut jobs) = (Vec::with_capacity(taken), Vec::new());
            for work in work {
                match work {
                    QueuedWork::Command(command) => commands.push(command),
                    QueuedWork::Job(job) => jobs.push(job),
                }
            }
            self.commit_all(commands);
            self.window.record_batch(taken + queue.len(), started.elapsed());
            jobs.into_iter().for_each(|job| self.maintain(job));
        }
    }

    /// Commits all commands in as few transactions as possible. If a transaction fails for good, its commands run
    /// again, each in its own transaction.
    fn commit_all(&mut self, mut commands: Vec<Box<dyn QueuedCommand>>) {
        let (mut retries, mut outdated) = (0, 0);
        while !commands.is_empty() {
            let attempt = self.try_commit(&mut commands, outdated >= MAX_OUTDATED);
            if attempt.is_err() {
                self.counts.failures.count();
            }
            match attempt {
                Ok(Some((ran, numbers))) => {
                    let rest = commands.split_off(ran);
                    self.answer(commands, Ok(numbers));
                    (commands, retries, outdated) = (rest, 0, 0);
                }
                Ok(None) if outdated < MAX_OUTDATED => {
                    self.counts.outdated.count();
                    outdated += 1;
                }
                Ok(None) => self.commit_one_by_one(&mut commands, Error::internal("a unique value exists already")),
                Err(BatchError::Retryable(error)) if retries < MAX_RETRIES && self.reconnect() => {
                    retries += 1;
                    tracing::debug!(%error, commands = commands.len(), "retrying a batch");
                }
                Err(BatchError::Failed(error)) => self.commit_one_by_one(&mut commands, error),
                Err(BatchError::Retryable(error) | BatchError::Unknown(error, _)) => {
                    self.answer(std::mem::take(&mut commands), Err(error));
                }
            }
        }
    }

    /// Runs the commands of a failed batch again, each in its own transaction. A single command gets the error.
    fn commit_one_by_one(&mut self, commands: &mut Vec<Box<dyn QueuedCommand>>, error: Error) {
        let commands = std::mem::take(commands);
        if commands.len() == 1 {
            return self.answer(commands, Err(error));
        }
        tracing::debug!(%error, commands = commands.len(), "retrying the commands of a batch one by one");
        commands.into_iter().for_each(|command| self.commit_all(vec![command]));
    }

    /// Sends the results of a batch from one spawned task. If the writer thread sent them one by one, each woken
    /// task could preempt the writer thread.
    fn answer(&self, commands: Vec<Box<dyn QueuedCommand>>, result: Result<Numbers>) {
        self.runtime.spawn(async move {
            commands.into_iter().for_each(|command| command.answer(&result));
        });
    }

    /// Runs commands in one transaction and commits it. Returns how many have run, and the numbers of what they have
    /// created; `None` if other batches have changed what they decided on.
    fn try_commit(
        &mut self,
        commands: &mut [Box<dyn QueuedCommand>],
        must_lock: bool,
    ) -> Result<Option<(usize, Numbers)>, BatchError> {
        let (db, sink) = (connected(&self.connector, &mut self.db)?, &mut self.sink);
        let (ran, numbers, batch) = match attempt(db, sink, commands, must_lock) {
            Ok(Attempt::Outdated) => return Ok(None),
            Ok(Attempt::Written { ran, numbers, batch, duration }) => {
                if let Some(duration) = duration {
                    self.connector.write_health().record_success();
                    self.counts.commits.observe(duration.as_secs_f64());
                    if batch.is_none() {
                        self.sink.committed_without_events();
                    }
                }
                (ran, numbers, batch)
            }
            Err(BatchError::Unknown(error, unresolved)) => self.resolve_commit(error, unresolved)?,
            Err(error) => return Err(error),
        };
        self.counts.commands.observe(ran as f64);
        if let Some(batch) = batch {
            self.counts.events.add(batch.events.len() as u64);
            self.sink.committed(batch);
        }
        Ok(Some((ran, numbers)))
    }

    /// Finds out whether a batch whose commit failed is in the log. Returns the batch if it is.
    fn resolve_commit(
        &mut self,
        error: Error,
        batch: Box<Unresolved>,
    ) -> Result<(usize, Numbers, Option<Batch>), BatchError> {
        tracing::warn!(%error, "commit failed; checking the log for the batch");
        if !batch.can_be_found() {
            self.db = None;
            return Err(BatchError::Unknown(unknown_outcome(), batch));
        }
        let started = Instant::now();
        while started.elapsed() < LOOKUP_TIMEOUT {
            let found = if self.reconnect() { self.db.as_mut().map(|db| find_written(db, &batch)) } else { None };
            match found {
                Some(Ok(Some(numbers))) => {
                    let (ran, events) = batch.into_events(&numbers);
                    return Ok((ran, numbers, Batch::new(None, events)));
                }
                Some(Ok(None)) => return Err(BatchError::Retryable(error)),
                Some(Err(_)) | None => std::thread::sleep(LOOKUP_INTERVAL),
            }
        }
        Err(BatchError::Unknown(unknown_outcome(), batch))
    }

    /// Runs a maintenance job in its own transaction. Repeats it after a lost connection.
    fn maintain(&mut self, mut job: Box<dyn QueuedJob>) {
        let mut retries = 0;
        let result = loop {
            let ran = connected(&self.connector, &mut self.db).and_then(|db| job.run(db));
            match ran {
                Err(BatchError::Retryable(_)) if retries < MAX_RETRIES && self.reconnect() => retries += 1,
                Err(BatchError::Failed(error) | BatchError::Retryable(error) | BatchError::Unknown(error, _)) => {
                    self.counts.failures.count();
                    break Err(error);
                }
                Ok(()) => break Ok(()),
            }
        };
        if result.is_ok() {
            self.connector.write_health().record_success();
            self.sink.committed_without_events();
        }
        self.runtime.spawn(async move { job.answer(result) });
    }

    /// Replaces the connection. Returns whether that succeeded.
    fn reconnect(&mut self) -> bool {
        self.db = None;
        self.db = self.connector.open(ConnectionUse::Writing).ok();
        self.db.is_some()
    }
}

/// The writer's connection. It is opened again if it was lost, or if the SQLite files were replaced.
fn connected<'c>(connector: &Connector, db: &'c mut Option<Db>) -> Result<&'c mut Db, BatchError> {
    if !connector.has_original_files() {
        *db = None;
    }
    match db {
        Some(db) => Ok(db),
        none => Ok(none.insert(connector.open(ConnectionUse::Writing).map_err(BatchError::Retryable)?)),
    }
}
