//! Use cases of comments: create, update, delete.

use std::sync::Arc;

use super::commands::Commands;
use super::idempotency::IdempotencyKey;
use super::notification_rules::{Mentions, NotificationFanout};
use super::records::check_if_cursor;
use super::{Policy, Viewer, validate};
use crate::capacity::RateLimiter;
use crate::error::{Error, Result};
use crate::model::{Comment, CommentId, Cursor, EventBody, EventKind, Message, MessageId, Rights, UserId};
use crate::store::idempotency::CreatedObject;
use crate::store::{NewEvent, Tx, comments, messages};

/// The input for a new comment.
#[derive(Debug, Clone)]
pub struct NewComment {
    /// The message that is commented on.
    pub message: MessageId,
    /// The text; must not be empty.
    pub content: String,
    /// The idempotency key: a second call with the same key returns the first result.
    pub key: Option<String>,
}

/// A new text for a comment.
#[derive(Debug, Clone)]
pub struct CommentEdit {
    /// The comment to change.
    pub id: CommentId,
    /// The new text; must not be empty.
    pub content: String,
    /// If set, the change is made only if the comment still has this cursor.
    pub if_cursor: Option<Cursor>,
}

/// The use cases of comments.
pub struct Comments {
    pub(super) commands: Arc<Commands>,
    pub(super) policy: Arc<Policy>,
    pub(super) mention_limit: Arc<RateLimiter<UserId>>,
}

impl Comments {
    /// Creates a comment and notifies the users whom it concerns.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` for an invalid field. `NOT_FOUND` if the message
    /// does not exist for the viewer. `CONFLICT` if the key was used with another input. `RATE_LIMITED` if the user's
    /// budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn create(&self, viewer: &Viewer, new: NewComment) -> Result<Comment> {
        let author = self.commands.actor(viewer)?.user.id;
        let content = validate::required("content", &new.content, self.policy.max_content)?;
        let parts = || vec!["comment".into(), new.message.to_string(), content.clone()];
        let key = IdempotencyKey::new(author, new.key.as_deref(), parts)?;
        let mentions = Mentions::new(&self.mention_limit, author, &[&content]);
        let viewer = viewer.clone();
        self.commands
            .write(move |tx| {
                let rights = viewer.rights()?;
                if let Some(first) = key.as_ref().map_or(Ok(None), |key| key.find_result(tx))? {
                    let CreatedObject::Comment(id) = first else {
                        return Err(Error::internal("the idempotency key refers to another type of object"));
                    };
                    return find(tx, &rights, id).map(|(comment, _)| comment);
                }
                let message = messages::find(tx.read(), &rights, new.message)?.ok_or(Error::NotFound("message"))?;
                let (now, cursor) = (tx.now(), tx.next_cursor());
                let comment = comments::insert(tx.write(), message.id, &content, author, now, cursor)?;
                if let Some(key) = &key {
                    key.store(tx, CreatedObject::Comment(comment.id))?;
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

    /// Changes the text of a comment and notifies users whom only the new text mentions.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` if the text is not acceptable. `NOT_FOUND` if the
    /// comment does not exist for the viewer. `FORBIDDEN` if the viewer is neither its author nor an admin. `CONFLICT`
    /// if the comment no longer has the cursor `if_cursor`. `RATE_LIMITED` if the user's budget of mutations is used
    /// up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn update(&self, viewer: &Viewer, edit: CommentEdit) -> Result<Comment> {
        let actor = self.commands.actor(viewer)?.user.id;
        let content = validate::required("content", &edit.content, self.policy.max_content)?;
        let mentions = Mentions::new(&self.mention_limit, actor, &[&content]);
        let viewer = viewer.clone();
        self.commands
            .write(move |tx| {
                let rights = viewer.rights()?;
                let (mut comment, message) = find(tx, &rights, edit.id)?;
                check_author(&rights, actor, &comment)?;
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
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the comment does not exist for the viewer. `FORBIDDEN`
    /// if the viewer is neither its author nor an admin. `RATE_LIMITED` if the user's budget of mutations is used up.
    /// `UNAVAILABLE` if the database cannot be reached.
    pub async fn delete(&self, viewer: &Viewer, id: CommentId) -> Result<CommentId> {
        let actor = self.commands.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        self.commands
            .write(move |tx| {
                let rights = viewer.rights()?;
                let (comment, message) = find(tx, &rights, id)?;
                check_author(&rights, actor, &comment)?;
                comments::delete(tx.write(), id)?;
                tx.record(
                    NewEvent::new(EventKind::CommentDeleted, id.0, Some(actor)).of_message(&message),
                    EventBody::None,
                );
                Ok(id)
            })
            .await
    }
}

/// A comment and its message. A comment exists for a viewer if its message does.
fn find(tx: &mut Tx<'_>, rights: &Rights, id: CommentId) -> Result<(Comment, Message)> {
    let missing = || Error::NotFound("comment");
    let comment = comments::by_ids(tx.read(), &[id])?.remove(&id).ok_or_else(missing)?;
    let message = messages::find(tx.read(), rights, comment.message_id)?.ok_or_else(missing)?;
    Ok((comment, message))
}

fn check_author(rights: &Rights, actor: UserId, comment: &Comment) -> Result<()> {
    if rights.admin || comment.author_id == actor {
        return Ok(());
    }
    Err(Error::Forbidden("only the author or an admin may change or delete a comment".into()))
}

fn record(tx: &mut Tx<'_>, kind: EventKind, comment: &Comment, message: &Message, actor: UserId) {
    let change = NewEvent::new(kind, comment.id.0, Some(actor)).of_message(message);
    tx.record(change, EventBody::Comment(Arc::new(comment.clone())));
}
