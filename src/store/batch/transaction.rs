//! The transaction of a batch that locks the log head.

use diesel::connection::SimpleConnection;
use diesel::result::Error as DieselError;

use crate::error::Result;
use crate::store::connection::{Db, unreachable};

/// Begins a transaction and locks the log head.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable or another process keeps the lock.
pub fn begin_and_lock_head(db: &mut Db) -> Result<()> {
    let begin = match db {
        Db::Sqlite(_) => "BEGIN IMMEDIATE",
        Db::Postgres(_) => "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT FROM log_head FOR UPDATE",
    };
    let begun: Result<(), DieselError> = db.batch_execute(begin);
    begun.map_err(unreachable).inspect_err(|_| roll_back(db))
}

/// Rolls back the transaction.
pub fn roll_back(db: &mut Db) {
    if let Err(error) = db.batch_execute("ROLLBACK") {
        tracing::debug!(%error, "ROLLBACK failed");
    }
}
