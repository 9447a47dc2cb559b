//! Channels, and what is in them, as GraphQL types: thin wrappers around model values.

use std::sync::Arc;

use juniper::{ID, graphql_object};

use super::context::Ctx;
use super::enums::{Priority, TicketStatus, Visibility};
use super::paging::{PageArgs, connection};
use super::people::{User, UserConnection};
use super::scalars::{Cursor, DateTime, out};
use crate::error::{Error, Result};
use crate::model;
use crate::store;

/// A named place for messages; a chat room is one too.
#[derive(Clone)]
pub struct Channel {
    channel: Arc<model::Channel>,
    /// Inside a subscription: the event that is being delivered.
    delivered: Option<model::Cursor>,
}

impl Channel {
    /// Wraps a channel.
    pub fn new(ctx: &Ctx, channel: Arc<model::Channel>) -> Self {
        channel.owner_id.iter().for_each(|id| ctx.users.want(*id));
        ctx.unread.want(channel.id);
        Self { channel, delivered: None }
    }

    /// As the object of an event.
    #[must_use]
    pub fn delivered(self, cursor: model::Cursor) -> Self {
        Self { delivered: Some(cursor), ..self }
    }
}

/// A named place for messages; a chat room is a channel, addressed by its name.
#[graphql_object(context = Ctx)]
impl Channel {
    /// The id.
    fn id(&self) -> ID {
        out(self.channel.id)
    }

    /// The name, unique among the public channels.
    fn name(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.channel.name)
    }

    /// What it is for.
    fn description(&self, ctx: &Ctx) -> Result<Option<&str>> {
        ctx.show_some(self.channel.description.as_deref())
    }

    /// Who may read it.
    fn visibility(&self) -> Visibility {
        self.channel.visibility.into()
    }

    /// Who made it; `null` for readers who are not signed in.
    fn owner(&self, ctx: &Ctx) -> Result<Option<User>> {
        match self.channel.owner_id {
            Some(id) if !ctx.is_anonymous() => User::load(ctx, id),
            _ => Ok(None),
        }
    }

    /// Its members, by username.
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

    /// Its messages that the viewer may see, newest first.
    fn messages(
        &self,
        ctx: &Ctx,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<MessageConnection> {
        let filter = store::messages::Filter { channel: Some(self.channel.id), ..Default::default() };
        MessageConnection::load(ctx, &filter, &PageArgs { first, after, last, before })
    }

    /// How many messages of others the viewer may see and has not read, counted among the newest 1,000; see `markChannelRead`.
    fn unread_count(&self, ctx: &Ctx) -> Result<i32> {
        Ok(i32::try_from(ctx.unread(self.channel.id)?).unwrap_or(i32::MAX))
    }

    /// When it was made.
    fn created_at(&self) -> DateTime {
        DateTime(self.channel.created_at)
    }

    /// The event that last touched it; inside a subscription, the event being delivered.
    fn cursor(&self) -> Cursor {
        self.delivered.unwrap_or(self.channel.cursor).into()
    }

    /// The event that last touched it, inside a subscription too. It changes when the channel changes.
    fn revision(&self) -> Cursor {
        self.channel.cursor.into()
    }
}

connection!(ChannelConnection, ChannelEdge, Channel, "ChannelConnection", "ChannelEdge", "channels by name");

impl ChannelConnection {
    /// A page of the channels the viewer may read.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`; those of the database.
    pub fn load(ctx: &Ctx, args: &PageArgs) -> Result<Self> {
        let (window, rights) = (args.window("channels by name")?, ctx.rights()?);
        let key = |channel: &model::Channel| model::ChannelKey { name: channel.name.clone(), id: channel.id };
        let list = |db: &mut store::Db, part: &_| store::channels::list(db, &rights, part);
        let page = ctx.page(&window, ctx.largest().channel, key, list)?;
        Ok(Self::new(page, &window, key, |channel| Channel::new(ctx, Arc::new(channel))))
    }
}

/// A post in a channel.
#[derive(Clone)]
pub struct Message {
    message: Arc<model::Message>,
    delivered: Option<model::Cursor>,
}

impl Message {
    /// Wraps a message and says what may be asked of it next.
    pub fn new(ctx: &Ctx, message: Arc<model::Message>) -> Self {
        ctx.users.want(message.author_id);
        message.ticket.and_then(|ticket| ticket.assignee_id).iter().for_each(|id| ctx.users.want(*id));
        ctx.channels.want(message.channel_id);
        ctx.comment_counts.want(message.id);
        ctx.unread.want(message.channel_id);
        Self { message, delivered: None }
    }

    /// As the object of an event.
    #[must_use]
    pub fn delivered(self, cursor: model::Cursor) -> Self {
        Self { delivered: Some(cursor), ..self }
    }
}

/// A post in a channel; with a ticket, somebody must act on it.
#[graphql_object(context = Ctx)]
impl Message {
    /// The id.
    fn id(&self) -> ID {
        out(self.message.id)
    }

    /// The id of the channel it was posted in.
    fn channel_id(&self) -> ID {
        out(self.message.channel_id)
    }

    /// The channel it was posted in.
    fn channel(&self, ctx: &Ctx) -> Result<Channel> {
        let found = ctx.channel(self.message.channel_id)?;
        found.map(|channel| Channel::new(ctx, channel)).ok_or(Error::NotFound("channel"))
    }

    /// The title.
    fn title(&self, ctx: &Ctx) -> Result<Option<&str>> {
        ctx.show_some(self.message.title.as_deref())
    }

    /// The text.
    fn content(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.message.content)
    }

    /// The id of its author.
    fn author_id(&self) -> ID {
        out(self.message.author_id)
    }

    /// Its author; `null` for readers who are not signed in.
    fn author(&self, ctx: &Ctx) -> Result<Option<User>> {
        if ctx.is_anonymous() {
            return Ok(None);
        }
        User::must_load(ctx, self.message.author_id).map(Some)
    }

    /// For which locations it is; an empty list means everybody in the channel.
    fn share_location_ids(&self, ctx: &Ctx) -> Result<Vec<ID>> {
        ctx.show_ids(&self.message.audience.0)
    }

    /// Present if somebody must act on it.
    fn ticket(&self) -> Option<Ticket> {
        self.message.ticket.map(Ticket)
    }

    /// Its comments, oldest first.
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
        let list = |db: &mut store::Db, part: &_| store::comments::list(db, self.message.id, part);
        let page = ctx.page(&window, ctx.largest().comment, key, list)?;
        Ok(CommentConnection::new(page, &window, key, |comment| Comment::new(ctx, Arc::new(comment))))
    }

    /// How many comments it has.
    fn comment_count(&self, ctx: &Ctx) -> Result<i32> {
        Ok(i32::try_from(ctx.comment_count(self.message.id)?).unwrap_or(i32::MAX))
    }

    /// When it was posted.
    fn created_at(&self) -> DateTime {
        DateTime(self.message.created_at)
    }

    /// When it was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.message.updated_at)
    }

    /// The event that last touched it (a comment does not); inside a subscription, the event being delivered.
    fn cursor(&self) -> Cursor {
        self.delivered.unwrap_or(self.message.cursor).into()
    }

    /// The event that last touched it, inside a subscription too. `ifCursor` takes it.
    fn revision(&self) -> Cursor {
        self.message.cursor.into()
    }
}

connection!(MessageConnection, MessageEdge, Message, "MessageConnection", "MessageEdge", "messages, newest first");

impl MessageConnection {
    /// A page of the messages the viewer may see.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`; those of the database.
    pub fn load(ctx: &Ctx, filter: &store::messages::Filter, args: &PageArgs) -> Result<Self> {
        let window = args.window("messages, newest first")?;
        let rights = ctx.rights()?;
        let key = |message: &model::Message| message.id;
        let list = |db: &mut store::Db, part: &_| store::messages::list(db, &rights, filter, part);
        let page = ctx.page(&window, ctx.largest().message, key, list)?;
        Ok(Self::new(page, &window, key, |message| Message::new(ctx, Arc::new(message))))
    }
}

/// What makes a message a ticket.
#[derive(Clone, Copy)]
pub struct Ticket(model::Ticket);

/// What makes a message a ticket: somebody must act on it.
#[graphql_object(context = Ctx)]
impl Ticket {
    /// How far it is.
    fn status(&self) -> TicketStatus {
        self.0.status.into()
    }

    /// How urgent it is.
    fn priority(&self) -> Priority {
        self.0.priority.into()
    }

    /// The id of the user who is to act.
    fn assignee_id(&self) -> Option<ID> {
        self.0.assignee_id.map(out)
    }

    /// The user who is to act; `null` for readers who are not signed in.
    fn assignee(&self, ctx: &Ctx) -> Result<Option<User>> {
        match self.0.assignee_id {
            Some(id) if !ctx.is_anonymous() => User::load(ctx, id),
            _ => Ok(None),
        }
    }
}

/// A reply to a message.
#[derive(Clone)]
pub struct Comment {
    comment: Arc<model::Comment>,
    delivered: Option<model::Cursor>,
}

impl Comment {
    /// Wraps a comment and says what may be asked of it next.
    pub fn new(ctx: &Ctx, comment: Arc<model::Comment>) -> Self {
        ctx.users.want(comment.author_id);
        ctx.messages.want(comment.message_id);
        Self { comment, delivered: None }
    }

    /// As the object of an event.
    #[must_use]
    pub fn delivered(self, cursor: model::Cursor) -> Self {
        Self { delivered: Some(cursor), ..self }
    }
}

/// A reply to a message; it shares the message's channel and audience.
#[graphql_object(context = Ctx)]
impl Comment {
    /// The id.
    fn id(&self) -> ID {
        out(self.comment.id)
    }

    /// The id of the message it replies to.
    fn message_id(&self) -> ID {
        out(self.comment.message_id)
    }

    /// The message it replies to.
    fn message(&self, ctx: &Ctx) -> Result<Message> {
        let found = ctx.message(self.comment.message_id)?;
        found.map(|message| Message::new(ctx, message)).ok_or(Error::NotFound("message"))
    }

    /// The text.
    fn content(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.comment.content)
    }

    /// The id of its author.
    fn author_id(&self) -> ID {
        out(self.comment.author_id)
    }

    /// Its author; `null` for readers who are not signed in.
    fn author(&self, ctx: &Ctx) -> Result<Option<User>> {
        if ctx.is_anonymous() {
            return Ok(None);
        }
        User::must_load(ctx, self.comment.author_id).map(Some)
    }

    /// When it was written.
    fn created_at(&self) -> DateTime {
        DateTime(self.comment.created_at)
    }

    /// When it was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.comment.updated_at)
    }

    /// The event that last touched it; inside a subscription, the event being delivered.
    fn cursor(&self) -> Cursor {
        self.delivered.unwrap_or(self.comment.cursor).into()
    }

    /// The event that last touched it, inside a subscription too. `ifCursor` takes it.
    fn revision(&self) -> Cursor {
        self.comment.cursor.into()
    }
}

connection!(CommentConnection, CommentEdge, Comment, "CommentConnection", "CommentEdge", "comments by age");
