//! The objects of the board, as every floor above `store` sees them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Audience, ChannelId, CommentId, Cursor, LocationId, MessageId, NotificationId, OrganizationId, TemplateId,
    Timestamp, UserId,
};

/// A closed list of words that the database keeps as small numbers.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum $name { $($(#[$vdoc])* $variant = $code),+ }

        impl $name {
            /// The number in the database.
            #[must_use]
            pub fn code(self) -> i16 {
                self as i16
            }

            /// The word for a number in the database.
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
    /// What somebody may do in general.
    Role {
        /// An ordinary user.
        Member = 0,
        /// May read and moderate everything.
        Admin = 1,
    }
}

codes! {
    /// Who may read a channel.
    Visibility {
        /// Everybody.
        Public = 0,
        /// Its members.
        Private = 1,
    }
}

codes! {
    /// How far a ticket is.
    TicketStatus {
        /// Nobody works on it yet.
        Open = 0,
        /// Somebody works on it.
        InProgress = 1,
        /// Done, as far as the assignee is concerned.
        Resolved = 2,
        /// Done for everybody.
        Closed = 3,
    }
}

codes! {
    /// How urgent something is.
    Priority {
        /// Can wait.
        Low = 0,
        /// The usual.
        Medium = 1,
        /// Soon.
        High = 2,
        /// Now.
        Urgent = 3,
    }
}

/// Somebody who signs in. The password's hash stays in `store`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// What they sign in with: lower case, unique.
    pub username: String,
    /// What others read.
    pub display_name: String,
    /// What they may do.
    pub role: Role,
    /// May not sign in; every session of theirs has ended.
    pub disabled: bool,
    /// Tokens of another version are refused: how all sessions end at once.
    pub token_version: i64,
    /// The organization they belong to.
    pub organization_id: Option<OrganizationId>,
    /// The location they belong to.
    pub location_id: Option<LocationId>,
    /// When they registered.
    pub created_at: Timestamp,
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name.
    pub name: String,
}

/// A location of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Its id.
    pub id: LocationId,
    /// Whose location it is.
    pub organization_id: OrganizationId,
    /// Its name.
    pub name: String,
}

/// A named place for messages; a chat room is one too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Its name, unique among channels that are not deleted.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who may read it.
    pub visibility: Visibility,
    /// Who made it.
    pub owner_id: Option<UserId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The event that last touched it.
    pub cursor: Cursor,
}

/// What makes a message a ticket: somebody must act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// How far it is.
    pub status: TicketStatus,
    /// How urgent it is.
    pub priority: Priority,
    /// Who is to act.
    pub assignee_id: Option<UserId>,
}

/// A post in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Where it was posted.
    pub channel_id: ChannelId,
    /// Its title.
    pub title: Option<String>,
    /// Its text.
    pub content: String,
    /// Who wrote it.
    pub author_id: UserId,
    /// Who may read it, within the channel.
    pub audience: Audience,
    /// Present if somebody must act on it.
    pub ticket: Option<Ticket>,
    /// When it was posted.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The event that last touched it.
    pub cursor: Cursor,
}

/// A reply to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its id.
    pub id: CommentId,
    /// What it replies to.
    pub message_id: MessageId,
    /// Its text.
    pub content: String,
    /// Who wrote it.
    pub author_id: UserId,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The event that last touched it.
    pub cursor: Cursor,
}

/// A reusable text, shared with locations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its id.
    pub id: TemplateId,
    /// Its name.
    pub name: String,
    /// Its text.
    pub content: String,
    /// Who made it.
    pub author_id: UserId,
    /// With whom it is shared.
    pub audience: Audience,
    /// When it was made.
    pub created_at: Timestamp,
    /// The event that last touched it.
    pub cursor: Cursor,
}

/// A note for one user, or an announcement to all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its id.
    pub id: NotificationId,
    /// Whom it is for; `None` is an announcement.
    pub user_id: Option<UserId>,
    /// Its title.
    pub title: String,
    /// Its text.
    pub message: String,
    /// How urgent it is.
    pub priority: Priority,
    /// The message it is about, as long as that is there.
    pub message_id: Option<MessageId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its user read it; of an announcement each reader has an own time, kept beside it.
    pub read_at: Option<Timestamp>,
    /// Its event.
    pub cursor: Cursor,
}

/// What an object takes in memory beside its texts, in bytes, rounded up.
const FIXED: usize = 256;
/// What an id of a list takes, as it is loaded and kept.
const LISTED: usize = 24;

impl Audience {
    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        LISTED * self.0.len()
    }
}

/// About how many bytes a value takes in memory.
pub trait Weight {
    /// The bytes.
    fn weight(&self) -> usize;
}

macro_rules! weights {
    ($($type:ty: |$this:ident| $texts:expr;)+) => {$(
        impl Weight for $type {
            fn weight(&self) -> usize {
                let $this = self;
                FIXED + $texts
            }
        }
    )+};
}

fn text(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}

weights! {
    Message: |this| this.content.len() + text(this.title.as_ref()) + this.audience.weight();
    Comment: |this| this.content.len();
    Channel: |this| this.name.len() + text(this.description.as_ref());
    Template: |this| this.name.len() + this.content.len() + this.audience.weight();
    Notification: |this| this.title.len() + this.message.len();
    User: |this| this.username.len() + this.display_name.len();
    Organization: |this| this.name.len();
    Location: |this| this.name.len();
}

impl<T: Weight> Weight for Vec<T> {
    fn weight(&self) -> usize {
        self.iter().map(Weight::weight).sum()
    }
}

impl Audience {
    /// An audience from ids in any order, with repeats.
    #[must_use]
    pub fn new(mut locations: Vec<LocationId>) -> Self {
        locations.sort_unstable();
        locations.dedup();
        Self(Arc::from(locations))
    }
}
