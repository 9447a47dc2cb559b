//! Use cases of metrics: publish a value, and read all values.

use std::sync::Arc;

use tokio::sync::watch;

use super::commands::Commands;
use super::gauges::{Gauges, LatestMetrics, MAX_METRIC_NAME, is_own};
use super::{Viewer, validate};
use crate::error::{Error, Result};
use crate::model::Metric;
use crate::store::metrics;

/// How many different metrics programs may publish.
const MAX_METRICS: i64 = 1_000;

/// The use cases of metrics.
pub struct Metrics {
    pub(super) commands: Arc<Commands>,
    pub(super) latest: Arc<LatestMetrics>,
}

impl Metrics {
    /// Publishes the new value of a metric. Only admins may do this.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` for an invalid name or value, for a name of the
    /// server's own metrics, or if there are 1,000 metrics already. `FORBIDDEN` if the viewer is not an admin.
    /// `RATE_LIMITED` if the viewer's budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn publish(&self, viewer: &Viewer, name: &str, value: f64) -> Result<Metric> {
        self.commands.actor(viewer)?;
        let name = validate::identifier("metric", name, MAX_METRIC_NAME)?;
        if is_own(&name) {
            return Err(Error::input("metric", format!("{name} is the server's own")));
        }
        if !value.is_finite() {
            return Err(Error::input("value", "value must be a finite number"));
        }
        let viewer = viewer.clone();
        self.commands
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

    /// Watches the values of all metrics. They change at most once per second.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Gauges> {
        self.latest.subscribe()
    }
}
