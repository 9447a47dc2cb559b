//! Idempotency keys and the objects that were created with them. A key is unique for each author, and is removed
//! with the object.

use diesel::prelude::*;

use super::connection::{Db, map_error, with_backend};
use super::schema::idempotency_keys as keys;
use crate::error::Result;
use crate::model::{CommentId, MessageId, UserId};

/// The object that was created with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreatedObject {
    /// The key created a message.
    Message(MessageId),
    /// The key created a comment.
    Comment(CommentId),
    /// The key created a user.
    User(UserId),
}

impl CreatedObject {
    /// The user, if the object is one.
    #[must_use]
    pub fn user(self) -> Option<UserId> {
        match self {
            Self::User(id) => Some(id),
            Self::Message(_) | Self::Comment(_) => None,
        }
    }
}

/// The message, the comment or the user that was created with a key, and the digest of the input.
type KeyColumns = (Option<i64>, Option<i64>, Option<i64>, String);

/// The object that an author created with this key, and the digest of the input.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn find(db: &mut Db, author: UserId, key: &str) -> Result<Option<(CreatedObject, String)>> {
    let found = keys::table.filter(keys::author_id.eq(author.0)).filter(keys::key.eq(key)).select((
        keys::message_id,
        keys::comment_id,
        keys::created_user_id,
        keys::digest,
    ));
    let row: QueryResult<KeyColumns> = with_backend!(db, connection => found.first(connection));
    Ok(row.optional().map_err(map_error)?.and_then(|(message, comment, user, digest)| {
        let made = message
            .map(|id| CreatedObject::Message(MessageId(id)))
            .or(comment.map(|id| CreatedObject::Comment(CommentId(id))))
            .or(user.map(|id| CreatedObject::User(UserId(id))));
        made.map(|made| (made, digest))
    }))
}

/// Records the object that was created with a key, and the digest of the input.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn keep(
    connection: &mut SqliteConnection,
    author: UserId,
    key: &str,
    digest: &str,
    made: CreatedObject,
) -> Result<()> {
    let (message, comment, user) = match made {
        CreatedObject::Message(id) => (Some(id.0), None, None),
        CreatedObject::Comment(id) => (None, Some(id.0), None),
        CreatedObject::User(id) => (None, None, Some(id.0)),
    };
    let insert = diesel::insert_into(keys::table).values((
        keys::author_id.eq(author.0),
        keys::key.eq(key),
        keys::digest.eq(digest),
        keys::message_id.eq(message),
        keys::comment_id.eq(comment),
        keys::created_user_id.eq(user),
    ));
    insert.execute(connection).map(drop).map_err(map_error)
}
