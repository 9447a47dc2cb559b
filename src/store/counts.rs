//! What the writer counts, for operators.

use crate::model::{Counter, Histogram};

/// What the writer of this instance did.
#[derive(Debug)]
pub struct Counts {
    /// How many commands were committed together.
    pub commands: Histogram,
    /// How long each COMMIT took, in seconds.
    pub commits: Histogram,
    /// How often a batch was rolled back, or lost with its connection.
    pub failures: Counter,
    /// How many events were written.
    pub events: Counter,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            commands: Histogram::new(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]),
            commits: Histogram::new(&[0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]),
            failures: Counter::default(),
            events: Counter::default(),
        }
    }
}
