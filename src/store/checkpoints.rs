//! Checkpoints of SQLite's write-ahead log on a separate thread. By default the writer would make one after
//! every 1,000 pages, which would delay the changes of that moment.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;

use super::connection::{ConnectionUse, Connector, DatabaseTarget, Db, map_error};
use super::sqlite_files::sidecar;
use crate::error::{Error, Result};
use crate::supervisor::Supervisor;

/// How often the size of the write-ahead log is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Minimum size of the write-ahead log, in bytes, for a checkpoint.
const MIN_WAL_BYTES: u64 = 4 << 20;

/// Handle to the checkpoint thread. Dropping it stops the thread.
pub struct Checkpoints {
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Checkpoints {
    /// Starts the thread if the database is SQLite.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be opened; `INTERNAL_SERVER_ERROR` if the thread cannot be started.
    pub fn start(connector: &Connector, vitals: &Supervisor) -> Result<Self> {
        let DatabaseTarget::Sqlite(path) = connector.place() else { return Ok(Self { running: None }) };
        let wal = sidecar(path, "-wal");
        let db = connector.with_own_counts().open(ConnectionUse::Reading)?;
        let (stop_sender, stop) = channel();
        let thread = std::thread::Builder::new().name("checkpoints".into());
        let work = vitals.thread("the checkpoint thread", move || run_checkpoints(db, &wal, &stop), || {});
        let thread = thread.spawn(work).map_err(Error::internal)?;
        Ok(Self { running: Some((stop_sender, thread)) })
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        if let Some((stop_sender, thread)) = self.running.take() {
            drop(stop_sender);
            drop(thread.join());
        }
    }
}

fn run_checkpoints(mut db: Db, wal: &Path, stop: &Receiver<()>) {
    let mut checkpointed = None;
    while stop.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let Ok(wal) = std::fs::metadata(wal) else { continue };
        let state = wal.modified().ok();
        // The file keeps its size after a checkpoint. Its modification time shows whether there were writes
        // since the last one.
        if wal.len() < MIN_WAL_BYTES || state == checkpointed {
            continue;
        }
        match db.batch_execute("PRAGMA wal_checkpoint(PASSIVE)") {
            Ok(()) => checkpointed = state,
            Err(error) => tracing::debug!(error = %map_error(error), "checkpoint failed; trying again later"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The writer itself checkpoints only when the write-ahead log has 64 MiB.
    #[test]
    fn the_write_ahead_log_is_checkpointed_without_the_writer() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("t.db");
        let connector = Connector::new(DatabaseTarget::Sqlite(path.as_path().into()));
        let mut writer = connector.open(ConnectionUse::Writing).expect("a database");
        let _checkpoints = Checkpoints::start(&connector, &Supervisor::default()).expect("a thread");
        writer.batch_execute("CREATE TABLE t (b BLOB); INSERT INTO t VALUES (zeroblob(6000000))").expect("written");
        let since = std::time::Instant::now();
        while std::fs::metadata(&path).expect("a file").len() < 6_000_000 {
            assert!(since.elapsed() < Duration::from_secs(30), "the data is still only in the write-ahead log");
            std::thread::sleep(CHECK_INTERVAL);
        }
    }
}
