//! The objects that users work with (channels, messages, users and so on), as all layers above `store` see them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    ApiKey, ChannelId, CommentId, Cursor, LocationId, MessageId, NotificationId, OrganizationId, SessionId, TemplateId,
    Timestamp, UserId,
};

/// The locations whose users may see an object, sorted. Empty means every viewer who may read the channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audience(pub Arc<[LocationId]>);

impl Audience {
    /// Whether the audience is not restricted to locations.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        self.0.is_empty()
    }
}

/// Declares an enum whose variants the database stores as small numbers.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum $name { $($(#[$vdoc])* $variant = $code),+ }

        impl $name {
            /// The number that the database stores for this variant.
            #[must_use]
            pub fn code(self) -> i16 {
                self as i16
            }

            /// The variant for a number from the database; `None` if there is no such variant.
            #[must_use]
            pub fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// The general role of a user.
    Role {
        /// An ordinary user.
        Member = 0,
        /// May read and moderate everything.
        Admin = 1,
    }
}

codes! {
    /// What happens with the texts of a deleted user.
    ContentPolicy {
        /// They stay, without the name of the user.
        Keep = 0,
        /// They are deleted.
        Erase = 1,
    }
}

codes! {
    /// What uses an account.
    UserKind {
        /// A person.
        Person = 0,
        /// A program.
        Service = 1,
    }
}

codes! {
    /// Which users may read a channel.
    Visibility {
        /// All users, and anonymous clients if the server allows anonymous reading.
        Public = 0,
        /// Members of the channel only.
        Private = 1,
    }
}

codes! {
    /// Which users may publish application events in a channel.
    ChannelPublishing {
        /// Only admins and API keys.
        Keys = 0,
        /// The members of the channel, too.
        Members = 1,
    }
}

codes! {
    /// The status of a ticket, from open to closed.
    TicketStatus {
        /// Work has not started.
        Open = 0,
        /// Work has started.
        InProgress = 1,
        /// The assignee regards the ticket as done.
        Resolved = 2,
        /// The ticket is done and needs no further work.
        Closed = 3,
    }
}

codes! {
    /// The urgency of a ticket or a notification.
    Priority {
        /// The ticket or notification can wait.
        Low = 0,
        /// The default urgency.
        Medium = 1,
        /// The ticket or notification needs attention soon.
        High = 2,
        /// The ticket or notification needs attention immediately.
        Urgent = 3,
    }
}

/// An account that can sign in. The hash of its password stays in `store`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The id of the user.
    pub id: UserId,
    /// The name for signing in: lower case, unique.
    pub username: String,
    /// The name that other users see.
    pub display_name: String,
    /// The general role of the user.
    pub role: Role,
    /// Whether the account is disabled. A disabled user cannot sign in and has no sessions.
    pub disabled: bool,
    /// The version that a session token must carry. Raising it ends all sessions of the user at once.
    pub token_version: i64,
    /// The organization of the user.
    pub organization_id: Option<OrganizationId>,
    /// The location of the user.
    pub location_id: Option<LocationId>,
    /// When the account was created.
    pub created_at: Timestamp,
    /// The newest session of the user; id 0 before the first one.
    pub last_session: SessionId,
    /// Whether a person or a program uses the account.
    pub kind: UserKind,
    /// The email address. Only the user and admins may see it.
    pub email: Option<String>,
    /// When the user was deleted. The row of a deleted user has no personal data.
    pub deleted_at: Option<Timestamp>,
}

/// A user of another issuer of tokens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternalIdentity {
    /// The issuer, as its tokens name it.
    pub issuer: String,
    /// The id of the user at the issuer.
    pub subject: String,
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// The id of the organization.
    pub id: OrganizationId,
    /// The name of the organization.
    pub name: String,
}

/// A location of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The id of the location.
    pub id: LocationId,
    /// The organization that owns the location.
    pub organization_id: OrganizationId,
    /// The name of the location.
    pub name: String,
}

/// A named container of messages. A chat room is also a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The id of the channel.
    pub id: ChannelId,
    /// The name of the channel. Public channels that are not deleted have unique names.
    pub name: String,
    /// What the channel is for.
    pub description: Option<String>,
    /// Which users may read the channel.
    pub visibility: Visibility,
    /// Which users may publish application events in the channel.
    pub publishing: ChannelPublishing,
    /// The user who created the channel; `None` for channels without an owner.
    pub owner_id: Option<UserId>,
    /// When the channel was created.
    pub created_at: Timestamp,
    /// The position of the newest event that touched the channel.
    pub cursor: Cursor,
}

/// The ticket fields of a message that requires action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The progress of the ticket.
    pub status: TicketStatus,
    /// The urgency of the ticket.
    pub priority: Priority,
    /// The user who should act on the ticket.
    pub assignee_id: Option<UserId>,
}

/// A post in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The id of the message.
    pub id: MessageId,
    /// The channel of the message.
    pub channel_id: ChannelId,
    /// The title of the message.
    pub title: Option<String>,
    /// The text of the message.
    pub content: String,
    /// The user who wrote the message.
    pub author_id: UserId,
    /// Which locations may read the message, among viewers who may read the channel.
    pub audience: Audience,
    /// The ticket fields, if the message is a ticket.
    pub ticket: Option<Ticket>,
    /// When the message was created.
    pub created_at: Timestamp,
    /// When the message was last edited.
    pub updated_at: Timestamp,
    /// The position of the newest event that touched the message.
    pub cursor: Cursor,
}

/// A reply to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The id of the comment.
    pub id: CommentId,
    /// The message that the comment replies to.
    pub message_id: MessageId,
    /// The text of the comment.
    pub content: String,
    /// The user who wrote the comment.
    pub author_id: UserId,
    /// When the comment was created.
    pub created_at: Timestamp,
    /// When the comment was last edited.
    pub updated_at: Timestamp,
    /// The position of the newest event that touched the comment.
    pub cursor: Cursor,
}

/// A reusable text that is shared with locations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The id of the template.
    pub id: TemplateId,
    /// The name of the template.
    pub name: String,
    /// The text of the template.
    pub content: String,
    /// The user who created the template.
    pub author_id: UserId,
    /// The locations that the template is shared with.
    pub audience: Audience,
    /// When the template was created.
    pub created_at: Timestamp,
    /// The position of the newest event that touched the template.
    pub cursor: Cursor,
}

/// A notification for one user, or an announcement to all users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The id of the notification.
    pub id: NotificationId,
    /// The recipient; `None` for an announcement.
    pub user_id: Option<UserId>,
    /// The title of the notification.
    pub title: String,
    /// The text of the notification.
    pub message: String,
    /// The urgency of the notification.
    pub priority: Priority,
    /// The message that the notification is about, while that message exists.
    pub message_id: Option<MessageId>,
    /// When the notification was created.
    pub created_at: Timestamp,
    /// When the recipient read the notification. For an announcement, `store` keeps one such time per reader in a
    /// separate table.
    pub read_at: Option<Timestamp>,
    /// The position of the event that announced the notification.
    pub cursor: Cursor,
}

/// Upper estimate of the bytes that an object takes in memory besides its texts.
pub(super) const FIXED_BYTES: usize = 256;
/// Estimate of the bytes that one id in a list takes while the list is loaded and kept.
pub(super) const BYTES_PER_LISTED_ID: usize = 24;

impl Audience {
    /// The estimated size in memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        BYTES_PER_LISTED_ID * self.0.len()
    }
}

/// An estimate of the memory that a value takes. Budgets and caches count with it.
pub trait Weight {
    /// The estimated size in memory, in bytes.
    fn weight(&self) -> usize;
}

macro_rules! weights {
    ($($type:ty: |$this:ident| $texts:expr;)+) => {$(
        impl Weight for $type {
            fn weight(&self) -> usize {
                let $this = self;
                FIXED_BYTES + $texts
            }
        }
    )+};
}

fn text(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}

weights! {
    ApiKey: |this| this.name.len() + this.channels.as_ref().map_or(0, |channels| BYTES_PER_LISTED_ID * channels.len());
    Message: |this| this.content.len() + text(this.title.as_ref()) + this.audience.weight();
    Comment: |this| this.content.len();
    Channel: |this| this.name.len() + text(this.description.as_ref());
    Template: |this| this.name.len() + this.content.len() + this.audience.weight();
    Notification: |this| this.title.len() + this.message.len();
    User: |this| this.username.len() + this.display_name.len() + text(this.email.as_ref());
    Organization: |this| this.name.len();
    Location: |this| this.name.len();
}

impl<T: Weight> Weight for Vec<T> {
    fn weight(&self) -> usize {
        self.iter().map(Weight::weight).sum()
    }
}

impl Audience {
    /// An audience from location ids, which may be unsorted and may repeat.
    #[must_use]
    pub fn new(mut locations: Vec<LocationId>) -> Self {
        locations.sort_unstable();
        locations.dedup();
        Self(Arc::from(locations))
    }
}
