//! The threads that read. What is to be read waits in one queue, and a thread that has finished takes the next at once:
//! under load nobody is put to sleep and woken for each.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::vitals::Vitals;

/// How long a job may wait for its turn before it is refused.
const TURN: Duration = Duration::from_secs(5);
/// How many may wait; more are refused at once.
const QUEUE: usize = 16_384;

type Job = Box<dyn FnOnce() + Send>;

/// The handle to the threads; they end when it is dropped and nothing waits any more.
pub struct Readers(Arc<Queue>);

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    idle: usize,
    is_closed: bool,
}

impl Readers {
    /// Starts so many threads.
    pub fn start(count: usize, vitals: &Vitals) -> Result<Self> {
        let queue = Arc::new(Queue::default());
        for _ in 0..count {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new().name("reader".into());
            let work = move || {
                while let Some(job) = queue.next() {
                    job();
                }
            };
            thread.spawn(vitals.thread("a reader", work, || {})).map_err(Error::internal)?;
        }
        Ok(Self(queue))
    }

    /// Runs a job when it is its turn. Whoever stops waiting before that takes it along.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (answer, mut answered) = oneshot::channel();
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        self.0.push(Box::new(move || {
            if !answer.is_closed() && !begins.swap(true, Ordering::AcqRel) {
                drop(answer.send(catch_unwind(AssertUnwindSafe(job))));
            }
        }))?;
        let outcome = match tokio::time::timeout(TURN, &mut answered).await {
            Ok(outcome) => outcome,
            Err(_) if begun.swap(true, Ordering::AcqRel) => answered.await,
            Err(_) => return Err(busy()),
        };
        match outcome {
            Ok(Ok(value)) => Ok(value),
            // The hook of the process has said where.
            Ok(Err(_)) => Err(Error::internal("reading panicked")),
            Err(_) => Err(busy()),
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.0.waiting().is_closed = true;
        self.0.arrived.notify_all();
    }
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) -> Result<()> {
        let mut waiting = self.waiting();
        if waiting.jobs.len() >= QUEUE {
            return Err(busy());
        }
        waiting.jobs.push_back(job);
        let has_idle = waiting.idle > 0;
        drop(waiting);
        if has_idle {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// The next job, whenever it comes; `None` at the end.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.waiting();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            if waiting.is_closed {
                return None;
            }
            waiting.idle += 1;
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
    }
}

pub(super) fn busy() -> Error {
    Error::Unavailable("the server is busy; try again".into())
}
