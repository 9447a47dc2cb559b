//! What names are compared by, for rows that do not have it yet: those of earlier versions, and those that an instance of
//! such a version writes while others are updated already. A rule that changes gets a column of its own, which a migration
//! adds empty: so no row keeps what an earlier rule made.

use diesel::connection::SimpleConnection as _;

use super::connection::{Db, map_error};
use super::{channels, users};
use crate::error::Result;
use crate::unicode;

/// How many rows are filled in one transaction.
const MAX_STEP_ROWS: i64 = 500;

/// The skeleton as it is kept: never empty, which would mean that it is still to be computed.
pub(super) fn stored_skeleton(name: &str) -> String {
    let skeleton = unicode::skeleton(name);
    if skeleton.is_empty() { "\u{FFFD}".into() } else { skeleton }
}

/// The same for what [`unicode::look`] makes of a name.
pub(super) fn stored_look(name: &str) -> String {
    let look = unicode::look(name);
    if look.is_empty() { "\u{FFFD}".into() } else { look }
}

/// Fills some of the rows; answers whether there may be more.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn fill_some(db: &mut Db) -> Result<bool> {
    let filled = users::fill_name_keys(db, MAX_STEP_ROWS)?.max(channels::fill_name_keys(db, MAX_STEP_ROWS)?);
    Ok(i64::try_from(filled) == Ok(MAX_STEP_ROWS))
}

/// Fills all rows, in short transactions between those of others.
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
        let filled = fill_some(db);
        db.batch_execute(if filled.is_ok() { "COMMIT" } else { "ROLLBACK" }).map_err(map_error)?;
        filled?;
    }
    Ok(())
}
