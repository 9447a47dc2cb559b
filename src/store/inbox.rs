//! Announcements of log heads by other processes, until the log tailer takes them.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::outbox_signal::OutboxSignal;
use crate::model::Cursor;

/// Maximum number of announced heads that are kept for the log tailer. If there are more, the tailer reads the
/// log anyway.
const MAX_HEADS: usize = 64;

/// What is known about commits of other processes since the tailer last asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSignal {
    /// Other processes announced these log heads, in no particular order. Tags are needed to compare them: a
    /// lower number may be the head of another history of the log.
    Heads(Vec<Cursor>),
    /// The log may have changed; the tailer must read it.
    Something,
}

/// Collects announcements until the log tailer asks for them.
#[derive(Debug)]
pub struct Inbox {
    pending: Mutex<LogSignal>,
    arrived: Notify,
    /// For the task that moves rows of the outbox.
    outbox: Arc<OutboxSignal>,
}

impl Inbox {
    /// An inbox without announcements. `outbox` is notified when rows of the outbox may have been committed.
    pub fn new(outbox: Arc<OutboxSignal>) -> Self {
        Self { pending: Mutex::new(LogSignal::Heads(Vec::new())), arrived: Notify::new(), outbox }
    }

    /// The signals of the outbox.
    pub fn outbox(&self) -> &Arc<OutboxSignal> {
        &self.outbox
    }

    /// Adds a head that another process announced; `None` means that the log may have changed by an unknown
    /// amount.
    pub fn notify(&self, head: Option<Cursor>) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *pending, head) {
            (LogSignal::Heads(heads), Some(head)) if heads.len() < MAX_HEADS => heads.push(head),
            (pending, _) => *pending = LogSignal::Something,
        }
        self.arrived.notify_one();
    }

    pub(super) async fn take(&self) -> LogSignal {
        self.arrived.notified().await;
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *pending, LogSignal::Heads(Vec::new()))
    }
}
