//! The root fields of queries.

use std::sync::Arc;

use juniper::{Executor, ID, graphql_object};

use super::api_keys::ApiKey;
use super::app_events::{AppEventConnection, type_filter};
use super::context::Ctx;
use super::enums::TicketStatus;
use super::event_types::EventType;
use super::indexed_list::List;
use super::invites::Invite;
use super::metrics::Metric;
use super::notifications::NotificationConnection;
use super::objects::{Channel, ChannelConnection, Message, MessageConnection};
use super::paging::PageArgs;
use super::scalar::Scalar;
use super::scalars::{Cursor, id};
use super::sessions::SessionInfo;
use super::templates::TemplateConnection;
use super::users::{Organization, User, UserConnection};
use crate::error::{Error, Result};
use crate::model::MessageFilter;

/// The longest text of a search for users, in characters.
const MAX_SEARCH: usize = 200;

/// The root of all queries.
#[derive(Debug, Clone, Copy)]
pub struct Query;

/// The queries. All fields of one operation read the same snapshot of the database.
#[graphql_object(context = Ctx, scalar = Scalar)]
impl Query {
    /// The user who is signed in. `null` for readers who are not signed in.
    fn me(ctx: &Ctx) -> Result<Option<User>> {
        if ctx.viewer().user_id().is_none() {
            return Ok(None);
        }
        let user_state = ctx.viewer().user_state()?;
        Ok(ctx.user(user_state.user.id)?.map(|user| User::new(ctx, user)))
    }

    /// The sessions of the viewer, oldest first. Requires a signed-in user.
    fn sessions(ctx: &Ctx, executor: &Executor<'_, '_, Ctx, Scalar>) -> Result<List<SessionInfo>> {
        let found = ctx.loaded(Some(ctx.read(|view| view.sessions())?))?.unwrap_or_default();
        ctx.show_items(found.len(), executor)?;
        let current = ctx.viewer().session().id;
        Ok(found.into_iter().map(|session| SessionInfo::new(session, current)).collect())
    }

    /// All invitations, newest first; for 30 days after their end. Requires an admin.
    fn invites(ctx: &Ctx, executor: &Executor<'_, '_, Ctx, Scalar>) -> Result<List<Invite>> {
        let found = ctx.loaded(Some(ctx.read(|view| view.invites())?))?.unwrap_or_default();
        ctx.show_items(found.len(), executor)?;
        Ok(found.into_iter().map(Invite).collect())
    }

    /// The user with this id. `null` if there is none. Requires a signed-in user.
    #[graphql(name = "user")]
    fn user_by_id(
        ctx: &Ctx,
        #[graphql(name = "id", description = "The id of the user.")] user: ID,
    ) -> Result<Option<User>> {
        User::load(ctx, id("id", &user)?)
    }

    /// All users, ordered by username. Requires a signed-in user.
    fn users(
        ctx: &Ctx,
        #[graphql(description = "At most this many items from the start: 1 to 100. Default: 20.")] first: Option<i32>,
        #[graphql(description = "Only items behind this edge cursor.")] after: Option<String>,
        #[graphql(description = "At most this many items from the end: 1 to 100.")] last: Option<i32>,
        #[graphql(description = "Only items before this edge cursor.")] before: Option<String>,
        #[graphql(description = "A part of the username or the display name. Case makes no difference.")]
        search: Option<String>,
    ) -> Result<UserConnection> {
        if search.as_ref().is_some_and(|search| search.chars().count() > MAX_SEARCH || search.contains('\0')) {
            let message = format!("search must have at most {MAX_SEARCH} characters, and no NUL character");
            return Err(Error::input("search", message));
        }
        UserConnection::search(ctx, search.as_deref(), &PageArgs { first, after, last, before })
    }

    /// The channel with this id or name. `null` if there is none that the viewer may read. Pass one of both arguments.
    /// If several channels have the name, the result is the one that the viewer could read under this name first.
    fn channel(
        ctx: &Ctx,
        #[graphql(name = "id", description = "The id of the channel.")] channel: Option<ID>,
        #[graphql(description = "The name of the channel. Case makes no difference.")] name: Option<String>,
    ) -> Result<Option<Channel>> {
        let found = match (&channel, &name) {
            (Some(channel), None) => {
                let channel = id("id", channel)?;
                ctx.read(|view| view.channel(channel))?
            }
            (None, Some(name)) => ctx.read(|view| view.channel_named(name))?,
            _ => return Err(Error::input("id", "pass either id or name")),
        };
        Ok(ctx.loaded(found)?.map(|channel| Channel::new(ctx, Arc::new(channel))))
    }

    /// The channels that the viewer may read, ordered by name.
    fn channels(
        ctx: &Ctx,
        #[graphql(description = "At most this many items from the start: 1 to 100. Default: 20.")] first: Option<i32>,
        #[graphql(description = "Only items behind this edge cursor.")] after: Option<String>,
        #[graphql(description = "At most this many items from the end: 1 to 100.")] last: Option<i32>,
        #[graphql(description = "Only items before this edge cursor.")] before: Option<String>,
    ) -> Result<ChannelConnection> {
        ChannelConnection::load(ctx, &PageArgs { first, after, last, before })
    }

    /// The message with this id. `null` if there is none that the viewer may read.
    fn message(
        ctx: &Ctx,
        #[graphql(name = "id", description = "The id of the message.")] message: ID,
    ) -> Result<Option<Message>> {
        let message = id("id", &message)?;
        let found = ctx.read(|view| view.message(message))?;
        Ok(ctx.loaded(found)?.map(|message| Message::new(ctx, Arc::new(message))))
    }

    /// The messages that the viewer may read, newest first.
    #[allow(clippy::too_many_arguments)] // the arguments of the field in the schema
    fn messages(
        ctx: &Ctx,
        #[graphql(description = "Only the messages of the channel with this id.")] channel_id: Option<ID>,
        #[graphql(description = "Only tickets.")] tickets_only: Option<bool>,
        #[graphql(description = "Only tickets with this status.")] status: Option<TicketStatus>,
        #[graphql(description = "Only tickets that are assigned to the user with this id.")] assignee_id: Option<ID>,
        #[graphql(description = "At most this many items from the start: 1 to 100. Default: 20.")] first: Option<i32>,
        #[graphql(description = "Only items behind this edge cursor.")] after: Option<String>,
        #[graphql(description = "At most this many items from the end: 1 to 100.")] last: Option<i32>,
        #[graphql(description = "Only items before this edge cursor.")] before: Option<String>,
    ) -> Result<MessageConnection> {
        let filter = MessageFilter {
            channel: channel_id.as_ref().map(|channel| id("channelId", channel)).transpose()?,
            tickets_only: tickets_only.unwrap_or(false),
            status: status.map(Into::into),
            assignee: assignee_id.as_ref().map(|user| id("assigneeId", user)).transpose()?,
        };
        MessageConnection::load(ctx, &filter, &PageArgs { first, after, last, before })
    }

    /// The application events of a channel that the viewer may read, in the order of the log: the oldest first. Events are
    /// kept as long as the log has them.
    fn app_events(
        ctx: &Ctx,
        #[graphql(description = "The id of the channel.")] channel_id: ID,
        #[graphql(description = "Only events of these types. `order.*` selects all types that begin with `order.`")]
        types: Option<Vec<String>>,
        #[graphql(description = "At most this many items from the start: 1 to 100. Default: 20.")] first: Option<i32>,
        #[graphql(description = "Only items behind this edge cursor.")] after: Option<String>,
        #[graphql(description = "At most this many items from the end: 1 to 100.")] last: Option<i32>,
        #[graphql(description = "Only items before this edge cursor.")] before: Option<String>,
    ) -> Result<AppEventConnection> {
        let (channel, types) = (id("channelId", &channel_id)?, type_filter(types.as_deref())?);
        AppEventConnection::load(ctx, channel, types.as_ref(), &PageArgs { first, after, last, before })
    }

    /// The templates that the viewer may read. Requires a signed-in user.
    fn templates(
        ctx: &Ctx,
        #[graphql(description = "At most this many items from the start: 1 to 100. Default: 20.")] first: Option<i32>,
        #[graphql(description = "Only items behind this edge cursor.")] after: Option<String>,
        #[graphql(description = "At most this many items from the end: 1 to 100.")] last: Option<i32>,
        #[graphql(description = "Only items before this edge cursor.")] before: Option<String>,
    ) -> Result<TemplateConnection> {
        TemplateConnection::load(ctx, &PageArgs { first, after, last, before })
    }

    /// The notifications of the viewer and the announcements, newest first. Requires a signed-in user.
    fn notifications(
        ctx: &Ctx,
        #[graphql(description = "Only notifications that the viewer has not marked as read.")] unread_only: Option<
            bool,
        >,
        #[graphql(description = "At most this many items from the start: 1 to 100. Default: 20.")] first: Option<i32>,
        #[graphql(description = "Only items behind this edge cursor.")] after: Option<String>,
        #[graphql(description = "At most this many items from the end: 1 to 100.")] last: Option<i32>,
        #[graphql(description = "Only items before this edge cursor.")] before: Option<String>,
    ) -> Result<NotificationConnection> {
        let args = PageArgs { first, after, last, before };
        NotificationConnection::load(ctx, unread_only.unwrap_or(false), &args)
    }

    /// All organizations, ordered by name. Requires a signed-in user.
    fn organizations(ctx: &Ctx, executor: &Executor<'_, '_, Ctx, Scalar>) -> Result<List<Organization>> {
        let found = ctx.loaded(Some(ctx.read(|view| view.all_organizations())?))?.unwrap_or_default();
        ctx.show_items(found.len(), executor)?;
        Ok(found.into_iter().map(|organization| Organization::new(ctx, Arc::new(organization))).collect())
    }

    /// All API keys, also those that were revoked or have expired within the last 30 days. Requires an admin.
    fn api_keys(ctx: &Ctx, executor: &Executor<'_, '_, Ctx, Scalar>) -> Result<List<ApiKey>> {
        let found = ctx.loaded(Some(ctx.read(|view| view.api_keys())?))?.unwrap_or_default();
        ctx.show_items(found.len(), executor)?;
        Ok(found.into_iter().map(|key| ApiKey::new(ctx, key)).collect())
    }

    /// The types of application events that admins have defined. Requires a signed-in user.
    fn event_types(ctx: &Ctx, executor: &Executor<'_, '_, Ctx, Scalar>) -> Result<List<EventType>> {
        let found = ctx.loaded(Some(ctx.read(|view| view.event_types())?))?.unwrap_or_default();
        ctx.show_items(found.len(), executor)?;
        Ok(found.into_iter().map(EventType::new).collect())
    }

    /// The users who are present in a channel: those with an open subscription to it, on any instance.
    /// Requires a signed-in user.
    fn presence(
        ctx: &Ctx,
        executor: &Executor<'_, '_, Ctx, Scalar>,
        #[graphql(description = "The id of the channel.")] channel_id: ID,
    ) -> Result<List<User>> {
        let channel = id("channelId", &channel_id)?;
        let present = ctx.read(|view| view.present(channel))?;
        ctx.show_items(present.len(), executor)?;
        present.iter().for_each(|user| ctx.users.prefetch(*user));
        present.iter().filter_map(|user| User::load(ctx, *user).transpose()).collect()
    }

    /// All metrics, ordered by name: the published ones and those of the server itself.
    fn metrics(ctx: &Ctx, executor: &Executor<'_, '_, Ctx, Scalar>) -> Result<List<Metric>> {
        let all = ctx.read(|view| view.metrics())?;
        ctx.show_items(all.len(), executor)?;
        Ok(all.into_iter().map(Metric::new).collect())
    }

    /// The position of the log in the snapshot that this operation reads. A subscription with this position as `after`
    /// delivers each later event exactly once.
    fn cursor(ctx: &Ctx) -> Result<Cursor> {
        ctx.log_head().map(Into::into)
    }
}
