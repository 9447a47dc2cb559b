//! The sessions of users.

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::schema::{sessions, users};
use crate::error::Result;
use crate::model::{SessionId, Timestamp, UserId, UserSession};

/// Maximum number of sessions that one step deletes.
const MAX_STEP_ROWS: i64 = 1_000;

/// A row of `sessions`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = sessions)]
struct SessionRow {
    id: i64,
    user_id: i64,
    created_at: i64,
    last_seen_at: i64,
    expires_at: i64,
    user_agent: Option<String>,
    family: String,
    secret: String,
}

impl From<SessionRow> for UserSession {
    fn from(row: SessionRow) -> Self {
        Self {
            id: SessionId(row.id),
            user_id: UserId(row.user_id),
            created_at: Timestamp(row.created_at),
            last_seen_at: Timestamp(row.last_seen_at),
            expires_at: Timestamp(row.expires_at),
            user_agent: row.user_agent,
            family: row.family,
            secret: row.secret,
        }
    }
}

/// The sessions of a user, oldest first. Some of them may have expired.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn of_user(db: &mut Db, user: UserId) -> Result<Vec<UserSession>> {
    let found = sessions::table.filter(sessions::user_id.eq(user.0)).order(sessions::id.asc());
    let rows = found.select(SessionRow::as_select()).load(db).map_err(map_error)?;
    Ok(rows.into_iter().map(UserSession::from).collect())
}

/// The ids of the sessions of a user, in ascending order.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn ids_of_user(db: &mut Db, user: UserId) -> Result<Vec<SessionId>> {
    let found = sessions::table.filter(sessions::user_id.eq(user.0)).order(sessions::id.asc());
    let ids: Vec<i64> = found.select(sessions::id).load(db).map_err(map_error)?;
    Ok(ids.into_iter().map(SessionId).collect())
}

/// When all sessions of a user were last ended: tokens of other issuers from before that are not valid any more.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn all_ended_at(db: &mut Db, user: UserId) -> Result<Option<Timestamp>> {
    let found = users::table.filter(users::id.eq(user.0)).select(users::sessions_ended_at);
    let at: Option<Option<i64>> = found.first(db).optional().map_err(map_error)?;
    Ok(at.flatten().map(Timestamp))
}

/// The session whose refresh token has this digest of its first part.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn by_family(db: &mut Db, family: &str) -> Result<Option<UserSession>> {
    let found = sessions::table.filter(sessions::family.eq(family)).select(SessionRow::as_select());
    Ok(found.first(db).optional().map_err(map_error)?.map(UserSession::from))
}

/// Starts a session. Returns its id; the id in `session` is ignored.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert(db: &mut Db, session: &UserSession) -> Result<SessionId> {
    let id: i64 = diesel::insert_into(sessions::table)
        .values((
            sessions::user_id.eq(session.user_id.0),
            sessions::created_at.eq(session.created_at.0),
            sessions::last_seen_at.eq(session.last_seen_at.0),
            sessions::expires_at.eq(session.expires_at.0),
            sessions::user_agent.eq(&session.user_agent),
            sessions::family.eq(&session.family),
            sessions::secret.eq(&session.secret),
        ))
        .returning(sessions::id)
        .get_result(db)
        .map_err(map_error)?;
    diesel::update(users::table.filter(users::id.eq(session.user_id.0)))
        .set(users::last_session.eq(id))
        .execute(db)
        .map_err(map_error)?;
    Ok(SessionId(id))
}

/// Updates what the use of a refresh token changes.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn update(db: &mut Db, session: &UserSession) -> Result<()> {
    diesel::update(sessions::table.filter(sessions::id.eq(session.id.0)))
        .set((
            sessions::last_seen_at.eq(session.last_seen_at.0),
            sessions::expires_at.eq(session.expires_at.0),
            sessions::secret.eq(&session.secret),
        ))
        .execute(db)
        .map_err(map_error)?;
    Ok(())
}

/// Ends a session.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn delete(db: &mut Db, id: SessionId) -> Result<()> {
    diesel::delete(sessions::table.filter(sessions::id.eq(id.0))).execute(db).map_err(map_error)?;
    Ok(())
}

/// Deletes all sessions of a user.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn delete_of_user(db: &mut Db, user: UserId) -> Result<()> {
    diesel::delete(sessions::table.filter(sessions::user_id.eq(user.0))).execute(db).map_err(map_error)?;
    Ok(())
}

/// Ends all sessions of a user, and those with tokens of other issuers, at this time.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn end_all_of_user(db: &mut Db, user: UserId, at: Timestamp) -> Result<()> {
    delete_of_user(db, user)?;
    diesel::update(users::table.filter(users::id.eq(user.0)))
        .set(users::sessions_ended_at.eq(at.0))
        .execute(db)
        .map_err(map_error)?;
    Ok(())
}

/// Records that these sessions were used at this time.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn set_last_seen(db: &mut Db, ids: &[SessionId], at: Timestamp) -> Result<()> {
    let used =
        sessions::table.filter(sessions::id.eq_any(ids.iter().map(|id| id.0))).filter(sessions::last_seen_at.lt(at.0));
    diesel::update(used).set(sessions::last_seen_at.eq(at.0)).execute(db).map_err(map_error)?;
    Ok(())
}

/// Deletes sessions that expired before this time. Returns whether more may be left.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn delete_expired(db: &mut Db, before: Timestamp) -> Result<bool> {
    let expired = sessions::table.filter(sessions::expires_at.lt(before.0)).order(sessions::expires_at.asc());
    let ids: Vec<i64> = expired.select(sessions::id).limit(MAX_STEP_ROWS).load(db).map_err(map_error)?;
    let deleted = diesel::delete(sessions::table.filter(sessions::id.eq_any(ids))).execute(db).map_err(map_error)?;
    Ok(i64::try_from(deleted) == Ok(MAX_STEP_ROWS))
}
