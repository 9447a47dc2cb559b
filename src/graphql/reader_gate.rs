//! Moves the execution of a mutation to a thread that may wait for the database, and back to the runtime.
//!
//! Resolvers of a mutation are futures: on a thread of the runtime they wait for the commit. Resolvers of the fields
//! below are plain functions that may read the database, which would block that thread. So the root resolver waits at the
//! gate before it returns, and the engine polls the execution on a reader thread while the gate is open. The next root
//! resolver leaves that thread before it begins.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Whether the thread that executes an operation may wait for the database.
#[derive(Debug)]
pub struct ReaderGate {
    is_open: AtomicBool,
    /// The resolver that waits for a reader thread.
    waiting: Mutex<Option<Waker>>,
}

impl ReaderGate {
    /// The gate of an operation that runs on a reader thread from the beginning to the end.
    #[must_use]
    pub fn open() -> Self {
        Self { is_open: AtomicBool::new(true), waiting: Mutex::default() }
    }

    /// The gate of an operation that starts on a thread of the runtime.
    #[must_use]
    pub fn closed() -> Self {
        Self { is_open: AtomicBool::new(false), waiting: Mutex::default() }
    }

    /// Whether the current thread may wait for the database.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Whether the execution waits for a reader thread.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        self.waiting().is_some()
    }

    /// Waits until the engine has moved this execution to a read thread.
    pub async fn passed(&self) {
        std::future::poll_fn(|context| {
            if self.is_open() {
                return Poll::Ready(());
            }
            *self.waiting() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits until the engine has moved this execution from a read thread back to a thread of the runtime.
    pub async fn left(&self) {
        std::future::poll_fn(|context| {
            if !self.is_open() {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Runs a step of the execution on this thread, which may wait for the database.
    pub fn run<T>(&self, step: impl FnOnce() -> T) -> T {
        self.is_open.store(true, Ordering::Relaxed);
        // juniper polls a resolver again only if its waker was called.
        if let Some(resolver) = self.waiting().take() {
            resolver.wake();
        }
        let done = step();
        self.is_open.store(false, Ordering::Relaxed);
        done
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Context;

    use futures_util::StreamExt as _;
    use futures_util::stream::FuturesOrdered;

    use super::*;

    #[test]
    fn a_resolver_continues_on_the_thread_that_it_waits_for() {
        let gate = ReaderGate::closed();
        let resolver = async {
            gate.passed().await;
            assert!(gate.is_open());
            gate.left().await;
            assert!(!gate.is_open());
        };
        let mut resolvers: FuturesOrdered<_> = [resolver].into_iter().collect();
        let mut next = pin!(resolvers.next());
        let mut poll = || next.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_pending() && gate.is_waited_for());
        assert!(gate.run(&mut poll).is_pending());
        assert!(!gate.is_waited_for() && poll().is_ready());
    }
}
