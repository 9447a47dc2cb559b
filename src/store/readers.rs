//! The threads that read. What is to be read waits in one queue, which is divided fairly between callers, and a thread that
//! has finished takes the next at once: under load no thread is put to sleep and woken for each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::capacity::{Fair, Share};
use crate::error::{Error, Result};
use crate::model::Party;
use crate::vitals::Vitals;

/// How long a job may wait for its turn before it is refused.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many jobs may wait; more are refused at once.
const QUEUE_LIMITS: Share = Share { total: 16_384, anonymous: 4_096, each: 1_024 };

type Job = Box<dyn FnOnce() + Send>;

/// The handle to the threads; they end when it is dropped and nothing waits any more.
pub struct ReadPool(Arc<ReadQueue>);

struct ReadQueue {
    state: Mutex<QueueState>,
    job_arrived: Condvar,
}

struct QueueState {
    jobs: Fair<Job>,
    idle: usize,
    is_closed: bool,
}

impl ReadPool {
    /// Starts a thread for each slot.
    pub fn start(name: &'static str, slots: Share, vitals: &Vitals) -> Result<Self> {
        let state = QueueState { jobs: Fair::new(slots, QUEUE_LIMITS), idle: 0, is_closed: false };
        let queue = Arc::new(ReadQueue { state: Mutex::new(state), job_arrived: Condvar::new() });
        for _ in 0..slots.total {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new().name(name.into());
            thread.spawn(vitals.thread("a reader", move || queue.work(), || {})).map_err(Error::internal)?;
        }
        Ok(Self(queue))
    }

    /// Runs a job of this caller when it is its turn. A caller that stops waiting before that takes the job along.
    pub async fn run<T: Send + 'static>(&self, party: Party, job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (answer, mut answered) = oneshot::channel();
        let is_started = Arc::new(AtomicBool::new(false));
        let starts = Arc::clone(&is_started);
        let job: Job = Box::new(move || {
            if !answer.is_closed() && !starts.swap(true, Ordering::AcqRel) {
                drop(answer.send(catch_unwind(AssertUnwindSafe(job))));
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
            // The hook of the process has said where.
            Ok(Err(_)) => Err(Error::internal("reading panicked")),
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
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, party: Party, job: Job) -> Result<()> {
        let mut state = self.lock();
        let evicted = state.jobs.push(party, job).map_err(|_| busy())?;
        let may_begin = state.idle > 0 && state.jobs.is_free_for(party);
        drop(state);
        // Its caller waits for an answer that this ends.
        drop(evicted);
        if may_begin {
            self.job_arrived.notify_one();
        }
        Ok(())
    }

    /// Runs jobs until the end. Only the thread that gives a slot back can make room for what waited for that slot.
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

/// What a caller reads whose turn does not come.
pub(super) fn busy() -> Error {
    Error::Unavailable("the server is busy; try again".into())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::mpsc;

    use super::*;
    use crate::model::UserId;

    fn address(last: u8) -> Party {
        Party::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn slow_reads_of_anonymous_callers_leave_threads_to_members() {
        let readers = Arc::new(ReadPool::start("reader", Share::halves(4), &Vitals::default()).expect("threads"));
        let (release, kept) = mpsc::channel::<()>();
        let kept = Arc::new(Mutex::new(kept));
        let slow: Vec<_> = (0..100)
            .map(|n| {
                let (readers, kept) = (Arc::clone(&readers), Arc::clone(&kept));
                tokio::spawn(
                    async move { readers.run(address(n), move || drop(kept.lock().map(|kept| kept.recv()))).await },
                )
            })
            .collect();
        // Whether or not the others have begun by now: two threads are not theirs.
        for user in 0..20 {
            assert_eq!(readers.run(Party::User(UserId(user)), move || user).await, Ok(user));
        }
        drop(release);
        for slow in slow {
            slow.await.expect("a task").expect("its turn");
        }
    }

    #[tokio::test]
    async fn a_caller_fills_its_own_part_of_the_queue_only() {
        let readers = ReadPool::start("reader", Share { total: 0, anonymous: 0, each: 0 }, &Vitals::default())
            .expect("no threads");
        let full = |party| readers.0.push(party, Box::new(|| {}));
        assert!((0..QUEUE_LIMITS.each).all(|_| full(address(1)).is_ok()));
        assert_eq!(full(address(1)), Err(busy()));
        assert_eq!((full(address(2)), full(Party::User(UserId(1)))), (Ok(()), Ok(())));
        let anonymous = (0..=255).cycle().take(10_000).filter(|last| full(address(*last)).is_ok()).count();
        assert!(readers.0.lock().jobs.len() <= QUEUE_LIMITS.anonymous + 1, "{anonymous}");
        assert!(full(Party::User(UserId(2))).is_ok());
    }
}
