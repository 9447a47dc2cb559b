//! Writing in batches: the commands of a batch name what they need, all of it is read together, each command decides in
//! memory, and all effects are written together. So the number of statements does not depend on the number of commands
//! on PostgreSQL.
//!
//! On SQLite, a batch is one transaction that excludes other writers from its beginning. On PostgreSQL, a batch usually
//! reads and decides without a lock, and one statement then locks the log head, checks what was decided on, writes and
//! commits. If that has changed, nothing is written, and the batch reads and decides again.

mod attempt;
mod decide;
mod effects;
mod lookups;
mod needs;
mod numbers;
mod outcome;
mod queued_command;
mod read_postgres;
mod read_sqlite;
mod singles;
mod state;
#[cfg(test)]
mod test_command;
#[cfg(test)]
mod test_tables;
mod transaction;
mod write_postgres;
mod write_sqlite;

use std::time::Duration;

pub(super) use attempt::{Attempt, attempt};
pub use effects::{Effects, NewEvent, NewMessageRow, NewNotificationRow, NotificationText, SingleWrite};
pub use needs::Needs;
pub use numbers::{Numbers, Settle};
pub(super) use outcome::{BatchError, Unresolved, find_written};
pub(super) use queued_command::{PendingCommand, QueuedCommand};
pub use state::{BatchState, OrganizationRows};
#[cfg(test)]
pub use test_command::TestCommand;
#[cfg(test)]
pub use test_tables::{DecidedBatch, SqliteMirror, TestAnswer, TestQueue, TestTables};

use crate::error::Result;
use crate::model::{Cursor, LoggedEvent, Seq};

/// A change that a use case wants. It may decide several times: if the batch is repeated, on newer rows.
pub trait WriteCommand: Send + 'static {
    /// What the caller gets after the commit.
    type Output: Settle + Send + 'static;

    /// Names the rows that the command decides on.
    fn needs(&self, needs: &mut Needs);

    /// Decides on the state that the commands before it in the batch have left. It returns what the caller gets and the
    /// effects to write, which continue [`BatchState::effects`].
    ///
    /// # Errors
    /// Why the change is refused. Then the command writes nothing.
    fn decide(&self, state: &BatchState) -> Result<(Self::Output, Effects)>;
}

/// The events of one committed transaction.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The log head before the batch. The first event of the batch follows it without a gap. `None` if other instances
    /// have committed since the batch was decided, so that the tag is not known.
    pub after: Option<Cursor>,
    /// The events in log order, without gaps.
    pub events: Vec<LoggedEvent>,
    end: Cursor,
}

impl Batch {
    /// The batch with these events, the first of which follows `after`. `None` if there are no events.
    pub(crate) fn new(after: Option<Cursor>, events: Vec<LoggedEvent>) -> Option<Self> {
        let end = events.last()?.event.cursor;
        Some(Self { after, events, end })
    }

    /// The cursor of the last event.
    #[must_use]
    pub fn end(&self) -> Cursor {
        self.end
    }
}

/// Receives committed batches, and tells the writer how far this instance has applied the log. The log tailer
/// implements it.
pub trait CommitSink: Send + 'static {
    /// Called after each COMMIT that has events, in commit order, on the writer thread, before the callers are answered.
    fn committed(&mut self, batch: Batch);

    /// Called after each COMMIT that has written something but no events, on the writer thread, before the caller is
    /// answered.
    fn committed_without_events(&mut self) {}

    /// The position up to which this instance has applied the log, permissions included. `None` if the commands
    /// of this store check no permissions.
    fn position(&mut self) -> Option<Cursor> {
        None
    }

    /// Blocks until the applied position is no longer `position` and is at least `seq`, or until `patience` has
    /// passed.
    fn wait(&mut self, position: Cursor, seq: Seq, patience: Duration) {
        let _ = (position, seq, patience);
    }
}
