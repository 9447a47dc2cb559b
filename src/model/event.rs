//! Events, which are the entries of the log, and the topics that subscribers read the log by.

use std::sync::Arc;

use super::{
    Audience, Channel, ChannelId, Comment, Cursor, EventKey, Message, MessageId, Notification, Template, Timestamp,
    UserId, Weight as _,
};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal),+ $(,)?) => {
        /// The kind of a change. The database stores the numbers: a number must never get another meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum EventKind { $($(#[$doc])* $name = $code),+ }

        impl EventKind {
            /// All kinds that this version knows.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The kind for a number from the database; `None` if a newer version wrote it.
            #[must_use]
            pub fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The name of the kind, as `tidings tail` and GraphQL show it.
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
    /// The first row of every log, with number 0. It is the position before the first event.
    Genesis = 0,
    /// A message was created.
    MessageAdded = 1,
    /// A message or its ticket was edited.
    MessageUpdated = 2,
    /// A message was deleted, and its comments with it.
    MessageDeleted = 3,
    /// A comment was created.
    CommentAdded = 4,
    /// A comment was edited.
    CommentUpdated = 5,
    /// A comment was deleted.
    CommentDeleted = 6,
    /// A channel was created.
    ChannelAdded = 7,
    /// The name, description or visibility of a channel was changed.
    ChannelUpdated = 8,
    /// A channel was deleted, with everything in it.
    ChannelDeleted = 9,
    /// A template was created.
    TemplateAdded = 10,
    /// A template was deleted.
    TemplateDeleted = 11,
    /// The rights of one user changed: a membership, a role, an organization or a location. Without a user, a channel
    /// became public or private, and the rights of all users who are not its members changed.
    AccessChanged = 12,
    /// Sessions of one user ended. The account was disabled, the password was changed, the user signed out, or a refresh
    /// token was used twice.
    SessionsEnded = 13,
    /// A notification was created: for one user or, without a user, an announcement to all.
    NotificationAdded = 14,
    /// An admin sent data to a channel. The database has no object for it, so the event carries the data.
    RoomBroadcast = 15,
    /// A program published an event of its own. The database has no object for it, so the event carries the data.
    AppEvent = 16,
    /// An admin published a metric with an idempotency key, which this event keeps. Clients do not get it, because metrics
    /// are not in the log.
    MetricPublished = 17,
    /// An admin defined or deleted a type of application events.
    EventTypeChanged = 18,
    /// The names or the email address of a user changed.
    UserUpdated = 20,
    /// A user was deleted together with all texts, which are deleted one by one after this event.
    UserErased = 21,
}

impl EventKind {
    /// The number that the database stores for this kind.
    #[must_use]
    pub fn code(self) -> i16 {
        self as i16
    }

    /// Whether the object no longer exists after this event.
    #[must_use]
    pub fn is_deletion(self) -> bool {
        matches!(self, Self::MessageDeleted | Self::CommentDeleted | Self::ChannelDeleted | Self::TemplateDeleted)
    }

    /// Whether subscribers get the object with the event. Such an event is skipped once its object is deleted; a
    /// broadcast and an application event are skipped once their channel is deleted.
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
                | Self::AppEvent
        )
    }

    /// Whether older events must no longer show the object as it was before this event.
    #[must_use]
    pub fn rewrites(self) -> bool {
        self.is_deletion()
            || matches!(self, Self::MessageUpdated | Self::CommentUpdated | Self::ChannelUpdated | Self::UserErased)
    }

    /// Whether the event concerns everything in its channel, so that streams of single messages also get it.
    #[must_use]
    pub fn is_channel_wide(self) -> bool {
        matches!(self, Self::ChannelUpdated | Self::ChannelDeleted)
    }

    /// Whether commands may decide otherwise after this event, whatever rows they read: the rights of some users may be
    /// different, or the types of application events.
    #[must_use]
    pub fn changes_access(self) -> bool {
        matches!(
            self,
            Self::ChannelAdded
                | Self::ChannelUpdated
                | Self::ChannelDeleted
                | Self::AccessChanged
                | Self::SessionsEnded
                | Self::UserUpdated
                | Self::EventTypeChanged
        )
    }
}

/// A set of event kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindSet(u32);

impl KindSet {
    /// The set that holds these kinds.
    #[must_use]
    pub const fn of(kinds: &[EventKind]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < kinds.len() {
            bits |= 1 << kinds[i] as u8;
            i += 1;
        }
        Self(bits)
    }

    /// The set of all kinds.
    #[must_use]
    pub const fn all() -> Self {
        Self::of(EventKind::ALL)
    }

    /// The union of both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set holds the kind.
    #[must_use]
    pub const fn contains(self, kind: EventKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Whether the sets have a kind in common.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The kinds in the set, in the order of [`EventKind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL.iter().copied().filter(move |kind| self.contains(*kind))
    }
}

/// One change, as the log records it. The log holds no content. These fields alone decide which viewers may see the
/// event. Subscribers get the object as it is at the time of delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The position of the event in the log.
    pub cursor: Cursor,
    /// The kind of change.
    pub kind: EventKind,
    /// The id of the object that changed. The kind determines the type of the object.
    pub object: i64,
    /// The channel that the change happened in.
    pub channel: Option<ChannelId>,
    /// The message that the object is or belongs to.
    pub message: Option<MessageId>,
    /// The one user whom the event concerns.
    pub user: Option<UserId>,
    /// The author of the message or template. The author is in the audience, whatever the author's location.
    pub owner: Option<UserId>,
    /// The locations that may see the event.
    pub audience: Audience,
    /// The user who made the change; `None` for a change by the operator on the command line.
    pub actor: Option<UserId>,
    /// Whether the message is a ticket.
    pub ticket: bool,
    /// JSON that the event itself carries, for kinds without an object in the database.
    pub payload: Option<Arc<str>>,
    /// The type of an application event.
    pub app_type: Option<Arc<str>>,
    /// The idempotency key of the actor with which the event was recorded.
    pub key: Option<Arc<EventKey>>,
    /// The time by the clock of the instance that wrote the event. It is never earlier than the time of the previous
    /// event.
    pub at: Timestamp,
}

impl Event {
    /// Whether the event is a notification for all users.
    #[must_use]
    pub fn is_announcement(&self) -> bool {
        self.kind == EventKind::NotificationAdded && self.user.is_none()
    }

    /// The estimated size in memory, in bytes, without the object.
    #[must_use]
    pub fn weight(&self) -> usize {
        let texts = [&self.payload, &self.app_type].into_iter().flatten().map(|text| text.len()).sum::<usize>();
        size_of::<Self>() + self.audience.weight() + texts + self.key.as_ref().map_or(0, |key| key.weight())
    }

    /// Whether the event also belongs to topics that its own fields do not name. [`Topic::has_unnamed`] finds those.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.kind.is_channel_wide() || self.is_announcement()
    }
}

/// The object that an event delivers, in its current state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventBody {
    /// No object: events of this kind deliver none, or the object was deleted.
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

impl EventBody {
    /// The estimated size in memory, in bytes.
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

    /// The position of the newest event that touched the object. It changes whenever the object changes.
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
    /// The estimated size in memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.event.weight() + self.body.weight()
    }
}

/// An event together with its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    /// The change.
    pub event: Event,
    /// The object of the event.
    pub body: EventBody,
}

/// A selection of the log that a subscriber reads. A subscriber has exactly one topic, so streams are never merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// All events.
    Everything,
    /// All events of a channel.
    Channel(ChannelId),
    /// All events of a message and its comments, and those that concern its whole channel.
    Message(ChannelId, MessageId),
    /// All events that concern one user alone.
    User(UserId),
    /// All events of shared templates.
    Templates,
    /// The notifications of a user and the announcements to all; without a user, the announcements alone.
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

    /// Whether an event belongs to this topic although [`Self::of`] does not list the topic for that event.
    #[must_use]
    pub fn has_unnamed(self, event: &Event) -> bool {
        match self {
            Self::Message(..) => event.kind.is_channel_wide() && self.has(event),
            Self::Notifications(_) => event.is_announcement(),
            Self::Everything | Self::Channel(_) | Self::User(_) | Self::Templates => false,
        }
    }

    /// The topics that the fields of an event name. Two groups are missing: the topics of single messages for a
    /// [channel-wide](EventKind::is_channel_wide) event, and the notification topics of all users for an announcement.
    /// [`Self::has_unnamed`] covers both.
    pub fn of(event: &Event) -> impl Iterator<Item = Self> {
        let message = event.channel.zip(event.message).map(|(channel, message)| Self::Message(channel, message));
        let templates = Self::Templates.has(event).then_some(Self::Templates);
        let is_personal = event.kind == EventKind::NotificationAdded && event.user.is_some();
        let notifications = is_personal.then_some(Self::Notifications(event.user));
        let (channel, user) = (event.channel.map(Self::Channel), event.user.map(Self::User));
        [Some(Self::Everything), channel, message, user, templates, notifications].into_iter().flatten()
    }
}
