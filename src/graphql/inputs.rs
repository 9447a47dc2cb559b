//! The GraphQL input objects of mutations, and the conversion of nullable fields into edits.

use juniper::{GraphQLInputObject, ID, Nullable};

use super::enums::{ApiScope, ChannelPublishing, Priority, Role, TicketStatus, UserKind, Visibility};
use super::json::Json;
use super::scalar::Scalar;
use super::scalars::{Cursor, DateTime, id, ids};
use crate::board;
use crate::error::{Error, Result};
use crate::model;

macro_rules! inputs {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty),* $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(GraphQLInputObject)]
        #[graphql(scalar = Scalar)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type),* }
    )+};
}

inputs! {
    /// The data of a new user.
    RegisterInput {
        /// The name to sign in with: letters and digits of any script, `.`, `_` and `-`. Case makes no difference.
        /// `CONFLICT` if the name is the same as or looks like another user's username.
        username: String,
        /// The password: 8 to 1,000 characters. It must not be the username or one of the most common passwords.
        password: String,
        /// The name that other users see. Default: the username.
        /// `CONFLICT` if the name looks like another user's username.
        display_name: Option<String>,
        /// The code of an invitation. It is required while registration is closed.
        invite: Option<String>,
    }
    /// The data of a user that an admin creates.
    CreateUserInput {
        /// The name to sign in with: letters and digits of any script, `.`, `_` and `-`. Case makes no difference.
        /// `CONFLICT` if the name is the same as or looks like another user's username.
        username: String,
        /// The name that other users see. Default: the username.
        /// `CONFLICT` if the name looks like another user's username.
        display_name: Option<String>,
        /// The email address.
        email: Option<String>,
        /// The password: 8 to 1,000 characters. Without one, the user cannot sign in with a password.
        password: Option<String>,
        /// The issuer of the tokens that the user signs in with. It needs a `subject`.
        issuer: Option<String>,
        /// The id of the user at the issuer. `CONFLICT` if another user has the same `issuer` and `subject`.
        subject: Option<String>,
        /// The role of the user. Default: `MEMBER`.
        role: Option<Role>,
        /// Whether a person or a program uses the account. Default: `PERSON`.
        kind: Option<UserKind>,
        /// The id of the user's organization.
        organization_id: Option<ID>,
        /// The id of the user's location.
        location_id: Option<ID>,
        /// The ids of the channels that the user becomes a member of, at most 100.
        channel_ids: Option<Vec<ID>>,
        /// A second request with the same key returns the first user and creates none.
        /// Keys are unique per admin and are kept as long as the user. The password is not compared.
        idempotency_key: Option<String>,
    }
    /// The changes to a user. A field that is left out does not change.
    UpdateUserInput {
        /// The id of the user to change.
        id: ID,
        /// The new name to sign in with.
        username: Nullable<String>,
        /// The new name that other users see.
        display_name: Nullable<String>,
        /// The new email address; `null` removes it.
        email: Nullable<String>,
        /// The new role.
        role: Nullable<Role>,
        /// The id of the user's new organization; `null` removes the user from the organization.
        organization_id: Nullable<ID>,
        /// The id of the user's new location; `null` removes the user from the location.
        location_id: Nullable<ID>,
    }
    /// The changes to the profile of the viewer. A field that is left out does not change.
    UpdateProfileInput {
        /// The new name that other users see.
        display_name: Nullable<String>,
        /// The new email address; `null` removes it.
        email: Nullable<String>,
    }
    /// The credentials of a user who signs in.
    LoginInput {
        /// The username.
        username: String,
        /// The password.
        password: String,
    }
    /// The current password of the viewer and the new one.
    ChangePasswordInput {
        /// The current password.
        current: String,
        /// The new password: 8 to 1,000 characters. It must not be the username or one of the most common passwords.
        new: String,
    }
    /// The data of a new invitation.
    CreateInviteInput {
        /// The role of the new users. Default: `MEMBER`.
        role: Option<Role>,
        /// The ids of the channels that the new users become members of, at most 100.
        channel_ids: Option<Vec<ID>>,
        /// The id of the organization of the new users.
        organization_id: Option<ID>,
        /// The id of the location of the new users.
        location_id: Option<ID>,
        /// How many users may register with the invitation. Default: any number.
        max_uses: Option<i32>,
        /// The invitation is not valid from this time on. Default: no end.
        expires_at: Option<DateTime>,
    }
    /// The token of a link, and the new password.
    ResetPasswordInput {
        /// The token: the last part of the link.
        token: String,
        /// The new password: 8 to 1,000 characters. It must not be the username or one of the most common passwords.
        new: String,
    }
    /// The data of a new channel.
    CreateChannelInput {
        /// The name of the channel. `CONFLICT` if it is the same as or looks like the name of another channel that the
        /// viewer may read.
        name: String,
        /// The purpose of the channel.
        description: Option<String>,
        /// Which users may read the channel. Default: `PUBLIC`.
        visibility: Option<Visibility>,
        /// Which users may publish application events in the channel. Default: `KEYS`.
        publishing: Option<ChannelPublishing>,
    }
    /// The changes to a channel. A field that is left out does not change.
    UpdateChannelInput {
        /// The id of the channel to change.
        id: ID,
        /// The new name.
        name: Nullable<String>,
        /// The new purpose of the channel; `null` removes it.
        description: Nullable<String>,
        /// Which users may read the channel from now on.
        visibility: Nullable<Visibility>,
        /// Which users may publish application events in the channel from now on.
        publishing: Nullable<ChannelPublishing>,
    }
    /// The data of a new message.
    CreateMessageInput {
        /// The id of the channel to post the message in.
        channel_id: ID,
        /// The title of the message.
        title: Option<String>,
        /// The text of the message.
        content: String,
        /// The ids of the locations whose users may read the message. Default: all readers of the channel may read it.
        share_location_ids: Option<Vec<ID>>,
        /// Makes the message a ticket.
        ticket: Option<CreateTicketInput>,
        /// A second request with the same key returns the first message and posts none.
        /// Keys are unique per author and are kept as long as the message.
        idempotency_key: Option<String>,
    }
    /// The ticket of a new message.
    CreateTicketInput {
        /// The priority of the ticket. Default: `MEDIUM`.
        priority: Option<Priority>,
        /// The id of the user to assign the ticket to.
        assignee_id: Option<ID>,
    }
    /// The changes to a message. A field that is left out does not change.
    UpdateMessageInput {
        /// The id of the message to change.
        id: ID,
        /// The new title; `null` removes it.
        title: Nullable<String>,
        /// The new text.
        content: Nullable<String>,
        /// The changes to the ticket. A message without a ticket becomes one.
        ticket: Nullable<UpdateTicketInput>,
        /// Change the message only if its `revision` (in a query also its `cursor`) is still this one; else `CONFLICT`.
        if_cursor: Option<Cursor>,
    }
    /// The changes to a ticket. A field that is left out does not change.
    UpdateTicketInput {
        /// The new status.
        status: Nullable<TicketStatus>,
        /// The new priority.
        priority: Nullable<Priority>,
        /// The id of the user to assign the ticket to; `null` removes the assignment.
        assignee_id: Nullable<ID>,
    }
    /// The data of a new comment.
    CreateCommentInput {
        /// The id of the message to reply to.
        message_id: ID,
        /// The text of the comment.
        content: String,
        /// A second request with the same key returns the first comment and writes none.
        /// Keys are unique per author and are kept as long as the comment.
        idempotency_key: Option<String>,
    }
    /// The new text of a comment.
    UpdateCommentInput {
        /// The id of the comment to change.
        id: ID,
        /// The new text.
        content: String,
        /// Change the comment only if its `revision` (in a query also its `cursor`) is still this one; else `CONFLICT`.
        if_cursor: Option<Cursor>,
    }
    /// The data of a new template.
    AddTemplateInput {
        /// The name of the template.
        name: String,
        /// The text of the template.
        content: String,
        /// The ids of the locations whose users may read the template. Default: all signed-in users may read it.
        share_location_ids: Option<Vec<ID>>,
    }
    /// The data of a new notification.
    NotifyUserInput {
        /// The id of the user to notify. If left out, the notification is an announcement to all users.
        user_id: Option<ID>,
        /// The title of the notification.
        title: String,
        /// The text of the notification.
        message: String,
        /// The priority of the notification. Default: `MEDIUM`.
        priority: Option<Priority>,
        /// A second request with the same key returns the first result and changes nothing.
        /// Keys are unique per sender and are kept as long as the log has the event.
        idempotency_key: Option<String>,
    }
    /// The data of a new API key.
    CreateApiKeyInput {
        /// What the key is for: 1 to 100 characters.
        name: String,
        /// The id of the user as whom the key acts. Default: the viewer.
        user_id: Option<ID>,
        /// What the key may be used for. `ADMIN` needs a user who is an admin.
        scopes: Vec<ApiScope>,
        /// The ids of the channels that the key is limited to, at most 100. Nothing else exists for the key then. If
        /// left out, the key is not limited.
        channel_ids: Option<Vec<ID>>,
        /// How many mutations the key may make per second, and four times as many at once. If left out, as many as a user.
        mutations_per_second: Option<i32>,
        /// When the key expires. If left out, never.
        expires_at: Option<DateTime>,
    }
    /// Data to send to the subscribers of a channel.
    BroadcastInput {
        /// The name of the channel.
        room: String,
        /// A JSON object of at most 64 KiB. A string that contains such an object as JSON text is allowed, too.
        data: Json,
        /// A second request with the same key returns the first result and changes nothing.
        /// Keys are unique per sender and are kept as long as the log has the event.
        idempotency_key: Option<String>,
    }
    /// An application event to publish. Pass either `channelId` or `channel`.
    PublishInput {
        /// The id of the channel.
        channel_id: Option<ID>,
        /// The name of the channel.
        channel: Option<String>,
        /// The type of the event: 1 to 64 of the characters A-Z a-z 0-9 . _ -
        #[graphql(name = "type")]
        event_type: String,
        /// The data: any JSON value, of at most 64 KiB. Readers get it as it was sent.
        data: Json,
        /// A second request with the same key returns the first event and publishes none.
        /// Keys are unique per publisher and are kept as long as the log has the event.
        idempotency_key: Option<String>,
        /// The ids of the locations whose users may read the event. Default: all readers of the channel may read it.
        share_location_ids: Option<Vec<ID>>,
    }
    /// The definition of a type of application events.
    EventTypeInput {
        /// The type: 1 to 64 of the characters A-Z a-z 0-9 . _ -
        #[graphql(name = "type")]
        event_type: String,
        /// What events of this type mean, in at most 1,000 characters.
        description: Option<String>,
        /// The JSON Schema (2020-12) that the data must fit, of at most 64 KiB.
        schema: Json,
    }
    /// The new value of a metric.
    MetricInput {
        /// The name of the metric.
        metric: String,
        /// The new value.
        value: f64,
        /// A second request with the same key returns the first result and changes nothing.
        /// Keys are unique per sender and are kept as long as the log has the event.
        idempotency_key: Option<String>,
    }
    /// The data of a new organization.
    CreateOrganizationInput {
        /// The name of the organization. It must be unique.
        name: String,
    }
    /// The data of a new location.
    CreateLocationInput {
        /// The id of the organization that the location belongs to.
        organization_id: ID,
        /// The name of the location. It must be unique in the organization.
        name: String,
    }
    /// The new organization, location and role of a user. A field that is left out does not change.
    AssignUserInput {
        /// The id of the user to assign.
        user_id: ID,
        /// The id of the user's new organization; `null` removes the user from the organization.
        organization_id: Nullable<ID>,
        /// The id of the user's new location; `null` removes the user from the location.
        location_id: Nullable<ID>,
        /// The new role of the user.
        role: Nullable<Role>,
    }
}

impl CreateInviteInput {
    /// The new invitation of this input.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for an id that is not a decimal number.
    pub fn invite(self) -> Result<board::NewInvite> {
        Ok(board::NewInvite {
            role: self.role.map_or(model::Role::Member, Into::into),
            channels: ids("channelIds", self.channel_ids.as_deref())?,
            organization: self.organization_id.map(|organization| id("organizationId", &organization)).transpose()?,
            location: self.location_id.map(|location| id("locationId", &location)).transpose()?,
            max_uses: self.max_uses.map(i64::from),
            expires_at: self.expires_at.map(|at| at.0),
        })
    }
}

impl CreateUserInput {
    /// The new user of this input.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for an id that is not a decimal number.
    pub fn account(self) -> Result<board::AccountInput> {
        Ok(board::AccountInput {
            username: self.username,
            display_name: self.display_name,
            email: self.email,
            password: self.password,
            issuer: self.issuer,
            subject: self.subject,
            role: self.role.map_or(model::Role::Member, Into::into),
            kind: self.kind.map_or(model::UserKind::Person, Into::into),
            organization: self.organization_id.map(|organization| id("organizationId", &organization)).transpose()?,
            location: self.location_id.map(|location| id("locationId", &location)).transpose()?,
            channels: ids("channelIds", self.channel_ids.as_deref())?,
            key: self.idempotency_key,
        })
    }
}

/// Converts a nullable input field into an edit: `None` if the field is left out, `Some(None)` if it is `null`.
pub fn change<T>(value: Nullable<T>) -> Option<Option<T>> {
    match value {
        Nullable::ImplicitNull => None,
        Nullable::ExplicitNull => Some(None),
        Nullable::Some(value) => Some(Some(value)),
    }
}

/// Converts an input field whose value cannot be removed into an edit: `None` if the field is left out.
///
/// # Errors
/// `BAD_USER_INPUT` naming `field` if the value is `null`.
pub fn change_to<T>(field: &'static str, value: Nullable<T>) -> Result<Option<T>> {
    match value {
        Nullable::ImplicitNull => Ok(None),
        Nullable::ExplicitNull => {
            Err(Error::input(field, format!("{field} must not be null; leave it out to keep the current value")))
        }
        Nullable::Some(value) => Ok(Some(value)),
    }
}

/// Converts a nullable id into an edit, like [`change`].
///
/// # Errors
/// `BAD_USER_INPUT` naming `field` if the id is not a decimal number.
pub fn id_change<I: From<i64>>(field: &'static str, value: Nullable<ID>) -> Result<Option<Option<I>>> {
    change(value).map(|value| value.map(|value| id(field, &value)).transpose()).transpose()
}
