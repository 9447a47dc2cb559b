//! The pool of reader threads. Jobs wait in one queue, which callers share fairly. A thread that finishes a job
//! takes the next one at once, so under load threads are not put to sleep and woken for each job.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::capacity::{FairLimits, FairQueue};
use crate::error::{Error, Result};
use crate::model::CapacityKey;
use crate::supervisor::Supervisor;

/// How long a job may wait in the queue before it is rejected.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of queued jobs: in total, of all anonymous callers, and of each caller. Further jobs are
/// rejected at once.
const QUEUE_LIMITS: FairLimits = FairLimits { total: 16_384, anonymous: 4_096, each: 1_024 };

type Job = Box<dyn FnOnce() + Send>;

/// Handle to the threads. After it is dropped, the threads run the jobs that are still queued, then end.
pub struct ReadPool(Arc<ReadQueue>);

struct ReadQueue {
    state: Mutex<ReadQueueState>,
    job_arrived: Condvar,
}

struct ReadQueueState {
    jobs: FairQueue<Job>,
    /// Number of threads that wait for a job.
    idle: usize,
    is_closed: bool,
}

impl ReadPool {
    /// Starts `slots.total` threads. `slots` also limits how many threads anonymous callers, and each caller,
    /// can occupy.
    pub fn start(name: &'static str, slots: FairLimits, vitals: &Supervisor) -> Result<Self> {
        let state = ReadQueueState { jobs: FairQueue::new(slots, QUEUE_LIMITS), idle: 0, is_closed: false };
        let queue = Arc::new(ReadQueue { state: Mutex::new(state), job_arrived: Condvar::new() });
        for _ in 0..slots.total {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new().name(name.into());
            thread.spawn(vitals.thread("a reader", move || queue.work(), || {})).map_err(Error::internal)?;
        }
        Ok(Self(queue))
    }

    /// Runs a job for `party` when it is that caller's turn. If the caller stops waiting before the job starts,
    /// the job is discarded.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the queue is full or the job does not start within 5 s; `INTERNAL_SERVER_ERROR` if the
    /// job panics.
    pub async fn run<T: Send + 'static>(
        &self,
        party: CapacityKey,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (answer, mut answered) = oneshot::channel();
        let is_started = Arc::new(AtomicBool::new(false));
        let starts = Arc::clone(&is_started);
        // Log lines of the job have the fields of the operation that waits for it.
        let span = tracing::Span::current();
        let job: Job = Box::new(move || {
            if !answer.is_closed() && !starts.swap(true, Ordering::AcqRel) {
                drop(answer.send(span.in_scope(|| catch_unwind(AssertUnwindSafe(job)))));
            }
        });
        self.0.push(party, job)?;
        let outcome = match tokio::time::timeout(QUEUE_TIMEOUT, &mut answered).await {
            Ok(outcome) => outcome,
            Err(_) if is_started.swap(true, Ordering::AcqRel) => answered.await,
            Err(_) => return Err(busy()),
        };
        match outcome {
            Ok(Ok(value)) => Ok(value),
            // The process's panic hook has already logged the location.
            Ok(Err(_)) => Err(Error::internal("a read job panicked")),
            Err(_) => Err(busy()),
        }
    }
}

impl Drop for ReadPool {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.job_arrived.notify_all();
    }
}

impl ReadQueue {
    fn lock(&self) -> MutexGuard<'_, ReadQueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, party: CapacityKey, job: Job) -> Result<()> {
        let mut state = self.lock();
        let evicted = state.jobs.push(party, job).map_err(|_| busy())?;
        let may_begin = state.idle > 0 && state.jobs.is_free_for(party);
        drop(state);
        // Dropping the evicted job closes its channel, so its caller gets an error.
        drop(evicted);
        if may_begin {
            self.job_arrived.notify_one();
        }
        Ok(())
    }

    /// Runs jobs until the pool is closed and the queue is empty. A job that had no free slot needs no wake-up:
    /// the thread that frees the slot takes the next job itself.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some((party, job)) = state.jobs.pop() {
                drop(state);
                job();
                state = self.lock();
                state.jobs.leave(party);
                continue;
            }
            if state.is_closed {
                return;
            }
            state.idle += 1;
            state = self.job_arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

/// The error for callers that do not get a thread in time.
pub(super) fn busy() -> Error {
    Error::Unavailable("the server is busy; try again".into())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::mpsc;

    use super::*;
    use crate::model::UserId;

    fn address(last: u8) -> CapacityKey {
        CapacityKey::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn slow_reads_of_anonymous_callers_leave_threads_to_members() {
        let readers =
            Arc::new(ReadPool::start("reader", FairLimits::halves(4), &Supervisor::default()).expect("threads"));
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Arc::new(Mutex::new(blocked));
        let slow: Vec<_> = (0..100)
            .map(|n| {
                let (readers, blocked) = (Arc::clone(&readers), Arc::clone(&blocked));
                tokio::spawn(async move {
                    readers.run(address(n), move || drop(blocked.lock().map(|blocked| blocked.recv()))).await
                })
            })
            .collect();
        // Two of the four threads stay free for signed-in callers, even if the anonymous jobs occupy the other
        // two.
        for user in 0..20 {
            assert_eq!(readers.run(CapacityKey::User(UserId(user)), move || user).await, Ok(user));
        }
        drop(release);
        for slow in slow {
            slow.await.expect("the task does not panic").expect("the job runs");
        }
    }

    #[tokio::test]
    async fn a_caller_fills_only_its_own_part_of_the_queue() {
        let readers = ReadPool::start("reader", FairLimits { total: 0, anonymous: 0, each: 0 }, &Supervisor::default())
            .expect("starting no threads succeeds");
        let full = |party| readers.0.push(party, Box::new(|| {}));
        assert!((0..QUEUE_LIMITS.each).all(|_| full(address(1)).is_ok()));
        assert_eq!(full(address(1)), Err(busy()));
        assert_eq!((full(address(2)), full(CapacityKey::User(UserId(1)))), (Ok(()), Ok(())));
        let anonymous = (0..=255).cycle().take(10_000).filter(|last| full(address(*last)).is_ok()).count();
        assert!(readers.0.lock().jobs.len() <= QUEUE_LIMITS.anonymous + 1, "{anonymous}");
        assert!(full(CapacityKey::User(UserId(2))).is_ok());
    }
}
