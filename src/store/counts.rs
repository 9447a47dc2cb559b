//! Metrics of the writer.

use crate::model::{Counter, Histogram};

/// Counters and histograms of this instance's writer.
#[derive(Debug)]
pub struct WriterCounts {
    /// Number of commands in each committed batch.
    pub commands: Histogram,
    /// Duration of the writes and the commit of each batch, in seconds.
    pub commits: Histogram,
    /// Number of batches that failed: rolled back, or lost with their connection.
    pub failures: Counter,
    /// How many times a batch decided again, because another one had changed what it was decided on.
    pub outdated: Counter,
    /// Number of events written.
    pub events: Counter,
}

impl Default for WriterCounts {
    fn default() -> Self {
        Self {
            commands: Histogram::new(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]),
            commits: Histogram::new(&[0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]),
            failures: Counter::default(),
            outdated: Counter::default(),
            events: Counter::default(),
        }
    }
}
