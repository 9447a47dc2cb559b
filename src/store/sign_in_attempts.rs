//! Sign-in attempts, counted across all instances.

use std::time::Duration;

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::schema::sign_in_attempts::{at, dsl, key};
use crate::error::Result;
use crate::model::Timestamp;

/// Counts the sign-in attempts for a key within `span` before and after `now`, and returns the time of the first one.
/// Times after `now` come from instances whose clocks are slightly ahead. Attempts still later come from a clock
/// that has been set back since, and do not count.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn within(
    db: &mut Db,
    attempt_key: &str,
    span: Duration,
    now: Timestamp,
) -> Result<(i64, Option<Timestamp>)> {
    let (start, end) = (now.before(span), now.after(span));
    let recent = dsl::sign_in_attempts.filter(key.eq(attempt_key)).filter(at.gt(start.0)).filter(at.lt(end.0));
    let (count, first): (i64, Option<i64>) =
        recent.select((diesel::dsl::count_star(), diesel::dsl::min(at))).first(db).map_err(map_error)?;
    Ok((count, first.map(Timestamp)))
}

/// Records a sign-in attempt. The key is a hash of the client address and the username.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn add(db: &mut Db, attempt_key: &str, now: Timestamp) -> Result<()> {
    let attempt = (key.eq(attempt_key), at.eq(now.0));
    diesel::insert_into(dsl::sign_in_attempts).values(attempt).execute(db).map_err(map_error)?;
    Ok(())
}

/// Maximum number of attempts that one step deletes.
const MAX_STEP_ROWS: i64 = 1_000;

/// Deletes attempts that no longer count: older than `span`, or more than `span` in the future because a clock
/// was set back. Returns whether more may be left.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn delete_expired(db: &mut Db, span: Duration, now: Timestamp) -> Result<bool> {
    let is_outside_span = at.lt(now.before(span).0).or(at.gt(now.after(span).0));
    let expired = dsl::sign_in_attempts.filter(is_outside_span).order(at.asc()).select(dsl::id).limit(MAX_STEP_ROWS);
    let expired: Vec<i64> = expired.load(db).map_err(map_error)?;
    let deleted =
        diesel::delete(dsl::sign_in_attempts.filter(dsl::id.eq_any(expired))).execute(db).map_err(map_error)?;
    Ok(i64::try_from(deleted) == Ok(MAX_STEP_ROWS))
}
