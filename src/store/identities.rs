//! The identities of users at other issuers of tokens.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::schema::identities;
use crate::error::Result;
use crate::model::{ExternalIdentity, UserId};

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

/// Inserts identities of users.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert(db: &mut Db, rows: &[(&ExternalIdentity, UserId)]) -> Result<()> {
    let values: Vec<_> = rows
        .iter()
        .map(|(identity, user)| {
            (
                identities::issuer.eq(&identity.issuer),
                identities::subject.eq(&identity.subject),
                identities::user_id.eq(user.0),
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

/// Deletes the identities of a user.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn delete_of_user(db: &mut Db, user: UserId) -> Result<()> {
    let of_user = identities::table.filter(identities::user_id.eq(user.0));
    diesel::delete(of_user).execute(db).map(drop).map_err(map_error)
}
