//! How often somebody tried to sign in, counted by all instances together.

use diesel::prelude::*;

use super::connection::{Db, fault};
use super::schema::sign_in_attempts::{at, dsl, key};
use crate::error::Result;
use crate::model::Timestamp;

/// How many attempts there were since then, and when the first of them was.
///
/// # Errors
/// Those of the database.
pub fn since(db: &mut Db, whose: &str, start: Timestamp) -> Result<(i64, Option<Timestamp>)> {
    let recent = dsl::sign_in_attempts.filter(key.eq(whose)).filter(at.gt(start.0));
    let (count, first): (i64, Option<i64>) =
        recent.select((diesel::dsl::count_star(), diesel::dsl::min(at))).first(db).map_err(fault)?;
    Ok((count, first.map(Timestamp)))
}

/// Counts one.
///
/// # Errors
/// Those of the database.
pub fn add(db: &mut Db, whose: &str, now: Timestamp) -> Result<()> {
    let attempt = (key.eq(whose), at.eq(now.0));
    diesel::insert_into(dsl::sign_in_attempts).values(attempt).execute(db).map_err(fault)?;
    Ok(())
}

/// Forgets those before some time.
///
/// # Errors
/// Those of the database.
pub fn forget(db: &mut Db, before: Timestamp) -> Result<()> {
    diesel::delete(dsl::sign_in_attempts.filter(at.lt(before.0))).execute(db).map_err(fault)?;
    Ok(())
}
