//! How an attempt to write a batch fails, and how to find out whether it was written after all.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;

use super::effects::Effects;
use super::numbers::{Numbers, Settle as _};
use super::transaction::{begin_and_lock_head, roll_back};
use crate::error::{Error, Result};
use crate::model::{EventKind, LoggedEvent, Seq, Tag};
use crate::store::connection::{Db, unreachable};
use crate::store::log;
use crate::store::schema::log_head;

/// Why a batch was not written.
pub enum BatchError {
    /// Nothing was written, and a retry would fail again.
    Failed(Error),
    /// Nothing was written, because the connection or a lock was lost before the commit. A retry may succeed.
    Retryable(Error),
    /// The commit failed, so it is unknown whether the batch was written.
    Unknown(Error, Box<Unresolved>),
}

/// A batch that may have been written.
pub struct Unresolved {
    /// What was written.
    pub effects: Effects,
    /// The tag of the batch, which is random.
    pub tag: Tag,
    /// The log head when the batch was read. The events of the batch are above it.
    pub read_at: Seq,
    /// How many commands have run.
    pub ran: usize,
}

impl Unresolved {
    /// Whether [`find_written`] can tell how to go on: the log contains the batch if it was written, or a repetition
    /// does no harm. At most, a sign-in attempt then counts twice.
    pub fn can_be_found(&self) -> bool {
        !self.effects.events.is_empty() || self.effects.singles.is_empty()
    }

    /// How many commands have run, and the events of the batch, which was written with these numbers.
    pub fn into_events(mut self, numbers: &Numbers) -> (usize, Vec<LoggedEvent>) {
        self.effects.settle(numbers);
        (self.ran, self.effects.events)
    }
}

impl BatchError {
    /// Classifies an error that occurred before the commit was sent.
    pub fn before_commit(error: Error) -> Self {
        if matches!(error, Error::Unavailable(_)) { Self::Retryable(error) } else { Self::Failed(error) }
    }
}

/// Whether a batch whose commit failed is in the log; returns its numbers if so. If not, the batch may be written again.
///
/// The result is final. A transaction that held the head lock has ended once this function holds it. A statement that is
/// a transaction of its own may still be on its way to the database: `log_head.fence` makes it write nothing.
///
/// # Errors
/// `UNAVAILABLE` if the head cannot be locked or written: the outcome is still unknown.
pub fn find_written(db: &mut Db, batch: &Unresolved) -> Result<Option<Numbers>> {
    begin_and_lock_head(db)?;
    // Separate from the locking statement, whose snapshot may predate the commit in question.
    let events = log::with_tag(db, batch.tag, batch.read_at).map_err(unreachable).inspect_err(|_| roll_back(db))?;
    let Some((first, ..)) = events.first() else {
        raise_fence_and_commit(db).map_err(unreachable).inspect_err(|_| roll_back(db))?;
        return Ok(None);
    };
    roll_back(db);
    let ids = |kinds: &[EventKind]| {
        let is_of_kind = |code: i16| kinds.iter().any(|kind| kind.code() == code);
        events.iter().filter(|(_, kind, ..)| is_of_kind(*kind)).map(|(_, _, object, _)| *object).collect::<Vec<_>>()
    };
    Ok(Some(Numbers {
        base: Some(first - 1),
        at: events.first().map_or(0, |(.., at)| *at),
        messages: ids(&[EventKind::MessageAdded]),
        comments: ids(&[EventKind::CommentAdded]),
        notifications: ids(&[EventKind::NotificationAdded]),
        users: Vec::new(),
        single: ids(&[EventKind::ChannelAdded, EventKind::TemplateAdded]).first().copied(),
    }))
}

/// Makes every batch outdated that was read before, on all instances. SQLite executes nothing late.
fn raise_fence_and_commit(db: &mut Db) -> QueryResult<()> {
    if let Db::Postgres(connection) = db {
        diesel::update(log_head::table).set(log_head::fence.eq(log_head::fence + 1)).execute(connection)?;
    }
    db.batch_execute("COMMIT")
}
