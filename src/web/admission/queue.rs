//! The queue, and the future of a connection that waits in it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::sync::{Arc, AtomicU8, AtomicWaker, Mutex, MutexGuard, Notify, Ordering, PoisonError};

/// How many connections are admitted to one poll per round.
pub(super) const BATCH: usize = 16;

/// The queue of connections that wait to be polled.
#[derive(Default)]
pub struct AdmissionQueue {
    queue: Mutex<VecDeque<Arc<Admission>>>,
    pushed: Notify,
}

/// The state of one connection in the admission queue, until the connection is established.
#[derive(Default)]
pub struct Admission {
    /// Only the queue changes `QUEUED`, and only to `ADMITTED`. The task of the connection makes all other changes. So
    /// that task may store a new state without comparing it.
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
    /// Marks the connection as established: it is polled without the queue from now on. Only the task of the connection
    /// may call this.
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
