//! A consistent view of the database: everything read through one snapshot belongs together.

use diesel::connection::SimpleConnection;
use diesel::r2d2::PooledConnection;

use super::connection::{Connector, Db, fault};
use crate::error::Result;

/// One read transaction on one pooled connection; ends when dropped. Belongs on a thread that
/// may block.
pub struct Snapshot(PooledConnection<Connector>);

impl Snapshot {
    pub(super) fn open(mut connection: PooledConnection<Connector>) -> Result<Self> {
        let begin = match &*connection {
            Db::Sqlite(_) => "BEGIN DEFERRED",
            Db::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        connection.batch_execute(begin).map_err(fault)?;
        Ok(Self(connection))
    }

    /// The connection to read from.
    pub fn db(&mut self) -> &mut Db {
        &mut self.0
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Err(error) = self.0.batch_execute("ROLLBACK") {
            tracing::debug!(%error, "a snapshot did not end cleanly");
        }
    }
}
