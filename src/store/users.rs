//! Users, the hashes of their passwords, and their permissions.

use std::collections::HashMap;

use diesel::dsl::{AsSelect, IntoBoxed, Select};
use diesel::prelude::*;
use serde::Deserialize;

use super::connection::{Db, MultiBackend, map_error};
use super::name_keys::{stored_look, stored_skeleton};
use super::paging::{page, window};
use super::schema::users;
use super::time_limit::with_time_limit;
use super::{members, organizations};
use crate::error::{Error, Result};
use crate::model::{LocationId, OrganizationId, Page, PageRequest, Rights, Role, Timestamp, User, UserId};
use crate::unicode;

/// A name longer than this, in bytes, matches no user: usernames have at most 50 characters.
const MAX_NAME_BYTES: usize = 1_000;

/// A row of `users`.
#[derive(Queryable, Selectable, Deserialize)]
#[diesel(table_name = users)]
pub struct UserRow {
    id: i64,
    username: String,
    display_name: String,
    role: i16,
    disabled: bool,
    token_version: i64,
    organization_id: Option<i64>,
    location_id: Option<i64>,
    created_at: i64,
}

impl TryFrom<UserRow> for User {
    type Error = Error;

    fn try_from(row: UserRow) -> Result<Self> {
        Ok(Self {
            id: UserId(row.id),
            username: row.username,
            display_name: row.display_name,
            role: Role::from_code(row.role).ok_or_else(|| Error::internal("unknown role"))?,
            disabled: row.disabled,
            token_version: row.token_version,
            organization_id: row.organization_id.map(OrganizationId),
            location_id: row.location_id.map(LocationId),
            created_at: Timestamp(row.created_at),
        })
    }
}

/// A query of user rows.
pub(super) type UserQuery<'a> = IntoBoxed<'a, Select<users::table, AsSelect<UserRow, MultiBackend>>, MultiBackend>;

/// Selects all users.
pub(super) fn all<'a>() -> UserQuery<'a> {
    users::table.select(UserRow::as_select()).into_boxed::<MultiBackend>()
}

/// A page of the users that `among` selects, ordered by username.
pub(super) fn list_among(db: &mut Db, among: UserQuery<'_>, window: &PageRequest<String>) -> Result<Page<User>> {
    let among = with_time_limit!(db, among, users::id);
    let rows = window!(among, users::username, asc, window).load::<UserRow>(db).map_err(map_error)?;
    let page = page(rows, window);
    let items = page.items.into_iter().map(User::try_from).collect::<Result<_>>()?;
    Ok(Page { items, more: page.more })
}

/// A page of the users, ordered by username. `search` matches any part of the username or the display name, in
/// any equivalent spelling.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn list(db: &mut Db, search: Option<&str>, window: &PageRequest<String>) -> Result<Page<User>> {
    let mut query = all();
    if let Some(search) = search {
        let escaped = unicode::fold(search).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        query = query.filter(users::search.like(format!("%{escaped}%")).escape('\\'));
    }
    list_among(db, query, window)
}

/// The user with this id, if there is one.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn find(db: &mut Db, id: UserId) -> Result<Option<User>> {
    let row = all().filter(users::id.eq(id.0)).first::<UserRow>(db).optional().map_err(map_error)?;
    row.map(User::try_from).transpose()
}

/// The user with this username (equivalent spellings match) and the hash of the password. If several usernames
/// are spellings of each other, as version 0.1.0 allowed, only the exact spelling finds each of them.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn credentials(db: &mut Db, username: &str) -> Result<Option<(User, String)>> {
    let trimmed = username.trim();
    if trimmed.len() > MAX_NAME_BYTES {
        return Ok(None);
    }
    let (lowercased, skeleton) = (trimmed.to_lowercase(), unicode::skeleton(trimmed));
    let is_similar = users::skeleton.eq(&skeleton).and(users::skeleton.ne(""));
    let rows: Vec<(UserRow, String)> = users::table
        .filter(users::username.eq(&lowercased).or(is_similar))
        .select((UserRow::as_select(), users::password_hash))
        .order(users::id.asc())
        .load(db)
        .map_err(map_error)?;
    let exact = rows.iter().position(|(row, _)| row.username == lowercased);
    let equivalent = || rows.iter().position(|(row, _)| unicode::is_same(&row.username, trimmed));
    let found = exact.or_else(equivalent).and_then(|at| rows.into_iter().nth(at));
    found.map(|(row, hash)| Ok((User::try_from(row)?, hash))).transpose()
}

/// The username that looks like this name, if there is one. Usernames are lower-case, so the `skeleton` column
/// serves both comparisons.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn find_similar_name(db: &mut Db, name: &str) -> Result<Option<String>> {
    let is_similar = users::skeleton.eq_any([stored_skeleton(name), stored_look(name)]);
    let found =
        users::table.filter(users::username.eq(name).or(is_similar)).select(users::username).order(users::id.asc());
    found.first(db).optional().map_err(map_error)
}

/// Whether a user lacks the columns by which names are compared.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn has_missing_name_keys(db: &mut Db) -> Result<bool> {
    let found = users::table.filter(users::skeleton.eq("")).select(users::id).first::<i64>(db);
    Ok(found.optional().map_err(map_error)?.is_some())
}

/// Computes the columns by which names are compared, for up to `limit` users that lack them. Returns how many
/// users were updated.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn fill_name_keys(db: &mut Db, limit: i64) -> Result<usize> {
    let rows: Vec<(i64, String, String)> = users::table
        .filter(users::skeleton.eq(""))
        .select((users::id, users::username, users::display_name))
        .order(users::id.asc())
        .limit(limit)
        .load(db)
        .map_err(map_error)?;
    for (id, username, display_name) in &rows {
        diesel::update(users::table.filter(users::id.eq(id)))
            .set((users::skeleton.eq(stored_skeleton(username)), users::search.eq(search_text(username, display_name))))
            .execute(db)
            .map_err(map_error)?;
    }
    Ok(rows.len())
}

/// The text that [`list`] searches: the folded username and the folded display name.
fn search_text(username: &str, display_name: &str) -> String {
    format!("{}\n{}", unicode::fold(username), unicode::fold(display_name))
}

/// Users whose username may be one of these names, as mentions spell them. The caller compares the names.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn by_names<'n>(db: &mut Db, names: impl IntoIterator<Item = &'n String> + Clone) -> Result<Vec<User>> {
    let lowercased: Vec<String> = names.clone().into_iter().map(|name| name.to_lowercase()).collect();
    let skeletons: Vec<String> =
        names.into_iter().map(|name| unicode::skeleton(name)).filter(|one| !one.is_empty()).collect();
    let rows = all().filter(users::username.eq_any(lowercased).or(users::skeleton.eq_any(skeletons)));
    rows.load::<UserRow>(db).map_err(map_error)?.into_iter().map(User::try_from).collect()
}

/// Users by id. Missing ones are left out.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn by_ids(db: &mut Db, ids: &[UserId]) -> Result<HashMap<UserId, User>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = all().filter(users::id.eq_any(ids)).load::<UserRow>(db).map_err(map_error)?;
    rows.into_iter().map(|row| Ok((UserId(row.id), User::try_from(row)?))).collect()
}

/// Loads the current permissions of a user.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn rights(db: &mut Db, user: &User) -> Result<Rights> {
    let mut locations = match user.organization_id {
        Some(organization) => organizations::location_ids(db, organization)?,
        None => Vec::new(),
    };
    locations.extend(user.location_id);
    locations.sort_unstable();
    locations.dedup();
    Ok(Rights {
        user: Some(user.id),
        admin: user.role == Role::Admin,
        locations,
        channels: members::ids_by_member(db, user.id)?,
        limit: None,
    })
}

/// Inserts a user without an organization or a location. Returns its id; the id in `user` is ignored.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert(db: &mut Db, user: &User, password_hash: &str) -> Result<UserId> {
    let id: i64 = diesel::insert_into(users::table)
        .values((
            users::username.eq(&user.username),
            users::display_name.eq(&user.display_name),
            users::password_hash.eq(password_hash),
            users::skeleton.eq(stored_skeleton(&user.username)),
            users::search.eq(search_text(&user.username, &user.display_name)),
            users::role.eq(user.role.code()),
            users::disabled.eq(user.disabled),
            users::token_version.eq(user.token_version),
            users::created_at.eq(user.created_at.0),
        ))
        .returning(users::id)
        .get_result(db)
        .map_err(map_error)?;
    Ok(UserId(id))
}

/// Updates the fields of a user that can change, except the password.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn update(db: &mut Db, user: &User) -> Result<()> {
    diesel::update(users::table.filter(users::id.eq(user.id.0)))
        .set((
            users::display_name.eq(&user.display_name),
            users::search.eq(search_text(&user.username, &user.display_name)),
            users::role.eq(user.role.code()),
            users::disabled.eq(user.disabled),
            users::token_version.eq(user.token_version),
            users::organization_id.eq(user.organization_id.map(|id| id.0)),
            users::location_id.eq(user.location_id.map(|id| id.0)),
        ))
        .execute(db)
        .map_err(map_error)?;
    Ok(())
}

/// Stores the hash of a new password.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn set_password_hash(db: &mut Db, id: UserId, hash: &str) -> Result<()> {
    diesel::update(users::table.filter(users::id.eq(id.0)))
        .set(users::password_hash.eq(hash))
        .execute(db)
        .map_err(map_error)?;
    Ok(())
}
