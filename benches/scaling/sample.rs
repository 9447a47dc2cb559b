//! The measurements of one row.

use std::time::Duration;

use crate::counters::Counters;

pub struct Sample {
    pub duration: Duration,
    pub acknowledged: u64,
    /// Changes that the server refused, as it must.
    pub refused: u64,
    /// Time from a request to its answer, refused ones included, in microseconds. Sorted.
    latencies: Vec<u32>,
    pub cost: Counters,
}

impl Sample {
    pub fn new(duration: Duration, acknowledged: u64, refused: u64, mut latencies: Vec<u32>, cost: Counters) -> Self {
        latencies.sort_unstable();
        Self { duration, acknowledged, refused, latencies, cost }
    }

    /// Acknowledged changes per second.
    pub fn rate(&self) -> f64 {
        self.acknowledged as f64 / self.duration.as_secs_f64()
    }

    /// Acknowledged and refused changes per second.
    pub fn answer_rate(&self) -> f64 {
        self.answers() / self.duration.as_secs_f64()
    }

    pub fn answers(&self) -> f64 {
        (self.acknowledged + self.refused) as f64
    }

    /// A percentile of the latency, in milliseconds.
    pub fn percentile(&self, percent: usize) -> f64 {
        let index = self.latencies.len().saturating_sub(1) * percent / 100;
        self.latencies.get(index).map_or(f64::NAN, |latency| f64::from(*latency) / 1e3)
    }
}
