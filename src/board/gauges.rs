//! Metrics: numbers by name, of which only the newest counts. Programs publish some; the server adds
//! its own. Readers get the current value first, then changes, at most one a second of each.

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

/// The longest name, in characters.
pub const MAX_METRIC_NAME: usize = 100;

/// Every metric by name.
pub type Gauges = Arc<BTreeMap<String, Metric>>;

/// What the metrics are, as readers are told once a second.
pub struct Metrics(pub(super) watch::Sender<Gauges>);

impl Default for Metrics {
    fn default() -> Self {
        Self(watch::Sender::new(Gauges::default()))
    }
}

impl Metrics {
    /// What they are now.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Arc::clone(&self.0.borrow())
    }

    /// Tells the readers; one whose value is the same keeps its time.
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
