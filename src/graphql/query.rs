//! The queries.

use std::sync::Arc;

use juniper::{Executor, ID, ScalarValue, graphql_object};

use super::context::Ctx;
use super::enums::TicketStatus;
use super::list::List;
use super::live::Metric;
use super::notifications::NotificationConnection;
use super::objects::{Channel, ChannelConnection, Message, MessageConnection};
use super::paging::PageArgs;
use super::people::{Organization, User, UserConnection};
use super::scalars::{Cursor, id};
use super::templates::TemplateConnection;
use crate::error::{Error, Result};
use crate::store::{channels, messages, metrics, organizations};

/// The longest search text, in characters.
const MAX_SEARCH: usize = 200;

/// The root of all queries.
pub struct Query;

/// What can be asked. All fields of one operation read the same snapshot of the database.
#[graphql_object(context = Ctx, scalar = S: ScalarValue)]
impl Query {
    /// The user who is signed in; `null` for an anonymous reader.
    fn me(ctx: &Ctx) -> Result<Option<User>> {
        if ctx.viewer().user_id().is_none() {
            return Ok(None);
        }
        let standing = ctx.viewer().standing()?;
        Ok(ctx.user(standing.user.id)?.map(|user| User::new(ctx, user)))
    }

    /// A user by id; only for those who are signed in.
    #[graphql(name = "user")]
    fn user_by_id(ctx: &Ctx, #[graphql(name = "id", description = "The user's id.")] user: ID) -> Result<Option<User>> {
        User::load(ctx, id("id", &user)?)
    }

    /// Users by username; only for those who are signed in.
    fn users(
        ctx: &Ctx,
        #[graphql(description = "At most so many from the start: 1 to 100, 20 if not said.")] first: Option<i32>,
        #[graphql(description = "Behind this edge.")] after: Option<String>,
        #[graphql(description = "At most so many from the end.")] last: Option<i32>,
        #[graphql(description = "Before this edge.")] before: Option<String>,
        #[graphql(description = "Part of a username or a display name, however it is spelled.")] search: Option<String>,
    ) -> Result<UserConnection> {
        if search.as_ref().is_some_and(|search| search.chars().count() > MAX_SEARCH || search.contains('\0')) {
            return Err(Error::input("search", format!("search for at most {MAX_SEARCH} characters of plain text")));
        }
        UserConnection::search(ctx, search.as_deref(), &PageArgs { first, after, last, before })
    }

    /// A channel by id or by name, however it is spelled; `null` if there is none that the viewer may read. Of two with the same name, the one that the viewer could read first under it.
    fn channel(
        ctx: &Ctx,
        #[graphql(name = "id", description = "The channel's id.")] channel: Option<ID>,
        #[graphql(description = "The channel's name.")] name: Option<String>,
    ) -> Result<Option<Channel>> {
        let rights = ctx.rights()?;
        let found = match (&channel, &name) {
            (Some(channel), None) => {
                let channel = id("id", channel)?;
                ctx.read(|db| channels::find(db, &rights, channel))?
            }
            // No channel has a longer name.
            (None, Some(name)) if name.chars().count() > ctx.board().rules().max_title => None,
            (None, Some(name)) => ctx.read(|db| channels::find_by_name(db, &rights, name))?,
            _ => return Err(Error::input("id", "use either id or name")),
        };
        Ok(ctx.loaded(found)?.map(|channel| Channel::new(ctx, Arc::new(channel))))
    }

    /// The channels the viewer may read, by name.
    fn channels(
        ctx: &Ctx,
        #[graphql(description = "At most so many from the start: 1 to 100, 20 if not said.")] first: Option<i32>,
        #[graphql(description = "Behind this edge.")] after: Option<String>,
        #[graphql(description = "At most so many from the end.")] last: Option<i32>,
        #[graphql(description = "Before this edge.")] before: Option<String>,
    ) -> Result<ChannelConnection> {
        ChannelConnection::load(ctx, &PageArgs { first, after, last, before })
    }

    /// A message by id; `null` if there is none that the viewer may see.
    fn message(
        ctx: &Ctx,
        #[graphql(name = "id", description = "The message's id.")] message: ID,
    ) -> Result<Option<Message>> {
        let (message, rights) = (id("id", &message)?, ctx.rights()?);
        let found = ctx.read(|db| messages::find(db, &rights, message))?;
        Ok(ctx.loaded(found)?.map(|message| Message::new(ctx, Arc::new(message))))
    }

    /// The messages the viewer may see, newest first.
    #[allow(clippy::too_many_arguments)] // they are the public surface
    fn messages(
        ctx: &Ctx,
        #[graphql(description = "Only those of this channel.")] channel_id: Option<ID>,
        #[graphql(description = "Only tickets.")] tickets_only: Option<bool>,
        #[graphql(description = "Only tickets with this status.")] status: Option<TicketStatus>,
        #[graphql(description = "Only tickets of this assignee.")] assignee_id: Option<ID>,
        #[graphql(description = "At most so many from the start: 1 to 100, 20 if not said.")] first: Option<i32>,
        #[graphql(description = "Behind this edge.")] after: Option<String>,
        #[graphql(description = "At most so many from the end.")] last: Option<i32>,
        #[graphql(description = "Before this edge.")] before: Option<String>,
    ) -> Result<MessageConnection> {
        let filter = messages::Filter {
            channel: channel_id.as_ref().map(|channel| id("channelId", channel)).transpose()?,
            tickets_only: tickets_only.unwrap_or(false),
            status: status.map(Into::into),
            assignee: assignee_id.as_ref().map(|user| id("assigneeId", user)).transpose()?,
        };
        MessageConnection::load(ctx, &filter, &PageArgs { first, after, last, before })
    }

    /// The templates shared with the viewer; only for those who are signed in.
    fn templates(
        ctx: &Ctx,
        #[graphql(description = "At most so many from the start: 1 to 100, 20 if not said.")] first: Option<i32>,
        #[graphql(description = "Behind this edge.")] after: Option<String>,
        #[graphql(description = "At most so many from the end.")] last: Option<i32>,
        #[graphql(description = "Before this edge.")] before: Option<String>,
    ) -> Result<TemplateConnection> {
        TemplateConnection::load(ctx, &PageArgs { first, after, last, before })
    }

    /// What the viewer was notified of, newest first; only for those who are signed in.
    fn notifications(
        ctx: &Ctx,
        #[graphql(description = "Only what was not read.")] unread_only: Option<bool>,
        #[graphql(description = "At most so many from the start: 1 to 100, 20 if not said.")] first: Option<i32>,
        #[graphql(description = "Behind this edge.")] after: Option<String>,
        #[graphql(description = "At most so many from the end.")] last: Option<i32>,
        #[graphql(description = "Before this edge.")] before: Option<String>,
    ) -> Result<NotificationConnection> {
        let args = PageArgs { first, after, last, before };
        NotificationConnection::load(ctx, unread_only.unwrap_or(false), &args)
    }

    /// All organizations, by name; only for those who are signed in.
    fn organizations<S: ScalarValue>(ctx: &Ctx, executor: &Executor<'_, '_, Ctx, S>) -> Result<List<Organization>> {
        ctx.signed_in()?;
        let found = ctx.loaded(Some(ctx.read(organizations::list)?))?.unwrap_or_default();
        ctx.show_items(found.len(), executor)?;
        Ok(found.into_iter().map(|organization| Organization::new(ctx, Arc::new(organization))).collect())
    }

    /// Who is present in a channel: whoever follows it, on any instance. Only for those who are signed in.
    fn presence<S: ScalarValue>(
        ctx: &Ctx,
        executor: &Executor<'_, '_, Ctx, S>,
        #[graphql(description = "Which channel.")] channel_id: ID,
    ) -> Result<List<User>> {
        ctx.signed_in()?;
        let (channel, rights) = (id("channelId", &channel_id)?, ctx.rights()?);
        ctx.read(|db| channels::find(db, &rights, channel))?.ok_or(Error::NotFound("channel"))?;
        let present = ctx.board().present(channel);
        ctx.show_items(present.len(), executor)?;
        present.iter().for_each(|user| ctx.users.want(*user));
        present.iter().filter_map(|user| User::load(ctx, *user).transpose()).collect()
    }

    /// Every metric by name: those that programs publish, and the server's own.
    fn metrics<S: ScalarValue>(ctx: &Ctx, executor: &Executor<'_, '_, Ctx, S>) -> Result<List<Metric>> {
        let mut all = ctx.read(metrics::all)?;
        all.extend(ctx.board().own_metrics());
        ctx.show_items(all.len(), executor)?;
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all.into_iter().map(Metric::new).collect())
    }

    /// Where the log stands in the snapshot this operation reads: subscribe `after` it, and nothing is missed or repeated.
    fn cursor(ctx: &Ctx) -> Result<Cursor> {
        ctx.log_head().map(Into::into)
    }
}
