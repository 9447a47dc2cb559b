//! Brings what is in SQLite's log of writes to its place in the file, beside the writer. SQLite would have the writer do
//! it, after every thousand pages, and each change of that moment would wait for it.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;

use super::connection::{Connector, Db, Place, Purpose, fault};
use super::files::beside;
use crate::error::{Error, Result};
use crate::vitals::Vitals;

/// How often it is looked whether there is something to do.
const INTERVAL: Duration = Duration::from_millis(100);
/// A log of writes this large, in bytes, is worth it.
const WORTH: u64 = 4 << 20;

/// The thread that does it; ends when this is dropped.
pub struct Checkpoints {
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Checkpoints {
    /// Starts it, if the database is SQLite.
    pub fn start(connector: &Connector, vitals: &Vitals) -> Result<Self> {
        let Place::Sqlite(path) = connector.place() else { return Ok(Self { running: None }) };
        let log = beside(path, "-wal");
        let db = connector.apart().open(Purpose::Reading)?;
        let (running, ends) = channel();
        let thread = std::thread::Builder::new().name("checkpoints".into());
        let work = vitals.thread("the thread of checkpoints", move || work(db, &log, &ends), || {});
        let thread = thread.spawn(work).map_err(Error::internal)?;
        Ok(Self { running: Some((running, thread)) })
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        if let Some((running, thread)) = self.running.take() {
            drop(running);
            drop(thread.join());
        }
    }
}

fn work(mut db: Db, log: &Path, ends: &Receiver<()>) {
    let mut done = None;
    while ends.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let Ok(log) = std::fs::metadata(log) else { continue };
        let state = log.modified().ok();
        // A log that was emptied keeps its size.
        if log.len() < WORTH || state == done {
            continue;
        }
        match db.batch_execute("PRAGMA wal_checkpoint(PASSIVE)") {
            Ok(()) => done = state,
            Err(error) => tracing::debug!(error = %fault(error), "a checkpoint has to wait"),
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
        let mut writer = connector.open(Purpose::Writing).expect("a database");
        let _checkpoints = Checkpoints::start(&connector, &Vitals::default()).expect("a thread");
        writer.batch_execute("CREATE TABLE t (b BLOB); INSERT INTO t VALUES (zeroblob(6000000))").expect("written");
        let since = std::time::Instant::now();
        while std::fs::metadata(&path).expect("a file").len() < 6_000_000 {
            assert!(since.elapsed() < Duration::from_secs(30), "it stays in the log of writes");
            std::thread::sleep(INTERVAL);
        }
    }
}
