//! The counters of the GraphQL engine, for the metrics endpoint.

use juniper::OperationType;

use crate::model::{Counter, Gauge};

/// The counters of one instance. Totals count since the start of the process.
#[derive(Debug, Default)]
pub struct OperationCounts {
    /// Total of accepted queries.
    pub queries: Counter,
    /// Total of accepted mutations.
    pub mutations: Counter,
    /// Total of accepted subscriptions.
    pub subscriptions: Counter,
    /// Total of operations that were refused: not valid, above a limit, or not allowed for the client.
    pub refused: Counter,
    /// Number of open subscriptions.
    pub following: Gauge,
    /// Total of subscription items that were rendered.
    pub rendered: Counter,
    /// Total of subscription items that were sent from the cache of rendered items.
    pub shared: Counter,
}

impl OperationCounts {
    /// Counts one accepted operation of this type.
    pub(super) fn begin(&self, kind: OperationType) {
        match kind {
            OperationType::Query => &self.queries,
            OperationType::Mutation => &self.mutations,
            OperationType::Subscription => &self.subscriptions,
        }
        .count();
    }
}
