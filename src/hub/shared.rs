//! What the hub's task and the subscribers share.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::model::{Cursor, Seq};

/// State that the hub's task shares with all subscribers.
#[derive(Debug)]
pub struct Shared {
    pub(super) head: Mutex<Cursor>,
    pub(super) last_rewrite: AtomicI64,
    /// The window is the buffer of all topics. Events at or below this position are out of it: they no longer get later
    /// edits and deletions, so they must not be delivered.
    pub(super) window_floor: AtomicI64,
    /// How often the log was replaced by another history. Positions of different eras cannot be compared.
    pub(super) era: AtomicU64,
}

impl Shared {
    pub(super) fn is_in_window(&self, seq: Seq) -> bool {
        seq.0 > self.window_floor.load(Ordering::Acquire)
    }

    pub(super) fn head(&self) -> Cursor {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
