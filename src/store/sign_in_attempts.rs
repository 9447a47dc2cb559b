//! Sign-in attempts, counted across all instances.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::schema::sign_in_attempts::{at, dsl, key};
use crate::error::Result;
use crate::model::Timestamp;

/// Counts the sign-in attempts for each of these keys within `span` before and after `now`, and returns the time of the
/// first one. Times after `now` come from instances whose clocks are slightly ahead. Attempts still later come from a
/// clock that has been set back since, and do not count.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn counts(
    db: &mut Db,
    keys: &BTreeSet<String>,
    span: Duration,
    now: Timestamp,
) -> Result<HashMap<String, (i64, Option<Timestamp>)>> {
    let (start, end) = (now.before(span), now.after(span));
    let recent = dsl::sign_in_attempts.filter(key.eq_any(keys)).filter(at.gt(start.0)).filter(at.lt(end.0));
    let found: Vec<(String, i64, Option<i64>)> = recent
        .group_by(key)
        .select((key, diesel::dsl::count_star(), diesel::dsl::min(at)))
        .load(db)
        .map_err(map_error)?;
    let mut counts: HashMap<_, _> = keys.iter().map(|one| (one.clone(), (0, None))).collect();
    counts.extend(found.into_iter().map(|(one, count, first)| (one, (count, first.map(Timestamp)))));
    Ok(counts)
}

/// Records sign-in attempts. A key is a hash of the client address and the username.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn add(db: &mut Db, keys: &[String], now: Timestamp) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let attempts: Vec<_> = keys.iter().map(|attempt_key| (key.eq(attempt_key), at.eq(now.0))).collect();
    let inserted = match db {
        // One by one: for several rows, diesel would begin a transaction of its own.
        Db::Sqlite(connection) => attempts.into_iter().try_for_each(|attempt| {
            diesel::insert_into(dsl::sign_in_attempts).values(attempt).execute(connection).map(drop)
        }),
        Db::Postgres(connection) => {
            diesel::insert_into(dsl::sign_in_attempts).values(attempts).execute(connection).map(drop)
        }
    };
    inserted.map_err(map_error)
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
