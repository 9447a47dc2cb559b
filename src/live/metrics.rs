//! Follows metrics: the current values first, then changes.

use super::Update;
use super::changes::{Changes, Difference};
use crate::board::{Board, Gauges};

/// The differences of one metric, or of all, by name.
pub struct MetricDifference(Option<String>);

impl Difference for MetricDifference {
    type State = Gauges;
    type Key = String;

    fn next(&self, from: &Gauges, to: &Gauges, after: Option<&String>) -> Option<(String, Update)> {
        let changed = to.values().find(|metric| {
            let is_wanted = self.0.as_ref().is_none_or(|wanted| *wanted == metric.name);
            let is_behind = after.is_none_or(|after| metric.name > *after);
            let known = from.get(&metric.name);
            is_wanted && is_behind && known.is_none_or(|known| known.value.to_bits() != metric.value.to_bits())
        });
        changed.map(|metric| (metric.name.clone(), Update::Metric(metric.clone())))
    }
}

/// Follows this metric, or all.
pub fn follow(board: &Board, metric: Option<String>) -> Changes<MetricDifference> {
    Changes::new(MetricDifference(metric), board.metrics.watch(), |gauges| gauges)
}
