//! What the hub's task and the subscribers share.

use super::sync::{AtomicI64, AtomicU64, Mutex, Ordering, PoisonError};
use crate::model::{Cursor, Seq};

/// The state of the log at the moment of a database read.
#[derive(Debug, Clone, Copy)]
pub struct ReadAt {
    /// The value of [`Hub::era`](super::Hub::era) before the read.
    pub era: u64,
    /// The number of the newest event at the time of the read.
    pub seq: Seq,
}

/// State that the hub's task shares with all subscribers.
#[derive(Debug)]
pub struct Shared {
    head: Mutex<Cursor>,
    last_rewrite: AtomicI64,
    /// The window is the buffer of all topics. Events at or below this position are out of it: they no longer get later
    /// edits and deletions, so they must not be delivered.
    window_floor: AtomicI64,
    /// How often the log was replaced by another history. Positions of different eras cannot be compared.
    era: AtomicU64,
}

impl Shared {
    pub(super) fn new(head: Cursor) -> Self {
        let (last_rewrite, window_floor) = (AtomicI64::new(head.seq.0), AtomicI64::new(head.seq.0));
        Self { head: Mutex::new(head), last_rewrite, window_floor, era: AtomicU64::new(0) }
    }

    pub(super) fn head(&self) -> Cursor {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_head(&self, head: Cursor) {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
    }

    pub(super) fn window_floor(&self) -> Seq {
        Seq(self.window_floor.load(Ordering::Acquire))
    }

    pub(super) fn set_window_floor(&self, floor: Seq) {
        self.window_floor.store(floor.0, Ordering::Release);
    }

    pub(super) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// Records that the event at this position edits or deletes an object.
    pub(super) fn record_rewrite(&self, seq: Seq) {
        self.last_rewrite.store(seq.0, Ordering::Release);
    }

    /// Whether an object was edited or deleted after `read`, or the log has another history since.
    pub(super) fn rewritten_since(&self, read: ReadAt) -> bool {
        // The order matters: a reset changes the era before it changes `last_rewrite`.
        self.last_rewrite.load(Ordering::Acquire) > read.seq.0 || self.era() != read.era
    }

    /// Begins another history. [`Self::restart_at`] follows when all buffers are closed.
    pub(super) fn begin_era(&self) {
        self.era.fetch_add(1, Ordering::AcqRel);
    }

    /// Sets the position at which the other history goes on. The history may be shorter than the old one, so its
    /// numbers can be lower: all positions are set, not raised.
    pub(super) fn restart_at(&self, head: Cursor) {
        self.set_head(head);
        self.record_rewrite(head.seq);
        self.set_window_floor(head.seq);
    }
}
