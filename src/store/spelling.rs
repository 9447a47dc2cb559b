//! What names are compared by, for rows that do not have it yet: those of earlier versions, and those that an instance of
//! such a version writes while others are updated already. A rule that changes gets a column of its own, which a migration
//! adds empty: so no row keeps what an earlier rule made.

use diesel::connection::SimpleConnection as _;

use super::connection::{Db, fault};
use super::{channels, users};
use crate::error::Result;
use crate::unicode;

/// How many rows are filled in one transaction.
const STEP: i64 = 500;

/// The skeleton as it is kept: never empty, which would mean that it is still to be computed.
pub(super) fn kept_skeleton(name: &str) -> String {
    let skeleton = unicode::skeleton(name);
    if skeleton.is_empty() { "\u{FFFD}".into() } else { skeleton }
}

/// The same for what [`unicode::look`] makes of a name.
pub(super) fn kept_look(name: &str) -> String {
    let look = unicode::look(name);
    if look.is_empty() { "\u{FFFD}".into() } else { look }
}

/// Fills some of the rows; answers whether there may be more.
///
/// # Errors
/// Those of the database.
pub fn fill_some(db: &mut Db) -> Result<bool> {
    let filled = users::fill(db, STEP)?.max(channels::fill(db, STEP)?);
    Ok(i64::try_from(filled) == Ok(STEP))
}

/// Fills all rows, in short transactions between those of others.
///
/// # Errors
/// Those of the database.
pub(super) fn fill_all(db: &mut Db) -> Result<()> {
    while users::is_unfilled(db)? || channels::is_unfilled(db)? {
        let begin = match db {
            Db::Sqlite(_) => "BEGIN IMMEDIATE",
            Db::Postgres(_) => "BEGIN",
        };
        db.batch_execute(begin).map_err(fault)?;
        let filled = fill_some(db);
        db.batch_execute(if filled.is_ok() { "COMMIT" } else { "ROLLBACK" }).map_err(fault)?;
        filled?;
    }
    Ok(())
}
