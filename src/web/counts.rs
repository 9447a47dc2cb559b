//! What the door counts, for operators.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::model::{Counter, Gauge};

/// What came through the door of this instance.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections that were let in.
    pub accepted: Counter,
    /// Connections that were turned away because the house was full.
    pub refused: Counter,
    /// GraphQL sockets.
    pub graphql: Road,
    /// Plain JSON sockets.
    pub plain: Road,
    /// Streams of events.
    pub sse: Road,
    /// Sockets that were closed by the server, by code: too rare for a lock to matter.
    closes: Mutex<BTreeMap<u16, u64>>,
}

/// One of the roads on which events reach their readers.
#[derive(Debug, Default)]
pub struct Road {
    /// Lines that are open.
    pub open: Gauge,
    /// What was handed over on them: events, checkpoints, live values.
    pub deliveries: Counter,
}

impl Counts {
    /// A socket was closed with this code.
    pub fn close(&self, code: u16) {
        *self.closes.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    /// How many were closed, by code.
    pub fn closes(&self) -> BTreeMap<u16, u64> {
        self.closes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
