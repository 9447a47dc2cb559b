//! The state of one instance for the removal of deleted rows. Only one instance removes rows at a time.

use tokio::sync::Notify;

/// The id with which this instance claims the removal, and the signal that wakes its task.
pub struct Remover {
    /// The random id with which this instance claims the removal of rows.
    pub(super) instance: i64,
    pub(super) pending: Notify,
}

impl Default for Remover {
    fn default() -> Self {
        Self { instance: rand::random(), pending: Notify::new() }
    }
}

impl Remover {
    /// Wakes the task that removes deleted rows. Callers call this after a deletion.
    pub fn wake(&self) {
        self.pending.notify_one();
    }
}
