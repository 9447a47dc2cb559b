//! Channels and their members.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

use super::connection::{Db, MultiBackend, fault, on};
use super::paging::{page, window};
use super::schema::{channel_members, channels, messages};
use super::{users, visible};
use crate::error::{Error, Result};
use crate::model::{Channel, ChannelId, Cursor, Page, Rights, Seq, Tag, Timestamp, User, UserId, Visibility, Window};

/// A row, as the database has it.
#[derive(Queryable, Selectable)]
#[diesel(table_name = channels)]
struct Row {
    id: i64,
    name: String,
    description: Option<String>,
    visibility: i16,
    owner_id: Option<i64>,
    created_at: i64,
    seq: i64,
    tag: i64,
}

impl TryFrom<Row> for Channel {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: ChannelId(row.id),
            name: row.name,
            description: row.description,
            visibility: Visibility::from_code(row.visibility).ok_or_else(|| Error::internal("unknown visibility"))?,
            owner_id: row.owner_id.map(UserId),
            created_at: Timestamp(row.created_at),
            cursor: Cursor { seq: Seq(row.seq), tag: Tag(row.tag) },
        })
    }
}

/// Part of the channels the viewer may read, by name.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, rights: &Rights, part: &Window<String>) -> Result<Page<Channel>> {
    let query = channels::table
        .select(Row::as_select())
        .filter(channels::deleted_at.is_null())
        .filter(visible::channel(rights.into()))
        .into_boxed::<MultiBackend>();
    let rows = window!(query, channels::name, asc, part).load::<Row>(db).map_err(fault)?;
    let page = page(rows, part);
    let items = page.items.into_iter().map(Channel::try_from).collect::<Result<_>>()?;
    Ok(Page { items, more: page.more })
}

/// A channel that the viewer may read.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, rights: &Rights, id: ChannelId) -> Result<Option<Channel>> {
    let found = channels::table
        .filter(channels::id.eq(id.0))
        .filter(channels::deleted_at.is_null())
        .filter(visible::channel(rights.into()));
    let row = on!(db, connection => found.select(Row::as_select()).first(connection));
    row.optional().map_err(fault)?.map(Channel::try_from).transpose()
}

/// A channel that the viewer may read, by its name.
///
/// # Errors
/// Those of the database.
pub fn find_by_name(db: &mut Db, rights: &Rights, name: &str) -> Result<Option<Channel>> {
    let row = channels::table
        .select(Row::as_select())
        .filter(channels::name.eq(name))
        .filter(channels::deleted_at.is_null())
        .filter(visible::channel(rights.into()))
        .first(db)
        .optional()
        .map_err(fault)?;
    row.map(Channel::try_from).transpose()
}

/// Whether the channel may be read, or could be until it was deleted.
///
/// # Errors
/// Those of the database.
pub fn was_readable(db: &mut Db, rights: &Rights, id: ChannelId) -> Result<bool> {
    let found = channels::table
        .filter(channels::id.eq(id.0))
        .filter(visible::channel(rights.into()))
        .select(channels::id)
        .first::<i64>(db)
        .optional()
        .map_err(fault)?;
    Ok(found.is_some())
}

/// Whether the name is taken, by a channel that anybody may see or not.
///
/// # Errors
/// Those of the database.
pub fn name_taken(db: &mut Db, name: &str) -> Result<bool> {
    let taken = channels::table
        .filter(channels::name.eq(name))
        .filter(channels::deleted_at.is_null())
        .select(channels::id)
        .first::<i64>(db)
        .optional()
        .map_err(fault)?;
    Ok(taken.is_some())
}

/// Channels by their ids, whoever may read them; missing and deleted ones are left out.
///
/// # Errors
/// Those of the database.
pub fn by_ids(db: &mut Db, ids: &[ChannelId]) -> Result<HashMap<ChannelId, Channel>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<Row> = channels::table
        .filter(channels::id.eq_any(ids))
        .filter(channels::deleted_at.is_null())
        .select(Row::as_select())
        .load(db)
        .map_err(fault)?;
    rows.into_iter().map(|row| Ok((ChannelId(row.id), Channel::try_from(row)?))).collect()
}

/// Every private channel, the deleted ones too.
///
/// # Errors
/// Those of the database.
pub fn private_ids(db: &mut Db) -> Result<HashSet<ChannelId>> {
    let ids: Vec<i64> = channels::table
        .filter(channels::visibility.eq(Visibility::Private.code()))
        .select(channels::id)
        .load(db)
        .map_err(fault)?;
    Ok(ids.into_iter().map(ChannelId).collect())
}

/// Who may read each of these channels, the deleted ones too.
///
/// # Errors
/// Those of the database.
pub fn visibilities(db: &mut Db, ids: &[ChannelId]) -> Result<Vec<(ChannelId, Visibility)>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<(i64, i16)> = channels::table
        .filter(channels::id.eq_any(ids))
        .select((channels::id, channels::visibility))
        .load(db)
        .map_err(fault)?;
    Ok(rows.into_iter().filter_map(|(id, code)| Some((ChannelId(id), Visibility::from_code(code)?))).collect())
}

/// The channels of which somebody is a member.
///
/// # Errors
/// Those of the database.
pub fn of_member(db: &mut Db, user: UserId) -> Result<HashSet<ChannelId>> {
    let ids: Vec<i64> = channel_members::table
        .filter(channel_members::user_id.eq(user.0))
        .select(channel_members::channel_id)
        .load(db)
        .map_err(fault)?;
    Ok(ids.into_iter().map(ChannelId).collect())
}

/// Part of a channel's members, by username.
///
/// # Errors
/// Those of the database.
pub fn members(db: &mut Db, channel: ChannelId, part: &Window<String>) -> Result<Page<User>> {
    let ids = channel_members::table.filter(channel_members::channel_id.eq(channel.0)).select(channel_members::user_id);
    users::list_among(db, users::all().filter(super::schema::users::id.eq_any(ids)), part)
}

/// Writes a channel; its owner becomes its first member.
///
/// # Errors
/// Those of the database.
pub fn insert(
    db: &mut Db,
    name: &str,
    description: Option<&str>,
    visibility: Visibility,
    owner: Option<UserId>,
    now: Timestamp,
    cursor: Cursor,
) -> Result<Channel> {
    let id: i64 = diesel::insert_into(channels::table)
        .values((
            channels::name.eq(name),
            channels::description.eq(description),
            channels::visibility.eq(visibility.code()),
            channels::owner_id.eq(owner.map(|id| id.0)),
            channels::created_at.eq(now.0),
            channels::seq.eq(cursor.seq.0),
            channels::tag.eq(cursor.tag.0),
        ))
        .returning(channels::id)
        .get_result(db)
        .map_err(fault)?;
    if let Some(owner) = owner {
        add_member(db, ChannelId(id), owner)?;
    }
    Ok(Channel {
        id: ChannelId(id),
        name: name.into(),
        description: description.map(Into::into),
        visibility,
        owner_id: owner,
        created_at: now,
        cursor,
    })
}

/// Writes back what may change in a channel.
///
/// # Errors
/// Those of the database.
pub fn update(db: &mut Db, channel: &Channel) -> Result<()> {
    diesel::update(channels::table.filter(channels::id.eq(channel.id.0)))
        .set((
            channels::name.eq(&channel.name),
            channels::description.eq(channel.description.as_deref()),
            channels::visibility.eq(channel.visibility.code()),
            channels::seq.eq(channel.cursor.seq.0),
            channels::tag.eq(channel.cursor.tag.0),
        ))
        .execute(db)
        .map_err(fault)?;
    Ok(())
}

/// Deletes what is in a channel and marks it as deleted; its row and members stay until its
/// deletion leaves the log, so that those who could read it may replay that.
///
/// # Errors
/// Those of the database.
pub fn delete(db: &mut Db, id: ChannelId, now: Timestamp, cursor: Cursor) -> Result<()> {
    diesel::delete(messages::table.filter(messages::channel_id.eq(id.0))).execute(db).map_err(fault)?;
    diesel::update(channels::table.filter(channels::id.eq(id.0)))
        .set((channels::deleted_at.eq(now.0), channels::seq.eq(cursor.seq.0), channels::tag.eq(cursor.tag.0)))
        .execute(db)
        .map_err(fault)?;
    Ok(())
}

/// Removes the rows of channels whose deletion is no longer in the log.
///
/// # Errors
/// Those of the database.
pub fn forget_deleted(db: &mut Db, floor: Seq) -> Result<()> {
    diesel::delete(channels::table.filter(channels::deleted_at.is_not_null()).filter(channels::seq.lt(floor.0)))
        .execute(db)
        .map_err(fault)?;
    Ok(())
}

/// Whether somebody is a member.
///
/// # Errors
/// Those of the database.
pub fn is_member(db: &mut Db, channel: ChannelId, user: UserId) -> Result<bool> {
    let row = channel_members::table
        .filter(channel_members::channel_id.eq(channel.0))
        .filter(channel_members::user_id.eq(user.0))
        .select(channel_members::user_id)
        .first::<i64>(db)
        .optional()
        .map_err(fault)?;
    Ok(row.is_some())
}

/// Makes somebody a member, who is none yet.
///
/// # Errors
/// Those of the database.
pub fn add_member(db: &mut Db, channel: ChannelId, user: UserId) -> Result<()> {
    diesel::insert_into(channel_members::table)
        .values((channel_members::channel_id.eq(channel.0), channel_members::user_id.eq(user.0)))
        .execute(db)
        .map_err(fault)?;
    Ok(())
}

/// Ends a membership.
///
/// # Errors
/// Those of the database.
pub fn remove_member(db: &mut Db, channel: ChannelId, user: UserId) -> Result<()> {
    diesel::delete(
        channel_members::table
            .filter(channel_members::channel_id.eq(channel.0))
            .filter(channel_members::user_id.eq(user.0)),
    )
    .execute(db)
    .map_err(fault)?;
    Ok(())
}
