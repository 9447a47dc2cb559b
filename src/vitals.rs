//! The parts of a server that must run for as long as it does: threads and tasks. If a fault ends one of them, the server
//! cannot do its work, and only a new process can: it says so, is not ready any more, and ends.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Knows whether every part of a server still runs.
#[derive(Clone, Debug)]
pub struct Vitals(Arc<watch::Sender<Option<Fault>>>);

/// The part that a fault has ended first, and what the fault said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Such as "the writer".
    pub part: &'static str,
    /// The message of the panic.
    pub message: Arc<str>,
}

impl Default for Vitals {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Vitals {
    /// What a part's thread is to do. `then` is run if a fault ends it, for those who wait for the part.
    pub fn thread(
        &self,
        part: &'static str,
        work: impl FnOnce() + Send + 'static,
        then: impl FnOnce() + Send + 'static,
    ) -> impl FnOnce() + Send + 'static {
        let vitals = self.clone();
        move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                vitals.failed(part, &*panic);
                then();
            }
        }
    }

    /// Runs a part's task. It may be aborted: that is no fault.
    pub fn spawn(&self, part: &'static str, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let vitals = self.clone();
        tokio::spawn(async move {
            if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
                vitals.failed(part, &*panic);
            }
        })
    }

    fn failed(&self, part: &'static str, panic: &(dyn Any + Send)) {
        let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        let message: Arc<str> = said.unwrap_or("no message").into();
        tracing::error!(part, %message, "a fault ended a part of the server, which cannot go on without it");
        self.0.send_if_modified(|fault| {
            let is_first = fault.is_none();
            fault.get_or_insert(Fault { part, message });
            is_first
        });
    }

    /// The first fault, if there was one.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.0.borrow().clone()
    }

    /// Waits for the first fault.
    pub async fn faulted(&self) -> Fault {
        let mut faults = self.0.subscribe();
        loop {
            if let Some(fault) = faults.borrow_and_update().clone() {
                return fault;
            }
            // The sender is held here, so this waits for as long as it must.
            if faults.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_fault_is_told_of_a_thread_or_a_task_and_what_ends_as_it_should_is_none() {
        let vitals = Vitals::default();
        vitals.spawn("a task that is done", async {}).await.expect("done");
        let aborted = vitals.spawn("a task that is stopped", std::future::pending());
        aborted.abort();
        drop(aborted.await);
        vitals.thread("a thread that is done", || {}, || panic!("it is no fault"))();
        assert_eq!(vitals.fault(), None);

        let waiting = tokio::spawn({
            let vitals = vitals.clone();
            async move { vitals.faulted().await }
        });
        let (tell, told) = std::sync::mpsc::channel();
        vitals.thread("the thread", || panic!("on purpose, {}", 1), move || tell.send(()).expect("told"))();
        told.recv().expect("those who wait for it are told");
        vitals.spawn("the task", async { panic!("too late") }).await.expect("caught");
        let expected = Fault { part: "the thread", message: "on purpose, 1".into() };
        assert_eq!((waiting.await.expect("told"), vitals.fault()), (expected.clone(), Some(expected)));
    }
}
