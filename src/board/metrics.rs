//! Metrics: numbers by name, of which only the newest counts. Programs publish some; the server adds
//! its own. Readers get the current value first, then changes, at most one a second of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Board, Viewer, text};
use crate::error::{Error, Result};
use crate::model::{Metric, Timestamp};
use crate::store::metrics;

/// Distinct users connected on all instances.
pub const ACTIVE_USERS: &str = "active_users";
/// Tickets in public channels with the status `OPEN`.
pub const OPEN_TICKETS: &str = "open_tickets";
/// Messages posted within the last minute.
pub const MESSAGES_PER_MINUTE: &str = "messages_per_minute";

/// The longest name, in characters.
pub const MAX_METRIC_NAME: usize = 100;
/// So many may be published.
const MAX_METRICS: i64 = 1_000;

/// Every metric by name.
pub type Gauges = Arc<BTreeMap<String, Metric>>;

/// What the metrics are, as readers are told once a second.
pub struct Metrics(watch::Sender<Gauges>);

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

impl Board {
    /// Publishes a metric's new value.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `FORBIDDEN`, `RATE_LIMITED`.
    pub async fn publish_metric(&self, viewer: &Viewer, name: &str, value: f64) -> Result<Metric> {
        self.actor(viewer)?;
        let name = text::identifier("metric", name, MAX_METRIC_NAME)?;
        if [ACTIVE_USERS, OPEN_TICKETS, MESSAGES_PER_MINUTE].contains(&name.as_str()) {
            return Err(Error::input("metric", format!("{name} is the server's own")));
        }
        if !value.is_finite() {
            return Err(Error::input("value", "value must be a finite number"));
        }
        let viewer = viewer.clone();
        self.store
            .write(move |tx| {
                viewer.admin()?;
                if !metrics::is_known(tx.read(), &name)? && metrics::count(tx.read())? >= MAX_METRICS {
                    return Err(Error::input("metric", format!("there are {MAX_METRICS} metrics already")));
                }
                let metric = Metric { name: name.clone(), value, updated_at: tx.now() };
                metrics::put(tx.write(), &metric)?;
                Ok(metric)
            })
            .await
    }

    /// The server's own metrics, as readers were told last.
    #[must_use]
    pub fn own_metrics(&self) -> Vec<Metric> {
        let gauges = self.metrics.gauges();
        let own = [ACTIVE_USERS, MESSAGES_PER_MINUTE, OPEN_TICKETS];
        own.iter().filter_map(|name| gauges.get(*name)).cloned().collect()
    }

    /// The newest values of all metrics, once a second at most.
    #[must_use]
    pub fn watch_metrics(&self) -> watch::Receiver<Gauges> {
        self.metrics.0.subscribe()
    }
}
