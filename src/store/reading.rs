//! How far users have read the channels.

use std::collections::HashMap;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::connection::{Db, map_error};
use super::log;
use super::schema::{channel_reads as reads, channels, events, messages};
use super::visible;
use crate::error::Result;
use crate::model::{ChannelId, Cursor, EventKind, MessageId, Rights, UserId};

/// How many unread messages of a channel are counted at most: a count must not cost more the longer a user is away.
pub const MOST_UNREAD: i64 = 1_000;

/// The newest message of a channel that was posted up to a position. Of what the log has forgotten
/// everything was.
///
/// # Errors
/// `CURSOR_EXPIRED` if the log does not know the position; those of the database.
pub fn newest_up_to(db: &mut Db, channel: ChannelId, cursor: Cursor) -> Result<Option<MessageId>> {
    log::check(db, cursor)?;
    let next: Option<i64> = events::table
        .filter(events::channel_id.eq(channel.0))
        .filter(events::kind.eq(EventKind::MessageAdded.code()))
        .filter(events::seq.gt(cursor.seq.0))
        // Ids are given in the order of the log.
        .order(events::seq.asc())
        .select(events::object_id)
        .first(db)
        .optional()
        .map_err(map_error)?;
    if let Some(next) = next {
        return Ok(Some(MessageId(next - 1)));
    }
    let newest: Option<i64> = messages::table
        .filter(messages::channel_id.eq(channel.0))
        .select(diesel::dsl::max(messages::id))
        .first(db)
        .map_err(map_error)?;
    Ok(newest.map(MessageId))
}

/// Keeps how far somebody has read a channel; never less far than before.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn mark(db: &mut Db, user: UserId, channel: ChannelId, up_to: MessageId) -> Result<()> {
    let own = reads::table.filter(reads::user_id.eq(user.0)).filter(reads::channel_id.eq(channel.0));
    let before: Option<i64> = own.select(reads::message_id).first(db).optional().map_err(map_error)?;
    let marked = match before {
        Some(before) if before >= up_to.0 => return Ok(()),
        Some(_) => diesel::update(own).set(reads::message_id.eq(up_to.0)).execute(db),
        None => diesel::insert_into(reads::table)
            .values((reads::user_id.eq(user.0), reads::channel_id.eq(channel.0), reads::message_id.eq(up_to.0)))
            .execute(db),
    };
    marked.map(drop).map_err(map_error)
}

/// How many messages of these channels a user may see and has not read, others' messages only; channels without any are
/// left out. Only the newest [`MOST_UNREAD`] of each channel are looked at.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn unread(db: &mut Db, rights: &Rights, user: UserId, among: &[ChannelId]) -> Result<HashMap<ChannelId, i64>> {
    let ids: Vec<i64> = among.iter().map(|id| id.0).collect();
    let user = user.0;
    let unread = format!(
        "(SELECT count(*) FROM (SELECT m.id, m.author_id, m.restricted FROM messages m WHERE m.channel_id = channels.id \
         AND m.deleted_at IS NULL AND m.id > coalesce((SELECT r.message_id FROM channel_reads r WHERE r.user_id = {user} \
         AND r.channel_id = channels.id), 0) ORDER BY m.id DESC LIMIT {MOST_UNREAD}) n \
         WHERE n.author_id <> {user} AND {})",
        visible::audience_as_sql(rights, "n")
    );
    let counts: Vec<(i64, i64)> = channels::table
        .select((channels::id, sql::<BigInt>(&unread)))
        .filter(channels::id.eq_any(ids))
        .filter(channels::deleted_at.is_null())
        .filter(visible::channel(rights.into()))
        .load(db)
        .map_err(map_error)?;
    Ok(counts.into_iter().filter(|(_, count)| *count > 0).map(|(channel, count)| (ChannelId(channel), count)).collect())
}
