//! How an attempt to write a batch fails, and how to find out whether it was written after all.

use super::effects::Effects;
use super::numbers::{Numbers, Settle as _};
use super::transaction::{begin_and_lock_head, roll_back};
use crate::error::{Error, Result};
use crate::model::{EventKind, LoggedEvent, Seq, Tag};
use crate::store::connection::{Db, unreachable};
use crate::store::log;

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
    /// Whether the log contains the batch, if it was written.
    pub fn is_in_log(&self) -> bool {
        !self.effects.events.is_empty()
    }

    /// Whether writing the batch again changes nothing.
    pub fn is_repeatable(&self) -> bool {
        !self.is_in_log() && self.effects.singles.is_empty()
    }
}

impl Unresolved {
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

/// Whether a batch whose commit failed is in the log; returns its numbers if so. Once this function holds the head lock,
/// the failed transaction has ended, so the result is final.
///
/// # Errors
/// `UNAVAILABLE` if the head cannot be locked: the outcome is still unknown.
pub fn find_written(db: &mut Db, batch: &Unresolved) -> Result<Option<Numbers>> {
    begin_and_lock_head(db)?;
    // Separate from the locking statement, whose snapshot may predate the commit in question.
    let events = log::with_tag(db, batch.tag, batch.read_at).map_err(unreachable);
    roll_back(db);
    let events = events?;
    let Some((first, ..)) = events.first() else { return Ok(None) };
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
        single: ids(&[EventKind::ChannelAdded, EventKind::TemplateAdded]).first().copied(),
    }))
}
