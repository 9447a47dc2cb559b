//! Warnings about the configuration that clients can trigger at will. Only the first occurrence is logged as a warning.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

/// One warning, and whether it was logged already.
#[derive(Debug, Default)]
pub struct OnceWarning(AtomicBool);

impl OnceWarning {
    /// Logs the warning: at level `warn` the first time, and at `debug` later.
    pub fn warn(&self, what: impl Display) {
        if self.0.swap(true, Ordering::Relaxed) {
            tracing::debug!("{what}");
        } else {
            tracing::warn!("{what} (further occurrences are logged at level debug)");
        }
    }
}

/// Text from a client for the log: at most 100 bytes, with special characters escaped.
pub fn escaped(text: &[u8]) -> String {
    const MAX_BYTES: usize = 100;
    text[..text.len().min(MAX_BYTES)].escape_ascii().to_string()
}
