//! The identities of users at other issuers of tokens, and digests of those of deleted users.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel::prelude::*;
use sha2::{Digest as _, Sha256};

use super::connection::{Db, map_error};
use super::schema::{deleted_identities, identities};
use crate::error::Result;
use crate::model::{ExternalIdentity, Timestamp, UserId};

/// Which of these identities belong to a user, and to which one.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn users_of(db: &mut Db, wanted: &[ExternalIdentity]) -> Result<HashMap<ExternalIdentity, UserId>> {
    let mut found = HashMap::new();
    let issuers: HashSet<&str> = wanted.iter().map(|identity| identity.issuer.as_str()).collect();
    for issuer in issuers {
        let subjects = wanted.iter().filter(|identity| identity.issuer == issuer).map(|identity| &identity.subject);
        let rows: Vec<(String, i64)> = identities::table
            .filter(identities::issuer.eq(issuer))
            .filter(identities::subject.eq_any(subjects))
            .select((identities::subject, identities::user_id))
            .load(db)
            .map_err(map_error)?;
        let identity = |subject| ExternalIdentity { issuer: issuer.to_owned(), subject };
        found.extend(rows.into_iter().map(|(subject, user)| (identity(subject), UserId(user))));
    }
    Ok(found)
}

/// Inserts identities of users, with the time of the token whose profile the user has.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert(db: &mut Db, rows: &[(&ExternalIdentity, UserId, Timestamp)]) -> Result<()> {
    let values: Vec<_> = rows
        .iter()
        .map(|(identity, user, profile_at)| {
            (
                identities::issuer.eq(&identity.issuer),
                identities::subject.eq(&identity.subject),
                identities::user_id.eq(user.0),
                identities::profile_at.eq(profile_at.0),
            )
        })
        .collect();
    if values.is_empty() {
        return Ok(());
    }
    let insert = diesel::insert_into(identities::table);
    let inserted: QueryResult<()> = match db {
        // One by one: for several rows, diesel would begin a transaction of its own.
        Db::Sqlite(connection) => {
            values.into_iter().try_for_each(|row| insert.values(row).execute(connection).map(drop))
        }
        Db::Postgres(connection) => insert.values(values).execute(connection).map(drop),
    };
    inserted.map_err(map_error)
}

/// When the token was issued whose profile the user of this identity has; time 0 if there is none.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn profile_at(db: &mut Db, identity: &ExternalIdentity) -> Result<Timestamp> {
    let found = identities::table
        .find((&identity.issuer, &identity.subject))
        .select(identities::profile_at)
        .first(db)
        .optional()
        .map_err(map_error)?;
    Ok(Timestamp(found.unwrap_or(0)))
}

/// Stores when the token was issued whose profile the user of this identity has.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn set_profile_at(db: &mut Db, identity: &ExternalIdentity, at: Timestamp) -> Result<()> {
    let row = identities::table.find((&identity.issuer, &identity.subject));
    diesel::update(row).set(identities::profile_at.eq(at.0)).execute(db).map(drop).map_err(map_error)
}

/// When the users of these identities were deleted, as far as it is still known.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn deleted_at(db: &mut Db, wanted: &[ExternalIdentity]) -> Result<HashMap<ExternalIdentity, Timestamp>> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let mut digests: HashMap<String, &ExternalIdentity> = wanted.iter().map(|one| (digest(one), one)).collect();
    let rows: Vec<(String, i64)> = deleted_identities::table
        .filter(deleted_identities::digest.eq_any(digests.keys().cloned().collect::<Vec<_>>()))
        .select((deleted_identities::digest, deleted_identities::deleted_at))
        .load(db)
        .map_err(map_error)?;
    let known = rows.into_iter().filter_map(|(digest, at)| Some((digests.remove(&digest)?.clone(), Timestamp(at))));
    Ok(known.collect())
}

/// Forgets the users that were deleted before this time.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn forget_deleted(db: &mut Db, before: Timestamp) -> Result<()> {
    let old = deleted_identities::table.filter(deleted_identities::deleted_at.lt(before.0));
    diesel::delete(old).execute(db).map(drop).map_err(map_error)
}

/// A digest of an identity. The table must not contain the identities of deleted users themselves.
fn digest(identity: &ExternalIdentity) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{}\0{}", identity.issuer, identity.subject)))
}

/// Deletes the identities of a user who is deleted at this time. Keeps their digests.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn delete_of_user(db: &mut Db, user: UserId, at: Timestamp) -> Result<()> {
    let of_user = identities::table.filter(identities::user_id.eq(user.0));
    let own = of_user.select((identities::issuer, identities::subject));
    for (issuer, subject) in own.load::<(String, String)>(db).map_err(map_error)? {
        let digest = digest(&ExternalIdentity { issuer, subject });
        let known = deleted_identities::table.filter(deleted_identities::digest.eq(&digest));
        diesel::delete(known).execute(db).map_err(map_error)?;
        diesel::insert_into(deleted_identities::table)
            .values((deleted_identities::digest.eq(&digest), deleted_identities::deleted_at.eq(at.0)))
            .execute(db)
            .map_err(map_error)?;
    }
    diesel::delete(of_user).execute(db).map(drop).map_err(map_error)
}
