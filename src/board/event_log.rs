//! The log as this instance knows it: the positions in it, and pages of it for the command line.

use std::sync::Arc;

use crate::error::Result;
use crate::hub::{Hub, ReadAt};
use crate::model::{Cursor, Event};
use crate::store::{ReadPurpose, Store, log, log_pages};

/// The positions in the log that this instance knows.
pub struct EventLog {
    pub(super) store: Arc<Store>,
    pub(super) hub: Hub,
}

impl EventLog {
    /// The cursor of the newest event that was published to the subscribers of this instance.
    #[must_use]
    pub fn head(&self) -> Cursor {
        self.hub.head()
    }

    /// The cursor of the newest event that this instance committed or published. It can be ahead of [`Self::head`]:
    /// then subscribers have not received that event yet.
    #[must_use]
    pub fn now(&self) -> Cursor {
        let head = self.hub.head();
        self.store.positions().committed().filter(|committed| committed.seq > head.seq).unwrap_or(head)
    }

    /// How many histories of the log this instance has seen, counted from 0. The number grows after a restore, or after
    /// a failover that lost events. Positions and ids of different eras must not be compared.
    #[must_use]
    pub fn era(&self) -> u64 {
        self.hub.era()
    }

    /// The era and the head of the log, to be recorded before a read. [`Self::rewritten_since`] takes the result.
    #[must_use]
    pub fn read_at(&self) -> ReadAt {
        // Read the era first. Then the data that is read later may be newer than the recorded era, but never older.
        let era = self.hub.era();
        ReadAt { era, seq: self.hub.head().seq }
    }

    /// Whether an object was edited or deleted since `read`, or the log has another history than at that time.
    #[must_use]
    pub fn rewritten_since(&self, read: ReadAt) -> bool {
        self.hub.rewritten_since(read)
    }

    /// The lowest cursor of several subscriptions, or the head if there are none. A cursor above the head belongs to a
    /// lost history. Such a cursor is returned unchanged, so that the log rejects it. If the head were returned
    /// instead, the client would miss events.
    #[must_use]
    pub fn lowest(&self, served: impl Iterator<Item = Cursor>) -> Cursor {
        let served: Vec<Cursor> = served.collect();
        // Read the head after the cursors, because they may move in the meantime.
        let head = self.hub.head();
        let lost = served.iter().find(|cursor| cursor.seq > head.seq);
        *lost.or_else(|| served.iter().min_by_key(|cursor| cursor.seq)).unwrap_or(&head)
    }

    /// A page of the log after a cursor, and the cursor at its end, for the command line. Without a cursor it starts
    /// after the oldest one that is usable. Blocks the thread on the database.
    ///
    /// # Errors
    /// `CURSOR_EXPIRED` if the log no longer contains the cursor. `UNAVAILABLE` if the database cannot be reached.
    pub fn events_after(&self, after: Option<Cursor>) -> Result<(Vec<Event>, Cursor)> {
        let mut snapshot = self.store.snapshot(ReadPurpose::Own)?;
        let after = match after {
            Some(after) => after,
            None => log::oldest(snapshot.db())?,
        };
        log_pages::read(snapshot.db(), after)
    }
}
