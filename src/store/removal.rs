//! Removes deleted rows in small steps. A deletion only marks a message or a channel, which hides it at once;
//! removing thousands of rows in the same transaction would delay other writers. Each step is one command of the
//! writer. A mark stays until all rows are gone, so a failed step or a restart leaves no rows behind.

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::group_range::{IdRange, InGroup};
use super::schema::{
    channel_members as members, channel_reads as reads, channels, comments, log_head, message_locations, messages,
    notifications,
};
use crate::error::Result;
use crate::model::{Seq, Timestamp};

/// Maximum number of rows that a step removes from one table.
pub const MAX_STEP_ROWS: i64 = 500;

/// Acquires or renews the lease that lets a single instance remove rows, until the time `until`. Returns whether
/// this instance holds the lease. Another instance can acquire it only after it has expired.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn claim(db: &mut Db, instance: i64, now: Timestamp, until: Timestamp) -> Result<bool> {
    let free = log_head::table.filter(log_head::removing_instance.eq(instance).or(log_head::removing_until.lt(now.0)));
    let lease = (log_head::removing_instance.eq(instance), log_head::removing_until.eq(until.0));
    Ok(diesel::update(free).set(lease).execute(db).map_err(map_error)? == 1)
}

/// Whether there are rows to remove. `oldest` is the oldest position in the log.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn is_pending(db: &mut Db, oldest: Seq) -> Result<bool> {
    Ok(!marked_messages(db, 1)?.is_empty()
        || channel_to_empty(db)?.is_some()
        || expired_channel(db, oldest)?.is_some()
        || !expired_notifications(db, oldest, 1)?.is_empty())
}

/// Removes a bounded number of rows. Returns at least how many were removed or updated; 0 if there is nothing
/// left to do. `oldest` is the oldest position in the log.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn step(db: &mut Db, now: Timestamp, oldest: Seq) -> Result<i64> {
    let marked = marked_messages(db, MAX_STEP_ROWS / 2)?;
    if !marked.is_empty() {
        return Ok(remove_messages(db, &marked)?.0);
    }
    if let Some(channel) = channel_to_empty(db)? {
        return empty_channel(db, channel, now);
    }
    if let Some(channel) = expired_channel(db, oldest)? {
        return remove_channel(db, channel);
    }
    let notification_ids = expired_notifications(db, oldest, MAX_STEP_ROWS)?;
    if notification_ids.is_empty() {
        return Ok(0);
    }
    removed_rows(diesel::delete(notifications::table.filter(notifications::id.eq_any(notification_ids))).execute(db))
}

/// Removes the rows that depend on these messages, at most [`MAX_STEP_ROWS`] of each table. Removes the messages
/// as well once no such rows are left. Returns the number of rows, and whether the messages were removed.
fn remove_messages(db: &mut Db, ids: &[i64]) -> Result<(i64, bool)> {
    let comment_ids: Vec<i64> = comments::table
        .filter(comments::message_id.eq_any(ids))
        .select(comments::id)
        .limit(MAX_STEP_ROWS)
        .load(db)
        .map_err(map_error)?;
    let mut rows = count(comment_ids.len());
    diesel::delete(comments::table.filter(comments::id.eq_any(comment_ids))).execute(db).map_err(map_error)?;
    let notification_ids: Vec<i64> = notifications::table
        .filter(notifications::message_id.is_not_null())
        .filter(notifications::message_id.eq_any(ids.iter().copied().map(Some)))
        .select(notifications::id)
        .limit(MAX_STEP_ROWS)
        .load(db)
        .map_err(map_error)?;
    rows = rows.max(count(notification_ids.len()));
    diesel::update(notifications::table.filter(notifications::id.eq_any(notification_ids)))
        .set(notifications::message_id.eq(None::<i64>))
        .execute(db)
        .map_err(map_error)?;
    rows = rows.max(remove_audiences(db, ids)?);
    if rows == MAX_STEP_ROWS {
        return Ok((rows, false));
    }
    let removed_messages = removed_rows(diesel::delete(messages::table.filter(messages::id.eq_any(ids))).execute(db))?;
    Ok((rows + removed_messages, true))
}

/// Removes up to [`MAX_STEP_ROWS`] audience rows of these messages. Returns how many.
fn remove_audiences(db: &mut Db, ids: &[i64]) -> Result<i64> {
    let pairs: Vec<(i64, i64)> = message_locations::table
        .filter(message_locations::message_id.eq_any(ids))
        .order((message_locations::message_id.asc(), message_locations::location_id.asc()))
        .select((message_locations::message_id, message_locations::location_id))
        .limit(MAX_STEP_ROWS)
        .load(db)
        .map_err(map_error)?;
    for of_message in pairs.chunk_by(|one, other| one.0 == other.0) {
        let locations = of_message.iter().map(|(_, location)| *location);
        let rows = message_locations::table
            .filter(message_locations::message_id.eq(of_message[0].0))
            .filter(message_locations::location_id.eq_any(locations));
        diesel::delete(rows).execute(db).map_err(map_error)?;
    }
    Ok(count(pairs.len()))
}

/// Messages that are marked as deleted themselves, not only by their channel.
fn marked_messages(db: &mut Db, limit: i64) -> Result<Vec<i64>> {
    messages::table
        .filter(messages::deleted_at.is_not_null())
        .order(messages::id.asc())
        .select(messages::id)
        .limit(limit)
        .load(db)
        .map_err(map_error)
}

/// A deleted channel that may still have messages.
fn channel_to_empty(db: &mut Db) -> Result<Option<i64>> {
    channels::table
        .filter(channels::deleted_at.is_not_null())
        .filter(channels::emptied_at.is_null())
        .order(channels::id.asc())
        .select(channels::id)
        .first(db)
        .optional()
        .map_err(map_error)
}

/// Removes messages of a deleted channel. Marks the channel as emptied once there are none.
fn empty_channel(db: &mut Db, channel: i64, now: Timestamp) -> Result<i64> {
    let ids: Vec<i64> = messages::table
        .filter(InGroup::new(messages::channel_id, channel, messages::id, IdRange::ALL))
        .order((messages::channel_id.asc(), messages::id.asc()))
        .select(messages::id)
        .limit(MAX_STEP_ROWS / 2)
        .load(db)
        .map_err(map_error)?;
    if !ids.is_empty() {
        return Ok(remove_messages(db, &ids)?.0);
    }
    let emptied = diesel::update(channels::table.filter(channels::id.eq(channel)));
    removed_rows(emptied.set(channels::emptied_at.eq(now.0)).execute(db))
}

/// A deleted channel without messages whose deletion is no longer in the log.
fn expired_channel(db: &mut Db, oldest: Seq) -> Result<Option<i64>> {
    channels::table
        .filter(channels::deleted_at.is_not_null())
        .filter(channels::emptied_at.is_not_null())
        .filter(channels::seq.lt(oldest.0))
        .order(channels::seq.asc())
        .select(channels::id)
        .first(db)
        .optional()
        .map_err(map_error)
}

/// Removes members and read markers of a channel, then the channel itself once there are none.
fn remove_channel(db: &mut Db, channel: i64) -> Result<i64> {
    let in_channel = members::table.filter(members::channel_id.eq(channel));
    let users: Vec<i64> = in_channel.select(members::user_id).limit(MAX_STEP_ROWS).load(db).map_err(map_error)?;
    let mut rows = count(users.len());
    diesel::delete(in_channel.filter(members::user_id.eq_any(users))).execute(db).map_err(map_error)?;
    let in_channel = reads::table.filter(reads::channel_id.eq(channel));
    let users: Vec<i64> = in_channel.select(reads::user_id).limit(MAX_STEP_ROWS).load(db).map_err(map_error)?;
    rows = rows.max(count(users.len()));
    diesel::delete(in_channel.filter(reads::user_id.eq_any(users))).execute(db).map_err(map_error)?;
    if rows < MAX_STEP_ROWS {
        rows += removed_rows(diesel::delete(channels::table.filter(channels::id.eq(channel))).execute(db))?;
    }
    Ok(rows)
}

/// Personal notifications that were read and whose event is no longer in the log.
fn expired_notifications(db: &mut Db, oldest: Seq, limit: i64) -> Result<Vec<i64>> {
    notifications::table
        .filter(notifications::user_id.is_not_null())
        .filter(notifications::read_at.is_not_null())
        .filter(notifications::seq.lt(oldest.0))
        .order(notifications::seq.asc())
        .select(notifications::id)
        .limit(limit)
        .load(db)
        .map_err(map_error)
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

fn removed_rows(rows: QueryResult<usize>) -> Result<i64> {
    rows.map(count).map_err(map_error)
}
