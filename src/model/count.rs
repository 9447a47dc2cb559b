//! Numbers that go up, or up and down, while the server runs: each floor keeps those of its own, and whoever prints them
//! reads. Counting takes no lock and allocates nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn count(&self) {
        self.add(1);
    }

    /// Adds so many.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// How many there were.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are now.
#[derive(Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

/// One of those that a gauge counts, as long as it is held.
#[derive(Debug)]
pub struct Counted(Arc<AtomicU64>);

impl Gauge {
    /// One more, until what this answers is dropped.
    #[must_use]
    pub fn enter(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.0))
    }

    /// How many there are.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How often something had which size.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// How many were up to each bound and above the one before it; the last are above all.
    buckets: Vec<Counter>,
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl Histogram {
    /// With these upper bounds, in ascending order.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Self { bounds, buckets, sum: AtomicU64::new(0_f64.to_bits()) }
    }

    /// One of this size.
    pub fn observe(&self, size: f64) {
        self.buckets[self.bounds.partition_point(|bound| *bound < size)].count();
        let add = |sum| Some((f64::from_bits(sum) + size).to_bits());
        let _: Result<u64, u64> = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Each bound with how many were not above it.
    pub fn cumulated(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        bounds.zip(&self.buckets).scan(0, |sum, (bound, bucket)| {
            *sum += bucket.get();
            Some((bound, *sum))
        })
    }

    /// All sizes together.
    #[must_use]
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_counts_what_is_held() {
        let gauge = Gauge::default();
        let (one, two) = (gauge.enter(), gauge.enter());
        assert_eq!(gauge.get(), 2);
        drop(one);
        assert_eq!(gauge.get(), 1);
        drop(two);
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn a_size_is_in_its_bucket_and_in_all_above() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        [0.5, 1.0, 1.5, 9.0].into_iter().for_each(|size| histogram.observe(size));
        let all: Vec<_> = histogram.cumulated().collect();
        assert_eq!(all, [(1.0, 2), (2.0, 3), (f64::INFINITY, 4)]);
        assert!((histogram.sum() - 12.0).abs() < f64::EPSILON);
    }
}
