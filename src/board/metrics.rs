//! Use cases of metrics: publish a value, and read all values.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use tokio::sync::watch;

use super::commands::{Commands, ViewerCommand};
use super::gauges::{Gauges, LatestMetrics, MAX_METRIC_NAME, is_own};
use super::idempotency::IdempotencyKey;
use super::permissions::UserState;
use super::{Viewer, validate};
use crate::error::{Error, Result};
use crate::model::{EventBody, EventKind, Metric};
use crate::store::{BatchState, Effects, Needs, NewEvent};

/// How many different metrics programs may publish. Instances that publish new ones at the same moment can exceed it by a
/// few.
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
    /// server's own metrics, or if there are 1,000 metrics already. `CONFLICT` if the key was used with another input.
    /// `FORBIDDEN` if the viewer is not an admin.
    /// `RATE_LIMITED` if the viewer's budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn publish(&self, viewer: &Viewer, name: &str, value: f64, key: Option<&str>) -> Result<Metric> {
        let author = self.commands.actor(viewer)?.user.id;
        let name = validate::identifier("metric", name, MAX_METRIC_NAME)?;
        if is_own(&name) {
            return Err(Error::input("metric", format!("{name} is the server's own")));
        }
        if !value.is_finite() {
            return Err(Error::input("value", "value must be a finite number"));
        }
        let key =
            IdempotencyKey::new(author, key, || vec!["metric".into(), name.clone(), value.to_bits().to_string()])?;
        self.commands.run(viewer, PublishMetric { name, value, key }).await
    }

    /// Watches the values of all metrics. They change at most once per second.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Gauges> {
        self.latest.subscribe()
    }
}

struct PublishMetric {
    name: String,
    value: f64,
    key: Option<IdempotencyKey>,
}

impl ViewerCommand for PublishMetric {
    type Output = Metric;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.metric(&self.name);
        self.key.iter().for_each(|key| key.needs_event(needs));
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Metric, Effects)> {
        actor.check_admin()?;
        let mut effects = state.effects();
        if let Some(first) = self.key.as_ref().map_or(Ok(None), |key| key.find_event(state))? {
            let metric = Metric { name: self.name.clone(), value: self.value, updated_at: first.at };
            return Ok((metric, effects));
        }
        let (is_known, count) = state.metric(&self.name);
        if !is_known && count >= MAX_METRICS {
            return Err(Error::input("metric", format!("there are {MAX_METRICS} metrics already")));
        }
        let metric = Metric { name: self.name.clone(), value: self.value, updated_at: state.now() };
        effects.put_metric(&metric);
        if let Some(key) = &self.key {
            // Metrics are not in the log. This event only keeps the key.
            let change = NewEvent::new(EventKind::MetricPublished, 0, Some(actor.user.id));
            effects.record(change.with_key(Some(key.to_event_key())), EventBody::None);
        }
        Ok((metric, effects))
    }
}
