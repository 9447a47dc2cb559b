//! Use cases of metrics: publish a value, and read all values.

use tokio::sync::watch;

use super::gauges::{ACTIVE_USERS, Gauges, MAX_METRIC_NAME, MESSAGES_PER_MINUTE, OPEN_TICKETS};
use super::{Board, Viewer, validate};
use crate::error::{Error, Result};
use crate::model::Metric;
use crate::store::metrics;

/// How many different metrics programs may publish.
const MAX_METRICS: i64 = 1_000;

impl Board {
    /// Publishes the new value of a metric. Only admins may do this.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` for an invalid name or value, for a name of the
    /// server's own metrics, or if there are 1,000 metrics already. `FORBIDDEN` if the viewer is not an admin.
    /// `RATE_LIMITED` if the viewer's budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn publish_metric(&self, viewer: &Viewer, name: &str, value: f64) -> Result<Metric> {
        self.actor(viewer)?;
        let name = validate::identifier("metric", name, MAX_METRIC_NAME)?;
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

    /// The metrics that the server computes itself, with the values that subscribers received last.
    #[must_use]
    pub fn own_metrics(&self) -> Vec<Metric> {
        let gauges = self.metrics.gauges();
        let own = [ACTIVE_USERS, MESSAGES_PER_MINUTE, OPEN_TICKETS];
        own.iter().filter_map(|name| gauges.get(*name)).cloned().collect()
    }

    /// Watches the values of all metrics. They change at most once per second.
    #[must_use]
    pub fn watch_metrics(&self) -> watch::Receiver<Gauges> {
        self.metrics.0.subscribe()
    }
}
