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

use super::connection::{Connector, Db, Purpose};
use super::counts::Counts;
use super::queue::{Crowd, Queue, Refused};
use super::tx::{Batch, Failure, Tx, is_committed};
use crate::error::{Error, Result};
use crate::model::{Cursor, Seq};
use crate::vitals::Vitals;

/// How many commands may wait; more are refused at once.
const QUEUE: usize = 4096;
/// After so long a batch takes no further command: other instances wait for the head of the log, and this one
/// may have a slow line to the database.
const SPAN: Duration = Duration::from_millis(100);
/// How long a caller waits for its answer before it hears that the outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a batch is run again that lost its connection or waited in vain for a lock.
const TRIES: usize = 3;
/// How long the outcome of a failed COMMIT is looked for, and how often.
const LOOK_UP: Duration = Duration::from_secs(6);
const PAUSE: Duration = Duration::from_millis(100);

type Command = Box<dyn FnMut(&mut Tx<'_>) -> Result<()> + Send>;

/// A queued command: `run` may be called more than once, it is answered once.
struct Job {
    run: Command,
    answer: oneshot::Sender<Result<()>>,
}

/// The handle to the writer's thread.
pub struct Writer {
    queue: Arc<Queue<Job>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread, which answers on the runtime it is started from.
    pub fn start(
        connector: Connector,
        db: Db,
        tail: impl Tail,
        batch: usize,
        counts: &Arc<Counts>,
        vitals: &Vitals,
    ) -> Result<Self> {
        let queue = Arc::new(Queue::new(QUEUE));
        let jobs = Arc::clone(&queue);
        let counts = Arc::clone(counts);
        let (crowd, runtime) = (Crowd::default(), Handle::current());
        let desk = Desk { connector, db: Some(db), tail, batch, counts, crowd, runtime };
        let waiting = Arc::clone(&jobs);
        // Those who wait hear at once that the outcome is unknown, and nobody else waits in vain.
        let give_up = move || {
            waiting.close();
            drop(waiting.take_more(usize::MAX));
        };
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(vitals.thread("the writer", move || desk.work(&jobs), give_up))
            .map_err(Error::internal)?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Queues a command and waits for its answer. Whoever stops waiting does not take it along.
    pub async fn run<T: Send + 'static>(
        &self,
        mut command: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let value = Arc::new(Mutex::new(None));
        let result = Arc::clone(&value);
        self.queue(Job {
            run: Box::new(move |tx| {
                let made = command(tx)?;
                *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
                Ok(())
            }),
            answer,
        })?;
        let unknown = || Error::Unavailable("the outcome is unknown; try again".into());
        let outcome = timeout(PATIENCE, answered).await.map_err(|_| unknown())?;
        outcome.map_err(|_| unknown())??;
        let made = value.lock().unwrap_or_else(PoisonError::into_inner).take();
        made.ok_or_else(|| Error::internal("a command was answered without a result"))
    }

    fn queue(&self, job: Job) -> Result<()> {
        self.queue.push(job).map_err(|refused| match refused {
            Refused::Full => Error::Unavailable("too many changes are waiting; try again".into()),
            Refused::Closed => stopping(),
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
struct Desk<T> {
    connector: Connector,
    /// `None` after the connection broke, or may have.
    db: Option<Db>,
    tail: T,
    /// How many commands are committed together at most.
    batch: usize,
    counts: Arc<Counts>,
    crowd: Crowd,
    /// Where those are who wait for answers.
    runtime: Handle,
}

impl<T: Tail> Desk<T> {
    fn work(mut self, jobs: &Queue<Job>) {
        while let Some(batch) = jobs.take(&mut self.crowd, self.batch) {
            self.serve(batch, Some(jobs));
        }
    }

    /// Commits the batch, and what else has queued, in as few transactions as can be; if one fails,
    /// each of its commands alone.
    fn serve(&mut self, mut batch: Vec<Job>, queue: Option<&Queue<Job>>) {
        let mut tries = 0;
        while !batch.is_empty() {
            let attempt = self.attempt(&mut batch, queue);
            if attempt.is_err() {
                self.counts.failures.count();
            }
            match attempt {
                Ok(outcomes) => {
                    let rest = batch.split_off(outcomes.len());
                    self.answer(batch, outcomes);
                    batch = rest;
                }
                Err(Failure::Lost(error)) if tries < TRIES && self.reconnect() => {
                    tries += 1;
                    tracing::debug!(%error, commands = batch.len(), "a batch is run again");
                }
                Err(Failure::Undone(error)) if batch.len() > 1 => {
                    tracing::debug!(%error, commands = batch.len(), "a batch is run again, command by command");
                    return batch.into_iter().for_each(|job| self.serve(vec![job], None));
                }
                Err(Failure::Undone(error) | Failure::Lost(error) | Failure::Unknown(error, _)) => {
                    let outcomes = batch.iter().map(|_| Err(error.clone())).collect();
                    return self.answer(batch, outcomes);
                }
            }
        }
    }

    /// Answers the commands of a batch, all of them from one task: told from here one by one, the first to hear would
    /// take the processor from this thread, and the second again.
    fn answer(&self, batch: Vec<Job>, outcomes: Vec<Result<()>>) {
        self.runtime.spawn(async move {
            for (job, outcome) in batch.into_iter().zip(outcomes) {
                // Whoever asked may have gone.
                drop(job.answer.send(outcome));
            }
        });
    }

    /// Runs the first commands, up to one that changes rights, in one transaction.
    fn attempt(&mut self, batch: &mut Vec<Job>, queue: Option<&Queue<Job>>) -> Result<Vec<Result<()>>, Failure> {
        if !self.connector.is_in_place() {
            self.db = None;
        }
        let db = match &mut self.db {
            Some(db) => db,
            none => none.insert(self.connector.open(Purpose::Writing).map_err(Failure::Lost)?),
        };
        let mut tx = Tx::begin(db, &mut self.tail)?;
        // Only now: while this instance waited for the others, more has queued.
        let room = self.batch.saturating_sub(batch.len());
        batch.extend(queue.into_iter().flat_map(|queue| queue.take_more(room)));
        let begun = Instant::now();
        let asked = batch.len();
        let mut outcomes = Vec::with_capacity(asked);
        for job in batch {
            match run(job, &mut tx) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => {
                    tx.roll_back();
                    return Err(Failure::before(error));
                }
            }
            if tx.changed_rights() || begun.elapsed() > SPAN {
                break;
            }
        }
        let since = Instant::now();
        let wrote = tx.wrote;
        let batch = match tx.commit() {
            Err(Failure::Unknown(error, batch)) => self.look_up(error, batch)?,
            committed => committed?,
        };
        if wrote {
            self.connector.condition().works();
        }
        self.crowd.seen(asked + queue.map_or(0, Queue::len), begun.elapsed());
        self.counts.commits.observe(since.elapsed().as_secs_f64());
        self.counts.commands.observe(outcomes.len() as f64);
        self.counts.events.add(batch.events.len() as u64);
        if !batch.events.is_empty() {
            self.tail.committed(batch);
        }
        Ok(outcomes)
    }

    /// Whether a batch was committed whose COMMIT failed: its events if it was.
    fn look_up(&mut self, error: Error, batch: Batch) -> Result<Batch, Failure> {
        tracing::warn!(%error, events = batch.events.len(), "a commit failed: looking up what became of it");
        let unknown = || Error::Unavailable("the outcome is unknown; try again".into());
        // What recorded no event left no trace to look for.
        if batch.events.is_empty() {
            self.db = None;
            return Err(Failure::Unknown(unknown(), batch));
        }
        let since = Instant::now();
        while since.elapsed() < LOOK_UP {
            let found = if self.reconnect() { self.db.as_mut().map(|db| is_committed(db, batch.end())) } else { None };
            match found {
                Some(Ok(true)) => return Ok(batch),
                Some(Ok(false)) => return Err(Failure::Lost(error)),
                Some(Err(_)) | None => std::thread::sleep(PAUSE),
            }
        }
        Err(Failure::Unknown(unknown(), batch))
    }

    /// Makes the connection anew; whether that worked.
    fn reconnect(&mut self) -> bool {
        self.db = None;
        self.db = self.connector.open(Purpose::Writing).ok();
        self.db.is_some()
    }
}

/// The inner result is the command's answer; the outer error spoils the transaction.
fn run(job: &mut Job, tx: &mut Tx<'_>) -> Result<Result<()>> {
    let wrote_before = std::mem::take(&mut tx.wrote);
    let outcome =
        catch_unwind(AssertUnwindSafe(|| (job.run)(tx))).unwrap_or_else(|_| Err(Error::internal("a command panicked")));
    let spoiled = match &outcome {
        Ok(()) => false,
        Err(Error::Internal(_) | Error::Unavailable(_)) => true,
        Err(_) => tx.wrote,
    };
    tx.wrote |= wrote_before;
    match outcome {
        Err(error) if spoiled => Err(error),
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
        let refused = store.write(change).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        store.close();
    }
}
