//! Maintenance jobs on the writer's connection: they remove or fill in rows, and record no events. So they need no lock
//! on the log head, and decide nothing that clients see.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::connection::SimpleConnection;
use tokio::sync::oneshot;

use super::batch::BatchError;
use super::connection::{Db, map_error, unreachable};
use crate::error::{Error, Result};

/// A job in the writer's queue. Its caller waits for the answer.
pub trait QueuedJob: Send {
    /// Runs the job in a transaction, and keeps its output for the answer. It may run several times (retries).
    fn run(&mut self, db: &mut Db) -> Result<(), BatchError>;

    /// Answers the caller.
    fn answer(self: Box<Self>, result: Result<()>);
}

/// A job and its caller.
pub struct PendingJob<F, T> {
    job: F,
    output: Option<T>,
    caller: oneshot::Sender<Result<T>>,
}

impl<F, T> PendingJob<F, T> {
    /// Returns the job, and the receiver of its answer.
    pub fn new(job: F) -> (Self, oneshot::Receiver<Result<T>>) {
        let (caller, answer) = oneshot::channel();
        (Self { job, output: None, caller }, answer)
    }
}

impl<T: Send, F: FnMut(&mut Db) -> Result<T> + Send> QueuedJob for PendingJob<F, T> {
    fn run(&mut self, db: &mut Db) -> Result<(), BatchError> {
        let begin = match db {
            Db::Sqlite(_) => "BEGIN IMMEDIATE",
            Db::Postgres(_) => "BEGIN ISOLATION LEVEL READ COMMITTED",
        };
        db.batch_execute(begin).map_err(|error| BatchError::Retryable(unreachable(error)))?;
        let output = catch_unwind(AssertUnwindSafe(|| (self.job)(db)));
        let output = output.unwrap_or_else(|_| Err(Error::internal("a maintenance job panicked")));
        match output {
            Ok(output) => {
                db.batch_execute("COMMIT").map_err(|error| BatchError::Failed(map_error(error)))?;
                self.output = Some(output);
                Ok(())
            }
            Err(error) => {
                if let Err(error) = db.batch_execute("ROLLBACK") {
                    tracing::debug!(%error, "ROLLBACK failed");
                }
                Err(BatchError::before_commit(error))
            }
        }
    }

    fn answer(self: Box<Self>, result: Result<()>) {
        let output = self.output.ok_or_else(|| Error::internal("a job was acknowledged without a result"));
        // An error means that the caller has stopped waiting.
        drop(self.caller.send(result.and(output)));
    }
}
