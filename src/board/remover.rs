//! This instance's part in the removal of deleted rows.

use tokio::sync::Notify;

/// This instance's part in the removal.
pub struct Remover {
    /// A random id of this instance, for the claim.
    pub(super) instance: i64,
    pub(super) pending: Notify,
}

impl Default for Remover {
    fn default() -> Self {
        Self { instance: rand::random(), pending: Notify::new() }
    }
}

impl Remover {
    /// Wakes the task, because rows may have to be removed.
    pub fn wake(&self) {
        self.pending.notify_one();
    }
}
