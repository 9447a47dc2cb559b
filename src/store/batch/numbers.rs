//! The numbers that a batch gets when it is written. Until then, new objects and events have provisional numbers:
//! negative ones, which count from -1 within the batch.
//!
//! The numbers come last because ids grow in the order of the log, and only the lock on the head decides that order.

use std::sync::Arc;

use crate::model::{
    ApiKey, ApiKeyId, AppEvent, Channel, ChannelId, Comment, CommentId, Cursor, Event, EventBody, EventKind, EventType,
    Invite, InviteId, Location, LocationId, LoggedEvent, Message, MessageId, Metric, Notification, NotificationId,
    Organization, OrganizationId, Seq, SessionId, Template, TemplateId, Timestamp, User, UserId,
};

/// How many objects and events of each kind a batch creates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CreatedCounts {
    pub events: i64,
    pub messages: i64,
    pub comments: i64,
    pub notifications: i64,
}

/// The numbers of a written batch.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    /// The position of the last event before the batch.
    pub(super) base: Option<i64>,
    /// The time of the events.
    pub(super) at: i64,
    pub(super) messages: Vec<i64>,
    pub(super) comments: Vec<i64>,
    pub(super) notifications: Vec<i64>,
    /// The ids of the users that a [`SingleWrite`](super::SingleWrite) has created.
    pub(super) users: Vec<i64>,
    /// The id of the object that a [`SingleWrite`](super::SingleWrite) has created.
    pub(super) single: Option<i64>,
}

/// Replaces provisional numbers.
pub trait Settle {
    /// Replaces each provisional number that `numbers` has a number for.
    fn settle(&mut self, numbers: &Numbers);
}

/// The final number for a provisional one.
fn settled(number: i64, assigned: &[i64]) -> i64 {
    let index = usize::try_from(-1 - number).ok();
    index.and_then(|index| assigned.get(index)).copied().unwrap_or(number)
}

macro_rules! settle_ids {
    ($($type:ident: |$numbers:ident| $assigned:expr;)+) => {$(
        impl Settle for $type {
            fn settle(&mut self, $numbers: &Numbers) {
                self.0 = settled(self.0, $assigned);
            }
        }
    )+};
}

settle_ids! {
    MessageId: |numbers| &numbers.messages;
    CommentId: |numbers| &numbers.comments;
    NotificationId: |numbers| &numbers.notifications;
    ChannelId: |numbers| numbers.single.as_slice();
    TemplateId: |numbers| numbers.single.as_slice();
    UserId: |numbers| &numbers.users;
    OrganizationId: |numbers| numbers.single.as_slice();
    LocationId: |numbers| numbers.single.as_slice();
    ApiKeyId: |numbers| numbers.single.as_slice();
    SessionId: |numbers| numbers.single.as_slice();
    InviteId: |numbers| numbers.single.as_slice();
}

macro_rules! settle_fields {
    ($($type:ident { $($field:ident),* })+) => {$(
        impl Settle for $type {
            fn settle(&mut self, numbers: &Numbers) {
                let _ = numbers;
                $(self.$field.settle(numbers);)*
            }
        }
    )+};
}

settle_fields! {
    Cursor { seq }
    Message { id, cursor }
    Comment { id, cursor }
    Notification { id, message_id, cursor }
    Channel { id, cursor }
    Template { id, cursor }
    User { id }
    Organization { id }
    Location { id }
    ApiKey { id }
    Invite { id }
    Metric {}
    EventType {}
}

impl Settle for Seq {
    fn settle(&mut self, numbers: &Numbers) {
        if self.0 < 0
            && let Some(base) = numbers.base
        {
            self.0 = base - self.0;
        }
    }
}

/// The time of an event comes with its number.
impl Settle for AppEvent {
    fn settle(&mut self, numbers: &Numbers) {
        let is_new = self.cursor.seq.0 < 0;
        self.cursor.settle(numbers);
        if is_new && numbers.base.is_some() {
            self.at = Timestamp(numbers.at);
        }
    }
}

impl Settle for () {
    fn settle(&mut self, _: &Numbers) {}
}

impl<T: Settle> Settle for Option<T> {
    fn settle(&mut self, numbers: &Numbers) {
        if let Some(value) = self {
            value.settle(numbers);
        }
    }
}

impl<A: Settle, B: Settle> Settle for (A, B) {
    fn settle(&mut self, numbers: &Numbers) {
        self.0.settle(numbers);
        self.1.settle(numbers);
    }
}

impl Settle for EventBody {
    fn settle(&mut self, numbers: &Numbers) {
        match self {
            Self::None => {}
            Self::Message(message) => Arc::make_mut(message).settle(numbers),
            Self::Comment(comment) => Arc::make_mut(comment).settle(numbers),
            Self::Channel(channel) => Arc::make_mut(channel).settle(numbers),
            Self::Template(template) => Arc::make_mut(template).settle(numbers),
            Self::Notification(notification) => Arc::make_mut(notification).settle(numbers),
        }
    }
}

impl Settle for Event {
    fn settle(&mut self, numbers: &Numbers) {
        use EventKind as Kind;
        self.cursor.settle(numbers);
        self.at = Timestamp(numbers.at);
        self.channel.settle(numbers);
        self.message.settle(numbers);
        self.object = match self.kind {
            Kind::MessageAdded => settled(self.object, &numbers.messages),
            Kind::CommentAdded => settled(self.object, &numbers.comments),
            Kind::NotificationAdded => settled(self.object, &numbers.notifications),
            Kind::ChannelAdded | Kind::TemplateAdded => settled(self.object, numbers.single.as_slice()),
            _ => self.object,
        };
    }
}

impl Settle for LoggedEvent {
    fn settle(&mut self, numbers: &Numbers) {
        self.event.settle(numbers);
        self.body.settle(numbers);
    }
}

impl<T: Settle> Settle for Vec<T> {
    fn settle(&mut self, numbers: &Numbers) {
        self.iter_mut().for_each(|value| value.settle(numbers));
    }
}
