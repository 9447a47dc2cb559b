//! Links with which users set a new password.

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::schema::password_resets;
use crate::error::Result;
use crate::model::{Timestamp, UserId};

/// The user of the link with this digest of its token, and when the link expires.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn find(db: &mut Db, digest: &str) -> Result<Option<(UserId, Timestamp)>> {
    let found = password_resets::table.filter(password_resets::digest.eq(digest));
    let row: Option<(i64, i64)> = found
        .select((password_resets::user_id, password_resets::expires_at))
        .first(db)
        .optional()
        .map_err(map_error)?;
    Ok(row.map(|(user, expires_at)| (UserId(user), Timestamp(expires_at))))
}

/// Stores the link of a user in place of an earlier one.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn set(db: &mut Db, user: UserId, digest: &str, expires_at: Timestamp) -> Result<()> {
    delete(db, user)?;
    diesel::insert_into(password_resets::table)
        .values((
            password_resets::user_id.eq(user.0),
            password_resets::digest.eq(digest),
            password_resets::expires_at.eq(expires_at.0),
        ))
        .execute(db)
        .map_err(map_error)?;
    Ok(())
}

/// Deletes the link of a user.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn delete(db: &mut Db, user: UserId) -> Result<()> {
    let of_user = password_resets::table.filter(password_resets::user_id.eq(user.0));
    diesel::delete(of_user).execute(db).map_err(map_error)?;
    Ok(())
}

/// Deletes links that expired before this time. They are few: admins create them one by one.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn delete_expired(db: &mut Db, before: Timestamp) -> Result<()> {
    let expired = password_resets::table.filter(password_resets::expires_at.lt(before.0));
    diesel::delete(expired).execute(db).map_err(map_error)?;
    Ok(())
}
