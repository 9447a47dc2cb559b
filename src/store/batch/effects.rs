//! What a command changes: rows to write and events to record. A command returns its effects only if it is not refused,
//! so a refusal leaves nothing behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::numbers::{CreatedCounts, Numbers, Settle};
use crate::model::{
    ApiKey, ApiKeyId, Audience, Channel, ChannelId, Comment, CommentId, Cursor, Event, EventBody, EventKey, EventKind,
    EventType, ExternalIdentity, Invite, Location, LoggedEvent, Message, MessageId, Metric, Notification,
    NotificationId, Organization, Priority, Seq, SessionId, Tag, Template, TemplateId, Ticket, Timestamp, User, UserId,
    UserSession,
};
use crate::store::deleted_users::Removal;
use crate::store::idempotency::CreatedObject;
use crate::store::outbox::RejectedRow;
use crate::store::users::NewUserRow;

/// An event to record. It has no position in the log yet.
pub struct NewEvent(Event);

impl NewEvent {
    /// Creates an event: `actor` changed `object`, which is the id of an object of the type that `kind` implies.
    #[must_use]
    pub fn new(kind: EventKind, object: i64, actor: Option<UserId>) -> Self {
        Self(Event {
            cursor: Cursor { seq: Seq(0), tag: Tag(0) },
            kind,
            object,
            actor,
            channel: None,
            message: None,
            user: None,
            owner: None,
            audience: Audience::default(),
            ticket: false,
            payload: None,
            app_type: None,
            key: None,
            at: Timestamp(0),
        })
    }

    /// Sets the channel in which the event happened.
    #[must_use]
    pub fn in_channel(mut self, channel: ChannelId) -> Self {
        self.0.channel = Some(channel);
        self
    }

    /// Sets the channel and the audience of this message. Use it for events of the message and of its comments.
    #[must_use]
    pub fn of_message(mut self, message: &Message) -> Self {
        self.0.channel = Some(message.channel_id);
        self.0.message = Some(message.id);
        self.0.ticket = message.ticket.is_some();
        self.for_audience(&message.audience, message.author_id)
    }

    /// Restricts the event to the readers in `audience` and to `author`.
    #[must_use]
    pub fn for_audience(mut self, audience: &Audience, author: UserId) -> Self {
        self.0.audience = audience.clone();
        self.0.owner = Some(author);
        self
    }

    /// Restricts the event to this user. Other users cannot see it.
    #[must_use]
    pub fn for_user(mut self, user: UserId) -> Self {
        self.0.user = Some(user);
        self
    }

    /// Stores `payload` (JSON) in the event itself, for events that have no object in the database.
    #[must_use]
    pub fn with_payload(mut self, payload: Arc<str>) -> Self {
        self.0.payload = Some(payload);
        self
    }

    /// Sets the type of an application event.
    #[must_use]
    pub fn of_type(mut self, app_type: Arc<str>) -> Self {
        self.0.app_type = Some(app_type);
        self
    }

    /// Stores the idempotency key of the actor in the event, for a command that returns its first result for a key.
    #[must_use]
    pub fn with_key(mut self, key: Option<Arc<EventKey>>) -> Self {
        self.0.key = key;
        self
    }

    /// Gives the event its position and time.
    #[cfg(test)]
    pub(crate) fn at(self, cursor: Cursor, now: Timestamp) -> Event {
        Event { cursor, at: now, ..self.0 }
    }
}

/// A message to create.
#[derive(Clone)]
pub struct NewMessageRow {
    /// The channel of the message.
    pub channel: ChannelId,
    /// The title of the message, if it has one.
    pub title: Option<String>,
    /// The text of the message.
    pub content: String,
    /// The author of the message.
    pub author: UserId,
    /// The locations whose users may read the message; empty means all readers of the channel.
    pub audience: Audience,
    /// The ticket fields, if the message is a ticket.
    pub ticket: Option<Ticket>,
}

/// A notification to create.
#[derive(Clone)]
pub struct NewNotificationRow {
    /// The user who receives the notification; `None` for an announcement to all users.
    pub user: Option<UserId>,
    /// The title of the notification.
    pub title: String,
    /// The text of the notification.
    pub text: NotificationText,
    /// The priority of the notification.
    pub priority: Priority,
    /// The idempotency key of the sender.
    pub key: Option<Arc<EventKey>>,
}

/// The text of a new notification.
#[derive(Clone)]
pub enum NotificationText {
    /// A text that is complete.
    Plain(String),
    /// A text about a message: the message's id stands between the two parts. The id of a new message is not known yet.
    AboutMessage(MessageId, [String; 2]),
}

/// A change of an existing message.
#[cfg_attr(test, derive(Debug, Clone, PartialEq))]
pub(super) enum MessageChange {
    Update(Message),
    Delete,
}

/// A change of an existing comment.
#[cfg_attr(test, derive(Debug, Clone, PartialEq))]
pub(super) enum CommentChange {
    Update(Comment),
    Delete,
}

/// A new notification, and its text around the id of the message that it is about.
#[cfg_attr(test, derive(Debug, Clone, PartialEq))]
pub(super) struct AddedNotification {
    pub notification: Notification,
    /// The user who caused it.
    pub actor: UserId,
    pub around_id: Option<[String; 2]>,
}

/// The use of an idempotency key.
#[cfg_attr(test, derive(Debug, Clone, PartialEq))]
pub(super) struct KeyUse {
    pub author: UserId,
    pub key: String,
    pub digest: String,
    pub object: CreatedObject,
}

/// A rare write, which has a statement of its own. Its command must lock the head
/// ([`Needs::lock_head`](super::Needs::lock_head)). New objects have the provisional id -1.
#[cfg_attr(test, derive(Debug, Clone, PartialEq))]
pub enum SingleWrite {
    /// Creates a channel, with its owner as its first member.
    AddChannel(Channel),
    /// Updates a channel. The flag tells whether its readers see its name as new.
    UpdateChannel(Channel, bool),
    /// Marks a channel as deleted.
    DeleteChannel(ChannelId, Cursor),
    /// Adds a member to a channel, at this position of the log.
    AddMember(ChannelId, UserId, Seq),
    /// Makes new users members of channels, at these positions of the log.
    AddMembers(Vec<(ChannelId, UserId, Seq)>),
    /// Removes a member from a channel.
    RemoveMember(ChannelId, UserId),
    /// Creates a template.
    AddTemplate(Template),
    /// Deletes a template.
    DeleteTemplate(TemplateId),
    /// Creates users. Their provisional ids count from -1.
    AddUsers(Vec<NewUserRow>),
    /// Updates a user.
    UpdateUser(User),
    /// Stores the hash of a new password, and deletes the link with which the user could set one.
    SetPasswordHash(UserId, String),
    /// Creates an API key with this digest of its secret.
    AddApiKey(ApiKey, String),
    /// Revokes an API key.
    RevokeApiKey(ApiKeyId),
    /// Stores when the token was issued whose profile the user of an identity has.
    SetProfileTime(ExternalIdentity, Timestamp),
    /// Defines a type of application events, or replaces its definition.
    SetEventType(EventType),
    /// Deletes the definition of a type of application events.
    DeleteEventType(String),
    /// Stores the digest of a link with which the user sets a new password, and when it expires.
    SetPasswordReset(UserId, String, Timestamp),
    /// Makes a deleted user anonymous. The rest is done later.
    DeleteUser(User, Removal),
    /// Starts a session.
    StartSession(UserSession),
    /// Stores a session whose refresh token was used.
    RenewSession(UserSession),
    /// Ends a session.
    EndSession(SessionId),
    /// Ends all sessions of a user, and those with tokens of other issuers.
    EndSessions(UserId),
    /// Creates an invitation.
    AddInvite(Invite),
    /// Stores how often an invitation was used, and when it was revoked.
    UpdateInvite(Invite),
    /// Creates an organization.
    AddOrganization(Organization),
    /// Creates a location.
    AddLocation(Location),
}

/// The effects of one command, or of several commands of a batch.
#[cfg_attr(test, derive(Debug, Clone, PartialEq))]
pub struct Effects {
    /// How many objects and events the commands before have created.
    start: CreatedCounts,
    /// The log head when the batch was read.
    head: Seq,
    tag: Tag,
    now: Timestamp,
    pub(super) messages: Vec<Message>,
    pub(super) message_changes: BTreeMap<MessageId, MessageChange>,
    pub(super) comments: Vec<Comment>,
    pub(super) comment_changes: BTreeMap<CommentId, CommentChange>,
    pub(super) notifications: Vec<AddedNotification>,
    pub(super) read_notifications: Vec<(NotificationId, UserId)>,
    pub(super) read_announcements: Vec<(NotificationId, UserId)>,
    pub(super) keys: Vec<KeyUse>,
    pub(super) read_markers: BTreeMap<(UserId, ChannelId), MessageId>,
    pub(super) metrics: BTreeMap<String, Metric>,
    pub(super) attempts: Vec<String>,
    /// The rows of the outbox that the batch moves.
    pub(super) outbox: Vec<i64>,
    pub(super) rejections: Vec<RejectedRow>,
    pub(super) singles: Vec<SingleWrite>,
    pub(super) events: Vec<LoggedEvent>,
}

impl Effects {
    pub(super) fn new(start: CreatedCounts, head: Seq, tag: Tag, now: Timestamp) -> Self {
        Self {
            start,
            head,
            tag,
            now,
            messages: Vec::new(),
            message_changes: BTreeMap::new(),
            comments: Vec::new(),
            comment_changes: BTreeMap::new(),
            notifications: Vec::new(),
            read_notifications: Vec::new(),
            read_announcements: Vec::new(),
            keys: Vec::new(),
            read_markers: BTreeMap::new(),
            metrics: BTreeMap::new(),
            attempts: Vec::new(),
            outbox: Vec::new(),
            rejections: Vec::new(),
            singles: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The position of the next event that is recorded. It is provisional.
    #[must_use]
    pub fn next_cursor(&self) -> Cursor {
        Cursor { seq: Seq(provisional(self.start.events, self.events.len())), tag: self.tag }
    }

    /// The position of the last event that was recorded or, if the batch has none yet, of the log head.
    #[must_use]
    pub fn end(&self) -> Seq {
        let events = self.counts().events;
        if events == 0 { self.head } else { Seq(-events) }
    }

    /// Records an event. `body` is the object that the event shows.
    pub fn record(&mut self, change: NewEvent, body: EventBody) {
        let event = Event { cursor: self.next_cursor(), ..change.0 };
        self.events.push(LoggedEvent { event, body });
    }

    /// Creates a message. The next event that is recorded must be the one about it.
    pub fn add_message(&mut self, new: NewMessageRow) -> Message {
        let message = Message {
            id: MessageId(provisional(self.start.messages, self.messages.len())),
            channel_id: new.channel,
            title: new.title,
            content: new.content,
            author_id: new.author,
            audience: new.audience,
            ticket: new.ticket,
            created_at: self.now,
            updated_at: self.now,
            cursor: self.next_cursor(),
        };
        self.messages.push(message.clone());
        message
    }

    /// Writes the fields of an existing message that can change: title, text, ticket, time and cursor.
    pub fn update_message(&mut self, message: &Message) {
        self.message_changes.insert(message.id, MessageChange::Update(message.clone()));
    }

    /// Marks a message as deleted. Its rows are removed later.
    pub fn delete_message(&mut self, id: MessageId) {
        self.message_changes.insert(id, MessageChange::Delete);
    }

    /// Creates a comment. The next event that is recorded must be the one about it.
    pub fn add_comment(&mut self, message: MessageId, content: String, author: UserId) -> Comment {
        let comment = Comment {
            id: CommentId(provisional(self.start.comments, self.comments.len())),
            message_id: message,
            content,
            author_id: author,
            created_at: self.now,
            updated_at: self.now,
            cursor: self.next_cursor(),
        };
        self.comments.push(comment.clone());
        comment
    }

    /// Writes the fields of an existing comment that can change: text, time and cursor.
    pub fn update_comment(&mut self, comment: &Comment) {
        self.comment_changes.insert(comment.id, CommentChange::Update(comment.clone()));
    }

    /// Deletes a comment.
    pub fn delete_comment(&mut self, id: CommentId) {
        self.comment_changes.insert(id, CommentChange::Delete);
    }

    /// Creates a notification and records its event.
    pub fn notify(&mut self, new: NewNotificationRow, actor: UserId) -> Notification {
        let (message, about, around_id) = match new.text {
            NotificationText::Plain(text) => (text, None, None),
            NotificationText::AboutMessage(id, around) => (around_text(&around, id), Some(id), Some(around)),
        };
        let notification = Notification {
            id: NotificationId(provisional(self.start.notifications, self.notifications.len())),
            user_id: new.user,
            title: new.title,
            message,
            priority: new.priority,
            message_id: about,
            created_at: self.now,
            read_at: None,
            cursor: self.next_cursor(),
        };
        self.notifications.push(AddedNotification { notification: notification.clone(), actor, around_id });
        let change = NewEvent::new(EventKind::NotificationAdded, notification.id.0, Some(actor));
        let change = notification.user_id.into_iter().fold(change, NewEvent::for_user);
        self.record(change.with_key(new.key), EventBody::Notification(Arc::new(notification.clone())));
        notification
    }

    /// Marks a notification as read by its user or, if it is an announcement, by this reader.
    pub fn read_notification(&mut self, notification: &Notification, reader: UserId) {
        let reads = match notification.user_id {
            Some(_) => &mut self.read_notifications,
            None => &mut self.read_announcements,
        };
        reads.push((notification.id, reader));
    }

    /// Stores the object that was created with an idempotency key.
    pub fn use_key(&mut self, author: UserId, key: &str, digest: &str, object: CreatedObject) {
        self.keys.push(KeyUse { author, key: key.to_owned(), digest: digest.to_owned(), object });
    }

    /// Moves a user's read marker of a channel forward. A marker never moves back.
    pub fn mark_read(&mut self, user: UserId, channel: ChannelId, up_to: MessageId) {
        let marker = self.read_markers.entry((user, channel)).or_insert(up_to);
        *marker = up_to.max(*marker);
    }

    /// Stores the new value of a metric.
    pub fn put_metric(&mut self, metric: &Metric) {
        self.metrics.insert(metric.name.clone(), metric.clone());
    }

    /// Counts a sign-in attempt for this key.
    pub fn add_attempt(&mut self, key: &str) {
        self.attempts.push(key.to_owned());
    }

    /// Takes a row out of the outbox. Its event is recorded before, if it has one.
    pub fn take_from_outbox(&mut self, id: i64) {
        self.outbox.push(id);
    }

    /// Moves a row of the outbox to the rejected rows.
    pub fn reject_from_outbox(&mut self, rejection: RejectedRow) {
        self.outbox.push(rejection.id);
        self.rejections.push(rejection);
    }

    /// Adds a write that has a statement of its own.
    pub fn write(&mut self, write: SingleWrite) {
        self.singles.push(write);
    }

    /// The offset of the last event that changes permissions; 0 if there is none.
    pub(super) fn access_offset(&self) -> i64 {
        let last = self.events.iter().rposition(|logged| logged.event.kind.changes_access());
        last.map_or(0, |index| count(index) + 1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts() == self.start
            && self.message_changes.is_empty()
            && self.comment_changes.is_empty()
            && self.read_notifications.is_empty()
            && self.read_announcements.is_empty()
            && self.keys.is_empty()
            && self.read_markers.is_empty()
            && self.metrics.is_empty()
            && self.attempts.is_empty()
            && self.outbox.is_empty()
            && self.singles.is_empty()
    }

    /// How many objects and events of each kind the batch has created with these effects.
    pub(super) fn counts(&self) -> CreatedCounts {
        CreatedCounts {
            events: self.start.events + count(self.events.len()),
            messages: self.start.messages + count(self.messages.len()),
            comments: self.start.comments + count(self.comments.len()),
            notifications: self.start.notifications + count(self.notifications.len()),
        }
    }

    /// Adds the effects of the next command.
    pub(super) fn append(&mut self, next: Self) {
        self.messages.extend(next.messages);
        self.message_changes.extend(next.message_changes);
        self.comments.extend(next.comments);
        self.comment_changes.extend(next.comment_changes);
        self.notifications.extend(next.notifications);
        self.read_notifications.extend(next.read_notifications);
        self.read_announcements.extend(next.read_announcements);
        self.keys.extend(next.keys);
        for ((user, channel), up_to) in next.read_markers {
            self.mark_read(user, channel, up_to);
        }
        self.metrics.extend(next.metrics);
        self.attempts.extend(next.attempts);
        self.outbox.extend(next.outbox);
        self.rejections.extend(next.rejections);
        self.singles.extend(next.singles);
        self.events.extend(next.events);
    }
}

/// The provisional number of the next object or event.
fn provisional(start: i64, added: usize) -> i64 {
    -1 - start - count(added)
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn around_text([before, after]: &[String; 2], id: MessageId) -> String {
    format!("{before}{id}{after}")
}

impl Settle for Effects {
    fn settle(&mut self, numbers: &Numbers) {
        self.messages.settle(numbers);
        self.comments.settle(numbers);
        for change in self.message_changes.values_mut() {
            if let MessageChange::Update(message) = change {
                message.settle(numbers);
            }
        }
        for change in self.comment_changes.values_mut() {
            if let CommentChange::Update(comment) = change {
                comment.settle(numbers);
            }
        }
        for AddedNotification { notification, around_id, .. } in &mut self.notifications {
            notification.settle(numbers);
            if let (Some(around), Some(id)) = (around_id, notification.message_id) {
                notification.message = around_text(around, id);
            }
        }
        self.keys.iter_mut().for_each(|key| key.object.settle(numbers));
        self.singles.iter_mut().for_each(|write| write.settle(numbers));
        let mut notifications = self.notifications.iter().map(|added| &added.notification);
        for logged in &mut self.events {
            logged.settle(numbers);
            // The text of a notification contains a number, too.
            if logged.event.kind == EventKind::NotificationAdded
                && let Some(notification) = notifications.next()
            {
                logged.body = EventBody::Notification(Arc::new(notification.clone()));
            }
        }
    }
}

impl Settle for CreatedObject {
    fn settle(&mut self, numbers: &Numbers) {
        match self {
            Self::Message(id) => id.settle(numbers),
            Self::Comment(id) => id.settle(numbers),
            Self::User(id) => id.settle(numbers),
        }
    }
}

impl Settle for SingleWrite {
    fn settle(&mut self, numbers: &Numbers) {
        match self {
            Self::AddChannel(channel) | Self::UpdateChannel(channel, _) => channel.settle(numbers),
            Self::DeleteChannel(_, cursor) => cursor.settle(numbers),
            Self::AddMember(_, _, seq) => seq.settle(numbers),
            Self::AddMembers(members) => {
                for (_, user, seq) in members {
                    user.settle(numbers);
                    seq.settle(numbers);
                }
            }
            Self::AddTemplate(template) => template.settle(numbers),
            Self::RemoveMember(..)
            | Self::DeleteTemplate(_)
            | Self::AddUsers(_)
            | Self::UpdateUser(_)
            | Self::SetPasswordHash(..)
            | Self::AddApiKey(..)
            | Self::RevokeApiKey(_)
            | Self::SetEventType(_)
            | Self::SetProfileTime(..)
            | Self::DeleteEventType(_)
            | Self::SetPasswordReset(..)
            | Self::AddInvite(_)
            | Self::UpdateInvite(_)
            | Self::DeleteUser(..)
            | Self::StartSession(_)
            | Self::RenewSession(_)
            | Self::EndSession(_)
            | Self::EndSessions(_)
            | Self::AddOrganization(_)
            | Self::AddLocation(_) => {}
        }
    }
}
