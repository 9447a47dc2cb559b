//! How far users have read the channels.

use std::collections::HashMap;

use diesel::prelude::*;

use super::connection::{Db, fault};
use super::log;
use super::schema::{channel_reads as reads, events, messages};
use super::visible;
use crate::error::Result;
use crate::model::{ChannelId, Cursor, EventKind, MessageId, Rights, UserId};

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
        .select(diesel::dsl::min(events::object_id))
        .first(db)
        .map_err(fault)?;
    if let Some(next) = next {
        return Ok(Some(MessageId(next - 1)));
    }
    let newest: Option<i64> = messages::table
        .filter(messages::channel_id.eq(channel.0))
        .select(diesel::dsl::max(messages::id))
        .first(db)
        .map_err(fault)?;
    Ok(newest.map(MessageId))
}

/// Keeps how far somebody has read a channel; never less far than before.
///
/// # Errors
/// Those of the database.
pub fn mark(db: &mut Db, user: UserId, channel: ChannelId, up_to: MessageId) -> Result<()> {
    let own = reads::table.filter(reads::user_id.eq(user.0)).filter(reads::channel_id.eq(channel.0));
    let before: Option<i64> = own.select(reads::message_id).first(db).optional().map_err(fault)?;
    let marked = match before {
        Some(before) if before >= up_to.0 => return Ok(()),
        Some(_) => diesel::update(own).set(reads::message_id.eq(up_to.0)).execute(db),
        None => diesel::insert_into(reads::table)
            .values((reads::user_id.eq(user.0), reads::channel_id.eq(channel.0), reads::message_id.eq(up_to.0)))
            .execute(db),
    };
    marked.map(drop).map_err(fault)
}

/// How many messages of these channels somebody may see and has not read, others' messages only;
/// channels without any are left out.
///
/// # Errors
/// Those of the database.
pub fn unread(db: &mut Db, rights: &Rights, user: UserId, channels: &[ChannelId]) -> Result<HashMap<ChannelId, i64>> {
    let channels: Vec<i64> = channels.iter().map(|id| id.0).collect();
    let read = reads::table
        .filter(reads::user_id.eq(user.0))
        .filter(reads::channel_id.eq(messages::channel_id))
        .filter(reads::message_id.ge(messages::id))
        .select(reads::message_id);
    let counts: Vec<(i64, i64)> = visible::message_counts(rights)
        .filter(messages::channel_id.eq_any(channels))
        .filter(messages::author_id.ne(user.0))
        .filter(diesel::dsl::not(diesel::dsl::exists(read)))
        .load(db)
        .map_err(fault)?;
    Ok(counts.into_iter().map(|(channel, count)| (ChannelId(channel), count)).collect())
}
