//! Deleted users: what remains to be removed of them, in small steps.
//!
//! No table has an index of what a user wrote, because each message would pay for it. So texts are found by scanning
//! tables in ranges of ids.

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::schema::{
    announcement_reads, channel_members, channel_reads, comments, events, idempotency_keys, messages, notifications,
    templates, user_removals,
};
use crate::error::Result;
use crate::model::{CommentId, EventKind, MessageId, Seq, TemplateId, UserId};

/// Maximum number of rows that a step removes from one table.
const MAX_STEP_ROWS: i64 = 500;
/// How many ids, or positions of the log, one step looks at.
pub const RANGE: i64 = 5_000;

/// What remains to be done about a deleted user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Remove the user's rows of other tables.
    Rows,
    /// Erase the user's texts first.
    Texts,
}

/// A range of ids, or of positions of the log: above the first, up to the second.
pub type IdSpan = (i64, i64);

/// A deleted user about whom something remains to be done.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn next(db: &mut Db) -> Result<Option<(UserId, Removal)>> {
    let found: Option<(i64, bool)> =
        user_removals::table.order(user_removals::user_id.asc()).first(db).optional().map_err(map_error)?;
    Ok(found.map(|(id, has_texts)| (UserId(id), if has_texts { Removal::Texts } else { Removal::Rows })))
}

/// Stores what remains to be done about a user; `None` for nothing.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn set_removal(db: &mut Db, user: UserId, removal: Option<Removal>) -> Result<()> {
    let of_user = user_removals::table.filter(user_removals::user_id.eq(user.0));
    diesel::delete(of_user).execute(db).map_err(map_error)?;
    if let Some(removal) = removal {
        let has_texts = removal == Removal::Texts;
        diesel::insert_into(user_removals::table)
            .values((user_removals::user_id.eq(user.0), user_removals::has_texts.eq(has_texts)))
            .execute(db)
            .map_err(map_error)?;
    }
    Ok(())
}

/// The highest ids of messages, comments and notifications.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn highest_ids(db: &mut Db) -> Result<[i64; 3]> {
    use diesel::dsl::max;
    let message: Option<i64> = messages::table.select(max(messages::id)).first(db).map_err(map_error)?;
    let comment: Option<i64> = comments::table.select(max(comments::id)).first(db).map_err(map_error)?;
    let notification: Option<i64> = notifications::table.select(max(notifications::id)).first(db).map_err(map_error)?;
    Ok([message, comment, notification].map(Option::unwrap_or_default))
}

/// The messages of an author in a range of ids.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn messages_of(db: &mut Db, author: UserId, (above, up_to): IdSpan) -> Result<Vec<MessageId>> {
    let ids: Vec<i64> = messages::table
        .filter(messages::id.gt(above).and(messages::id.le(up_to)))
        .filter(messages::author_id.eq(author.0).and(messages::deleted_at.is_null()))
        .order(messages::id.asc())
        .select(messages::id)
        .load(db)
        .map_err(map_error)?;
    Ok(ids.into_iter().map(MessageId).collect())
}

/// The comments of an author in a range of ids.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn comments_of(db: &mut Db, author: UserId, (above, up_to): IdSpan) -> Result<Vec<CommentId>> {
    let ids: Vec<i64> = comments::table
        .filter(comments::id.gt(above).and(comments::id.le(up_to)))
        .filter(comments::author_id.eq(author.0))
        .order(comments::id.asc())
        .select(comments::id)
        .load(db)
        .map_err(map_error)?;
    Ok(ids.into_iter().map(CommentId).collect())
}

/// A template of an author.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn template_of(db: &mut Db, author: UserId) -> Result<Option<TemplateId>> {
    let found = templates::table.filter(templates::author_id.eq(author.0)).select(templates::id);
    Ok(found.first(db).optional().map_err(map_error)?.map(TemplateId))
}

/// Deletes the notifications in a range of ids that a user caused.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn delete_notifications_by(db: &mut Db, actor: UserId, (above, up_to): IdSpan) -> Result<()> {
    let caused = notifications::table
        .filter(notifications::id.gt(above).and(notifications::id.le(up_to)))
        .filter(notifications::actor_id.eq(actor.0));
    diesel::delete(caused).execute(db).map(drop).map_err(map_error)
}

/// Removes the data, types and keys of the broadcasts and application events that a user sent, in a range of positions of
/// the log. Such an event is skipped.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn clear_events_by(db: &mut Db, actor: UserId, (above, up_to): (Seq, Seq)) -> Result<()> {
    let kinds = [EventKind::RoomBroadcast, EventKind::AppEvent, EventKind::MetricPublished].map(EventKind::code);
    let sent = events::table
        .filter(events::seq.gt(above.0).and(events::seq.le(up_to.0)))
        .filter(events::kind.eq_any(kinds).and(events::actor_id.eq(actor.0)));
    let nothing = None::<String>;
    diesel::update(sent)
        .set((
            events::payload.eq(&nothing),
            events::app_type.eq(&nothing),
            events::key.eq(&nothing),
            events::key_digest.eq(&nothing),
        ))
        .execute(db)
        .map(drop)
        .map_err(map_error)
}

macro_rules! delete_some {
    ($db:expr, $table:ident, $of_user:expr, $key:ident: $type:ty) => {{
        let of_user = $table::table.filter($of_user);
        let keys: Vec<$type> = of_user.select($table::$key).limit(MAX_STEP_ROWS).load($db).map_err(map_error)?;
        let deleted = diesel::delete(of_user.filter($table::$key.eq_any(keys))).execute($db).map_err(map_error)?;
        i64::try_from(deleted).unwrap_or(i64::MAX)
    }};
}

/// Removes rows of a deleted user: memberships, what the user has read, notifications for the user, idempotency keys.
/// Returns at least how many were removed; 0 if there are none left.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn remove_rows(db: &mut Db, user: UserId) -> Result<i64> {
    let id = user.0;
    let mut removed: i64 = delete_some!(db, channel_members, channel_members::user_id.eq(id), channel_id: i64)
        .max(delete_some!(db, channel_reads, channel_reads::user_id.eq(id), channel_id: i64))
        .max(delete_some!(db, notifications, notifications::user_id.eq(id), id: i64));
    removed = removed.max(delete_some!(db, idempotency_keys, idempotency_keys::author_id.eq(id), key: String));
    Ok(removed.max(delete_some!(db, announcement_reads, announcement_reads::user_id.eq(id), notification_id: i64)))
}
