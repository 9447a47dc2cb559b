//! Brings what is in SQLite's log of writes to its place in the file, beside the writer. SQLite would have the writer do
//! it, after every thousand pages, and each change of that moment would wait for it.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;

use super::connection::{ConnectionUse, Connector, Db, Place, map_error};
use super::files::sidecar;
use crate::error::{Error, Result};
use crate::vitals::Vitals;

/// How often it is looked whether there is something to do.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// A log of writes this large, in bytes, is worth it.
const MIN_WAL_BYTES: u64 = 4 << 20;

/// The thread that does it; ends when this is dropped.
pub struct Checkpoints {
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Checkpoints {
    /// Starts it, if the database is SQLite.
    pub fn start(connector: &Connector, vitals: &Vitals) -> Result<Self> {
        let Place::Sqlite(path) = connector.place() else { return Ok(Self { running: None }) };
        let wal = sidecar(path, "-wal");
        let db = connector.with_own_counts().open(ConnectionUse::Reading)?;
        let (stop_sender, stop) = channel();
        let thread = std::thread::Builder::new().name("checkpoints".into());
        let work = vitals.thread("the thread of checkpoints", move || run_checkpoints(db, &wal, &stop), || {});
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
        // A log that was emptied keeps its size.
        if wal.len() < MIN_WAL_BYTES || state == checkpointed {
            continue;
        }
        match db.batch_execute("PRAGMA wal_checkpoint(PASSIVE)") {
            Ok(()) => checkpointed = state,
            Err(error) => tracing::debug!(error = %map_error(error), "a checkpoint has to wait"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The writer by itself would wait until its log of writes has 64 MiB.
    #[test]
    fn what_was_written_is_brought_to_its_place_beside_the_writer() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("t.db");
        let connector = Connector::new(Place::Sqlite(path.as_path().into()));
        let mut writer = connector.open(ConnectionUse::Writing).expect("a database");
        let _checkpoints = Checkpoints::start(&connector, &Vitals::default()).expect("a thread");
        writer.batch_execute("CREATE TABLE t (b BLOB); INSERT INTO t VALUES (zeroblob(6000000))").expect("written");
        let since = std::time::Instant::now();
        while std::fs::metadata(&path).expect("a file").len() < 6_000_000 {
            assert!(since.elapsed() < Duration::from_secs(30), "the data is still only in the write-ahead log");
            std::thread::sleep(CHECK_INTERVAL);
        }
    }
}
