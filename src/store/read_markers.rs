//! Read markers: the newest message that each user has read in each channel.

use std::collections::HashMap;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::connection::{Db, map_error};
use super::group_range::{IdRange, InGroup, SqlRange, in_group_as_sql};
use super::log;
use super::schema::{channel_reads as reads, channels, events, messages};
use super::visibility;
use crate::error::Result;
use crate::model::{ChannelId, Cursor, EventKind, MessageId, Rights, UserId};

/// Maximum number of unread messages that are counted for a channel, so that a long absence does not make the
/// count slow.
pub const MOST_UNREAD: i64 = 1_000;

/// The id up to which the messages of a channel had been posted at `cursor`; `None` if there were none. All
/// pruned events are older than a valid cursor.
///
/// # Errors
/// `CURSOR_EXPIRED` if the log does not contain `cursor`; `UNAVAILABLE` or `INTERNAL_SERVER_ERROR` if the
/// database fails.
pub fn newest_at(db: &mut Db, channel: ChannelId, cursor: Cursor) -> Result<Option<MessageId>> {
    log::check(db, cursor)?;
    let after = IdRange { above: cursor.seq.0, below: i64::MAX, is_descending: false };
    let next: Option<i64> = events::table
        .filter(InGroup::new(events::channel_id, channel.0, events::seq, after))
        .filter(events::kind.eq(EventKind::MessageAdded.code()))
        // Message ids grow in log order, so the message before the next one is the last one posted.
        .order((events::channel_id.asc(), events::seq.asc()))
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

/// Moves a user's read marker of a channel forward to `up_to`. A marker never moves back.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn mark(
    connection: &mut SqliteConnection,
    user: UserId,
    channel: ChannelId,
    up_to: MessageId,
) -> Result<()> {
    let marker = reads::table.filter(reads::user_id.eq(user.0)).filter(reads::channel_id.eq(channel.0));
    let current: Option<i64> = marker.select(reads::message_id).first(connection).optional().map_err(map_error)?;
    let marked = match current {
        Some(current) if current >= up_to.0 => return Ok(()),
        Some(_) => diesel::update(marker).set(reads::message_id.eq(up_to.0)).execute(connection),
        None => diesel::insert_into(reads::table)
            .values((reads::user_id.eq(user.0), reads::channel_id.eq(channel.0), reads::message_id.eq(up_to.0)))
            .execute(connection),
    };
    marked.map(drop).map_err(map_error)
}

/// The number of unread messages by other authors in each of these channels that the user may see. Channels
/// without any are left out. Only the newest [`MOST_UNREAD`] messages after the read marker are considered.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn unread(db: &mut Db, rights: &Rights, user: UserId, among: &[ChannelId]) -> Result<HashMap<ChannelId, i64>> {
    let ids: Vec<i64> = among.iter().map(|id| id.0).collect();
    let user = user.0;
    let marker = format!(
        "coalesce((SELECT r.message_id FROM channel_reads r WHERE r.user_id = {user} AND r.channel_id = channels.id), 0)"
    );
    let newest_first = SqlRange { above: marker, below: i64::MAX.to_string(), is_descending: true };
    let unread = format!(
        "(SELECT count(*) FROM (SELECT m.id, m.author_id, m.restricted FROM messages m WHERE m.deleted_at IS NULL \
         AND {} LIMIT {MOST_UNREAD}) n \
         WHERE n.author_id <> {user} AND {})",
        in_group_as_sql(db, &[("m.channel_id", "channels.id")], "m.id", &newest_first),
        visibility::audience_as_sql(rights, "n")
    );
    let counts: Vec<(i64, i64)> = channels::table
        .select((channels::id, sql::<BigInt>(&unread)))
        .filter(channels::id.eq_any(ids))
        .filter(channels::deleted_at.is_null())
        .filter(visibility::channel(rights.into()))
        .load(db)
        .map_err(map_error)?;
    Ok(counts.into_iter().filter(|(_, count)| *count > 0).map(|(channel, count)| (ChannelId(channel), count)).collect())
}
