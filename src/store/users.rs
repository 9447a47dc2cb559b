//! Users, the hashes of their passwords, and their permissions.

use std::collections::HashMap;

use diesel::dsl::{AsSelect, IntoBoxed, Select};
use diesel::prelude::*;
use serde::Deserialize;

use super::connection::{Db, MultiBackend, map_error};
use super::deleted_users::{self, Removal};
use super::name_keys::{stored_look, stored_skeleton};
use super::paging::{page, window};
use super::schema::users;
use super::time_limit::with_time_limit;
use super::{api_keys, identities, members, organizations, password_resets, sessions};
use crate::error::{Error, Result};
use crate::model::{
    ExternalIdentity, LocationId, OrganizationId, Page, PageRequest, Rights, Role, SessionId, Timestamp, User, UserId,
    UserKind,
};
use crate::unicode;

/// A name longer than this, in bytes, matches no user: usernames have at most 50 characters.
const MAX_NAME_BYTES: usize = 1_000;

/// A user to create.
#[derive(Clone)]
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct NewUserRow {
    /// The user; the id is provisional.
    pub user: User,
    /// The hash of the password; empty for a user without a password.
    pub password_hash: String,
    /// The user's identity at another issuer.
    pub identity: Option<ExternalIdentity>,
    /// When the token was issued whose profile the user has; time 0 for a user without one.
    pub profile_at: Timestamp,
}

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
    last_session: i64,
    kind: i16,
    email: Option<String>,
    deleted_at: Option<i64>,
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
            last_session: SessionId(row.last_session),
            kind: UserKind::from_code(row.kind).ok_or_else(|| Error::internal("unknown kind of user"))?,
            email: row.email,
            deleted_at: row.deleted_at.map(Timestamp),
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
    let mut query = all().filter(users::deleted_at.is_null());
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

/// The user with this username (equivalent spellings match) and the hash of the password, if there is one. If several
/// usernames are spellings of each other, as version 0.1.0 allowed, only the exact spelling finds each of them.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn credentials(db: &mut Db, username: &str) -> Result<Option<(User, Option<String>)>> {
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
    found.map(|(row, hash)| Ok((User::try_from(row)?, Some(hash).filter(|hash| !hash.is_empty())))).transpose()
}

/// For each of these names, the username that looks like it, if there is one. `but` is the user to leave out.
/// Usernames are lower-case, so the `skeleton` column serves both comparisons.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn find_similar_names(
    db: &mut Db,
    names: &[String],
    but: Option<UserId>,
) -> Result<HashMap<String, Option<String>>> {
    let keys = |name: &String| [stored_skeleton(name), stored_look(name)];
    let forms: Vec<String> = names.iter().flat_map(keys).collect();
    let found: Vec<(String, String)> = users::table
        .filter(users::username.eq_any(names).or(users::skeleton.eq_any(&forms)))
        .filter(users::id.ne(but.map_or(0, |id| id.0)))
        .select((users::username, users::skeleton))
        .order(users::id.desc())
        .load(db)
        .map_err(map_error)?;
    let mut known: HashMap<&str, &str> = HashMap::new();
    for (username, skeleton) in &found {
        known.insert(skeleton, username);
        known.insert(username, username);
    }
    let similar = |name: &String| {
        let of_form = || keys(name).iter().find_map(|form| known.get(form.as_str()).copied());
        known.get(name.as_str()).copied().or_else(of_form).map(str::to_owned)
    };
    Ok(names.iter().map(|name| (name.clone(), similar(name))).collect())
}

/// Whether there is any user.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn exist(db: &mut Db) -> Result<bool> {
    let found = users::table.select(users::id).first::<i64>(db).optional();
    Ok(found.map_err(map_error)?.is_some())
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

/// The columns of a new user.
#[derive(Insertable)]
#[diesel(table_name = users)]
struct UserValues<'a> {
    username: &'a str,
    display_name: &'a str,
    password_hash: &'a str,
    skeleton: String,
    search: String,
    role: i16,
    disabled: bool,
    token_version: i64,
    organization_id: Option<i64>,
    location_id: Option<i64>,
    created_at: i64,
    kind: i16,
    email: Option<&'a str>,
}

impl<'a> UserValues<'a> {
    fn of(NewUserRow { user, password_hash, .. }: &'a NewUserRow) -> Self {
        Self {
            username: &user.username,
            display_name: &user.display_name,
            password_hash,
            skeleton: stored_skeleton(&user.username),
            search: search_text(&user.username, &user.display_name),
            role: user.role.code(),
            disabled: user.disabled,
            token_version: user.token_version,
            organization_id: user.organization_id.map(|id| id.0),
            location_id: user.location_id.map(|id| id.0),
            created_at: user.created_at.0,
            kind: user.kind.code(),
            email: user.email.as_deref(),
        }
    }
}

/// Inserts users, with their identities. Returns their ids in the same order; the ids in `rows` are ignored.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert(db: &mut Db, rows: &[NewUserRow]) -> Result<Vec<i64>> {
    let values: Vec<_> = rows.iter().map(UserValues::of).collect();
    let insert = diesel::insert_into(users::table);
    let inserted: QueryResult<Vec<i64>> = match db {
        // One by one: for several rows, diesel would begin a transaction of its own.
        Db::Sqlite(connection) => {
            values.iter().map(|row| insert.values(row).returning(users::id).get_result(connection)).collect()
        }
        Db::Postgres(connection) => insert.values(&values).returning(users::id).get_results(connection),
    };
    let ids = inserted.map_err(map_error)?;
    let identities =
        rows.iter().zip(&ids).filter_map(|(row, id)| Some((row.identity.as_ref()?, UserId(*id), row.profile_at)));
    identities::insert(db, &identities.collect::<Vec<_>>())?;
    Ok(ids)
}

/// Updates the fields of a user that can change, except the password.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn update(db: &mut Db, user: &User) -> Result<()> {
    diesel::update(users::table.filter(users::id.eq(user.id.0)))
        .set((
            users::username.eq(&user.username),
            users::skeleton.eq(stored_skeleton(&user.username)),
            users::email.eq(user.email.as_deref()),
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

/// Makes a user anonymous: writes `user`, and deletes the password, the sessions, the identities and the link to set a
/// password. `removal` is what remains to be done.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn delete(db: &mut Db, user: &User, removal: Removal) -> Result<()> {
    update(db, user)?;
    set_password_hash(db, user.id, "")?;
    password_resets::delete(db, user.id)?;
    sessions::delete_of_user(db, user.id)?;
    identities::delete_of_user(db, user.id, user.deleted_at.unwrap_or_else(Timestamp::now))?;
    api_keys::delete_of_user(db, user.id)?;
    diesel::update(users::table.filter(users::id.eq(user.id.0)))
        .set(users::deleted_at.eq(user.deleted_at.map(|at| at.0)))
        .execute(db)
        .map_err(map_error)?;
    deleted_users::set_removal(db, user.id, Some(removal))
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
