//! Counters, gauges and histograms for the metrics page. Each layer owns its own instances, and `web/metrics` reads
//! them. Updating one takes no lock and allocates nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows while the server runs.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn count(&self) {
        self.add(1);
    }

    /// Adds `number`.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// The current value of the counter.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number of things that exist now, such as open sockets. It goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

/// Guard for one thing that a [`Gauge`] counts. Dropping the guard lowers the gauge by one.
#[derive(Debug)]
pub struct GaugeGuard(Arc<AtomicU64>);

impl Gauge {
    /// Raises the gauge by one until the returned guard is dropped.
    #[must_use]
    pub fn enter(&self) -> GaugeGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        GaugeGuard(Arc::clone(&self.0))
    }

    /// The current value of the gauge.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A distribution of sizes, counted in buckets with fixed upper bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One counter per bucket: sizes above the previous bound and up to this bound. The last bucket has no upper bound.
    buckets: Vec<Counter>,
    /// The sum of all sizes, as the bits of an `f64`.
    sum: AtomicU64,
}

impl Histogram {
    /// An empty histogram with these upper bounds, in ascending order.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Self { bounds, buckets, sum: AtomicU64::new(0_f64.to_bits()) }
    }

    /// Records one observation of this size.
    pub fn observe(&self, size: f64) {
        self.buckets[self.bounds.partition_point(|bound| *bound < size)].count();
        let add = |sum| Some((f64::from_bits(sum) + size).to_bits());
        let _: Result<u64, u64> = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Each upper bound, with the number of observations that are not above it. The last bound is infinity.
    pub fn cumulative_buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        bounds.zip(&self.buckets).scan(0, |sum, (bound, bucket)| {
            *sum += bucket.get();
            Some((bound, *sum))
        })
    }

    /// The sum of all observed sizes.
    #[must_use]
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_counts_the_guards_that_are_alive() {
        let gauge = Gauge::default();
        let (one, two) = (gauge.enter(), gauge.enter());
        assert_eq!(gauge.get(), 2);
        drop(one);
        assert_eq!(gauge.get(), 1);
        drop(two);
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn cumulated_counts_include_all_smaller_buckets() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        [0.5, 1.0, 1.5, 9.0].into_iter().for_each(|size| histogram.observe(size));
        let all: Vec<_> = histogram.cumulative_buckets().collect();
        assert_eq!(all, [(1.0, 2), (2.0, 3), (f64::INFINITY, 4)]);
        assert!((histogram.sum() - 12.0).abs() < f64::EPSILON);
    }
}
