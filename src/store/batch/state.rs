//! What the commands of a batch know when they decide: the rows that they named, as the commands before them in the
//! batch have left them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::effects::{CommentChange, Effects, MessageChange};
use super::numbers::CreatedCounts;
use crate::error::{Error, Result};
use crate::model::{
    ApiKey, ApiKeyId, Audience, Channel, ChannelId, Comment, CommentId, Cursor, ExternalIdentity, Invite, InviteId,
    Location, LocationId, Message, MessageId, Notification, NotificationId, OrganizationId, Rights, Role, Seq, Tag,
    Template, TemplateId, Timestamp, User, UserId, UserSession,
};
use crate::store::app_events::KeyedEvent;
use crate::store::idempotency::CreatedObject;
use crate::unicode;

/// The newest message at a position of the log; an error if the log does not contain the position.
pub type NewestMessage = Result<Option<MessageId>>;

/// The rows that a batch has read.
#[derive(Default)]
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct BatchRows {
    pub channels: HashMap<ChannelId, Channel>,
    pub messages: HashMap<MessageId, Message>,
    pub comments: HashMap<CommentId, Comment>,
    pub notifications: HashMap<NotificationId, Notification>,
    pub read_announcements: HashSet<(NotificationId, UserId)>,
    pub users: HashMap<UserId, User>,
    pub locations: HashMap<LocationId, OrganizationId>,
    pub members: HashSet<(ChannelId, UserId)>,
    pub keys: HashMap<(UserId, String), (CreatedObject, String)>,
    pub event_keys: HashMap<(Option<UserId>, String), KeyedEvent>,
    pub positions: HashMap<(ChannelId, Cursor), NewestMessage>,
    pub metrics: HashSet<String>,
    pub metric_count: i64,
    /// The rows of the outbox that exist, of those that were asked for.
    pub outbox: HashSet<i64>,
    /// The channels with these names, among those that viewers with these rights may read.
    pub rooms: Vec<(Arc<Rights>, String, Option<Channel>)>,
    pub similar_names: HashMap<String, Option<String>>,
    pub has_users: Option<bool>,
    pub invite_count: Option<i64>,
    pub invites: HashMap<InviteId, Invite>,
    pub password_resets: HashMap<String, (UserId, Timestamp)>,
    pub identities: HashMap<ExternalIdentity, UserId>,
    pub deleted_identities: HashMap<ExternalIdentity, Timestamp>,
    pub known_organizations: HashSet<OrganizationId>,
    pub sessions: HashMap<UserId, Vec<UserSession>>,
    pub session_families: HashMap<String, UserSession>,
    pub organization_count: i64,
    pub organizations: HashMap<OrganizationId, OrganizationRows>,
    pub templates: HashMap<TemplateId, Template>,
    pub attempts: HashMap<String, (i64, Option<Timestamp>)>,
    pub api_keys: HashMap<ApiKeyId, ApiKey>,
    pub api_key_count: Option<i64>,
    pub event_types: Option<HashMap<String, usize>>,
    pub profile_times: HashMap<ExternalIdentity, Timestamp>,
}

/// What belongs to an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationRows {
    /// Its locations.
    pub locations: Vec<Location>,
    /// The ids of its users, if they were asked for.
    pub users: Vec<UserId>,
}

/// The rows that a commit compares with what the batch has read: if one has changed meanwhile, the batch decides again.
#[derive(Default)]
pub(super) struct Versions {
    pub messages: BTreeMap<MessageId, MessageVersion>,
    pub comments: BTreeMap<CommentId, Cursor>,
}

/// What a commit compares of a message. A comment and its event depend only on the ticket, and that the message exists.
#[derive(Debug, Clone, Copy)]
pub(super) struct MessageVersion {
    /// The last change of the message; `None` if it does not matter.
    pub cursor: Option<Cursor>,
    pub is_ticket: bool,
    pub assignee: Option<UserId>,
}

/// The state that a command decides on.
pub struct BatchState {
    now: Timestamp,
    head: Seq,
    tag: Tag,
    created: CreatedCounts,
    rows: BatchRows,
    /// The messages and comments as they were read.
    read: Versions,
}

impl BatchState {
    /// The state before the first command of a batch, in a log with this head. All events of the batch get this tag.
    pub(super) fn new(rows: BatchRows, head: Seq, tag: Tag, now: Timestamp) -> Self {
        let version = |message: &Message| MessageVersion {
            cursor: Some(message.cursor),
            is_ticket: message.ticket.is_some(),
            assignee: message.ticket.and_then(|ticket| ticket.assignee_id),
        };
        let read = Versions {
            messages: rows.messages.iter().map(|(id, message)| (*id, version(message))).collect(),
            comments: rows.comments.iter().map(|(id, comment)| (*id, comment.cursor)).collect(),
        };
        Self { now, head, tag, created: CreatedCounts::default(), rows, read }
    }

    /// The versions of the existing rows that these effects of the batch depend on: the rows that they change, and the
    /// messages that their events are about.
    pub(super) fn versions(&self, effects: &Effects) -> Versions {
        let mut versions = Versions::default();
        for id in effects.events.iter().filter_map(|logged| logged.event.message) {
            if let Some(version) = self.read.messages.get(&id) {
                let cursor = version.cursor.filter(|_| effects.message_changes.contains_key(&id));
                versions.messages.insert(id, MessageVersion { cursor, ..*version });
            }
        }
        let changed = effects.comment_changes.keys().filter_map(|id| Some((*id, *self.read.comments.get(id)?)));
        versions.comments.extend(changed);
        versions
    }

    /// Lets the next commands see the effects of a command. Effects of single writes are left out: their command is the
    /// last one of the batch.
    pub(super) fn apply(&mut self, effects: &Effects) {
        self.created = effects.counts();
        self.apply_message_changes(effects);
        self.apply_comment_changes(effects);
        let rows = &mut self.rows;
        // A command can name a new object only by its idempotency key.
        if !effects.keys.is_empty() {
            rows.messages.extend(effects.messages.iter().map(|message| (message.id, message.clone())));
            rows.comments.extend(effects.comments.iter().map(|comment| (comment.id, comment.clone())));
        }
        for (id, _) in &effects.read_notifications {
            if let Some(notification) = rows.notifications.get_mut(id) {
                notification.read_at = Some(self.now);
            }
        }
        rows.read_announcements.extend(&effects.read_announcements);
        for id in &effects.outbox {
            rows.outbox.remove(id);
        }
        for key in &effects.attempts {
            let (count, first) = rows.attempts.entry(key.clone()).or_default();
            *count += 1;
            first.get_or_insert(self.now);
        }
        for used in &effects.keys {
            rows.keys.insert((used.author, used.key.clone()), (used.object, used.digest.clone()));
        }
        for event in effects.events.iter().map(|logged| &logged.event) {
            if let Some(key) = &event.key {
                let keyed =
                    KeyedEvent { cursor: event.cursor, at: self.now, object: event.object, digest: key.digest.clone() };
                rows.event_keys.insert((event.actor, key.name.clone()), keyed);
            }
        }
        for name in effects.metrics.keys().filter(|name| !rows.metrics.contains(*name)).cloned().collect::<Vec<_>>() {
            rows.metrics.insert(name);
            rows.metric_count += 1;
        }
    }

    fn apply_message_changes(&mut self, effects: &Effects) {
        let rows = &mut self.rows;
        for (id, change) in &effects.message_changes {
            match change {
                MessageChange::Update(message) => {
                    rows.messages.insert(*id, message.clone());
                }
                MessageChange::Delete => {
                    rows.messages.remove(id);
                    let about = rows.notifications.values_mut().filter(|found| found.message_id == Some(*id));
                    about.for_each(|notification| notification.message_id = None);
                }
            }
        }
    }

    fn apply_comment_changes(&mut self, effects: &Effects) {
        let rows = &mut self.rows;
        for (id, change) in &effects.comment_changes {
            match change {
                CommentChange::Update(comment) => {
                    rows.comments.insert(*id, comment.clone());
                }
                CommentChange::Delete => {
                    rows.comments.remove(id);
                    // The database removes the key of a comment together with the comment.
                    rows.keys.retain(|_, (object, _)| *object != CreatedObject::Comment(*id));
                }
            }
        }
    }

    /// The rows, as the commands have left them.
    #[cfg(test)]
    pub(super) fn into_rows(self) -> BatchRows {
        self.rows
    }

    /// The time of the batch by this machine's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Empty effects, for the command that decides next.
    #[must_use]
    pub fn effects(&self) -> Effects {
        Effects::new(self.created, self.head, self.tag, self.now)
    }

    /// The channel, if a viewer with these rights may read it.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such channel for the viewer.
    pub fn channel(&self, rights: &Rights, id: ChannelId) -> Result<&Channel> {
        let found = self.rows.channels.get(&id).filter(|channel| rights.can_read(channel));
        found.ok_or(Error::NotFound("channel"))
    }

    /// The message, if a viewer with these rights may read it.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such message for the viewer.
    pub fn message(&self, rights: &Rights, id: MessageId) -> Result<&Message> {
        // A client cannot know a provisional id.
        let message = Some(id).filter(|id| id.0 > 0).and_then(|id| self.created_message(rights, id));
        message.ok_or(Error::NotFound("message"))
    }

    /// The comment and its message, if a viewer with these rights may read them.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such comment for the viewer.
    pub fn comment(&self, rights: &Rights, id: CommentId) -> Result<(&Comment, &Message)> {
        let missing = || Error::NotFound("comment");
        let comment = Some(id).filter(|id| id.0 > 0).and_then(|id| self.rows.comments.get(&id)).ok_or_else(missing)?;
        let message = self.message(rights, comment.message_id).map_err(|_| missing())?;
        Ok((comment, message))
    }

    /// A message that an idempotency key names, if a viewer with these rights may read it. It may be new in this batch.
    #[must_use]
    pub fn created_message(&self, rights: &Rights, id: MessageId) -> Option<&Message> {
        let message = self.rows.messages.get(&id)?;
        self.channel(rights, message.channel_id).ok()?;
        rights.in_audience(&message.audience, Some(message.author_id)).then_some(message)
    }

    /// A comment that an idempotency key names, if a viewer with these rights may read it. It may be new in this batch.
    #[must_use]
    pub fn created_comment(&self, rights: &Rights, id: CommentId) -> Option<&Comment> {
        let comment = self.rows.comments.get(&id)?;
        self.created_message(rights, comment.message_id).map(|_| comment)
    }

    /// The object that an author created with this key, and the digest of the input.
    #[must_use]
    pub fn key(&self, author: UserId, key: &str) -> Option<(CreatedObject, &str)> {
        let used = self.rows.keys.get(&(author, key.to_owned()));
        used.map(|(object, digest)| (*object, digest.as_str()))
    }

    /// The event that an actor, or the server, recorded with this idempotency key.
    #[must_use]
    pub fn event_with_key(&self, actor: Option<UserId>, key: &str) -> Option<&KeyedEvent> {
        self.rows.event_keys.get(&(actor, key.to_owned()))
    }

    /// The notification, if it is for this reader or an announcement, and whether the reader has read it.
    ///
    /// # Errors
    /// `NOT_FOUND` if the reader has no such notification.
    pub fn notification(&self, reader: UserId, id: NotificationId) -> Result<(&Notification, bool)> {
        let notification = self.rows.notifications.get(&id).ok_or(Error::NotFound("notification"))?;
        match notification.user_id {
            Some(user) if user != reader => Err(Error::NotFound("notification")),
            Some(_) => Ok((notification, notification.read_at.is_some())),
            None => Ok((notification, self.rows.read_announcements.contains(&(id, reader)))),
        }
    }

    /// The user.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such user, or the user was deleted.
    pub fn user(&self, id: UserId) -> Result<&User> {
        let found = self.rows.users.get(&id).filter(|user| user.deleted_at.is_none());
        found.ok_or(Error::NotFound("user"))
    }

    /// The user with this name, as a mention spells it.
    #[must_use]
    pub fn user_named(&self, name: &str) -> Option<UserId> {
        let lowercased = name.to_lowercase();
        let exact = self.rows.users.values().find(|user| user.username == lowercased);
        let similar = || {
            let same = self.rows.users.values().filter(|user| unicode::is_same(&user.username, name));
            same.min_by_key(|user| user.id)
        };
        exact.or_else(similar).map(|user| user.id)
    }

    /// The rights of a user within one channel; `None` if there is no such user, or the user is disabled.
    #[must_use]
    pub fn rights_in(&self, id: UserId, channel: ChannelId) -> Option<Rights> {
        let user = self.rows.users.get(&id).filter(|user| !user.disabled)?;
        let is_own = |organization: &OrganizationId| Some(*organization) == user.organization_id;
        let of_organization = self.rows.locations.iter().filter(|(_, organization)| is_own(organization));
        let mut locations: Vec<LocationId> = of_organization.map(|(id, _)| *id).chain(user.location_id).collect();
        locations.sort_unstable();
        locations.dedup();
        let channels = self.is_member(channel, id).then_some(channel).into_iter().collect();
        Some(Rights { user: Some(id), admin: user.role == Role::Admin, locations, channels, limit: None })
    }

    /// Whether the user is a member of the channel.
    #[must_use]
    pub fn is_member(&self, channel: ChannelId, user: UserId) -> bool {
        self.rows.members.contains(&(channel, user))
    }

    /// Whether all locations of the audience exist.
    #[must_use]
    pub fn has_locations(&self, audience: &Audience) -> bool {
        audience.0.iter().all(|location| self.has_location(*location))
    }

    /// Whether the location exists.
    #[must_use]
    pub fn has_location(&self, id: LocationId) -> bool {
        self.rows.locations.contains_key(&id)
    }

    /// The newest message that the channel had at this position of the log; `None` if it had none.
    ///
    /// # Errors
    /// `CURSOR_EXPIRED` if the log does not contain the cursor.
    pub fn newest_at(&self, channel: ChannelId, cursor: Cursor) -> Result<Option<MessageId>> {
        self.rows.positions.get(&(channel, cursor)).cloned().unwrap_or_else(|| Err(unread("position")))
    }

    /// Whether there is a metric with this name, and the number of metrics.
    #[must_use]
    pub fn metric(&self, name: &str) -> (bool, i64) {
        (self.rows.metrics.contains(name), self.rows.metric_count)
    }

    /// Whether the row of the outbox exists and can be moved.
    #[must_use]
    pub fn has_outbox_row(&self, id: i64) -> bool {
        self.rows.outbox.contains(&id)
    }

    /// The channel with this name, among those that a viewer with these rights may read.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such channel for the viewer.
    pub fn room(&self, rights: &Rights, name: &str) -> Result<&Channel> {
        let found = self.rows.rooms.iter().find(|(of, other, _)| **of == *rights && other == name);
        found.and_then(|(_, _, channel)| channel.as_ref()).ok_or(Error::NotFound("room"))
    }

    /// The existing name that looks like this one.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the command has not named it as a need.
    pub fn similar_name(&self, name: &str) -> Result<Option<&str>> {
        self.rows.similar_names.get(name).map(Option::as_deref).ok_or_else(|| unread("name"))
    }

    /// The user with this identity at another issuer.
    #[must_use]
    pub fn user_of(&self, identity: &ExternalIdentity) -> Option<UserId> {
        self.rows.identities.get(identity).copied()
    }

    /// When the user with this identity was deleted, if that is still known.
    #[must_use]
    pub fn deleted_at(&self, identity: &ExternalIdentity) -> Option<Timestamp> {
        self.rows.deleted_identities.get(identity).copied()
    }

    /// Whether the organization exists.
    #[must_use]
    pub fn has_organization(&self, id: OrganizationId) -> bool {
        self.rows.known_organizations.contains(&id)
    }

    /// Whether there is any user.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the command has not named this as a need.
    pub fn has_users(&self) -> Result<bool> {
        self.rows.has_users.ok_or_else(|| unread("number of users"))
    }

    /// The sessions of a user, oldest first.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the command has not named them as a need.
    pub fn sessions_of(&self, user: UserId) -> Result<&[UserSession]> {
        self.rows.sessions.get(&user).map(Vec::as_slice).ok_or_else(|| unread("list of sessions"))
    }

    /// The session whose refresh token has this digest of its first part.
    #[must_use]
    pub fn session_of_family(&self, family: &str) -> Option<&UserSession> {
        self.rows.session_families.get(family)
    }

    /// The user of the link with this digest of its token, and when the link expires.
    #[must_use]
    pub fn password_reset(&self, digest: &str) -> Option<(UserId, Timestamp)> {
        self.rows.password_resets.get(digest).copied()
    }

    /// The number of invitations.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the command has not named it as a need.
    pub fn invite_count(&self) -> Result<i64> {
        self.rows.invite_count.ok_or_else(|| unread("number of invitations"))
    }

    /// The invitation with this id.
    #[must_use]
    pub fn invite(&self, id: InviteId) -> Option<&Invite> {
        self.rows.invites.get(&id)
    }

    /// The invitation with this code.
    #[must_use]
    pub fn invite_with_code(&self, code: &str) -> Option<&Invite> {
        self.rows.invites.values().find(|invite| invite.code == code)
    }

    /// Whether the channel exists. This says nothing about who may read it.
    #[must_use]
    pub fn has_channel(&self, id: ChannelId) -> bool {
        self.rows.channels.contains_key(&id)
    }

    /// The number of organizations.
    #[must_use]
    pub fn organization_count(&self) -> i64 {
        self.rows.organization_count
    }

    /// What belongs to the organization; `None` if there is no such organization.
    #[must_use]
    pub fn organization(&self, id: OrganizationId) -> Option<&OrganizationRows> {
        self.rows.organizations.get(&id)
    }

    /// The template, if the viewer that asked for it may see it.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such template for the viewer.
    pub fn template(&self, id: TemplateId) -> Result<&Template> {
        self.rows.templates.get(&id).ok_or(Error::NotFound("template"))
    }

    /// The API key.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such key.
    pub fn api_key(&self, id: ApiKeyId) -> Result<&ApiKey> {
        self.rows.api_keys.get(&id).ok_or(Error::NotFound("API key"))
    }

    /// The number of API keys, revoked ones included.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the command has not named it as a need.
    pub fn api_key_count(&self) -> Result<i64> {
        self.rows.api_key_count.ok_or_else(|| unread("number"))
    }

    /// When the token was issued whose profile the user of this identity has.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the command has not named it as a need.
    pub fn profile_time(&self, identity: &ExternalIdentity) -> Result<Timestamp> {
        self.rows.profile_times.get(identity).copied().ok_or_else(|| unread("time of a profile"))
    }

    /// The types of application events that are defined, with the lengths of their schemas in bytes.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the command has not named them as a need.
    pub fn event_types(&self) -> Result<&HashMap<String, usize>> {
        self.rows.event_types.as_ref().ok_or_else(|| unread("type of events"))
    }

    /// The number of recent sign-in attempts for this key, and the time of the first one.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the command has not named them as a need.
    pub fn attempts(&self, key: &str) -> Result<(i64, Option<Timestamp>)> {
        self.rows.attempts.get(key).copied().ok_or_else(|| unread("attempts"))
    }
}

/// The error for a row that a command uses but has not named as a need. Without it, a forgotten need would look like a
/// row that does not exist.
fn unread(what: &str) -> Error {
    Error::internal(format!("a command uses a {what} that it has not named as a need"))
}
