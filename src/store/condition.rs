//! Whether the database takes changes, as the writer found it: `/readyz` says so, and the log once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a database that took no change is tried again for those who ask whether it does: strangers may ask.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// For so long after a failure the database counts as bad, whatever else it takes: on a full disk, what is small may go
/// well between changes that fail.
const MIN_FAILURE_TIME: Duration = Duration::from_secs(5);
/// How often the same trouble is told again.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What databases say when it is not the statement that is wrong, and not the connection, but what they stand on. It stays
/// so until an operator does something.
const OPERATOR_ERRORS: [&str; 11] = [
    // SQLite.
    "attempt to write a readonly database",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "database disk image is malformed",
    "file is not a database",
    "no such table",
    // PostgreSQL.
    "No space left on device",
    "in a read-only transaction",
    "permission denied for",
    "invalid page in block",
];

/// What PostgreSQL could not use, whatever it wanted to do with it: on a full disk, for instance, it says "could not
/// extend file", and by chance either "No space left on device" or "wrote only 4096 of 8192 bytes".
const STORAGE_TERMS: [&str; 5] = ["file", "directory", "block", "segment", "tablespace"];

/// Whether a database says with these words that it cannot be used until an operator does something.
pub fn needs_operator(message: &str) -> bool {
    let is_gone = message.starts_with("relation \"") && message.ends_with("does not exist");
    is_gone || OPERATOR_ERRORS.iter().any(|known| message.contains(known)) || is_about_storage(message)
}

/// Whether PostgreSQL says that it could not do something with its files: "could not extend file "base/5/1": …".
fn is_about_storage(message: &str) -> bool {
    let Some(rest) = message.strip_prefix("could not ") else { return false };
    let what = rest.split([':', '"']).next().unwrap_or(rest);
    what.split(' ').any(|word| STORAGE_TERMS.contains(&word))
}

/// Whether the database takes changes.
#[derive(Debug, Default)]
pub struct WriteHealth {
    is_bad: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

#[derive(Debug)]
struct Failure {
    message: String,
    failed_at: Instant,
    logged_at: Instant,
    probed_at: Option<Instant>,
}

impl WriteHealth {
    /// A change failed for this reason.
    pub fn record_failure(&self, message: &str) {
        let mut failure = self.failure();
        let now = Instant::now();
        match &mut *failure {
            Some(known) => {
                message.clone_into(&mut known.message);
                known.failed_at = now;
                if known.logged_at.elapsed() < LOG_INTERVAL {
                    return;
                }
                known.logged_at = now;
            }
            None => {
                *failure =
                    Some(Failure { message: message.to_owned(), failed_at: now, logged_at: now, probed_at: None })
            }
        }
        self.is_bad.store(true, Ordering::Release);
        tracing::error!(reason = message, "the database cannot be written");
    }

    /// A change was committed.
    pub fn record_success(&self) {
        self.record_success_after(MIN_FAILURE_TIME);
    }

    fn record_success_after(&self, hold: Duration) {
        if !self.is_bad.load(Ordering::Acquire) {
            return;
        }
        if self.failure().take_if(|failure| failure.failed_at.elapsed() >= hold).is_some() {
            self.is_bad.store(false, Ordering::Release);
            tracing::info!("the database can be written again");
        }
    }

    /// Why a change failed, if none was committed since, or it was a moment ago.
    pub fn reason(&self) -> Option<String> {
        if !self.is_bad.load(Ordering::Acquire) {
            return None;
        }
        self.failure().as_ref().map(|failure| failure.message.clone())
    }

    /// Whether it is time to try again.
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
    fn it_is_bad_from_a_failure_to_the_next_commit() {
        let health = WriteHealth::default();
        assert_eq!((health.reason(), health.is_probe_due()), (None, false));
        health.record_failure("database or disk is full");
        health.record_failure("database or disk is full");
        assert_eq!(health.reason().as_deref(), Some("database or disk is full"));
        assert!(health.is_probe_due());
        assert!(!health.is_probe_due(), "strangers may ask as often as they like");
        health.record_success();
        assert!(health.reason().is_some(), "a small change went well");
        health.record_success_after(Duration::ZERO);
        assert_eq!(health.reason(), None);
    }

    #[test]
    fn troubles_are_told_from_faults_of_statements() {
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
