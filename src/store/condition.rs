//! Whether the database takes changes, as the writer found it: `/readyz` says so, and the log once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a database that took no change is tried again for those who ask whether it does: strangers may ask.
const PROBE: Duration = Duration::from_secs(1);
/// For so long after a failure the database counts as bad, whatever else it takes: on a full disk, what is small may go
/// well between changes that fail.
const HOLD: Duration = Duration::from_secs(5);
/// How often the same trouble is told again.
const REMINDER: Duration = Duration::from_secs(60);

/// What databases say when it is not the statement that is wrong, and not the connection, but what they stand on. It stays
/// so until an operator does something.
const TROUBLES: [&str; 11] = [
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
const THINGS: [&str; 5] = ["file", "directory", "block", "segment", "tablespace"];

/// Whether a database says with these words that it cannot be used until an operator does something.
pub fn is_trouble(words: &str) -> bool {
    let is_gone = words.starts_with("relation \"") && words.ends_with("does not exist");
    is_gone || TROUBLES.iter().any(|known| words.contains(known)) || is_about_storage(words)
}

/// Whether PostgreSQL says that it could not do something with its files: "could not extend file "base/5/1": …".
fn is_about_storage(words: &str) -> bool {
    let Some(rest) = words.strip_prefix("could not ") else { return false };
    let what = rest.split([':', '"']).next().unwrap_or(rest);
    what.split(' ').any(|word| THINGS.contains(&word))
}

/// Whether the database takes changes.
#[derive(Debug, Default)]
pub struct Condition {
    is_bad: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
}

#[derive(Debug)]
struct Trouble {
    words: String,
    failed: Instant,
    told: Instant,
    probed: Option<Instant>,
}

impl Condition {
    /// A change failed for this reason.
    pub fn failed(&self, words: &str) {
        let mut trouble = self.trouble();
        let now = Instant::now();
        match &mut *trouble {
            Some(known) => {
                words.clone_into(&mut known.words);
                known.failed = now;
                if known.told.elapsed() < REMINDER {
                    return;
                }
                known.told = now;
            }
            None => *trouble = Some(Trouble { words: words.to_owned(), failed: now, told: now, probed: None }),
        }
        self.is_bad.store(true, Ordering::Release);
        tracing::error!(reason = words, "the database cannot be written");
    }

    /// A change was committed.
    pub fn works(&self) {
        self.works_after(HOLD);
    }

    fn works_after(&self, hold: Duration) {
        if !self.is_bad.load(Ordering::Acquire) {
            return;
        }
        if self.trouble().take_if(|trouble| trouble.failed.elapsed() >= hold).is_some() {
            self.is_bad.store(false, Ordering::Release);
            tracing::info!("the database can be written again");
        }
    }

    /// Why a change failed, if none was committed since, or it was a moment ago.
    pub fn reason(&self) -> Option<String> {
        if !self.is_bad.load(Ordering::Acquire) {
            return None;
        }
        self.trouble().as_ref().map(|trouble| trouble.words.clone())
    }

    /// Whether it is time to try again.
    pub fn is_probe_due(&self) -> bool {
        let mut trouble = self.trouble();
        let Some(trouble) = &mut *trouble else { return false };
        let is_due = trouble.probed.is_none_or(|at| at.elapsed() >= PROBE);
        if is_due {
            trouble.probed = Some(Instant::now());
        }
        is_due
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bad_from_a_failure_to_the_next_commit() {
        let condition = Condition::default();
        assert_eq!((condition.reason(), condition.is_probe_due()), (None, false));
        condition.failed("database or disk is full");
        condition.failed("database or disk is full");
        assert_eq!(condition.reason().as_deref(), Some("database or disk is full"));
        assert!(condition.is_probe_due());
        assert!(!condition.is_probe_due(), "strangers may ask as often as they like");
        condition.works();
        assert!(condition.reason().is_some(), "a small change went well");
        condition.works_after(Duration::ZERO);
        assert_eq!(condition.reason(), None);
    }

    #[test]
    fn troubles_are_told_from_faults_of_statements() {
        for words in [
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
            assert!(is_trouble(words), "{words}");
        }
        for words in [
            "column \"x\" does not exist",
            "no such column: x",
            "syntax error",
            "database is locked",
            "could not determine data type of parameter $1",
            "could not serialize access",
        ] {
            assert!(!is_trouble(words), "{words}");
        }
    }
}
