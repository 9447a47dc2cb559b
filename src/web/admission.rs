//! Fair scheduling for connections that have not completed a request or a handshake: at most 16 of them are polled per
//! round of the scheduler. Otherwise thousands of connections that arrive, or time out, at once would delay the
//! established ones.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use pin_project_lite::pin_project;
use tokio::sync::Notify;

/// How many connections are admitted to one poll per round.
const BATCH: usize = 16;

/// The queue of connections that wait to be polled.
#[derive(Default)]
pub struct AdmissionQueue {
    queue: Mutex<VecDeque<Arc<Admission>>>,
    pushed: Notify,
}

/// The state of one connection in the admission queue, until the connection is established.
#[derive(Default)]
pub struct Admission {
    state: AtomicU8,
    waker: AtomicWaker,
}

pin_project! {
    /// A future that is polled only when the admission queue lets its connection run.
    pub struct Throttled<F> {
        // `None` once the connection is established: then the future is polled without the queue.
        gate: Option<(Arc<AdmissionQueue>, Arc<Admission>)>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Throttled<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Some((admissions, admission)) = this.gate {
            ready!(admissions.poll_admission(admission, context));
            if admission.state.load(Ordering::Acquire) == ESTABLISHED {
                *this.gate = None;
            }
        }
        this.future.poll(context)
    }
}

/// Not queued. The next wake-up puts the connection into the queue.
const IDLE: u8 = 0;
const QUEUED: u8 = 1;
/// Admitted to one poll.
const ADMITTED: u8 = 2;
/// Established: never queued again.
const ESTABLISHED: u8 = 3;

impl Admission {
    /// Marks the connection as established: it is polled without the queue from now on.
    pub fn set_established(&self) {
        self.state.store(ESTABLISHED, Ordering::Release);
    }

    fn admit(&self) {
        let result = self.state.compare_exchange(QUEUED, ADMITTED, Ordering::AcqRel, Ordering::Relaxed);
        if result.is_ok() {
            self.waker.wake();
        }
    }
}

impl AdmissionQueue {
    /// Admits queued connections in batches, with a scheduler round between two batches, until the task is aborted.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.pushed.notified().await;
            while self.admit_batch() {
                tokio::task::yield_now().await;
            }
        }
    }

    fn admit_batch(&self) -> bool {
        let batch: Vec<Arc<Admission>> = {
            let mut queue = self.queue();
            let batch = queue.len().min(BATCH);
            queue.drain(..batch).collect()
        };
        batch.iter().for_each(|admission| admission.admit());
        !batch.is_empty()
    }

    /// Wraps a connection's future so that it is polled through the queue until the connection is established.
    pub fn throttle<F>(self: &Arc<Self>, admission: Arc<Admission>, future: F) -> Throttled<F> {
        Throttled { gate: Some((Arc::clone(self), admission)), future }
    }

    fn poll_admission(&self, admission: &Arc<Admission>, context: &mut Context<'_>) -> Poll<()> {
        if admission.state.load(Ordering::Acquire) == ESTABLISHED {
            return Poll::Ready(());
        }
        admission.waker.register(context.waker());
        match admission.state.load(Ordering::Acquire) {
            ESTABLISHED => Poll::Ready(()),
            ADMITTED => {
                admission.state.store(IDLE, Ordering::Release);
                Poll::Ready(())
            }
            IDLE => {
                admission.state.store(QUEUED, Ordering::Release);
                self.queue().push_back(Arc::clone(admission));
                self.pushed.notify_one();
                Poll::Pending
            }
            _ => Poll::Pending,
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Arc<Admission>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A single-threaded runtime, so that the test observes every round of the scheduler.
    #[tokio::test]
    async fn established_connections_do_not_wait_for_a_burst_of_new_ones() {
        const MANY: usize = 1_000;
        let (admissions, polls) = (Arc::new(AdmissionQueue::default()), Arc::new(AtomicUsize::new(0)));
        let queue = tokio::spawn(Arc::clone(&admissions).run());
        let connect = || {
            let (admissions, polls) = (Arc::clone(&admissions), Arc::clone(&polls));
            tokio::spawn(async move {
                let future = async {
                    for _ in 0..3 {
                        polls.fetch_add(1, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                    }
                };
                admissions.throttle(Arc::default(), future).await;
            })
        };
        let connections: Vec<_> = (0..MANY).map(|_| connect()).collect();
        // This task stands for an established connection that has work in every round.
        let (mut before, mut most) = (0, 0);
        while polls.load(Ordering::Relaxed) < 3 * MANY {
            tokio::task::yield_now().await;
            let now = polls.load(Ordering::Relaxed);
            most = most.max(now - before);
            before = now;
        }
        for connection in connections {
            connection.await.expect("the connection must finish");
        }
        queue.abort();
        assert!(0 < most && most <= BATCH, "{most} polls in one round");
    }

    #[tokio::test]
    async fn an_established_connection_is_polled_without_the_queue() {
        let (admissions, admission) = (Arc::new(AdmissionQueue::default()), Arc::new(Admission::default()));
        admission.set_established();
        // No task runs the queue.
        assert_eq!(admissions.throttle(admission, async { 7 }).await, 7);
    }
}
