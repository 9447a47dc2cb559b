//! Events: what the log records, and by which topics it is read.

use std::sync::Arc;

use super::{
    Channel, ChannelId, Comment, Cursor, LocationId, Message, MessageId, Notification, Template, Timestamp, UserId,
    Weight as _,
};

/// For whom, within those who may read the place: the locations, sorted; empty means everybody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audience(pub Arc<[LocationId]>);

impl Audience {
    /// Everybody.
    #[must_use]
    pub fn is_everybody(&self) -> bool {
        self.0.is_empty()
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal),+ $(,)?) => {
        /// What happened. The numbers are in the database: never reuse one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum EventKind { $($(#[$doc])* $name = $code),+ }

        impl EventKind {
            /// Every kind this version knows.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The kind for a number in the database; `None` was written by a newer version.
            #[must_use]
            pub fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// Its name, as `tidings tail` and GraphQL show it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

kinds! {
    /// The first row of every log, number 0: the position before the first event.
    Genesis = 0,
    /// A message was posted.
    MessageAdded = 1,
    /// A message or its ticket was changed.
    MessageUpdated = 2,
    /// A message was deleted, and its comments with it.
    MessageDeleted = 3,
    /// A comment was written.
    CommentAdded = 4,
    /// A comment was changed.
    CommentUpdated = 5,
    /// A comment was deleted.
    CommentDeleted = 6,
    /// A channel was made.
    ChannelAdded = 7,
    /// A channel's name, description or visibility was changed.
    ChannelUpdated = 8,
    /// A channel was deleted, and all in it.
    ChannelDeleted = 9,
    /// A template was shared.
    TemplateAdded = 10,
    /// A template was deleted.
    TemplateDeleted = 11,
    /// What one user may see changed: a membership, a role, an organization or a location. Of no one
    /// user: a channel became public or private, for all who do not belong to it.
    AccessChanged = 12,
    /// Every session of one user ended: disabled, logged out everywhere, password changed.
    SessionsEnded = 13,
    /// A note for one user or, of no one user, an announcement to all.
    NotificationAdded = 14,
    /// An admin sent something to a channel that is kept nowhere else: the event carries it.
    RoomBroadcast = 15,
}

impl EventKind {
    /// The number in the database.
    #[must_use]
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The object is gone after this event.
    #[must_use]
    pub fn is_deletion(self) -> bool {
        matches!(self, Self::MessageDeleted | Self::CommentDeleted | Self::ChannelDeleted | Self::TemplateDeleted)
    }

    /// The event shows its object, so it says nothing once that is gone; a broadcast goes with its channel.
    #[must_use]
    pub fn shows_object(self) -> bool {
        matches!(
            self,
            Self::MessageAdded
                | Self::MessageUpdated
                | Self::CommentAdded
                | Self::CommentUpdated
                | Self::ChannelAdded
                | Self::ChannelUpdated
                | Self::TemplateAdded
                | Self::NotificationAdded
                | Self::RoomBroadcast
        )
    }

    /// Older events of the object must not show what it was before this one.
    #[must_use]
    pub fn rewrites(self) -> bool {
        self.is_deletion() || matches!(self, Self::MessageUpdated | Self::CommentUpdated | Self::ChannelUpdated)
    }

    /// Concerns everything in its channel, the streams of single messages too.
    #[must_use]
    pub fn is_channel_wide(self) -> bool {
        matches!(self, Self::ChannelUpdated | Self::ChannelDeleted)
    }

    /// Rights of somebody may be different after this event.
    #[must_use]
    pub fn changes_access(self) -> bool {
        matches!(
            self,
            Self::ChannelAdded
                | Self::ChannelUpdated
                | Self::ChannelDeleted
                | Self::AccessChanged
                | Self::SessionsEnded
        )
    }
}

/// A set of event kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindSet(u32);

impl KindSet {
    /// The set of these kinds.
    #[must_use]
    pub const fn of(kinds: &[EventKind]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < kinds.len() {
            bits |= 1 << kinds[i] as u8;
            i += 1;
        }
        Self(bits)
    }

    /// Every kind.
    #[must_use]
    pub const fn all() -> Self {
        Self::of(EventKind::ALL)
    }

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the kind is in it.
    #[must_use]
    pub const fn contains(self, kind: EventKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Whether the sets have a kind in common.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The kinds in it.
    pub fn iter(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL.iter().copied().filter(move |kind| self.contains(*kind))
    }
}

/// One change, as the log has it. It holds no content: who may see it is decided from these
/// fields alone, and what it shows is the object as it is when the event is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its position.
    pub cursor: Cursor,
    /// What happened.
    pub kind: EventKind,
    /// The id of what it happened to, of the type the kind says.
    pub object: i64,
    /// The channel it happened in.
    pub channel: Option<ChannelId>,
    /// The message it belongs to.
    pub message: Option<MessageId>,
    /// The one user it is for.
    pub user: Option<UserId>,
    /// Who is in the audience whatever their location: the author of the message or template.
    pub owner: Option<UserId>,
    /// For which locations it is.
    pub audience: Audience,
    /// Who did it; `None` is the operator.
    pub actor: Option<UserId>,
    /// The message is a ticket.
    pub ticket: bool,
    /// What the event itself carries, as JSON, where there is no object.
    pub payload: Option<Arc<str>>,
    /// When, by the clock of the instance that wrote it; never before the event before it.
    pub at: Timestamp,
}

impl Event {
    /// A notification to all.
    #[must_use]
    pub fn is_announcement(&self) -> bool {
        self.kind == EventKind::NotificationAdded && self.user.is_none()
    }

    /// About how many bytes it takes in memory, without what it shows.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.audience.weight() + self.payload.as_ref().map_or(0, |payload| payload.len())
    }

    /// Concerns readers of topics that its own fields do not name.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.kind.is_channel_wide() || self.is_announcement()
    }
}

/// What an event shows: the object as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The event needs no object.
    None,
    /// A message.
    Message(Arc<Message>),
    /// A comment.
    Comment(Arc<Comment>),
    /// A channel.
    Channel(Arc<Channel>),
    /// A template.
    Template(Arc<Template>),
    /// A notification.
    Notification(Arc<Notification>),
}

impl Body {
    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Message(message) => message.weight(),
            Self::Comment(comment) => comment.weight(),
            Self::Channel(channel) => channel.weight(),
            Self::Template(template) => template.weight(),
            Self::Notification(notification) => notification.weight(),
        }
    }

    /// The event that last touched the object.
    #[must_use]
    pub fn revision(&self) -> Option<Cursor> {
        match self {
            Self::None => None,
            Self::Message(message) => Some(message.cursor),
            Self::Comment(comment) => Some(comment.cursor),
            Self::Channel(channel) => Some(channel.cursor),
            Self::Template(template) => Some(template.cursor),
            Self::Notification(notification) => Some(notification.cursor),
        }
    }
}

impl LoggedEvent {
    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.event.weight() + self.body.weight()
    }
}

/// An event together with what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    /// The change.
    pub event: Event,
    /// Its object.
    pub body: Body,
}

/// What a reader of the log follows. A reader has one topic, so nothing is ever merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Everything.
    Everything,
    /// What happens in a channel.
    Channel(ChannelId),
    /// What happens to a message and its comments, or to the whole channel it is in.
    Message(ChannelId, MessageId),
    /// What concerns one user alone.
    User(UserId),
    /// The shared templates.
    Templates,
    /// The notifications of a user and the announcements, or the announcements alone.
    Notifications(Option<UserId>),
}

impl Topic {
    /// Whether the event belongs to the topic.
    #[must_use]
    pub fn has(self, event: &Event) -> bool {
        match self {
            Self::Everything => true,
            Self::Channel(channel) => event.channel == Some(channel),
            Self::Message(channel, message) => {
                event.message == Some(message) || (event.channel == Some(channel) && event.kind.is_channel_wide())
            }
            Self::User(user) => event.user == Some(user),
            Self::Templates => matches!(event.kind, EventKind::TemplateAdded | EventKind::TemplateDeleted),
            Self::Notifications(user) => {
                event.kind == EventKind::NotificationAdded && (event.user.is_none() || event.user == user)
            }
        }
    }

    /// Whether the event may belong to the topic although [`Self::of`] does not name it.
    #[must_use]
    pub fn has_unnamed(self, event: &Event) -> bool {
        match self {
            Self::Message(..) => event.kind.is_channel_wide() && self.has(event),
            Self::Notifications(_) => event.is_announcement(),
            Self::Everything | Self::Channel(_) | Self::User(_) | Self::Templates => false,
        }
    }

    /// The topics an event belongs to, but for those of the single messages when it is
    /// [channel-wide](EventKind::is_channel_wide), and those of everybody's notifications when it is an announcement.
    pub fn of(event: &Event) -> impl Iterator<Item = Self> {
        let message = event.channel.zip(event.message).map(|(channel, message)| Self::Message(channel, message));
        let templates = Self::Templates.has(event).then_some(Self::Templates);
        let is_note = event.kind == EventKind::NotificationAdded && event.user.is_some();
        let notifications = is_note.then_some(Self::Notifications(event.user));
        let (channel, user) = (event.channel.map(Self::Channel), event.user.map(Self::User));
        [Some(Self::Everything), channel, message, user, templates, notifications].into_iter().flatten()
    }
}
