//! How often somebody tried to sign in, counted by all instances together.

use std::time::Duration;

use diesel::prelude::*;

use super::connection::{Db, fault};
use super::schema::sign_in_attempts::{at, dsl, key};
use crate::error::Result;
use crate::model::Timestamp;

/// How many attempts there were in a span before now, and when the first of them was. As long after now is counted, too:
/// the clocks of the instances differ a little. What is later still is of a clock that was set back meanwhile.
///
/// # Errors
/// Those of the database.
pub fn within(db: &mut Db, whose: &str, span: Duration, now: Timestamp) -> Result<(i64, Option<Timestamp>)> {
    let (start, end) = (now.before(span), now.after(span));
    let recent = dsl::sign_in_attempts.filter(key.eq(whose)).filter(at.gt(start.0)).filter(at.lt(end.0));
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

/// Forgets those that no longer count.
///
/// # Errors
/// Those of the database.
pub fn forget(db: &mut Db, span: Duration, now: Timestamp) -> Result<()> {
    let counts_for_nothing = at.lt(now.before(span).0).or(at.gt(now.after(span).0));
    diesel::delete(dsl::sign_in_attempts.filter(counts_for_nothing)).execute(db).map_err(fault)?;
    Ok(())
}
