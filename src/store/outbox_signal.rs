//! What the task that moves rows of the outbox and the watch of the database tell each other.
//!
//! PostgreSQL lets transactions that send notifications commit one after the other. So a program that commits often should
//! not send one for each commit. While an instance moves rows, it is awake: it looks often, and holds an advisory lock. The
//! trigger of the outbox sends a notification only if no instance holds the lock.

use tokio::sync::{Notify, watch};

/// The key of the advisory lock. The trigger `tidings_outbox_wake` has the same number.
pub(super) const AWAKE_LOCK: i64 = 8_388_346_184_940_875_618;

/// The signals in both directions.
#[derive(Debug)]
pub struct OutboxSignal {
    arrived: Notify,
    awake: watch::Sender<bool>,
    /// Whether other programs need the lock to know that an instance is awake.
    has_lock: bool,
}

impl OutboxSignal {
    /// `has_lock` tells whether the database is PostgreSQL.
    pub(super) fn new(has_lock: bool) -> Self {
        Self { arrived: Notify::new(), awake: watch::Sender::new(false), has_lock }
    }

    /// Waits until other programs may have committed rows. A signal can be lost.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Tells that other programs may have committed rows.
    pub(super) fn notify(&self) {
        self.arrived.notify_one();
    }

    /// Tells whether this instance has moved rows recently. Returns whether it must look often meanwhile. On SQLite it need
    /// not: the watch notices each commit.
    pub fn set_awake(&self, is_awake: bool) -> bool {
        let is_awake = is_awake && self.has_lock;
        self.awake.send_if_modified(|before| std::mem::replace(before, is_awake) != is_awake);
        is_awake
    }

    /// Whether this instance is awake, as it changes.
    pub(super) fn awake(&self) -> watch::Receiver<bool> {
        self.awake.subscribe()
    }
}
