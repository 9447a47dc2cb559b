//! The objects of the board as GraphQL types: thin wrappers around model values.

use std::sync::Arc;

use juniper::{GraphQLEnum, ID, graphql_object};

use super::context::Ctx;
use super::paging::{PageArgs, connection};
use super::scalars::{Cursor, DateTime, out};
use crate::error::{Error, Result};
use crate::model;
use crate::store;

macro_rules! enums {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLEnum)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl From<model::$name> for $name {
            fn from(value: model::$name) -> Self {
                match value { $(model::$name::$variant => Self::$variant),+ }
            }
        }

        impl From<$name> for model::$name {
            fn from(value: $name) -> Self {
                match value { $($name::$variant => Self::$variant),+ }
            }
        }
    )+};
}

enums! {
    /// What somebody may do in general.
    Role {
        /// An ordinary user.
        Member,
        /// May read and moderate everything.
        Admin
    }
    /// Who may read a channel.
    Visibility {
        /// Everybody.
        Public,
        /// Its members.
        Private
    }
    /// How far a ticket is.
    TicketStatus {
        /// Nobody works on it yet.
        Open,
        /// Somebody works on it.
        InProgress,
        /// Done, as far as the assignee is concerned.
        Resolved,
        /// Done for everybody.
        Closed
    }
    /// How urgent something is.
    Priority {
        /// Can wait.
        Low,
        /// The usual.
        Medium,
        /// Soon.
        High,
        /// Now.
        Urgent
    }
}

/// Somebody who signs in.
#[derive(Clone)]
pub struct User(pub Arc<model::User>);

impl User {
    /// Wraps a user and says what may be asked of it next.
    pub fn new(ctx: &Ctx, user: Arc<model::User>) -> Self {
        user.organization_id.iter().for_each(|id| ctx.organizations.want(*id));
        user.location_id.iter().for_each(|id| ctx.locations.want(*id));
        Self(user)
    }

    /// The user with this id.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`; those of the database.
    pub fn load(ctx: &Ctx, id: model::UserId) -> Result<Option<Self>> {
        ctx.signed_in()?;
        Ok(ctx.user(id)?.map(|user| Self::new(ctx, user)))
    }

    fn must_load(ctx: &Ctx, id: model::UserId) -> Result<Self> {
        Self::load(ctx, id)?.ok_or_else(|| Error::internal(format!("user {id} is missing")))
    }
}

/// Somebody who signs in.
#[graphql_object(context = Ctx)]
impl User {
    /// The id.
    fn id(&self) -> ID {
        out(self.0.id)
    }

    /// What they sign in with, and are mentioned by.
    fn username(&self) -> &str {
        &self.0.username
    }

    /// What others read.
    fn display_name(&self) -> &str {
        &self.0.display_name
    }

    /// What they may do in general.
    fn role(&self) -> Role {
        self.0.role.into()
    }

    /// May not sign in.
    fn disabled(&self) -> bool {
        self.0.disabled
    }

    /// The id of the organization they belong to.
    fn organization_id(&self) -> Option<ID> {
        self.0.organization_id.map(out)
    }

    /// The organization they belong to.
    fn organization(&self, ctx: &Ctx) -> Result<Option<Organization>> {
        let Some(id) = self.0.organization_id else { return Ok(None) };
        Ok(ctx.organization(id)?.map(|organization| Organization::new(ctx, organization)))
    }

    /// The id of the location they belong to.
    fn location_id(&self) -> Option<ID> {
        self.0.location_id.map(out)
    }

    /// The location they belong to.
    fn location(&self, ctx: &Ctx) -> Result<Option<Location>> {
        let Some(id) = self.0.location_id else { return Ok(None) };
        Ok(ctx.location(id)?.map(|location| Location::new(ctx, location)))
    }

    /// When they registered.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

connection!(UserConnection, UserEdge, User, "UserConnection", "UserEdge", "users by username");

impl UserConnection {
    /// A page of users by username.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `BAD_USER_INPUT`; those of the database.
    pub fn search(ctx: &Ctx, text: Option<&str>, args: &PageArgs) -> Result<Self> {
        ctx.signed_in()?;
        Self::load(ctx, args, |db, window| store::users::list(db, text, window))
    }

    /// The members of a channel by username.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `BAD_USER_INPUT`; those of the database.
    pub fn members(ctx: &Ctx, channel: model::ChannelId, args: &PageArgs) -> Result<Self> {
        ctx.signed_in()?;
        Self::load(ctx, args, |db, window| store::channels::members(db, channel, window))
    }

    fn load(
        ctx: &Ctx,
        args: &PageArgs,
        list: impl FnOnce(&mut store::Db, &model::Window<String>) -> Result<model::Page<model::User>>,
    ) -> Result<Self> {
        let window = args.window("users by username")?;
        let page = ctx.read(|db| list(db, &window))?;
        let key = |user: &model::User| user.username.clone();
        Ok(Self::new(page, &window, key, |user| User::new(ctx, Arc::new(user))))
    }
}

/// An organization, which has locations.
#[derive(Clone)]
pub struct Organization(Arc<model::Organization>);

impl Organization {
    /// Wraps an organization.
    pub fn new(ctx: &Ctx, organization: Arc<model::Organization>) -> Self {
        ctx.locations_of.want(organization.id);
        Self(organization)
    }
}

/// An organization, which has locations.
#[graphql_object(context = Ctx)]
impl Organization {
    /// The id.
    fn id(&self) -> ID {
        out(self.0.id)
    }

    /// The name.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Its locations, by name.
    fn locations(&self, ctx: &Ctx) -> Result<Vec<Location>> {
        let locations = ctx.locations_of(self.0.id)?;
        Ok(locations.iter().map(|location| Location::new(ctx, Arc::new(location.clone()))).collect())
    }
}

/// A location of an organization.
#[derive(Clone)]
pub struct Location(Arc<model::Location>);

impl Location {
    /// Wraps a location.
    pub fn new(ctx: &Ctx, location: Arc<model::Location>) -> Self {
        ctx.organizations.want(location.organization_id);
        Self(location)
    }
}

/// A location of an organization.
#[graphql_object(context = Ctx)]
impl Location {
    /// The id.
    fn id(&self) -> ID {
        out(self.0.id)
    }

    /// The name.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The id of its organization.
    fn organization_id(&self) -> ID {
        out(self.0.organization_id)
    }

    /// Its organization.
    fn organization(&self, ctx: &Ctx) -> Result<Organization> {
        let found = ctx.organization(self.0.organization_id)?;
        found.map(|found| Organization::new(ctx, found)).ok_or_else(|| Error::internal("an organization is missing"))
    }
}

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

    /// The name, unique among the channels.
    fn name(&self) -> &str {
        &self.channel.name
    }

    /// What it is for.
    fn description(&self) -> Option<&str> {
        self.channel.description.as_deref()
    }

    /// Who may read it.
    fn visibility(&self) -> Visibility {
        self.channel.visibility.into()
    }

    /// Who made it; `null` for readers who are not signed in.
    fn owner(&self, ctx: &Ctx) -> Result<Option<User>> {
        match self.channel.owner_id {
            Some(id) if ctx.signed_in().is_ok() => User::load(ctx, id),
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

    /// How many messages of others the viewer may see and has not read; see `markChannelRead`.
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
}

connection!(ChannelConnection, ChannelEdge, Channel, "ChannelConnection", "ChannelEdge", "channels by name");

impl ChannelConnection {
    /// A page of the channels the viewer may read.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`; those of the database.
    pub fn load(ctx: &Ctx, args: &PageArgs) -> Result<Self> {
        let (window, rights) = (args.window("channels by name")?, ctx.rights()?);
        let page = ctx.read(|db| store::channels::list(db, &rights, &window))?;
        let key = |channel: &model::Channel| channel.name.clone();
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
    fn title(&self) -> Option<&str> {
        self.message.title.as_deref()
    }

    /// The text.
    fn content(&self) -> &str {
        &self.message.content
    }

    /// The id of its author.
    fn author_id(&self) -> ID {
        out(self.message.author_id)
    }

    /// Its author.
    fn author(&self, ctx: &Ctx) -> Result<User> {
        User::must_load(ctx, self.message.author_id)
    }

    /// For which locations it is; an empty list means everybody in the channel.
    fn share_location_ids(&self) -> Vec<ID> {
        self.message.audience.0.iter().map(out).collect()
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
        let page = ctx.read(|db| store::comments::list(db, self.message.id, &window))?;
        let key = |comment: &model::Comment| comment.id;
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
        let page = ctx.read(|db| store::messages::list(db, &rights, filter, &window))?;
        let key = |message: &model::Message| message.id;
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
            Some(id) if ctx.signed_in().is_ok() => User::load(ctx, id),
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
    fn content(&self) -> &str {
        &self.comment.content
    }

    /// The id of its author.
    fn author_id(&self) -> ID {
        out(self.comment.author_id)
    }

    /// Its author.
    fn author(&self, ctx: &Ctx) -> Result<User> {
        User::must_load(ctx, self.comment.author_id)
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
}

connection!(CommentConnection, CommentEdge, Comment, "CommentConnection", "CommentEdge", "comments by age");

/// A reusable text.
#[derive(Clone)]
pub struct Template {
    template: Arc<model::Template>,
    delivered: Option<model::Cursor>,
}

impl Template {
    /// Wraps a template.
    #[must_use]
    pub fn new(template: Arc<model::Template>) -> Self {
        Self { template, delivered: None }
    }

    /// As the object of an event.
    #[must_use]
    pub fn delivered(self, cursor: model::Cursor) -> Self {
        Self { delivered: Some(cursor), ..self }
    }
}

/// A reusable text for messages and replies, shared with locations.
#[graphql_object(context = Ctx)]
impl Template {
    /// The id.
    fn id(&self) -> ID {
        out(self.template.id)
    }

    /// The name.
    fn name(&self) -> &str {
        &self.template.name
    }

    /// The text.
    fn content(&self) -> &str {
        &self.template.content
    }

    /// The id of its author.
    fn author_id(&self) -> ID {
        out(self.template.author_id)
    }

    /// With which locations it is shared; an empty list means everybody.
    fn share_location_ids(&self) -> Vec<ID> {
        self.template.audience.0.iter().map(out).collect()
    }

    /// When it was made.
    fn created_at(&self) -> DateTime {
        DateTime(self.template.created_at)
    }

    /// The event that last touched it; inside a subscription, the event being delivered.
    fn cursor(&self) -> Cursor {
        self.delivered.unwrap_or(self.template.cursor).into()
    }
}

connection!(TemplateConnection, TemplateEdge, Template, "TemplateConnection", "TemplateEdge", "templates by age");

impl TemplateConnection {
    /// A page of the templates shared with the viewer.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `BAD_USER_INPUT`; those of the database.
    pub fn load(ctx: &Ctx, args: &PageArgs) -> Result<Self> {
        ctx.signed_in()?;
        let (window, rights) = (args.window("templates by age")?, ctx.rights()?);
        let page = ctx.read(|db| store::templates::list(db, &rights, &window))?;
        Ok(Self::new(
            page,
            &window,
            |template: &model::Template| template.id,
            |template| Template::new(Arc::new(template)),
        ))
    }
}
