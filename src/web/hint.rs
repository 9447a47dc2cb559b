//! What an operator should hear of once: clients can cause it as often as they like, so that only the first time is worth
//! a warning.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

/// One kind of thing to hear of.
#[derive(Debug, Default)]
pub struct Hint(AtomicBool);

impl Hint {
    /// Tells of it: at level `warn` the first time, at `debug` from then on.
    pub fn tell(&self, what: impl Display) {
        if self.0.swap(true, Ordering::Relaxed) {
            tracing::debug!("{what}");
        } else {
            tracing::warn!("{what} (from now on told at level debug)");
        }
    }
}

/// Text of a client for the log: short, and on one line.
pub fn shown(text: &[u8]) -> String {
    const LONGEST: usize = 100;
    text[..text.len().min(LONGEST)].escape_ascii().to_string()
}
