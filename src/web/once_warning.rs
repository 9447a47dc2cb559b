//! Warnings about the configuration that clients can trigger at will. Only the first occurrence is logged as a warning.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether one kind of warning was logged already.
#[derive(Debug, Default)]
pub struct OnceWarning(AtomicBool);

impl OnceWarning {
    /// Whether this is the first occurrence.
    pub fn is_first(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

/// Logs an event: at level `warn` the first time, and at `debug` later. The arguments after the [`OnceWarning`] are those
/// of `tracing::warn!`.
macro_rules! warn_once {
    ($warning:expr, $($event:tt)+) => {
        if $warning.is_first() { tracing::warn!($($event)+) } else { tracing::debug!($($event)+) }
    };
}
pub(super) use warn_once;

/// Text from a client for the log: at most 100 bytes, with special characters escaped.
pub fn escaped(text: &[u8]) -> String {
    const MAX_BYTES: usize = 100;
    text[..text.len().min(MAX_BYTES)].escape_ascii().to_string()
}
