//! Channels and their members.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use serde::Deserialize;

use super::connection::{Db, MultiBackend, map_error, with_backend};
use super::name_keys::{stored_look, stored_skeleton};
use super::paging::page;
use super::schema::{channel_members, channels};
use super::time_limit::with_time_limit;
use super::{users, visibility};
use crate::error::{Error, Result};
use crate::model::{
    Channel, ChannelId, ChannelKey, ChannelPublishing, Cursor, Page, PageRequest, Rights, Seq, Tag, Timestamp, User,
    UserId, Visibility,
};
use crate::unicode;

/// A name longer than this, in bytes, is looked up by its exact spelling only.
const MAX_NAME_BYTES: usize = 4_000;

/// Adds the bounds, the order (by name and id) and the limit of a window to a query of channels. Reads one row
/// more than the limit, to know whether more rows follow.
macro_rules! in_window_by_name {
    ($query:expr, $window:expr) => {{
        let mut query = $query;
        if let Some(ChannelKey { name, id }) = $window.after.clone() {
            let same = channels::name.eq(name.clone()).and(channels::id.gt(id.0));
            query = query.filter(channels::name.gt(name).or(same));
        }
        if let Some(ChannelKey { name, id }) = $window.before.clone() {
            let same = channels::name.eq(name.clone()).and(channels::id.lt(id.0));
            query = query.filter(channels::name.lt(name).or(same));
        }
        query = if $window.from_end {
            query.order((channels::name.desc(), channels::id.desc()))
        } else {
            query.order((channels::name.asc(), channels::id.asc()))
        };
        query.limit(i64::try_from($window.limit).unwrap_or(i64::MAX - 1) + 1)
    }};
}

/// Condition: one of the columns by which channel names are compared (`skeleton`, `look`) is not computed yet.
macro_rules! missing_name_keys {
    () => {
        channels::skeleton.eq("").or(channels::look.eq(""))
    };
}

/// A row of `channels`.
#[derive(Queryable, Selectable, Deserialize)]
#[diesel(table_name = channels)]
pub struct ChannelRow {
    id: i64,
    name: String,
    description: Option<String>,
    visibility: i16,
    owner_id: Option<i64>,
    created_at: i64,
    seq: i64,
    tag: i64,
    publishing: i16,
}

impl TryFrom<ChannelRow> for Channel {
    type Error = Error;

    fn try_from(row: ChannelRow) -> Result<Self> {
        Ok(Self {
            id: ChannelId(row.id),
            name: row.name,
            description: row.description,
            visibility: Visibility::from_code(row.visibility).ok_or_else(|| Error::internal("unknown visibility"))?,
            publishing: ChannelPublishing::from_code(row.publishing)
                .ok_or_else(|| Error::internal("unknown rule for publishing"))?,
            owner_id: row.owner_id.map(UserId),
            created_at: Timestamp(row.created_at),
            cursor: Cursor { seq: Seq(row.seq), tag: Tag(row.tag) },
        })
    }
}

/// A page of the channels that the viewer may read, ordered by name, then by id.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn list(db: &mut Db, rights: &Rights, window: &PageRequest<ChannelKey>) -> Result<Page<Channel>> {
    let mut query = channels::table
        .select(ChannelRow::as_select())
        .filter(channels::deleted_at.is_null())
        .filter(visibility::channel(rights.into()))
        .into_boxed::<MultiBackend>();
    if !rights.admin {
        // Only the first public channels and the viewer's own channels can be on this page. Naming them keeps
        // the query from scanning other private channels.
        let public = channels::table
            .select(channels::id)
            .filter(channels::deleted_at.is_null())
            .filter(channels::visibility.eq(Visibility::Public.code()))
            .into_boxed::<MultiBackend>();
        let public: Vec<i64> = in_window_by_name!(public, window).load(db).map_err(map_error)?;
        let user = rights.user.map_or(-1, |user| user.0);
        let own_channels =
            channel_members::table.filter(channel_members::user_id.eq(user)).select(channel_members::channel_id);
        query = query.filter(channels::id.eq_any(public).or(channels::id.eq_any(own_channels)));
    }
    let query = with_time_limit!(db, query, channels::id);
    let rows = in_window_by_name!(query, window).load::<ChannelRow>(db).map_err(map_error)?;
    let page = page(rows, window);
    let items = page.items.into_iter().map(Channel::try_from).collect::<Result<_>>()?;
    Ok(Page { items, more: page.more })
}

/// The channel with this id, if the viewer may read it.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn find(db: &mut Db, rights: &Rights, id: ChannelId) -> Result<Option<Channel>> {
    let found = channels::table
        .filter(channels::id.eq(id.0))
        .filter(channels::deleted_at.is_null())
        .filter(visibility::channel(rights.into()));
    let row = with_backend!(db, connection => found.select(ChannelRow::as_select()).first(connection));
    row.optional().map_err(map_error)?.map(Channel::try_from).transpose()
}

/// The channel with this id, without a permission check. It is left out if it is deleted.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn find_any(db: &mut Db, id: ChannelId) -> Result<Option<Channel>> {
    let found = channels::table.filter(channels::id.eq(id.0)).filter(channels::deleted_at.is_null());
    let row = with_backend!(db, connection => found.select(ChannelRow::as_select()).first(connection));
    row.optional().map_err(map_error)?.map(Channel::try_from).transpose()
}

/// The channel with this name that the viewer may read; equivalent spellings match. If several channels match,
/// it is the one that the viewer could see first under this name. So a new channel cannot take over a name that
/// is in use.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn find_by_name(db: &mut Db, rights: &Rights, name: &str) -> Result<Option<Channel>> {
    let trimmed = unicode::nfc(name.trim());
    let skeleton = if trimmed.len() > MAX_NAME_BYTES { String::new() } else { unicode::skeleton(&trimmed) };
    let is_similar = channels::skeleton.eq(skeleton).and(channels::skeleton.ne(""));
    let found: Vec<(ChannelRow, i64)> = channels::table
        .filter(channels::name.eq(&trimmed).or(channels::name.eq(name)).or(is_similar))
        .filter(channels::deleted_at.is_null())
        .filter(visibility::channel(rights.into()))
        .select((ChannelRow::as_select(), channels::named_at))
        .load(db)
        .map_err(map_error)?;
    let mut rows: Vec<_> = found.into_iter().filter(|(row, _)| unicode::is_same(&row.name, &trimmed)).collect();
    if rows.len() > 1 {
        let ids: Vec<i64> = rows.iter().map(|(row, _)| row.id).collect();
        let since = member_since(db, rights.user, &ids)?;
        // Earlier versions allowed names that are spellings of each other. Each such channel is found by its
        // exact spelling.
        rows.sort_by_key(|(row, named_at)| {
            let seen_at = since.get(&row.id).map_or(*named_at, |since| *named_at.max(since));
            (seen_at, row.name != trimmed && row.name != name, row.id)
        });
    }
    rows.into_iter().next().map(|(row, _)| Channel::try_from(row)).transpose()
}

/// The log position at which the user joined each of these private channels. (Public ones need no membership.)
fn member_since(db: &mut Db, user: Option<UserId>, ids: &[i64]) -> Result<HashMap<i64, i64>> {
    let Some(user) = user else { return Ok(HashMap::new()) };
    let rows: Vec<(i64, i64)> = channel_members::table
        .inner_join(channels::table)
        .filter(channels::visibility.eq(Visibility::Private.code()))
        .filter(channel_members::user_id.eq(user.0))
        .filter(channel_members::channel_id.eq_any(ids))
        .select((channel_members::channel_id, channel_members::since))
        .load(db)
        .map_err(map_error)?;
    Ok(rows.into_iter().collect())
}

/// Whether the viewer may read the channel, or could read it before its deletion.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn was_readable(db: &mut Db, rights: &Rights, id: ChannelId) -> Result<bool> {
    let found = channels::table
        .filter(channels::id.eq(id.0))
        .filter(visibility::channel(rights.into()))
        .select(channels::id)
        .first::<i64>(db)
        .optional()
        .map_err(map_error)?;
    Ok(found.is_some())
}

/// The name of another channel that looks like `name`, among the channels that the viewer may read. Other
/// channels are ignored, because an error about them would reveal private names. `but` is the channel to leave
/// out.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn find_similar_name(db: &mut Db, rights: &Rights, name: &str, but: Option<ChannelId>) -> Result<Option<String>> {
    let is_similar = channels::skeleton.eq(stored_skeleton(name)).or(channels::look.eq(stored_look(name)));
    let found = channels::table
        .filter(channels::name.eq(name).or(is_similar))
        .filter(channels::id.ne(but.map_or(0, |id| id.0)))
        .filter(channels::deleted_at.is_null())
        .filter(visibility::channel(rights.into()))
        .select(channels::name);
    found.first(db).optional().map_err(map_error)
}

/// Whether a channel lacks one of the columns by which names are compared.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn has_missing_name_keys(db: &mut Db) -> Result<bool> {
    let found = channels::table.filter(missing_name_keys!()).filter(channels::deleted_at.is_null());
    let found = found.select(channels::id).first::<i64>(db);
    Ok(found.optional().map_err(map_error)?.is_some())
}

/// Computes the columns by which names are compared, for up to `limit` channels that lack them. Returns how many
/// channels were updated.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn fill_name_keys(db: &mut Db, limit: i64) -> Result<usize> {
    let rows: Vec<(i64, String)> = channels::table
        .filter(missing_name_keys!())
        .filter(channels::deleted_at.is_null())
        .select((channels::id, channels::name))
        .order(channels::id.asc())
        .limit(limit)
        .load(db)
        .map_err(map_error)?;
    for (id, name) in &rows {
        diesel::update(channels::table.filter(channels::id.eq(id)))
            .set((channels::skeleton.eq(stored_skeleton(name)), channels::look.eq(stored_look(name))))
            .execute(db)
            .map_err(map_error)?;
    }
    Ok(rows.len())
}

/// Channels by id, without a permission check. Missing and deleted ones are left out.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn by_ids(db: &mut Db, ids: &[ChannelId]) -> Result<HashMap<ChannelId, Channel>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<ChannelRow> = channels::table
        .filter(channels::id.eq_any(ids))
        .filter(channels::deleted_at.is_null())
        .select(ChannelRow::as_select())
        .load(db)
        .map_err(map_error)?;
    rows.into_iter().map(|row| Ok((ChannelId(row.id), Channel::try_from(row)?))).collect()
}

/// The ids of all private channels, including deleted ones.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn private_ids(db: &mut Db) -> Result<HashSet<ChannelId>> {
    let ids: Vec<i64> = channels::table
        .filter(channels::visibility.eq(Visibility::Private.code()))
        .select(channels::id)
        .load(db)
        .map_err(map_error)?;
    Ok(ids.into_iter().map(ChannelId).collect())
}

/// The visibility of each of these channels, including deleted ones.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn visibilities(db: &mut Db, ids: &[ChannelId]) -> Result<Vec<(ChannelId, Visibility)>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<(i64, i16)> = channels::table
        .filter(channels::id.eq_any(ids))
        .select((channels::id, channels::visibility))
        .load(db)
        .map_err(map_error)?;
    Ok(rows.into_iter().filter_map(|(id, code)| Some((ChannelId(id), Visibility::from_code(code)?))).collect())
}

/// A page of a channel's members, ordered by username.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn members(db: &mut Db, channel: ChannelId, window: &PageRequest<String>) -> Result<Page<User>> {
    let ids = channel_members::table.filter(channel_members::channel_id.eq(channel.0)).select(channel_members::user_id);
    users::list_among(db, users::all().filter(super::schema::users::id.eq_any(ids)), window)
}

/// Inserts a channel. Its owner, if any, becomes its first member. Returns its id; the id in `channel` is ignored.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert(db: &mut Db, channel: &Channel) -> Result<ChannelId> {
    let id: i64 = diesel::insert_into(channels::table)
        .values((
            channels::name.eq(&channel.name),
            channels::skeleton.eq(stored_skeleton(&channel.name)),
            channels::look.eq(stored_look(&channel.name)),
            channels::named_at.eq(channel.cursor.seq.0),
            channels::description.eq(channel.description.as_deref()),
            channels::visibility.eq(channel.visibility.code()),
            channels::publishing.eq(channel.publishing.code()),
            channels::owner_id.eq(channel.owner_id.map(|id| id.0)),
            channels::created_at.eq(channel.created_at.0),
            channels::seq.eq(channel.cursor.seq.0),
            channels::tag.eq(channel.cursor.tag.0),
        ))
        .returning(channels::id)
        .get_result(db)
        .map_err(map_error)?;
    if let Some(owner) = channel.owner_id {
        add_member(db, ChannelId(id), owner, channel.cursor.seq)?;
    }
    Ok(ChannelId(id))
}

/// Updates the fields of a channel that can change: name, description, visibility, publishing and cursor.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn update(db: &mut Db, channel: &Channel) -> Result<()> {
    diesel::update(channels::table.filter(channels::id.eq(channel.id.0)))
        .set((
            channels::name.eq(&channel.name),
            channels::skeleton.eq(stored_skeleton(&channel.name)),
            channels::look.eq(stored_look(&channel.name)),
            channels::description.eq(channel.description.as_deref()),
            channels::visibility.eq(channel.visibility.code()),
            channels::publishing.eq(channel.publishing.code()),
            channels::seq.eq(channel.cursor.seq.0),
            channels::tag.eq(channel.cursor.tag.0),
        ))
        .execute(db)
        .map_err(map_error)?;
    Ok(())
}

/// Records the log position since which the channel's current name is visible to its readers. To be called when
/// the name changes or the channel becomes public.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn set_name_visible_since(db: &mut Db, id: ChannelId, seq: Seq) -> Result<()> {
    diesel::update(channels::table.filter(channels::id.eq(id.0)))
        .set(channels::named_at.eq(seq.0))
        .execute(db)
        .map_err(map_error)?;
    Ok(())
}

/// Marks a channel, and thereby everything in it, as deleted; `removal` removes the rows later. The channel's
/// row and its members stay until the deletion is pruned from the log, so that former readers can still replay
/// the events.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn delete(db: &mut Db, id: ChannelId, now: Timestamp, cursor: Cursor) -> Result<()> {
    diesel::update(channels::table.filter(channels::id.eq(id.0)))
        .set((channels::deleted_at.eq(now.0), channels::seq.eq(cursor.seq.0), channels::tag.eq(cursor.tag.0)))
        .execute(db)
        .map_err(map_error)?;
    Ok(())
}

/// Adds a member. The user must not be a member yet. `since` is the log position of the change.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn add_member(db: &mut Db, channel: ChannelId, user: UserId, since: Seq) -> Result<()> {
    diesel::insert_into(channel_members::table)
        .values((
            channel_members::channel_id.eq(channel.0),
            channel_members::user_id.eq(user.0),
            channel_members::since.eq(since.0),
        ))
        .execute(db)
        .map_err(map_error)?;
    Ok(())
}

/// Adds members who are new users. `since` of a member is the log position of the change.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn add_members(db: &mut Db, members: &[(ChannelId, UserId, Seq)]) -> Result<()> {
    let values: Vec<_> = members
        .iter()
        .map(|(channel, user, since)| {
            (
                channel_members::channel_id.eq(channel.0),
                channel_members::user_id.eq(user.0),
                channel_members::since.eq(since.0),
            )
        })
        .collect();
    let insert = diesel::insert_into(channel_members::table);
    let inserted: QueryResult<()> = match db {
        // One by one: for several rows, diesel would begin a transaction of its own.
        Db::Sqlite(connection) => {
            values.into_iter().try_for_each(|row| insert.values(row).execute(connection).map(drop))
        }
        Db::Postgres(connection) => insert.values(values).execute(connection).map(drop),
    };
    inserted.map_err(map_error)
}

/// Removes a user from the members of a channel.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn remove_member(db: &mut Db, channel: ChannelId, user: UserId) -> Result<()> {
    diesel::delete(
        channel_members::table
            .filter(channel_members::channel_id.eq(channel.0))
            .filter(channel_members::user_id.eq(user.0)),
    )
    .execute(db)
    .map_err(map_error)?;
    Ok(())
}
