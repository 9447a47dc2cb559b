//! Computes the columns by which names are compared, for rows that lack them. Such rows come from earlier
//! versions, also while instances of an earlier version still run during an update. A changed rule gets a new
//! column, which its migration adds empty, so no row keeps a value of the old rule.

use diesel::connection::SimpleConnection as _;

use super::connection::{Db, map_error};
use super::{channels, users};
use crate::error::Result;

/// Maximum number of rows of each table that are updated in one transaction.
const MAX_STEP_ROWS: i64 = 500;

/// Computes the columns by which names are compared, for up to [`MAX_STEP_ROWS`] users and as many channels that
/// lack them. Returns whether more rows may lack them.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn fill_batch(db: &mut Db) -> Result<bool> {
    let filled = users::fill_name_keys(db, MAX_STEP_ROWS)?.max(channels::fill_name_keys(db, MAX_STEP_ROWS)?);
    Ok(i64::try_from(filled) == Ok(MAX_STEP_ROWS))
}

/// Computes the columns by which names are compared for all rows that lack them. Uses short transactions, so that
/// other processes can write in between.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn fill_all(db: &mut Db) -> Result<()> {
    while users::has_missing_name_keys(db)? || channels::has_missing_name_keys(db)? {
        let begin = match db {
            Db::Sqlite(_) => "BEGIN IMMEDIATE",
            Db::Postgres(_) => "BEGIN",
        };
        db.batch_execute(begin).map_err(map_error)?;
        let filled = fill_batch(db);
        db.batch_execute(if filled.is_ok() { "COMMIT" } else { "ROLLBACK" }).map_err(map_error)?;
        filled?;
    }
    Ok(())
}
