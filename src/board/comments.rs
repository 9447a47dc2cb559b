//! Writing, changing and deleting comments.

use std::sync::Arc;

use super::attention::NotificationFanout;
use super::key::Key;
use super::{Board, Viewer, check_if_cursor, text};
use crate::error::{Error, Result};
use crate::model::{Body, Comment, CommentId, Cursor, EventKind, Message, MessageId, Rights, UserId};
use crate::store::idempotency::Made;
use crate::store::{Change, Tx, comments, messages};

/// A comment to be written.
#[derive(Debug, Clone)]
pub struct NewComment {
    /// What it replies to.
    pub message: MessageId,
    /// Its text.
    pub content: String,
    /// The same key again returns the first result.
    pub key: Option<String>,
}

/// A comment's new text.
#[derive(Debug, Clone)]
pub struct CommentEdit {
    /// Which.
    pub id: CommentId,
    /// The text.
    pub content: String,
    /// Only if the comment is still at this position.
    pub if_cursor: Option<Cursor>,
}

impl Board {
    /// Writes a comment.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `NOT_FOUND` for the message, `CONFLICT` for the key, `RATE_LIMITED`.
    pub async fn create_comment(&self, viewer: &Viewer, new: NewComment) -> Result<Comment> {
        let author = self.actor(viewer)?.user.id;
        let content = text::required("content", &new.content, self.rules.max_content)?;
        let parts = || vec!["comment".into(), new.message.to_string(), content.clone()];
        let key = Key::of(author, new.key.as_deref(), parts)?;
        let mentions = self.mentions(author, &[&content]);
        let viewer = viewer.clone();
        self.store
            .write(move |tx| {
                let rights = viewer.rights()?;
                if let Some(made) = key.as_ref().map_or(Ok(None), |key| key.made(tx))? {
                    let Made::Comment(id) = made else { return Err(Error::internal("a digest of another kind")) };
                    return find(tx, &rights, id).map(|(comment, _)| comment);
                }
                let message = messages::find(tx.read(), &rights, new.message)?.ok_or(Error::NotFound("message"))?;
                let (now, cursor) = (tx.now(), tx.next_cursor());
                let comment = comments::insert(tx.write(), message.id, &content, author, now, cursor)?;
                if let Some(key) = &key {
                    key.keep(tx, Made::Comment(comment.id))?;
                }
                record(tx, EventKind::CommentAdded, &comment, &message, author);
                let mut fanout = NotificationFanout::new(&message, author);
                fanout.add_commented();
                fanout.add_mentioned(tx, &[], &mentions)?;
                fanout.dispatch(tx)?;
                Ok(comment)
            })
            .await
    }

    /// Changes a comment.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `NOT_FOUND`, `FORBIDDEN`, `CONFLICT`, `RATE_LIMITED`.
    pub async fn update_comment(&self, viewer: &Viewer, edit: CommentEdit) -> Result<Comment> {
        let actor = self.actor(viewer)?.user.id;
        let content = text::required("content", &edit.content, self.rules.max_content)?;
        let mentions = self.mentions(actor, &[&content]);
        let viewer = viewer.clone();
        self.store
            .write(move |tx| {
                let rights = viewer.rights()?;
                let (mut comment, message) = find(tx, &rights, edit.id)?;
                own(&rights, actor, &comment)?;
                check_if_cursor(comment.cursor, edit.if_cursor)?;
                let before = std::mem::replace(&mut comment.content, content.clone());
                comment.updated_at = tx.now();
                comment.cursor = tx.next_cursor();
                comments::update(tx.write(), &comment)?;
                record(tx, EventKind::CommentUpdated, &comment, &message, actor);
                let mut fanout = NotificationFanout::new(&message, actor);
                fanout.add_mentioned(tx, &[&before], &mentions)?;
                fanout.dispatch(tx)?;
                Ok(comment)
            })
            .await
    }

    /// Deletes a comment.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `RATE_LIMITED`.
    pub async fn delete_comment(&self, viewer: &Viewer, id: CommentId) -> Result<CommentId> {
        let actor = self.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        self.store
            .write(move |tx| {
                let rights = viewer.rights()?;
                let (comment, message) = find(tx, &rights, id)?;
                own(&rights, actor, &comment)?;
                comments::delete(tx.write(), id)?;
                tx.record(Change::new(EventKind::CommentDeleted, id.0, Some(actor)).of_message(&message), Body::None);
                Ok(id)
            })
            .await
    }
}

/// A comment is there for those who may see its message.
fn find(tx: &mut Tx<'_>, rights: &Rights, id: CommentId) -> Result<(Comment, Message)> {
    let missing = || Error::NotFound("comment");
    let comment = comments::by_ids(tx.read(), &[id])?.remove(&id).ok_or_else(missing)?;
    let message = messages::find(tx.read(), rights, comment.message_id)?.ok_or_else(missing)?;
    Ok((comment, message))
}

fn own(rights: &Rights, actor: UserId, comment: &Comment) -> Result<()> {
    if rights.admin || comment.author_id == actor {
        return Ok(());
    }
    Err(Error::Forbidden("only the author or an admin may change or delete a comment".into()))
}

fn record(tx: &mut Tx<'_>, kind: EventKind, comment: &Comment, message: &Message, actor: UserId) {
    let change = Change::new(kind, comment.id.0, Some(actor)).of_message(message);
    tx.record(change, Body::Comment(Arc::new(comment.clone())));
}
