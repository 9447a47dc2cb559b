//! The members of channels.

use std::collections::HashSet;

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::schema::channel_members;
use crate::error::Result;
use crate::model::{ChannelId, UserId};

/// The ids of the channels that a user is a member of.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn ids_by_member(db: &mut Db, user: UserId) -> Result<HashSet<ChannelId>> {
    let ids: Vec<i64> = channel_members::table
        .filter(channel_members::user_id.eq(user.0))
        .select(channel_members::channel_id)
        .load(db)
        .map_err(map_error)?;
    Ok(ids.into_iter().map(ChannelId).collect())
}

/// The users among these who are members of the channel.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn members_among(db: &mut Db, channel: ChannelId, among: &[UserId]) -> Result<HashSet<UserId>> {
    let among: Vec<i64> = among.iter().map(|id| id.0).collect();
    let ids: Vec<i64> = channel_members::table
        .filter(channel_members::channel_id.eq(channel.0))
        .filter(channel_members::user_id.eq_any(among))
        .select(channel_members::user_id)
        .load(db)
        .map_err(map_error)?;
    Ok(ids.into_iter().map(UserId).collect())
}
