//! Comments. A viewer may see a comment if they may see its message.

use std::collections::HashMap;

use diesel::prelude::*;
use serde::Deserialize;

use super::connection::{Db, MultiBackend, map_error, with_backend};
use super::group_range::{IdRange, in_group};
use super::paging::page;
use super::schema::{comments, messages};
use super::visibility;
use crate::error::Result;
use crate::model::{Comment, CommentId, Cursor, MessageId, Page, PageRequest, Seq, Tag, Timestamp, UserId};

/// A row of `comments`.
#[derive(Queryable, Selectable, Deserialize)]
#[diesel(table_name = comments)]
pub struct CommentRow {
    id: i64,
    message_id: i64,
    content: String,
    author_id: i64,
    created_at: i64,
    updated_at: i64,
    seq: i64,
    tag: i64,
}

impl CommentRow {
    pub(super) fn id(&self) -> i64 {
        self.id
    }
}

impl From<CommentRow> for Comment {
    fn from(row: CommentRow) -> Self {
        Self {
            id: CommentId(row.id),
            message_id: MessageId(row.message_id),
            content: row.content,
            author_id: UserId(row.author_id),
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
            cursor: Cursor { seq: Seq(row.seq), tag: Tag(row.tag) },
        }
    }
}

/// A page of the comments of a message, oldest first.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn list(db: &mut Db, message: MessageId, window: &PageRequest<CommentId>) -> Result<Page<Comment>> {
    let query = comments::table.select(CommentRow::as_select()).into_boxed::<MultiBackend>();
    let window = window.map(|id| id.0);
    let (range, wanted) = (IdRange::oldest_first(&window), window.limit.saturating_add(1));
    let query = in_group!(query, comments::message_id, message.0, comments::id, range, wanted);
    let rows = query.load::<CommentRow>(db).map_err(map_error)?;
    let page = page(rows, &window);
    Ok(Page { items: page.items.into_iter().map(Comment::from).collect(), more: page.more })
}

/// Comments by id. Missing ones and those of deleted messages are left out.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn by_ids(db: &mut Db, ids: &[CommentId]) -> Result<HashMap<CommentId, Comment>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let existing_message = messages::table
        .filter(messages::id.eq(comments::message_id))
        .filter(visibility::is_not_deleted())
        .select(messages::id);
    let existing = comments::table.filter(comments::id.eq_any(ids)).filter(diesel::dsl::exists(existing_message));
    let rows = existing.select(CommentRow::as_select()).load::<CommentRow>(db).map_err(map_error)?;
    Ok(rows.into_iter().map(|row| (CommentId(row.id), Comment::from(row))).collect())
}

/// The comment with this id, without a permission check and without its message.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn find(db: &mut Db, id: CommentId) -> Result<Option<Comment>> {
    let found = comments::table.filter(comments::id.eq(id.0));
    let row = with_backend!(db, connection => found.select(CommentRow::as_select()).first(connection));
    Ok(row.optional().map_err(map_error)?.map(Comment::from))
}

/// Inserts a comment. Returns its id; the id in `comment` is ignored.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert(connection: &mut SqliteConnection, comment: &Comment) -> Result<i64> {
    diesel::insert_into(comments::table)
        .values((
            comments::message_id.eq(comment.message_id.0),
            comments::content.eq(&comment.content),
            comments::author_id.eq(comment.author_id.0),
            comments::created_at.eq(comment.created_at.0),
            comments::updated_at.eq(comment.updated_at.0),
            comments::seq.eq(comment.cursor.seq.0),
            comments::tag.eq(comment.cursor.tag.0),
        ))
        .returning(comments::id)
        .get_result(connection)
        .map_err(map_error)
}

/// Updates the fields of a comment that can change: text, time and cursor.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn update(connection: &mut SqliteConnection, comment: &Comment) -> Result<()> {
    diesel::update(comments::table.filter(comments::id.eq(comment.id.0)))
        .set((
            comments::content.eq(&comment.content),
            comments::updated_at.eq(comment.updated_at.0),
            comments::seq.eq(comment.cursor.seq.0),
            comments::tag.eq(comment.cursor.tag.0),
        ))
        .execute(connection)
        .map_err(map_error)?;
    Ok(())
}

/// Deletes a comment.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn delete(connection: &mut SqliteConnection, id: CommentId) -> Result<()> {
    let deleted = diesel::delete(comments::table.filter(comments::id.eq(id.0))).execute(connection);
    deleted.map(drop).map_err(map_error)
}
