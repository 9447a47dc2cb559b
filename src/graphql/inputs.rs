//! What mutations are given.

use juniper::{GraphQLInputObject, ID, Nullable};

use super::enums::{Priority, Role, TicketStatus, Visibility};
use super::json::Json;
use super::scalar::Scalar;
use super::scalars::{Cursor, id};
use crate::error::{Error, Result};

macro_rules! inputs {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty),* $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(GraphQLInputObject)]
        #[graphql(scalar = Scalar)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type),* }
    )+};
}

inputs! {
    /// A new user.
    RegisterInput {
        /// What they will sign in with: letters and digits of any script, `.`, `_` and `-`; upper and lower case are the same. `CONFLICT` if it looks like another user's.
        username: String,
        /// 8 to 1,000 characters; not the username, and not one of the most common passwords.
        password: String,
        /// What others will read; the username if not said. `CONFLICT` if it looks like another user's username.
        display_name: Option<String>,
    }
    /// Who signs in.
    LoginInput {
        /// The username.
        username: String,
        /// The password.
        password: String,
    }
    /// A change of password.
    ChangePasswordInput {
        /// The password so far.
        current: String,
        /// The new one: 8 to 1,000 characters; not the username, and not one of the most common passwords.
        new: String,
    }
    /// A new channel.
    CreateChannelInput {
        /// Its name. `CONFLICT` if it looks like that of another channel which the viewer may read.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// Who may read it; `PUBLIC` if not said.
        visibility: Option<Visibility>,
    }
    /// What to change in a channel; what is left out stays.
    UpdateChannelInput {
        /// Which.
        id: ID,
        /// The name.
        name: Nullable<String>,
        /// What it is for; `null` removes it.
        description: Nullable<String>,
        /// Who may read it.
        visibility: Nullable<Visibility>,
    }
    /// A new message.
    CreateMessageInput {
        /// The channel to post it in.
        channel_id: ID,
        /// Its title.
        title: Option<String>,
        /// Its text.
        content: String,
        /// Only for readers of these locations; everybody if empty or left out.
        share_location_ids: Option<Vec<ID>>,
        /// Makes it a ticket.
        ticket: Option<CreateTicketInput>,
        /// The same key again returns the first result; unique per author and kept as long as the message.
        idempotency_key: Option<String>,
    }
    /// What makes a new message a ticket.
    CreateTicketInput {
        /// How urgent; `MEDIUM` if not said.
        priority: Option<Priority>,
        /// Who is to act.
        assignee_id: Option<ID>,
    }
    /// What to change in a message; what is left out stays.
    UpdateMessageInput {
        /// Which.
        id: ID,
        /// The title; `null` removes it.
        title: Nullable<String>,
        /// The text.
        content: Nullable<String>,
        /// The ticket; makes the message one if it is none.
        ticket: Nullable<UpdateTicketInput>,
        /// Only if the message's `revision` (in a query also its `cursor`) is still this one; `CONFLICT` otherwise.
        if_cursor: Option<Cursor>,
    }
    /// What to change in a ticket; what is left out stays.
    UpdateTicketInput {
        /// How far it is.
        status: Nullable<TicketStatus>,
        /// How urgent it is.
        priority: Nullable<Priority>,
        /// Who is to act; `null` is nobody.
        assignee_id: Nullable<ID>,
    }
    /// A new comment.
    CreateCommentInput {
        /// The message it replies to.
        message_id: ID,
        /// Its text.
        content: String,
        /// The same key again returns the first result; unique per author and kept as long as the comment.
        idempotency_key: Option<String>,
    }
    /// A comment's new text.
    UpdateCommentInput {
        /// Which.
        id: ID,
        /// The text.
        content: String,
        /// Only if the comment's `revision` (in a query also its `cursor`) is still this one; `CONFLICT` otherwise.
        if_cursor: Option<Cursor>,
    }
    /// A new template.
    AddTemplateInput {
        /// Its name.
        name: String,
        /// Its text.
        content: String,
        /// Shared with these locations; with everybody if empty or left out.
        share_location_ids: Option<Vec<ID>>,
    }
    /// A new notification.
    NotifyUserInput {
        /// Whom it is for; an announcement to all if left out.
        user_id: Option<ID>,
        /// Its title.
        title: String,
        /// Its text.
        message: String,
        /// How urgent; `MEDIUM` if not said.
        priority: Option<Priority>,
    }
    /// Something to send to a room.
    BroadcastInput {
        /// The name of the channel.
        room: String,
        /// An object of at most 64 KiB. Text that contains one as JSON is taken, too.
        data: Json,
    }
    /// A metric's new value.
    MetricInput {
        /// Its name.
        metric: String,
        /// Its value.
        value: f64,
    }
    /// A new organization.
    CreateOrganizationInput {
        /// Its name, unique among the organizations.
        name: String,
    }
    /// A new location.
    CreateLocationInput {
        /// The organization it belongs to.
        organization_id: ID,
        /// Its name, unique in the organization.
        name: String,
    }
    /// Where a user belongs and what they may do; what is left out stays.
    AssignUserInput {
        /// Who.
        user_id: ID,
        /// The organization; `null` is none.
        organization_id: Nullable<ID>,
        /// The location; `null` is none.
        location_id: Nullable<ID>,
        /// What they may do.
        role: Nullable<Role>,
    }
}

/// What to change: `None` is left out, `Some(None)` is an explicit `null`.
pub fn change<T>(value: Nullable<T>) -> Option<Option<T>> {
    match value {
        Nullable::ImplicitNull => None,
        Nullable::ExplicitNull => Some(None),
        Nullable::Some(value) => Some(Some(value)),
    }
}

/// What to change where there must be something: `None` is left out.
///
/// # Errors
/// `BAD_USER_INPUT` naming `field` for an explicit `null`.
pub fn change_to<T>(field: &'static str, value: Nullable<T>) -> Result<Option<T>> {
    match value {
        Nullable::ImplicitNull => Ok(None),
        Nullable::ExplicitNull => {
            Err(Error::input(field, format!("{field} must not be null; leave it out to keep what is there")))
        }
        Nullable::Some(value) => Ok(Some(value)),
    }
}

/// [`change`] for an id.
///
/// # Errors
/// `BAD_USER_INPUT` naming `field`.
pub fn id_change<I: From<i64>>(field: &'static str, value: Nullable<ID>) -> Result<Option<Option<I>>> {
    change(value).map(|value| value.map(|value| id(field, &value)).transpose()).transpose()
}
