//! What one viewer may see in one snapshot of the database. Every read for a client goes through a [`View`], so the
//! permission rules of reads are here and in the SQL conditions that these functions pass the viewer's rights to.

use std::collections::HashMap;
use std::sync::Arc;

use super::gauges::LatestMetrics;
use super::permissions::Viewer;
use super::policy::Policy;
use super::presence::{Presence, Users};
use crate::error::{Error, Result};
use crate::model::{
    ApiKey, AppEvent, Channel, ChannelId, ChannelKey, Comment, CommentId, Cursor, Event, EventKind, EventType, Invite,
    Location, LocationId, Message, MessageFilter, MessageId, Metric, Notification, NotificationId, Organization,
    OrganizationId, Page, PageRequest, Rights, Seq, Template, TemplateId, Timestamp, Topic, TypeFilter, User, UserId,
    UserSession,
};
use crate::store::notifications::Order;
use crate::store::{
    Db, api_keys, app_events, channels, comments, event_types, invites, log, messages, metrics, notifications,
    organizations, read_markers, sessions, templates, users,
};

/// For whom a result is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    /// The viewer alone.
    Viewer,
    /// All viewers who get the same rendering of a subscription item. Then the result must not depend on whether the
    /// session of this viewer has just ended. The delivery of the item checks the session of each viewer.
    AllViewers,
}

/// What views need that is not in the database.
pub(super) struct InMemory {
    pub policy: Arc<Policy>,
    pub presence: Arc<Presence>,
    pub metrics: Arc<LatestMetrics>,
}

/// What one viewer may see in one snapshot of the database.
///
/// All functions fail with `UNAVAILABLE` if the database cannot be reached, and with `INTERNAL_SERVER_ERROR` if a
/// statement fails. The documentation of a function names its other errors. Functions that use the viewer's rights also
/// fail with `UNAUTHENTICATED` if the session has ended, and with
/// `FORBIDDEN` if an API key does not allow it.
pub struct View<'v> {
    db: &'v mut Db,
    in_memory: &'v InMemory,
    viewer: &'v Viewer,
    recipient: Recipient,
    depends_on_viewer: bool,
}

#[expect(clippy::missing_errors_doc, reason = "the documentation of the type lists the errors of all functions")]
impl<'v> View<'v> {
    pub(super) fn new(db: &'v mut Db, in_memory: &'v InMemory, viewer: &'v Viewer, recipient: Recipient) -> Self {
        Self { db, in_memory, viewer, recipient, depends_on_viewer: false }
    }

    /// Whether a result depends on who the viewer is, and not only on whether the viewer is signed in.
    pub(super) fn depends_on_viewer(&self) -> bool {
        self.depends_on_viewer
    }

    fn rights(&mut self) -> Result<Arc<Rights>> {
        self.depends_on_viewer = true;
        self.viewer.rights()
    }

    /// The id of the signed-in viewer.
    fn user(&mut self) -> Result<UserId> {
        self.depends_on_viewer = true;
        Ok(self.viewer.user_state()?.user.id)
    }

    /// Fails with `UNAUTHENTICATED` for an anonymous viewer.
    fn require_user(&self) -> Result<()> {
        if self.recipient == Recipient::AllViewers && self.viewer.user_id().is_some() {
            return Ok(());
        }
        self.viewer.user_state().map(drop)
    }

    /// Checks that the viewer may read what belongs to no channel: that the viewer's API key, if there is one, is not
    /// limited to channels.
    fn require_unlimited(&mut self) -> Result<()> {
        self.depends_on_viewer = true;
        self.viewer.user_state()?.check_unlimited()
    }

    /// A channel; `None` if there is none that the viewer may read.
    pub fn channel(&mut self, id: ChannelId) -> Result<Option<Channel>> {
        let rights = self.rights()?;
        channels::find(self.db, &rights, id)
    }

    /// The channel with this name; `None` if there is none that the viewer may read.
    pub fn channel_named(&mut self, name: &str) -> Result<Option<Channel>> {
        let rights = self.rights()?;
        // Names of channels are not longer.
        if name.chars().count() > self.in_memory.policy.max_title {
            return Ok(None);
        }
        channels::find_by_name(self.db, &rights, name)
    }

    /// A page of the channels that the viewer may read, ordered by name.
    pub fn channels(&mut self, window: &PageRequest<ChannelKey>) -> Result<Page<Channel>> {
        let rights = self.rights()?;
        channels::list(self.db, &rights, window)
    }

    /// A page of the members of a channel that the viewer may read, ordered by username. `UNAUTHENTICATED` for
    /// anonymous viewers.
    pub fn members(&mut self, channel: ChannelId, window: &PageRequest<String>) -> Result<Page<User>> {
        self.require_user()?;
        channels::members(self.db, channel, window)
    }

    /// The users who are present in a channel, on all instances together. `UNAUTHENTICATED` for anonymous viewers,
    /// `NOT_FOUND` if the viewer may not read the channel.
    pub fn present(&mut self, channel: ChannelId) -> Result<Users> {
        self.require_user()?;
        self.channel(channel)?.ok_or(Error::NotFound("channel"))?;
        Ok(self.in_memory.presence.users_in(channel))
    }

    /// How many messages of each channel the viewer may read and has not marked as read. `UNAUTHENTICATED` for
    /// anonymous viewers.
    pub fn unread(&mut self, channels: &[ChannelId]) -> Result<HashMap<ChannelId, i64>> {
        let (user, rights) = (self.user()?, self.rights()?);
        read_markers::unread(self.db, &rights, user, channels)
    }

    /// A message; `None` if there is none that the viewer may read.
    pub fn message(&mut self, id: MessageId) -> Result<Option<Message>> {
        let rights = self.rights()?;
        messages::find(self.db, &rights, id)
    }

    /// A page of the messages that the viewer may read, newest first.
    pub fn messages(&mut self, filter: &MessageFilter, window: &PageRequest<MessageId>) -> Result<Page<Message>> {
        let rights = self.rights()?;
        messages::list(self.db, &rights, filter, window)
    }

    /// A page of the comments of a message that the viewer may read, oldest first. Who may read a message may read all
    /// its comments.
    pub fn comments(&mut self, message: MessageId, window: &PageRequest<CommentId>) -> Result<Page<Comment>> {
        comments::list(self.db, message, window)
    }

    /// A page of the application events of a channel that the viewer may see, in the order of the log. `NOT_FOUND` if the
    /// viewer may not read the channel.
    pub fn app_events(
        &mut self,
        channel: ChannelId,
        types: Option<&TypeFilter>,
        window: &PageRequest<Seq>,
    ) -> Result<Page<AppEvent>> {
        let rights = self.rights()?;
        channels::find(self.db, &rights, channel)?.ok_or(Error::NotFound("channel"))?;
        app_events::list(self.db, &rights, channel, types, window)
    }

    /// A page of the templates that the viewer may read, ordered by age. `UNAUTHENTICATED` for anonymous viewers.
    pub fn templates(&mut self, window: &PageRequest<TemplateId>) -> Result<Page<Template>> {
        self.require_unlimited()?;
        let rights = self.rights()?;
        templates::list(self.db, &rights, window)
    }

    /// A page of the viewer's notifications and the announcements, newest first. `UNAUTHENTICATED` for anonymous
    /// viewers.
    pub fn notifications(
        &mut self,
        unread_only: bool,
        window: &PageRequest<NotificationId>,
    ) -> Result<Page<Notification>> {
        self.require_unlimited()?;
        let user = self.user()?;
        notifications::list(self.db, user, unread_only, Order::NewestFirst, window)
    }

    /// A page of the viewer's unread notifications and announcements, oldest first. `UNAUTHENTICATED` for anonymous
    /// viewers.
    pub fn unread_notifications(&mut self, window: &PageRequest<NotificationId>) -> Result<Page<Notification>> {
        self.require_unlimited()?;
        let user = self.user()?;
        notifications::list(self.db, user, true, Order::OldestFirst, window)
    }

    /// When the viewer has read each of these announcements. `UNAUTHENTICATED` for anonymous viewers.
    pub fn announcements_read(&mut self, ids: &[NotificationId]) -> Result<HashMap<NotificationId, Timestamp>> {
        self.require_unlimited()?;
        let user = self.user()?;
        notifications::announcements_read(self.db, user, ids)
    }

    /// The sessions of the viewer that have not expired, oldest first. `UNAUTHENTICATED` for anonymous viewers.
    pub fn sessions(&mut self) -> Result<Vec<UserSession>> {
        self.depends_on_viewer = true;
        let (user, now) = (self.viewer.session_state()?.user.id, Timestamp::now());
        let mut found = sessions::of_user(self.db, user)?;
        found.retain(|session| session.expires_at > now);
        Ok(found)
    }

    /// All invitations, newest first. `UNAUTHENTICATED` for anonymous viewers, `FORBIDDEN` if the viewer is not an admin.
    pub fn invites(&mut self) -> Result<Vec<Invite>> {
        self.depends_on_viewer = true;
        self.viewer.user_state()?.check_admin()?;
        invites::all(self.db)
    }

    /// Users by id. `UNAUTHENTICATED` for anonymous viewers.
    pub fn users(&mut self, ids: &[UserId]) -> Result<HashMap<UserId, User>> {
        self.require_user()?;
        users::by_ids(self.db, ids)
    }

    /// A page of the users whose username or display name contains a text, ordered by username. `UNAUTHENTICATED` for
    /// anonymous viewers.
    pub fn search_users(&mut self, text: Option<&str>, window: &PageRequest<String>) -> Result<Page<User>> {
        self.require_unlimited()?;
        users::list(self.db, text, window)
    }

    /// All organizations, ordered by name. `UNAUTHENTICATED` for anonymous viewers.
    pub fn all_organizations(&mut self) -> Result<Vec<Organization>> {
        self.require_unlimited()?;
        organizations::list(self.db)
    }

    /// All metrics, ordered by name: the published ones and those of the server itself.
    pub fn metrics(&mut self) -> Result<Vec<Metric>> {
        self.rights()?;
        let mut all = metrics::all(self.db)?;
        all.extend(self.in_memory.metrics.own());
        all.sort_by(|first, second| first.name.cmp(&second.name));
        Ok(all)
    }

    /// All API keys, in the order of their creation. Only for admins.
    pub fn api_keys(&mut self) -> Result<Vec<ApiKey>> {
        self.depends_on_viewer = true;
        self.viewer.user_state()?.check_admin()?;
        api_keys::all(self.db)
    }

    /// The types of application events, in the order of their names. Only for signed-in users.
    pub fn event_types(&mut self) -> Result<Vec<EventType>> {
        self.depends_on_viewer = true;
        self.viewer.user_state()?.check_unlimited()?;
        event_types::all(self.db)
    }

    /// The head of the log in the snapshot.
    pub fn log_head(&mut self) -> Result<Cursor> {
        log::head(self.db)
    }
}

/// Objects that visible objects refer to. Who may see an object may see these, too.
#[expect(clippy::missing_errors_doc, reason = "the documentation of the type lists the errors of all functions")]
impl View<'_> {
    /// The channels of visible messages.
    pub fn channels_of_messages(&mut self, ids: &[ChannelId]) -> Result<HashMap<ChannelId, Channel>> {
        channels::by_ids(self.db, ids)
    }

    /// The messages of visible comments.
    pub fn messages_of_comments(&mut self, ids: &[MessageId]) -> Result<HashMap<MessageId, Message>> {
        messages::by_ids(self.db, ids)
    }

    /// How many comments each of these visible messages has.
    pub fn comment_counts(&mut self, ids: &[MessageId]) -> Result<HashMap<MessageId, i64>> {
        messages::comment_counts(self.db, ids)
    }

    /// The organizations of visible users and locations.
    pub fn organizations(&mut self, ids: &[OrganizationId]) -> Result<HashMap<OrganizationId, Organization>> {
        organizations::by_ids(self.db, ids)
    }

    /// The locations of visible users.
    pub fn locations(&mut self, ids: &[LocationId]) -> Result<HashMap<LocationId, Location>> {
        organizations::locations_by_ids(self.db, ids)
    }

    /// The locations of visible organizations, ordered by name.
    pub fn locations_of(&mut self, ids: &[OrganizationId]) -> Result<HashMap<OrganizationId, Vec<Location>>> {
        organizations::locations_of(self.db, ids)
    }

    /// Whether the object of a visible event still exists. Always true for events whose object is in the event itself.
    pub fn has_object(&mut self, event: &Event) -> Result<bool> {
        let id = event.object;
        Ok(match event.kind {
            EventKind::MessageAdded | EventKind::MessageUpdated => {
                !messages::by_ids(self.db, &[MessageId(id)])?.is_empty()
            }
            EventKind::CommentAdded | EventKind::CommentUpdated => {
                !comments::by_ids(self.db, &[CommentId(id)])?.is_empty()
            }
            EventKind::ChannelAdded | EventKind::ChannelUpdated => {
                !channels::by_ids(self.db, &[ChannelId(id)])?.is_empty()
            }
            _ => true,
        })
    }
}

/// What a subscription may follow.
#[expect(clippy::missing_errors_doc, reason = "the documentation of the type lists the errors of all functions")]
impl View<'_> {
    /// Checks that a subscription can resume from a cursor. `CURSOR_EXPIRED` if it cannot.
    pub fn check_cursor(&mut self, cursor: Cursor) -> Result<()> {
        log::check(self.db, cursor)
    }

    /// The channel of a message that the viewer may read, also of a deleted one if the log after the cursor still holds
    /// its deletion. `NOT_FOUND` if there is no such message.
    pub fn channel_of_message(&mut self, id: MessageId, after: Cursor) -> Result<ChannelId> {
        let rights = self.rights()?;
        if let Some(message) = messages::find(self.db, &rights, id)? {
            return Ok(message.channel_id);
        }
        let deletion = log::find(self.db, EventKind::MessageDeleted, id.0, after.seq)?;
        let deletion = deletion.filter(|event| rights.in_audience(&event.audience, event.owner));
        deletion.and_then(|event| event.channel).ok_or(Error::NotFound("message"))
    }

    /// Checks that the object of a topic exists for the viewer, or did at some position after the cursor. `NOT_FOUND`
    /// if it did not.
    pub fn check_topic(&mut self, topic: Topic, after: Cursor) -> Result<()> {
        let channel = match topic {
            Topic::Channel(channel) | Topic::Message(channel, _) => channel,
            Topic::Everything | Topic::User(_) | Topic::Templates | Topic::Notifications(_) => return Ok(()),
        };
        let rights = self.rights()?;
        if channels::find(self.db, &rights, channel)?.is_some() {
            return Ok(());
        }
        if log::find(self.db, EventKind::ChannelDeleted, channel.0, after.seq)?.is_some()
            && channels::was_readable(self.db, &rights, channel)?
        {
            return Ok(());
        }
        Err(Error::NotFound(if matches!(topic, Topic::Channel(_)) { "channel" } else { "message" }))
    }
}
