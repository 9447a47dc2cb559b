//! The GraphQL types of channels, messages, tickets and comments: thin wrappers around model values.

use std::sync::Arc;

use juniper::{ID, graphql_object};

use super::context::Ctx;
use super::enums::{ChannelPublishing, Priority, TicketStatus, Visibility};
use super::paging::{PageArgs, connection};
use super::scalars::{Cursor, DateTime, to_id};
use super::users::{User, UserConnection};
use crate::board::View;
use crate::error::{Error, Result};
use crate::model::{self, MessageFilter};

/// A channel as a GraphQL object.
#[derive(Clone)]
pub struct Channel {
    channel: Arc<model::Channel>,
    /// The position of the event that a subscription delivers; `None` outside a subscription.
    delivered: Option<model::Cursor>,
}

impl Channel {
    /// Wraps a channel and registers the keys that its fields may load.
    pub fn new(ctx: &Ctx, channel: Arc<model::Channel>) -> Self {
        channel.owner_id.iter().for_each(|id| ctx.users.prefetch(*id));
        ctx.unread.prefetch(channel.id);
        Self { channel, delivered: None }
    }

    /// Sets the position of the event that delivers the object.
    #[must_use]
    pub fn delivered(self, cursor: model::Cursor) -> Self {
        Self { delivered: Some(cursor), ..self }
    }
}

/// A named place for messages. A chat room is a channel that is addressed by its name.
#[graphql_object(context = Ctx)]
impl Channel {
    /// The id of the channel.
    fn id(&self) -> ID {
        to_id(self.channel.id)
    }

    /// The name of the channel. It is unique among the public channels.
    fn name(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.channel.name)
    }

    /// The purpose of the channel.
    fn description(&self, ctx: &Ctx) -> Result<Option<&str>> {
        ctx.show_some(self.channel.description.as_deref())
    }

    /// Which users may read the channel.
    fn visibility(&self) -> Visibility {
        self.channel.visibility.into()
    }

    /// Which users may publish application events in the channel.
    fn publishing(&self) -> ChannelPublishing {
        self.channel.publishing.into()
    }

    /// The user who owns the channel. `null` if there is no owner, and for readers who are not signed in.
    fn owner(&self, ctx: &Ctx) -> Result<Option<User>> {
        let owner = self.channel.owner_id.filter(|_| ctx.can_see_users());
        Ok(owner.map(|id| User::load(ctx, id)).transpose()?.flatten())
    }

    /// The members of the channel, ordered by username. Requires a signed-in user.
    fn members(
        &self,
        ctx: &Ctx,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<UserConnection> {
        UserConnection::members(ctx, self.channel.id, &PageArgs { first, after, last, before })
    }

    /// The messages of the channel that the viewer may read, newest first.
    fn messages(
        &self,
        ctx: &Ctx,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<MessageConnection> {
        let filter = MessageFilter { channel: Some(self.channel.id), ..Default::default() };
        MessageConnection::load(ctx, &filter, &PageArgs { first, after, last, before })
    }

    /// The number of messages by other users that the viewer may read and has not marked as read with
    /// `markChannelRead`. Only the newest 1,000 messages are counted.
    fn unread_count(&self, ctx: &Ctx) -> Result<i32> {
        Ok(i32::try_from(ctx.unread(self.channel.id)?).unwrap_or(i32::MAX))
    }

    /// When the channel was created.
    fn created_at(&self) -> DateTime {
        DateTime(self.channel.created_at)
    }

    /// The position of the channel's last change in the log. In a subscription: the position of the delivered event.
    fn cursor(&self) -> Cursor {
        self.delivered.unwrap_or(self.channel.cursor).into()
    }

    /// The position of the channel's last change in the log, in a subscription too.
    fn revision(&self) -> Cursor {
        self.channel.cursor.into()
    }
}

connection!(ChannelConnection, ChannelEdge, Channel, "ChannelConnection", "ChannelEdge", "channels by name");

impl ChannelConnection {
    /// Loads a page of the channels that the viewer may read, ordered by name.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for a wrong page argument, `UNAUTHENTICATED` if the session has ended, `QUERY_TOO_COMPLEX` if
    /// the response becomes too large or the query too slow, `UNAVAILABLE` if the database or memory is not available.
    pub fn load(ctx: &Ctx, args: &PageArgs) -> Result<Self> {
        let window = args.window("channels by name")?;
        let key = |channel: &model::Channel| model::ChannelKey { name: channel.name.clone(), id: channel.id };
        let page = ctx.page(&window, ctx.largest().channel, key, |view, part| view.channels(part))?;
        Ok(Self::new(page, &window, key, |channel| Channel::new(ctx, Arc::new(channel))))
    }
}

/// A message as a GraphQL object.
#[derive(Clone)]
pub struct Message {
    message: Arc<model::Message>,
    /// The position of the event that a subscription delivers; `None` outside a subscription.
    delivered: Option<model::Cursor>,
}

impl Message {
    /// Wraps a message and registers the keys that its fields may load.
    pub fn new(ctx: &Ctx, message: Arc<model::Message>) -> Self {
        ctx.users.prefetch(message.author_id);
        message.ticket.and_then(|ticket| ticket.assignee_id).iter().for_each(|id| ctx.users.prefetch(*id));
        ctx.channels.prefetch(message.channel_id);
        ctx.comment_counts.prefetch(message.id);
        ctx.unread.prefetch(message.channel_id);
        Self { message, delivered: None }
    }

    /// Sets the position of the event that delivers the object.
    #[must_use]
    pub fn delivered(self, cursor: model::Cursor) -> Self {
        Self { delivered: Some(cursor), ..self }
    }
}

/// A post in a channel. A message with a ticket is a task for a user.
#[graphql_object(context = Ctx)]
impl Message {
    /// The id of the message.
    fn id(&self) -> ID {
        to_id(self.message.id)
    }

    /// The id of the message's channel.
    fn channel_id(&self) -> ID {
        to_id(self.message.channel_id)
    }

    /// The channel of the message.
    fn channel(&self, ctx: &Ctx) -> Result<Channel> {
        let found = ctx.channel(self.message.channel_id)?;
        found.map(|channel| Channel::new(ctx, channel)).ok_or(Error::NotFound("channel"))
    }

    /// The title of the message.
    fn title(&self, ctx: &Ctx) -> Result<Option<&str>> {
        ctx.show_some(self.message.title.as_deref())
    }

    /// The text of the message.
    fn content(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.message.content)
    }

    /// The id of the message's author.
    fn author_id(&self) -> ID {
        to_id(self.message.author_id)
    }

    /// The author of the message. `null` for readers who are not signed in.
    fn author(&self, ctx: &Ctx) -> Result<Option<User>> {
        ctx.can_see_users().then(|| User::must_load(ctx, self.message.author_id)).transpose()
    }

    /// The ids of the locations whose users may read the message. Empty if all readers of the channel may read it.
    fn share_location_ids(&self, ctx: &Ctx) -> Result<Vec<ID>> {
        ctx.show_ids(&self.message.audience.0)
    }

    /// The ticket of the message. `null` if the message is not a ticket.
    fn ticket(&self) -> Option<Ticket> {
        self.message.ticket.map(Ticket)
    }

    /// The comments on the message, oldest first.
    fn comments(
        &self,
        ctx: &Ctx,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<CommentConnection> {
        let window = PageArgs { first, after, last, before }.window("comments by age")?;
        let key = |comment: &model::Comment| comment.id;
        let list = |view: &mut View<'_>, part: &_| view.comments(self.message.id, part);
        let page = ctx.page(&window, ctx.largest().comment, key, list)?;
        Ok(CommentConnection::new(page, &window, key, |comment| Comment::new(ctx, Arc::new(comment))))
    }

    /// The number of comments on the message.
    fn comment_count(&self, ctx: &Ctx) -> Result<i32> {
        Ok(i32::try_from(ctx.comment_count(self.message.id)?).unwrap_or(i32::MAX))
    }

    /// When the message was posted.
    fn created_at(&self) -> DateTime {
        DateTime(self.message.created_at)
    }

    /// When the message was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.message.updated_at)
    }

    /// The position of the message's last change in the log. In a subscription: the position of the delivered event.
    /// A comment does not change the message.
    fn cursor(&self) -> Cursor {
        self.delivered.unwrap_or(self.message.cursor).into()
    }

    /// The position of the message's last change in the log, in a subscription too. Pass it as `ifCursor`.
    fn revision(&self) -> Cursor {
        self.message.cursor.into()
    }
}

connection!(MessageConnection, MessageEdge, Message, "MessageConnection", "MessageEdge", "messages, newest first");

impl MessageConnection {
    /// Loads a page of the messages that the viewer may read, newest first.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for a wrong page argument, `UNAUTHENTICATED` if the session has ended, `QUERY_TOO_COMPLEX` if
    /// the response becomes too large or the query too slow, `UNAVAILABLE` if the database or memory is not available.
    pub fn load(ctx: &Ctx, filter: &MessageFilter, args: &PageArgs) -> Result<Self> {
        let window = args.window("messages, newest first")?;
        let key = |message: &model::Message| message.id;
        let list = |view: &mut View<'_>, part: &_| view.messages(filter, part);
        let page = ctx.page(&window, ctx.largest().message, key, list)?;
        Ok(Self::new(page, &window, key, |message| Message::new(ctx, Arc::new(message))))
    }
}

/// The ticket of a message as a GraphQL object.
#[derive(Clone, Copy)]
pub struct Ticket(model::Ticket);

/// The task that a message asks a user to do.
#[graphql_object(context = Ctx)]
impl Ticket {
    /// The status of the ticket.
    fn status(&self) -> TicketStatus {
        self.0.status.into()
    }

    /// The priority of the ticket.
    fn priority(&self) -> Priority {
        self.0.priority.into()
    }

    /// The id of the user to whom the ticket is assigned. `null` if the ticket is not assigned.
    fn assignee_id(&self) -> Option<ID> {
        self.0.assignee_id.map(to_id)
    }

    /// The user to whom the ticket is assigned. `null` if there is none, and for readers who are not signed in.
    fn assignee(&self, ctx: &Ctx) -> Result<Option<User>> {
        let assignee = self.0.assignee_id.filter(|_| ctx.can_see_users());
        Ok(assignee.map(|id| User::load(ctx, id)).transpose()?.flatten())
    }
}

/// A comment as a GraphQL object.
#[derive(Clone)]
pub struct Comment {
    comment: Arc<model::Comment>,
    /// The position of the event that a subscription delivers; `None` outside a subscription.
    delivered: Option<model::Cursor>,
}

impl Comment {
    /// Wraps a comment and registers the keys that its fields may load.
    pub fn new(ctx: &Ctx, comment: Arc<model::Comment>) -> Self {
        ctx.users.prefetch(comment.author_id);
        ctx.messages.prefetch(comment.message_id);
        Self { comment, delivered: None }
    }

    /// Sets the position of the event that delivers the object.
    #[must_use]
    pub fn delivered(self, cursor: model::Cursor) -> Self {
        Self { delivered: Some(cursor), ..self }
    }
}

/// A reply to a message. The readers of the message may read its comments.
#[graphql_object(context = Ctx)]
impl Comment {
    /// The id of the comment.
    fn id(&self) -> ID {
        to_id(self.comment.id)
    }

    /// The id of the message that the comment replies to.
    fn message_id(&self) -> ID {
        to_id(self.comment.message_id)
    }

    /// The message that the comment replies to.
    fn message(&self, ctx: &Ctx) -> Result<Message> {
        let found = ctx.message(self.comment.message_id)?;
        found.map(|message| Message::new(ctx, message)).ok_or(Error::NotFound("message"))
    }

    /// The text of the comment.
    fn content(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.comment.content)
    }

    /// The id of the comment's author.
    fn author_id(&self) -> ID {
        to_id(self.comment.author_id)
    }

    /// The author of the comment. `null` for readers who are not signed in.
    fn author(&self, ctx: &Ctx) -> Result<Option<User>> {
        ctx.can_see_users().then(|| User::must_load(ctx, self.comment.author_id)).transpose()
    }

    /// When the comment was written.
    fn created_at(&self) -> DateTime {
        DateTime(self.comment.created_at)
    }

    /// When the comment was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.comment.updated_at)
    }

    /// The position of the comment's last change in the log. In a subscription: the position of the delivered event.
    fn cursor(&self) -> Cursor {
        self.delivered.unwrap_or(self.comment.cursor).into()
    }

    /// The position of the comment's last change in the log, in a subscription too. Pass it as `ifCursor`.
    fn revision(&self) -> Cursor {
        self.comment.cursor.into()
    }
}

connection!(CommentConnection, CommentEdge, Comment, "CommentConnection", "CommentEdge", "comments by age");
