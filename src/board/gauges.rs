//! The current values of metrics. A metric is a number with a name, and only its newest value is kept. Programs publish
//! some metrics, and the server computes others. Subscribers get the current values first, then changes, at most one
//! per second and metric.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::model::{Metric, Timestamp};

/// Distinct users connected on all instances.
pub const ACTIVE_USERS: &str = "active_users";
/// Tickets in public channels with the status `OPEN`.
pub const OPEN_TICKETS: &str = "open_tickets";
/// Messages posted within the last minute.
pub const MESSAGES_PER_MINUTE: &str = "messages_per_minute";

/// The longest name of a metric, in characters.
pub const MAX_METRIC_NAME: usize = 100;

/// Every metric by name.
pub type Gauges = Arc<BTreeMap<String, Metric>>;

/// The current values of all metrics. Subscribers receive changes at most once per second.
pub struct LatestMetrics(watch::Sender<Gauges>);

impl Default for LatestMetrics {
    fn default() -> Self {
        Self(watch::Sender::new(Gauges::default()))
    }
}

/// Whether the server itself computes the metric with this name.
#[must_use]
pub fn is_own(name: &str) -> bool {
    [ACTIVE_USERS, MESSAGES_PER_MINUTE, OPEN_TICKETS].contains(&name)
}

impl LatestMetrics {
    /// Watches the current values.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Gauges> {
        self.0.subscribe()
    }

    /// The metrics that the server computes itself, with the values that subscribers received last.
    #[must_use]
    pub fn own(&self) -> Vec<Metric> {
        self.0.borrow().values().filter(|metric| is_own(&metric.name)).cloned().collect()
    }

    /// The current values.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Arc::clone(&self.0.borrow())
    }

    /// Replaces all values and notifies the subscribers if any value changed. A server metric with an unchanged value
    /// keeps its time.
    pub fn show(&self, published: Vec<Metric>, own: [(&'static str, f64); 3]) {
        let known = self.gauges();
        let now = Timestamp::now();
        let own = own.into_iter().map(|(name, value)| Metric { name: name.into(), value, updated_at: now });
        let all = own.map(|metric| match known.get(&metric.name) {
            Some(same) if same.value.to_bits() == metric.value.to_bits() => same.clone(),
            _ => metric,
        });
        let next: BTreeMap<String, Metric> =
            published.into_iter().chain(all).map(|metric| (metric.name.clone(), metric)).collect();
        if next != *known {
            self.0.send_replace(Arc::new(next));
        }
    }
}
