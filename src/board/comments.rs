//! Use cases of comments: create, update, delete.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use super::commands::{Commands, ViewerCommand};
use super::idempotency::IdempotencyKey;
use super::notification_rules::{Mentions, NotificationFanout};
use super::permissions::UserState;
use super::records::check_if_cursor;
use super::{Policy, Viewer, validate};
use crate::capacity::RateLimiter;
use crate::error::{Error, Result};
use crate::model::{Comment, CommentId, Cursor, EventBody, EventKind, Message, MessageId, UserId};
use crate::store::idempotency::CreatedObject;
use crate::store::{BatchState, Effects, Needs, NewEvent};

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
        let command = CreateComment::new(new, author, &self.policy, &self.mention_limit)?;
        self.commands.run(viewer, command).await
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
        let command = UpdateComment::new(edit, actor, &self.policy, &self.mention_limit)?;
        self.commands.run(viewer, command).await
    }

    /// Deletes a comment.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the comment does not exist for the viewer. `FORBIDDEN`
    /// if the viewer is neither its author nor an admin. `RATE_LIMITED` if the user's budget of mutations is used up.
    /// `UNAVAILABLE` if the database cannot be reached.
    pub async fn delete(&self, viewer: &Viewer, id: CommentId) -> Result<CommentId> {
        self.commands.actor(viewer)?;
        self.commands.run(viewer, DeleteComment(id)).await
    }
}

struct CreateComment {
    message: MessageId,
    content: String,
    key: Option<IdempotencyKey>,
    mentions: Mentions,
}

impl CreateComment {
    /// # Errors
    /// `BAD_USER_INPUT` for an invalid field.
    fn new(new: NewComment, author: UserId, policy: &Policy, mention_limit: &RateLimiter<UserId>) -> Result<Self> {
        let content = validate::required("content", &new.content, policy.max_content)?;
        let parts = || vec!["comment".into(), new.message.to_string(), content.clone()];
        let key = IdempotencyKey::new(author, new.key.as_deref(), parts)?;
        let mentions = Mentions::new(mention_limit, author, &[&content]);
        Ok(Self { message: new.message, content, key, mentions })
    }
}

impl ViewerCommand for CreateComment {
    type Output = Comment;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.message_with_people(self.message);
        self.key.iter().for_each(|key| key.needs(needs));
        self.mentions.needs(needs);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Comment, Effects)> {
        let mut effects = state.effects();
        if let Some(first) = self.key.as_ref().map_or(Ok(None), |key| key.find_result(state))? {
            let CreatedObject::Comment(id) = first else {
                return Err(Error::internal("the idempotency key refers to another type of object"));
            };
            let comment = state.created_comment(&actor.rights, id).ok_or(Error::NotFound("comment"))?;
            return Ok((comment.clone(), effects));
        }
        let message = state.message(&actor.rights, self.message)?;
        let comment = effects.add_comment(message.id, self.content.clone(), actor.user.id);
        if let Some(key) = &self.key {
            key.store(&mut effects, CreatedObject::Comment(comment.id));
        }
        record(&mut effects, EventKind::CommentAdded, &comment, message, actor);
        let mut fanout = NotificationFanout::new(message, actor);
        fanout.add_commented();
        fanout.add_mentioned(state, &[], &self.mentions);
        fanout.dispatch(state, &mut effects)?;
        Ok((comment, effects))
    }
}

struct UpdateComment {
    edit: CommentEdit,
    mentions: Mentions,
}

impl UpdateComment {
    /// # Errors
    /// `BAD_USER_INPUT` if the text is not acceptable.
    fn new(mut edit: CommentEdit, actor: UserId, policy: &Policy, mention_limit: &RateLimiter<UserId>) -> Result<Self> {
        edit.content = validate::required("content", &edit.content, policy.max_content)?;
        let mentions = Mentions::new(mention_limit, actor, &[&edit.content]);
        Ok(Self { edit, mentions })
    }
}

impl ViewerCommand for UpdateComment {
    type Output = Comment;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.comment(self.edit.id);
        self.mentions.needs(needs);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Comment, Effects)> {
        let (before, message) = state.comment(&actor.rights, self.edit.id)?;
        check_author(actor, before)?;
        check_if_cursor(before.cursor, self.edit.if_cursor)?;
        let mut effects = state.effects();
        let comment = Comment {
            content: self.edit.content.clone(),
            updated_at: state.now(),
            cursor: effects.next_cursor(),
            ..before.clone()
        };
        effects.update_comment(&comment);
        record(&mut effects, EventKind::CommentUpdated, &comment, message, actor);
        let mut fanout = NotificationFanout::new(message, actor);
        fanout.add_mentioned(state, &[&before.content], &self.mentions);
        fanout.dispatch(state, &mut effects)?;
        Ok((comment, effects))
    }
}

struct DeleteComment(CommentId);

impl ViewerCommand for DeleteComment {
    type Output = CommentId;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.comment(self.0);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(CommentId, Effects)> {
        let (comment, message) = state.comment(&actor.rights, self.0)?;
        check_author(actor, comment)?;
        let mut effects = state.effects();
        effects.delete_comment(comment.id);
        let change = NewEvent::new(EventKind::CommentDeleted, comment.id.0, Some(actor.user.id)).of_message(message);
        effects.record(change, EventBody::None);
        Ok((comment.id, effects))
    }
}

fn check_author(actor: &UserState, comment: &Comment) -> Result<()> {
    if actor.rights.admin || comment.author_id == actor.user.id {
        return Ok(());
    }
    Err(Error::Forbidden("only the author or an admin may change or delete a comment".into()))
}

fn record(effects: &mut Effects, kind: EventKind, comment: &Comment, message: &Message, actor: &UserState) {
    let change = NewEvent::new(kind, comment.id.0, Some(actor.user.id)).of_message(message);
    effects.record(change, EventBody::Comment(Arc::new(comment.clone())));
}
