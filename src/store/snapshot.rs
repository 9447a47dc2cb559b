//! Consistent reads: all queries of a snapshot see the same state of the database.

use std::time::Instant;

use diesel::connection::SimpleConnection;
use diesel::r2d2::PooledConnection;

use super::connection::{Connector, Db, is_over_time, unreachable};
use crate::error::{Error, Result};

/// One read transaction on one pooled connection. It ends when dropped. Its queries block the thread.
pub struct Snapshot(PooledConnection<Connector>);

impl Snapshot {
    /// Begins a read transaction on a pooled connection.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the connection is dead. The pool then replaces the connection.
    pub(super) fn open(mut connection: PooledConnection<Connector>) -> Result<Self> {
        let begin = match &connection.db {
            Db::Sqlite(_) => "BEGIN DEFERRED",
            Db::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        if let Err(error) = connection.db.batch_execute(begin) {
            connection.is_broken = true;
            return Err(unreachable(error));
        }
        connection.time.set(connection.read_limit.map(|limit| Instant::now() + limit));
        Ok(Self(connection))
    }

    /// The connection to read from.
    pub fn db(&mut self) -> &mut Db {
        &mut self.0.db
    }

    /// Whether a read failed with this error because the replica that serves this snapshot failed. The primary may
    /// be able to serve the read.
    #[must_use]
    pub fn is_lost(&self, error: &Error) -> bool {
        self.0.is_replica && matches!(error, Error::Unavailable(_)) && !is_over_time(error)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Err(error) = self.0.db.batch_execute("ROLLBACK") {
            tracing::debug!(%error, "ROLLBACK of a snapshot failed; dropping the connection");
            self.0.is_broken = true;
        }
    }
}
