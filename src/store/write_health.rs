//! Whether the database accepts writes, as seen by the writer's statements. `/readyz` and the log report it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Minimum time between test writes of `/readyz`, which anonymous clients can request.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Minimum time for which the database is reported as failing. On a full disk, small writes may succeed between
/// larger ones that fail.
const MIN_FAILURE_TIME: Duration = Duration::from_secs(5);
/// How often a continuing failure is logged again.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Parts of error messages that point to the storage or the setup, not to the statement or the connection. Such
/// an error remains until an operator repairs it.
const OPERATOR_ERRORS: [&str; 11] = [
    // Messages of SQLite.
    "attempt to write a readonly database",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "database disk image is malformed",
    "file is not a database",
    "no such table",
    // Messages of PostgreSQL.
    "No space left on device",
    "in a read-only transaction",
    "permission denied for",
    "invalid page in block",
];

/// Words that mark PostgreSQL's "could not …" messages as storage errors. Matching whole messages would be
/// unreliable: on a full disk, "could not extend file" ends with either "No space left on device" or "wrote only
/// 4096 of 8192 bytes".
const STORAGE_TERMS: [&str; 5] = ["file", "directory", "block", "segment", "tablespace"];

/// Whether a database error remains until an operator repairs the database.
pub fn needs_operator(message: &str) -> bool {
    let is_deleted = message.starts_with("relation \"") && message.ends_with("does not exist");
    is_deleted || OPERATOR_ERRORS.iter().any(|known| message.contains(known)) || is_about_storage(message)
}

/// Whether this is a PostgreSQL error about its files, for example `could not extend file "base/5/1": …`.
fn is_about_storage(message: &str) -> bool {
    let Some(rest) = message.strip_prefix("could not ") else { return false };
    let subject = rest.split([':', '"']).next().unwrap_or(rest);
    subject.split(' ').any(|word| STORAGE_TERMS.contains(&word))
}

/// Tracks whether the database accepts writes. Threads share it.
#[derive(Debug, Default)]
pub struct WriteHealth {
    is_failing: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

#[derive(Debug)]
struct Failure {
    /// The database's message, with advice for the operator.
    message: String,
    /// Time of the last failed write.
    failed_at: Instant,
    /// Time of the last log line about the failure.
    logged_at: Instant,
    /// Time of the last test write.
    probed_at: Option<Instant>,
}

impl WriteHealth {
    /// Records that a write failed with this message, and logs it, at most once per [`LOG_INTERVAL`].
    pub fn record_failure(&self, message: &str) {
        let mut failure = self.failure();
        let now = Instant::now();
        match &mut *failure {
            Some(current) => {
                message.clone_into(&mut current.message);
                current.failed_at = now;
                if current.logged_at.elapsed() < LOG_INTERVAL {
                    return;
                }
                current.logged_at = now;
            }
            None => {
                let message = message.to_owned();
                *failure = Some(Failure { message, failed_at: now, logged_at: now, probed_at: None });
            }
        }
        self.is_failing.store(true, Ordering::Release);
        tracing::error!(reason = message, "database writes fail");
    }

    /// Records a committed write. It ends a failure that is older than [`MIN_FAILURE_TIME`].
    pub fn record_success(&self) {
        self.record_success_after(MIN_FAILURE_TIME);
    }

    fn record_success_after(&self, hold: Duration) {
        if !self.is_failing.load(Ordering::Acquire) {
            return;
        }
        if self.failure().take_if(|failure| failure.failed_at.elapsed() >= hold).is_some() {
            self.is_failing.store(false, Ordering::Release);
            tracing::info!("database writes succeed again");
        }
    }

    /// The message of the last failed write, or `None` if the database accepts writes.
    pub fn reason(&self) -> Option<String> {
        if !self.is_failing.load(Ordering::Acquire) {
            return None;
        }
        self.failure().as_ref().map(|failure| failure.message.clone())
    }

    /// Whether a test write is due. If so, the next one is due after [`PROBE_INTERVAL`].
    pub fn is_probe_due(&self) -> bool {
        let mut failure = self.failure();
        let Some(failure) = &mut *failure else { return false };
        let is_due = failure.probed_at.is_none_or(|at| at.elapsed() >= PROBE_INTERVAL);
        if is_due {
            failure.probed_at = Some(Instant::now());
        }
        is_due
    }

    fn failure(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_lasts_until_a_later_commit() {
        let health = WriteHealth::default();
        assert_eq!((health.reason(), health.is_probe_due()), (None, false));
        health.record_failure("database or disk is full");
        health.record_failure("database or disk is full");
        assert_eq!(health.reason().as_deref(), Some("database or disk is full"));
        assert!(health.is_probe_due());
        assert!(!health.is_probe_due(), "a second probe must wait for the interval");
        health.record_success();
        assert!(health.reason().is_some(), "a commit right after a failure does not end it");
        health.record_success_after(Duration::ZERO);
        assert_eq!(health.reason(), None);
    }

    #[test]
    fn storage_errors_are_distinguished_from_statement_errors() {
        for message in [
            "database or disk is full",
            "relation \"log_head\" does not exist",
            "permission denied for table users",
            "cannot execute UPDATE in a read-only transaction",
            "could not extend file \"base/5/1\": No space left on device",
            "could not extend file \"base/16384/16470\": wrote only 4096 of 8192 bytes at block 6691",
            "could not write block 7 of temporary file: No space left on device",
            "could not fsync file \"base/16384/16470\": Input/output error",
            "could not read blocks 1..8 in file \"base/1/2\": Input/output error",
            "could not create directory \"base/7\": No space left on device",
            "could not resize shared memory segment \"/PostgreSQL.1\" to 1048576 bytes: No space left on device",
        ] {
            assert!(needs_operator(message), "{message}");
        }
        for message in [
            "column \"x\" does not exist",
            "no such column: x",
            "syntax error",
            "database is locked",
            "could not determine data type of parameter $1",
            "could not serialize access",
        ] {
            assert!(!needs_operator(message), "{message}");
        }
    }
}
