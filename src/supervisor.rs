//! Supervision of the tasks and threads that must run for as long as the server does. If one of them panics, the server
//! cannot do its work any more. This module then records the panic, so that `/readyz` fails and the process ends.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Records the first panic of a required task or thread. Clones share the record.
#[derive(Clone, Debug)]
pub struct Supervisor(Arc<watch::Sender<Option<PanicReport>>>);

/// The first panic of a required task or thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanicReport {
    /// The task or thread that panicked, such as "the writer".
    pub part: &'static str,
    /// The message of the panic.
    pub message: Arc<str>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Supervisor {
    /// Wraps the work of a required thread. If `work` panics, the panic is recorded and `then` runs, which can release
    /// callers that wait for the thread.
    pub fn thread(
        &self,
        part: &'static str,
        work: impl FnOnce() + Send + 'static,
        then: impl FnOnce() + Send + 'static,
    ) -> impl FnOnce() + Send + 'static {
        let vitals = self.clone();
        move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                vitals.record(part, &*panic);
                then();
            }
        }
    }

    /// Spawns a required task. Aborting the task is not recorded as a fault.
    pub fn spawn(&self, part: &'static str, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let vitals = self.clone();
        tokio::spawn(async move {
            if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
                vitals.record(part, &*panic);
            }
        })
    }

    fn record(&self, part: &'static str, panic: &(dyn Any + Send)) {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        let message: Arc<str> = text.unwrap_or("no message").into();
        tracing::error!(part, %message, "a required part of the server panicked; the server cannot continue");
        self.0.send_if_modified(|fault| {
            let is_first = fault.is_none();
            fault.get_or_insert(PanicReport { part, message });
            is_first
        });
    }

    /// The first recorded panic, if there is one.
    #[must_use]
    pub fn fault(&self) -> Option<PanicReport> {
        self.0.borrow().clone()
    }

    /// Waits until the first panic is recorded.
    pub async fn faulted(&self) -> PanicReport {
        let mut faults = self.0.subscribe();
        loop {
            if let Some(fault) = faults.borrow_and_update().clone() {
                return fault;
            }
            // `self` holds the sender, so the channel cannot close while this waits.
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
    async fn the_first_panic_is_recorded_and_a_normal_end_is_not() {
        let vitals = Supervisor::default();
        vitals.spawn("a task that ends", async {}).await.expect("the task ends");
        let aborted = vitals.spawn("a task that is aborted", std::future::pending());
        aborted.abort();
        drop(aborted.await);
        vitals.thread("a thread that ends", || {}, || panic!("a normal end is not a fault"))();
        assert_eq!(vitals.fault(), None);

        let waiting = tokio::spawn({
            let vitals = vitals.clone();
            async move { vitals.faulted().await }
        });
        let (notify, notified) = std::sync::mpsc::channel();
        vitals.thread("the thread", || panic!("on purpose, {}", 1), move || notify.send(()).expect("a receiver"))();
        notified.recv().expect("`then` runs after a panic");
        vitals.spawn("the task", async { panic!("too late") }).await.expect("the panic is caught");
        let expected = PanicReport { part: "the thread", message: "on purpose, 1".into() };
        assert_eq!((waiting.await.expect("a fault"), vitals.fault()), (expected.clone(), Some(expected)));
    }
}
