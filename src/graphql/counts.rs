//! What the engine counts, for operators.

use juniper::OperationType;

use crate::model::{Counter, Gauge};

/// What the engine of this instance did.
#[derive(Debug, Default)]
pub struct Counts {
    /// Queries that were begun.
    pub queries: Counter,
    /// Mutations.
    pub mutations: Counter,
    /// Subscriptions.
    pub subscriptions: Counter,
    /// Operations that were not begun: wrong, too large, or not for this caller.
    pub refused: Counter,
    /// Subscriptions that are open.
    pub following: Gauge,
    /// Items of subscriptions that were rendered.
    pub rendered: Counter,
    /// Items that somebody else had rendered.
    pub shared: Counter,
}

impl Counts {
    /// One operation of this kind.
    pub(super) fn begin(&self, kind: OperationType) {
        match kind {
            OperationType::Query => &self.queries,
            OperationType::Mutation => &self.mutations,
            OperationType::Subscription => &self.subscriptions,
        }
        .count();
    }
}
