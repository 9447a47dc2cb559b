//! Counters of connections and sockets, for the metrics page.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::refusal::Refusal;
use crate::graphql::ErrorCode;
use crate::model::{Counter, CountersBy, Gauge, Label as _};

/// Counters of this instance's connections.
#[derive(Debug, Default)]
pub struct ServerCounts {
    /// Open connections.
    pub connections: Gauge,
    /// Connections that were accepted.
    pub accepted: Counter,
    /// Connections that were rejected because a limit was reached.
    pub refused: Counter,
    /// GraphQL WebSockets.
    pub graphql: TransportCounts,
    /// JSON WebSockets.
    pub plain: TransportCounts,
    /// Streams of server-sent events.
    pub sse: TransportCounts,
    /// Everything that was refused, by reason.
    pub refusals: CountersBy<Refusal>,
    /// Operations that failed or were refused, by the code of their first error.
    pub errors: CountersBy<ErrorCode>,
    /// WebSockets that the server closed, by close code. They are rare, so contention on the lock does not matter.
    closes: Mutex<BTreeMap<u16, u64>>,
}

/// Counters of one transport that delivers events to clients.
#[derive(Debug, Default)]
pub struct TransportCounts {
    /// Open connections.
    pub open: Gauge,
    /// Items that were delivered: events, checkpoints and live values.
    pub deliveries: Counter,
}

impl ServerCounts {
    /// Counts and logs a refusal.
    pub fn refuse(&self, refusal: Refusal) {
        self.refusals.count(refusal);
        tracing::debug!(reason = refusal.label(), "refused: {}", refusal.meaning());
    }

    /// Counts and logs an operation that ended with this error code, and the refusal behind it if it was refused.
    pub fn fail(&self, refusal: Option<Refusal>, code: ErrorCode) {
        self.errors.count(code);
        match refusal {
            Some(refusal) => {
                self.refusals.count(refusal);
                tracing::debug!(reason = refusal.label(), code = code.label(), "refused: {}", refusal.meaning());
            }
            None => tracing::debug!(code = code.label(), "an operation failed: {}", code.meaning()),
        }
    }

    /// Counts a socket that the server closed with this code.
    pub fn close(&self, code: u16) {
        *self.closes.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    /// The number of closed sockets by close code.
    pub fn closes(&self) -> BTreeMap<u16, u64> {
        self.closes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
