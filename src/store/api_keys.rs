//! API keys and the channels that they are limited to.

use std::collections::HashMap;

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::schema::{api_key_channels as key_channels, api_keys};
use crate::error::Result;
use crate::model::{ApiKey, ApiKeyId, ApiScopes, ChannelId, Timestamp, UserId};

/// The greatest number of API keys, revoked ones included.
pub const MAX_KEYS: i64 = 1_000;

/// A row of `api_keys`, without the digest.
#[derive(Queryable, Selectable)]
#[diesel(table_name = api_keys)]
struct ApiKeyRow {
    id: i64,
    name: String,
    user_id: i64,
    scopes: i16,
    is_limited: bool,
    mutations_per_second: Option<i64>,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl ApiKeyRow {
    fn into_key(self, channels: &mut HashMap<i64, Vec<ChannelId>>) -> ApiKey {
        ApiKey {
            id: ApiKeyId(self.id),
            name: self.name,
            user_id: UserId(self.user_id),
            scopes: ApiScopes::from_code(self.scopes),
            // A key whose channels were all deleted stays limited: to no channel.
            channels: self.is_limited.then(|| channels.remove(&self.id).unwrap_or_default()),
            mutations_per_second: self.mutations_per_second.map(|rate| u32::try_from(rate).unwrap_or(u32::MAX)),
            created_at: Timestamp(self.created_at),
            expires_at: self.expires_at.map(Timestamp),
            revoked_at: self.revoked_at.map(Timestamp),
            last_used_at: self.last_used_at.map(Timestamp),
        }
    }
}

fn with_channels(db: &mut Db, rows: Vec<ApiKeyRow>) -> Result<Vec<ApiKey>> {
    let limited: Vec<i64> = rows.iter().filter(|row| row.is_limited).map(|row| row.id).collect();
    let mut channels = HashMap::<i64, Vec<ChannelId>>::new();
    if !limited.is_empty() {
        let pairs: Vec<(i64, i64)> = key_channels::table
            .filter(key_channels::key_id.eq_any(limited))
            .select((key_channels::key_id, key_channels::channel_id))
            .order((key_channels::key_id.asc(), key_channels::channel_id.asc()))
            .load(db)
            .map_err(map_error)?;
        for (key, channel) in pairs {
            channels.entry(key).or_default().push(ChannelId(channel));
        }
    }
    Ok(rows.into_iter().map(|row| row.into_key(&mut channels)).collect())
}

/// All keys, in the order of their creation.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn all(db: &mut Db) -> Result<Vec<ApiKey>> {
    let query = api_keys::table.select(ApiKeyRow::as_select()).order(api_keys::id.asc()).limit(MAX_KEYS);
    let rows = query.load(db).map_err(map_error)?;
    with_channels(db, rows)
}

/// The key with this id.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn find(db: &mut Db, id: ApiKeyId) -> Result<Option<ApiKey>> {
    let query = api_keys::table.filter(api_keys::id.eq(id.0)).select(ApiKeyRow::as_select());
    let row = query.first(db).optional().map_err(map_error)?;
    Ok(with_channels(db, row.into_iter().collect())?.pop())
}

/// The keys of a user that are not revoked.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn unrevoked_of(db: &mut Db, user: UserId) -> Result<Vec<ApiKey>> {
    let query = api_keys::table.filter(api_keys::user_id.eq(user.0)).filter(api_keys::revoked_at.is_null());
    let rows = query.select(ApiKeyRow::as_select()).order(api_keys::id.asc()).load(db).map_err(map_error)?;
    with_channels(db, rows)
}

/// The id and the user of the key whose secret has this digest, if the key is not revoked and does not expire before
/// `now`.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn by_digest(db: &mut Db, digest: &str, now: Timestamp) -> Result<Option<(ApiKeyId, UserId)>> {
    let is_valid = api_keys::expires_at.is_null().or(api_keys::expires_at.assume_not_null().gt(now.0));
    let query = api_keys::table.filter(api_keys::digest.eq(digest)).filter(api_keys::revoked_at.is_null());
    let query = query.filter(is_valid).select((api_keys::id, api_keys::user_id));
    let found: Option<(i64, i64)> = query.first(db).optional().map_err(map_error)?;
    Ok(found.map(|(id, user)| (ApiKeyId(id), UserId(user))))
}

/// The number of keys, revoked ones included.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn count(db: &mut Db) -> Result<i64> {
    api_keys::table.count().get_result(db).map_err(map_error)
}

/// Inserts a key with the digest of its secret. Returns its id; the id in `key` is ignored.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert(db: &mut Db, key: &ApiKey, digest: &str) -> Result<ApiKeyId> {
    let id: i64 = diesel::insert_into(api_keys::table)
        .values((
            api_keys::name.eq(&key.name),
            api_keys::user_id.eq(key.user_id.0),
            api_keys::digest.eq(digest),
            api_keys::scopes.eq(key.scopes.code()),
            api_keys::is_limited.eq(key.channels.is_some()),
            api_keys::mutations_per_second.eq(key.mutations_per_second.map(i64::from)),
            api_keys::created_at.eq(key.created_at.0),
            api_keys::expires_at.eq(key.expires_at.map(|at| at.0)),
        ))
        .returning(api_keys::id)
        .get_result(db)
        .map_err(map_error)?;
    for channel in key.channels.iter().flatten() {
        diesel::insert_into(key_channels::table)
            .values((key_channels::key_id.eq(id), key_channels::channel_id.eq(channel.0)))
            .execute(db)
            .map_err(map_error)?;
    }
    Ok(ApiKeyId(id))
}

/// Marks a key as revoked.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn revoke(db: &mut Db, id: ApiKeyId, at: Timestamp) -> Result<()> {
    let key = diesel::update(api_keys::table.filter(api_keys::id.eq(id.0)));
    key.set(api_keys::revoked_at.eq(at.0)).execute(db).map(drop).map_err(map_error)
}

/// Records when keys were used last. A time never moves back.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn record_uses(db: &mut Db, uses: &[(ApiKeyId, Timestamp)]) -> Result<()> {
    for (id, at) in uses {
        let is_earlier = api_keys::last_used_at.is_null().or(api_keys::last_used_at.assume_not_null().lt(at.0));
        diesel::update(api_keys::table.filter(api_keys::id.eq(id.0)).filter(is_earlier))
            .set(api_keys::last_used_at.eq(at.0))
            .execute(db)
            .map_err(map_error)?;
    }
    Ok(())
}

/// Deletes the keys of a user.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn delete_of_user(db: &mut Db, user: UserId) -> Result<()> {
    diesel::delete(api_keys::table.filter(api_keys::user_id.eq(user.0))).execute(db).map(drop).map_err(map_error)
}

/// Removes keys that were revoked, or have expired, before `before`.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn remove_old(db: &mut Db, before: Timestamp) -> Result<()> {
    let is_revoked = api_keys::revoked_at.is_not_null().and(api_keys::revoked_at.assume_not_null().lt(before.0));
    let is_expired = api_keys::expires_at.is_not_null().and(api_keys::expires_at.assume_not_null().lt(before.0));
    let old = diesel::delete(api_keys::table.filter(is_revoked.or(is_expired)));
    old.execute(db).map(drop).map_err(map_error)
}
