//! The mutations. Each resolver parses its input, awaits a use case of the board and returns the resulting object.

use std::sync::Arc;

use juniper::{ID, graphql_object};

use super::api_keys::{ApiKey, NewApiKey};
use super::app_events::{list_error, new_app_event, published};
use super::context::{Caller, Ctx};
use super::enums::ContentPolicy;
use super::event_types::EventType;
use super::events::AppEvent;
use super::indexed_list::List;
use super::inputs::{
    AddTemplateInput, AssignUserInput, BroadcastInput, ChangePasswordInput, CreateApiKeyInput, CreateChannelInput,
    CreateCommentInput, CreateInviteInput, CreateLocationInput, CreateMessageInput, CreateOrganizationInput,
    CreateUserInput, EventTypeInput, LoginInput, MetricInput, NotifyUserInput, PublishInput, RegisterInput,
    ResetPasswordInput, UpdateChannelInput, UpdateCommentInput, UpdateMessageInput, UpdateProfileInput,
    UpdateUserInput, change, change_to, id_change,
};
use super::invites::Invite;
use super::json::Json;
use super::metrics::Metric;
use super::notifications::Notification;
use super::objects::{Channel, Comment, Message};
use super::scalar::Scalar;
use super::scalars::{Cursor, id, ids, to_id};
use super::sessions::{PasswordReset, Session};
use super::sync_value::SyncValue;
use super::templates::Template;
use super::users::{Location, Organization, User};
use crate::board;
use crate::error::{Error, Result};
use crate::model::{self, Role};

/// The root of all mutations.
pub struct Mutation;

/// The mutations. When a mutation has returned its result, the change is on disk.
#[graphql_object(context = Ctx, scalar = Scalar)]
impl Mutation {
    /// Creates a user account and starts a session of the user.
    async fn register(ctx: &Ctx, input: RegisterInput) -> Result<SyncValue<Session>> {
        let display_name = input.display_name.unwrap_or_else(|| input.username.clone());
        let new = board::NewUser { username: input.username, display_name, role: Role::Member };
        opened(
            ctx,
            ctx.run_with_own_turns(|board, from| async move {
                board.accounts.register(from.client(), new, input.password, input.invite).await
            })
            .await,
        )
    }

    /// Signs a user in: starts a session.
    async fn login(ctx: &Ctx, input: LoginInput) -> Result<SyncValue<Session>> {
        let LoginInput { username, password } = input;
        opened(
            ctx,
            ctx.run_with_own_turns(|board, from| async move {
                board.accounts.sign_in(from.client(), &username, password).await
            })
            .await,
        )
    }

    /// Issues a new token for the viewer's session, at most until `--session-lifetime` after the viewer signed in or used
    /// a refresh token.
    /// Over a WebSocket, this also extends the session of the WebSocket.
    async fn refresh_token(ctx: &Ctx) -> Result<SyncValue<Session>> {
        let refreshed = ctx.run_with_own_turns(|board, by| async move { board.sessions.refresh(&by.viewer) }).await;
        let session = opened(ctx, refreshed)?;
        ctx.extend_session(session.0.end());
        Ok(session)
    }

    /// Continues a session with its refresh token, also after the token has expired. The refresh token is replaced. A
    /// refresh token that is used twice ends its session.
    async fn renew_session(
        ctx: &Ctx,
        #[graphql(description = "The refresh token from the last sign-in or renewal.")] refresh_token: String,
    ) -> Result<SyncValue<Session>> {
        opened(
            ctx,
            ctx.run_with_own_turns(
                |board, from| async move { board.sessions.renew(from.address, &refresh_token).await },
            )
            .await,
        )
    }

    /// Ends a session of the viewer: its tokens are not valid any more, and its connections are closed. The result is
    /// always `true`.
    async fn end_session(
        ctx: &Ctx,
        #[graphql(name = "id", description = "The id of the session.")] session: ID,
    ) -> Result<bool> {
        let id = id("id", &session)?;
        ctx.run(|board, by| async move { board.sessions.end(&by.viewer, id).await }).await?;
        Ok(true)
    }

    /// Changes the password of the viewer, ends all sessions of the viewer and starts a new session.
    async fn change_password(ctx: &Ctx, input: ChangePasswordInput) -> Result<SyncValue<Session>> {
        let ChangePasswordInput { current, new } = input;
        opened(
            ctx,
            ctx.run_with_own_turns(|board, by| async move {
                board.accounts.change_password(by.client(), &by.viewer, current, new).await
            })
            .await,
        )
    }

    /// Ends all sessions of the viewer, including the current one. The result is always `true`.
    async fn logout_everywhere(ctx: &Ctx) -> Result<bool> {
        ctx.run(|board, by| async move { board.accounts.sign_out_everywhere(&by.viewer).await }).await?;
        Ok(true)
    }

    /// Creates a link with which a user sets a new password. An earlier link of the user is not valid any more. Requires
    /// an admin.
    async fn create_password_reset(
        ctx: &Ctx,
        #[graphql(description = "The id of the user.")] user_id: ID,
    ) -> Result<SyncValue<PasswordReset>> {
        let id = id("userId", &user_id)?;
        let created = ctx.run(|board, by| async move { board.accounts.create_password_reset(&by.viewer, id).await });
        Ok(SyncValue(PasswordReset(created.await?)))
    }

    /// Asks for a link to set a new password, by mail. This version sends no mail: ask an admin for a link. The result is
    /// always `true`, also if there is no such user.
    async fn request_password_reset(
        ctx: &Ctx,
        #[graphql(description = "The username.")] login: String,
    ) -> Result<bool> {
        ctx.run_with_own_turns(
            |board, from| async move { board.accounts.request_password_reset(from.client(), &login) },
        )
        .await?;
        Ok(true)
    }

    /// Sets a new password with the token of a link, ends all sessions of the user and starts a new session.
    async fn reset_password(ctx: &Ctx, input: ResetPasswordInput) -> Result<SyncValue<Session>> {
        let ResetPasswordInput { token, new } = input;
        opened(
            ctx,
            ctx.run_with_own_turns(|board, from| async move {
                board.accounts.reset_password(from.client(), &token, new).await
            })
            .await,
        )
    }

    /// Creates an invitation to register. Requires an admin.
    async fn create_invite(ctx: &Ctx, input: CreateInviteInput) -> Result<SyncValue<Invite>> {
        let new = input.invite()?;
        let invite = ctx.run(|board, by| async move { board.invites.create(&by.viewer, new).await }).await?;
        Ok(SyncValue(Invite(invite)))
    }

    /// Revokes an invitation: no further user can register with it. Requires an admin.
    async fn revoke_invite(
        ctx: &Ctx,
        #[graphql(name = "id", description = "The id of the invitation.")] invite: ID,
    ) -> Result<SyncValue<Invite>> {
        let id = id("id", &invite)?;
        let invite = ctx.run(|board, by| async move { board.invites.revoke(&by.viewer, id).await }).await?;
        Ok(SyncValue(Invite(invite)))
    }

    /// Changes the profile of the viewer.
    async fn update_profile(ctx: &Ctx, input: UpdateProfileInput) -> Result<SyncValue<User>> {
        let (name, email) = (change_to("displayName", input.display_name)?, change(input.email));
        user(ctx, ctx.run(|board, by| async move { board.users.update_profile(&by.viewer, name, email).await }).await)
    }

    /// Creates a user. Requires an admin.
    async fn create_user(ctx: &Ctx, input: CreateUserInput) -> Result<SyncValue<User>> {
        let new = vec![input.account()?];
        let created =
            ctx.run_with_own_turns(|board, by| async move { board.users.create(&by.viewer, new, false).await });
        let user = created.await?.pop().ok_or_else(|| Error::internal("no user was created"))?;
        Ok(SyncValue(User::new(ctx, Arc::new(user))))
    }

    /// Creates up to 1,000 users, all of them or none. At most 100 of them may have a password. Requires an admin.
    async fn create_users(
        ctx: &Ctx,
        #[graphql(description = "The users to create.")] inputs: Vec<CreateUserInput>,
    ) -> Result<SyncValue<List<User>>> {
        let new = inputs.into_iter().map(CreateUserInput::account).collect::<Result<Vec<_>>>()?;
        let created =
            ctx.run_with_own_turns(|board, by| async move { board.users.create(&by.viewer, new, true).await });
        Ok(SyncValue(created.await?.into_iter().map(|user| User::new(ctx, Arc::new(user))).collect()))
    }

    /// Changes a user. Requires an admin.
    async fn update_user(ctx: &Ctx, input: UpdateUserInput) -> Result<SyncValue<User>> {
        let edit = board::UserEdit {
            id: id("id", &input.id)?,
            username: change_to("username", input.username)?,
            display_name: change_to("displayName", input.display_name)?,
            email: change(input.email),
            role: change_to("role", input.role)?.map(Into::into),
            organization: id_change("organizationId", input.organization_id)?,
            location: id_change("locationId", input.location_id)?,
        };
        user(ctx, ctx.run(|board, by| async move { board.users.update(&by.viewer, edit).await }).await)
    }

    /// Deletes a user: the account is anonymous and without sessions at once, and what belongs to it is removed afterwards.
    /// Requires an admin, or the user. Returns the id.
    async fn delete_user(
        ctx: &Ctx,
        #[graphql(name = "id", description = "The id of the user.")] user: ID,
        #[graphql(description = "What happens with the texts of the user.")] content: ContentPolicy,
    ) -> Result<ID> {
        let id = id("id", &user)?;
        let deleted = ctx.run(|board, by| async move { board.deletion.delete(&by.viewer, id, content.into()).await });
        Ok(to_id(deleted.await?))
    }

    /// Creates a channel. The viewer becomes its owner and first member.
    async fn create_channel(ctx: &Ctx, input: CreateChannelInput) -> Result<SyncValue<Channel>> {
        let new = board::NewChannel {
            name: input.name,
            description: input.description,
            visibility: input.visibility.map(Into::into),
            publishing: input.publishing.map(Into::into),
        };
        channel(ctx, ctx.run(|board, by| async move { board.channels.create(&by.viewer, new).await }).await)
    }

    /// Changes a channel. Requires the owner of the channel or an admin.
    async fn update_channel(ctx: &Ctx, input: UpdateChannelInput) -> Result<SyncValue<Channel>> {
        let edit = board::ChannelEdit {
            id: id("id", &input.id)?,
            name: change_to("name", input.name)?,
            description: change(input.description),
            visibility: change_to("visibility", input.visibility)?.map(Into::into),
            publishing: change_to("publishing", input.publishing)?.map(Into::into),
        };
        channel(ctx, ctx.run(|board, by| async move { board.channels.update(&by.viewer, edit).await }).await)
    }

    /// Deletes a channel with all its content. Requires the owner of the channel or an admin. Returns the id.
    async fn delete_channel(
        ctx: &Ctx,
        #[graphql(name = "id", description = "The id of the channel.")] channel: ID,
    ) -> Result<ID> {
        let id = id("id", &channel)?;
        Ok(to_id(ctx.run(|board, by| async move { board.channels.delete(&by.viewer, id).await }).await?))
    }

    /// Adds a user to the members of a channel. Requires the owner of the channel or an admin.
    async fn add_member(
        ctx: &Ctx,
        #[graphql(description = "The id of the channel.")] channel_id: ID,
        #[graphql(description = "The id of the user to add.")] user_id: ID,
    ) -> Result<SyncValue<Channel>> {
        let (place, user) = (id("channelId", &channel_id)?, id("userId", &user_id)?);
        channel(ctx, ctx.run(|board, by| async move { board.channels.add_member(&by.viewer, place, user).await }).await)
    }

    /// Removes a user from the members of a channel. Requires the owner of the channel, an admin, or the user.
    async fn remove_member(
        ctx: &Ctx,
        #[graphql(description = "The id of the channel.")] channel_id: ID,
        #[graphql(description = "The id of the user to remove.")] user_id: ID,
    ) -> Result<SyncValue<Channel>> {
        let (place, user) = (id("channelId", &channel_id)?, id("userId", &user_id)?);
        channel(
            ctx,
            ctx.run(|board, by| async move { board.channels.remove_member(&by.viewer, place, user).await }).await,
        )
    }

    /// Posts a message in a channel that the viewer may read.
    async fn create_message(ctx: &Ctx, input: CreateMessageInput) -> Result<SyncValue<Message>> {
        let ticket = |ticket: super::inputs::CreateTicketInput| {
            let assignee = ticket.assignee_id.map(|user| id("assigneeId", &user)).transpose()?;
            Ok(board::NewTicket { priority: ticket.priority.map(Into::into), assignee })
        };
        let new = board::NewMessage {
            channel: id("channelId", &input.channel_id)?,
            title: input.title,
            content: input.content,
            locations: ids("shareLocationIds", input.share_location_ids.as_deref())?,
            ticket: input.ticket.map(ticket).transpose()?,
            key: input.idempotency_key,
        };
        message(ctx, ctx.run(|board, by| async move { board.messages.create(&by.viewer, new).await }).await)
    }

    /// Changes a message. Requires the author or an admin.
    /// Other users who may read the message may only change its ticket, if it has one.
    async fn update_message(ctx: &Ctx, input: UpdateMessageInput) -> Result<SyncValue<Message>> {
        let ticket = |ticket: super::inputs::UpdateTicketInput| {
            Ok(board::TicketEdit {
                status: change_to("status", ticket.status)?.map(Into::into),
                priority: change_to("priority", ticket.priority)?.map(Into::into),
                assignee: id_change("assigneeId", ticket.assignee_id)?,
            })
        };
        let edit = board::MessageEdit {
            id: id("id", &input.id)?,
            title: change(input.title),
            content: change_to("content", input.content)?,
            ticket: change_to("ticket", input.ticket)?.map(ticket).transpose()?,
            if_cursor: position(input.if_cursor)?,
        };
        message(ctx, ctx.run(|board, by| async move { board.messages.update(&by.viewer, edit).await }).await)
    }

    /// Deletes a message and its comments. Requires the author of the message or an admin. Returns the id.
    async fn delete_message(
        ctx: &Ctx,
        #[graphql(name = "id", description = "The id of the message.")] message: ID,
    ) -> Result<ID> {
        let id = id("id", &message)?;
        Ok(to_id(ctx.run(|board, by| async move { board.messages.delete(&by.viewer, id).await }).await?))
    }

    /// Writes a comment on a message that the viewer may read.
    async fn create_comment(ctx: &Ctx, input: CreateCommentInput) -> Result<SyncValue<Comment>> {
        let new = board::NewComment {
            message: id("messageId", &input.message_id)?,
            content: input.content,
            key: input.idempotency_key,
        };
        comment(ctx, ctx.run(|board, by| async move { board.comments.create(&by.viewer, new).await }).await)
    }

    /// Changes a comment. Requires the author of the comment or an admin.
    async fn update_comment(ctx: &Ctx, input: UpdateCommentInput) -> Result<SyncValue<Comment>> {
        let edit = board::CommentEdit {
            id: id("id", &input.id)?,
            content: input.content,
            if_cursor: position(input.if_cursor)?,
        };
        comment(ctx, ctx.run(|board, by| async move { board.comments.update(&by.viewer, edit).await }).await)
    }

    /// Deletes a comment. Requires the author of the comment or an admin. Returns the id.
    async fn delete_comment(
        ctx: &Ctx,
        #[graphql(name = "id", description = "The id of the comment.")] comment: ID,
    ) -> Result<ID> {
        let id = id("id", &comment)?;
        Ok(to_id(ctx.run(|board, by| async move { board.comments.delete(&by.viewer, id).await }).await?))
    }

    /// Creates a template and shares it with other users.
    async fn add_template(ctx: &Ctx, input: AddTemplateInput) -> Result<SyncValue<Template>> {
        let new = board::NewTemplate {
            name: input.name,
            content: input.content,
            locations: ids("shareLocationIds", input.share_location_ids.as_deref())?,
        };
        let template = ctx.run(|board, by| async move { board.templates.create(&by.viewer, new).await }).await?;
        Ok(SyncValue(Template::new(Arc::new(template))))
    }

    /// Deletes a template. Requires the author of the template or an admin. Returns the id.
    async fn delete_template(
        ctx: &Ctx,
        #[graphql(name = "id", description = "The id of the template.")] template: ID,
    ) -> Result<ID> {
        let id = id("id", &template)?;
        Ok(to_id(ctx.run(|board, by| async move { board.templates.delete(&by.viewer, id).await }).await?))
    }

    /// Marks the messages of a channel up to a position of the log as read by the viewer.
    /// A position before the one that is already marked changes nothing.
    async fn mark_channel_read(
        ctx: &Ctx,
        #[graphql(description = "The id of the channel.")] channel_id: ID,
        #[graphql(description = "The cursor of the last event that the viewer has read.")] up_to: Cursor,
    ) -> Result<SyncValue<Channel>> {
        let (place, up_to) = (id("channelId", &channel_id)?, up_to.position("upTo")?);
        channel(ctx, ctx.run(|board, by| async move { board.channels.mark_read(&by.viewer, place, up_to).await }).await)
    }

    /// Sends a notification to one user, or an announcement to all users. Requires an admin.
    async fn notify_user(ctx: &Ctx, input: NotifyUserInput) -> Result<SyncValue<Notification>> {
        let new = board::NewNotification {
            user: input.user_id.map(|user| id("userId", &user)).transpose()?,
            title: input.title,
            message: input.message,
            priority: input.priority.map(Into::into),
            key: input.idempotency_key,
        };
        let made = ctx.run(|board, by| async move { board.notifications.send(&by.viewer, new).await }).await?;
        Ok(SyncValue(Notification::new(ctx, Arc::new(made))))
    }

    /// Marks a notification as read by the viewer.
    async fn mark_notification_read(
        ctx: &Ctx,
        #[graphql(name = "id", description = "The id of the notification.")] notification: ID,
    ) -> Result<SyncValue<Notification>> {
        let id = id("id", &notification)?;
        let read = ctx.run(|board, by| async move { board.notifications.mark_read(&by.viewer, id).await }).await?;
        Ok(SyncValue(Notification::new(ctx, Arc::new(read))))
    }

    /// Sends data to all subscribers of a channel. Requires an admin. The result is always `true`.
    async fn broadcast(ctx: &Ctx, input: BroadcastInput) -> Result<bool> {
        let (data, key) = (input.data.0.unquoted(), input.idempotency_key);
        let broadcast = board::Broadcast { room: input.room, data, key };
        ctx.run(|board, by| async move { board.broadcasts.send(&by.viewer, broadcast).await }).await?;
        Ok(true)
    }

    /// Publishes an application event in a channel. Requires an admin or, if the channel says `publishing: MEMBERS`, a
    /// member of the channel.
    async fn publish(ctx: &Ctx, input: PublishInput) -> Result<SyncValue<AppEvent>> {
        let new = new_app_event(input)?;
        let made = ctx.run(|board, by| async move { board.app_events.publish(&by.viewer, new).await }).await?;
        Ok(SyncValue(published(ctx, made.event)?))
    }

    /// Publishes up to 1,000 application events in this order: all of them in one commit, or none.
    async fn publish_many(ctx: &Ctx, inputs: Vec<PublishInput>) -> Result<SyncValue<List<AppEvent>>> {
        if inputs.len() > board::MAX_PUBLISHED {
            let why = format!("inputs has {} events; at most {} are allowed", inputs.len(), board::MAX_PUBLISHED);
            return Err(Error::input("inputs", why));
        }
        let new = inputs.into_iter().enumerate().map(|(index, input)| {
            new_app_event(input).map_err(|error| list_error(board::PublishError { index: Some(index), error }))
        });
        let new = new.collect::<Result<Vec<_>>>()?;
        let publish = |board: Arc<board::Board>, by: Caller| async move {
            board.app_events.publish_many(&by.viewer, new).await.map_err(list_error)
        };
        let made = ctx.run(publish).await?;
        Ok(SyncValue(made.into_iter().map(|one| published(ctx, one.event)).collect::<Result<_>>()?))
    }

    /// Defines a type of application events, or replaces its definition: the data of its events must fit a JSON Schema.
    /// Requires an admin.
    async fn define_event_type(ctx: &Ctx, input: EventTypeInput) -> Result<SyncValue<EventType>> {
        let EventTypeInput { event_type, description, schema } = input;
        let new = board::NewEventType { name: event_type, description, schema: schema.0 };
        let defined = ctx.run(|board, by| async move { board.event_types.define(&by.viewer, new).await }).await?;
        Ok(SyncValue(EventType::new(defined)))
    }

    /// Deletes the definition of a type of application events. Events of this type may then have any data. Requires an
    /// admin. Returns the type.
    async fn delete_event_type(
        ctx: &Ctx,
        #[graphql(name = "type", description = "The type.")] event_type: String,
    ) -> Result<String> {
        ctx.run(|board, by| async move { board.event_types.delete(&by.viewer, event_type).await }).await
    }

    /// Sends a signal to the users who follow a channel at this moment. Signals are not in the log. Every user who may post
    /// in the channel may send signals, 10 per second. The result is always `true`.
    async fn signal(
        ctx: &Ctx,
        #[graphql(description = "The id of the channel.")] channel_id: ID,
        #[graphql(name = "type", description = "The type: 1 to 64 of the characters A-Z a-z 0-9 . _ -")]
        signal_type: String,
        #[graphql(description = "The data: any JSON value, of at most 4 KiB.")] data: Option<Json>,
    ) -> Result<bool> {
        let (place, data) = (id("channelId", &channel_id)?, data.map(|data| data.0));
        ctx.run(|board, by| async move { board.signals.send(&by.viewer, place, &signal_type, data).await }).await?;
        Ok(true)
    }

    /// Publishes the new value of a metric. Requires an admin.
    async fn publish_metric(ctx: &Ctx, input: MetricInput) -> Result<SyncValue<Metric>> {
        let MetricInput { metric, value, idempotency_key } = input;
        let publish = |board: Arc<board::Board>, by: Caller| async move {
            board.metrics.publish(&by.viewer, &metric, value, idempotency_key.as_deref()).await
        };
        Ok(SyncValue(Metric::new(ctx.run(publish).await?)))
    }

    /// Creates an API key, with which a program acts as a user. Requires an admin.
    async fn create_api_key(ctx: &Ctx, input: CreateApiKeyInput) -> Result<SyncValue<NewApiKey>> {
        let viewer = || ctx.viewer().user_id().ok_or_else(|| Error::Unauthenticated("sign in first".into()));
        let invalid = |_| Error::input("mutationsPerSecond", "must not be negative");
        let new = board::NewApiKey {
            name: input.name,
            user: input.user_id.map_or_else(viewer, |user| id("userId", &user))?,
            scopes: input.scopes.into_iter().map(Into::into).collect(),
            channels: input.channel_ids.map(|channels| ids("channelIds", Some(&channels))).transpose()?,
            mutations_per_second: input.mutations_per_second.map(u32::try_from).transpose().map_err(invalid)?,
            expires_at: input.expires_at.map(|at| at.0),
        };
        let made = ctx.run(|board, by| async move { board.api_keys.create(&by.viewer, new).await }).await?;
        Ok(SyncValue(NewApiKey::new(ctx, made)))
    }

    /// Revokes an API key. The connections with the key end at once. Requires an admin.
    async fn revoke_api_key(
        ctx: &Ctx,
        #[graphql(name = "id", description = "The id of the key.")] key: ID,
    ) -> Result<SyncValue<ApiKey>> {
        let id = id("id", &key)?;
        let revoked = ctx.run(|board, by| async move { board.api_keys.revoke(&by.viewer, id).await }).await?;
        Ok(SyncValue(ApiKey::new(ctx, revoked)))
    }

    /// Creates an organization. Requires an admin.
    async fn create_organization(ctx: &Ctx, input: CreateOrganizationInput) -> Result<SyncValue<Organization>> {
        let organization =
            ctx.run(|board, by| async move { board.organizations.create(&by.viewer, &input.name).await }).await?;
        Ok(SyncValue(Organization::new(ctx, Arc::new(organization))))
    }

    /// Creates a location of an organization. Requires an admin.
    async fn create_location(ctx: &Ctx, input: CreateLocationInput) -> Result<SyncValue<Location>> {
        let organization = id("organizationId", &input.organization_id)?;
        let location =
            ctx.run(|board, by| async move {
                board.organizations.create_location(&by.viewer, organization, &input.name).await
            })
            .await?;
        Ok(SyncValue(Location::new(ctx, Arc::new(location))))
    }

    /// Changes the organization, the location and the role of a user. Requires an admin.
    async fn assign_user(ctx: &Ctx, input: AssignUserInput) -> Result<SyncValue<User>> {
        let assignment = board::Assignment {
            user: id("userId", &input.user_id)?,
            organization: id_change("organizationId", input.organization_id)?,
            location: id_change("locationId", input.location_id)?,
            role: change_to("role", input.role)?.map(Into::into),
        };
        user(
            ctx,
            ctx.run(|board, by| async move { board.organizations.assign_user(&by.viewer, assignment).await }).await,
        )
    }

    /// Disables or enables a user. Either change ends all sessions of the user. Requires an admin.
    async fn set_user_disabled(
        ctx: &Ctx,
        #[graphql(description = "The id of the user.")] user_id: ID,
        #[graphql(description = "Whether the user is disabled. A disabled user cannot sign in.")] disabled: bool,
    ) -> Result<SyncValue<User>> {
        let who = id("userId", &user_id)?;
        user(
            ctx,
            ctx.run(|board, by| async move { board.accounts.set_disabled(Some(&by.viewer), who, disabled).await })
                .await,
        )
    }
}

fn opened(ctx: &Ctx, session: Result<board::Session>) -> Result<SyncValue<Session>> {
    Ok(SyncValue(Session::new(ctx, session?)))
}

fn channel(ctx: &Ctx, channel: Result<model::Channel>) -> Result<SyncValue<Channel>> {
    Ok(SyncValue(Channel::new(ctx, Arc::new(channel?))))
}

fn message(ctx: &Ctx, message: Result<model::Message>) -> Result<SyncValue<Message>> {
    Ok(SyncValue(Message::new(ctx, Arc::new(message?))))
}

fn comment(ctx: &Ctx, comment: Result<model::Comment>) -> Result<SyncValue<Comment>> {
    Ok(SyncValue(Comment::new(ctx, Arc::new(comment?))))
}

fn user(ctx: &Ctx, user: Result<model::User>) -> Result<SyncValue<User>> {
    Ok(SyncValue(User::new(ctx, Arc::new(user?))))
}

fn position(cursor: Option<Cursor>) -> Result<Option<model::Cursor>> {
    cursor.map(|cursor| cursor.position("ifCursor")).transpose()
}
