//! What the commands of a batch read, named before any of them decides. The rows of all commands are read together.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    ApiKeyId, Audience, ChannelId, CommentId, Cursor, ExternalIdentity, InviteId, LocationId, MessageId,
    NotificationId, OrganizationId, Rights, TemplateId, UserId,
};

/// How many lookups a batch has at most. Each one is a statement of its own.
const MAX_LOOKUPS: usize = 4;

/// Number of events of commands that record many, from which on a batch takes no further command.
const MAX_MANY_EVENTS: usize = 4_096;

/// The rows that commands need to decide.
///
/// References are followed: a comment brings its message; a message brings its channel; a user brings the locations that
/// the user belongs to; and memberships are loaded for all users and channels together.
#[derive(Debug, Default)]
pub struct Needs {
    pub(super) channels: BTreeSet<ChannelId>,
    pub(super) messages: BTreeSet<MessageId>,
    pub(super) comments: BTreeSet<CommentId>,
    /// Messages whose author and assignee are read, too.
    pub(super) people: BTreeSet<MessageId>,
    pub(super) notifications: BTreeSet<(NotificationId, UserId)>,
    pub(super) users: BTreeSet<UserId>,
    pub(super) usernames: BTreeSet<String>,
    pub(super) locations: BTreeSet<LocationId>,
    pub(super) keys: BTreeSet<(UserId, String)>,
    /// Actors and their keys; no actor for events of the outbox.
    pub(super) event_keys: BTreeSet<(Option<UserId>, String)>,
    pub(super) positions: BTreeSet<(ChannelId, (i64, i64))>,
    pub(super) metrics: BTreeSet<String>,
    pub(super) outbox: BTreeSet<i64>,
    pub(super) lookups: Vec<Lookup>,
    pub(super) attempts: BTreeSet<String>,
    pub(super) attempt_span: Duration,
    pub(super) locks_head: bool,
    /// How many events the commands record that record many.
    many_events: usize,
    /// Whether no further command may join the batch.
    is_closed: bool,
}

/// A read that has a statement of its own.
#[derive(Debug, Clone)]
pub(super) enum Lookup {
    Room(Arc<Rights>, String),
    SimilarChannel(Arc<Rights>, String),
    SimilarToChannel(Arc<Rights>, ChannelId, Option<String>),
    /// Names, and the user to leave out.
    SimilarUsers(Vec<String>, Option<UserId>),
    /// The users that were created with the keys that are read.
    CreatedUsers,
    Identities(Vec<ExternalIdentity>),
    KnownOrganizations(Vec<OrganizationId>),
    Users,
    SessionsOf(UserId),
    SessionOfFamily(String),
    PasswordReset(String),
    InviteCount,
    Invite(InviteId),
    InviteWithCode(String),
    SimilarOrganization(String),
    Organization(OrganizationId),
    OrganizationWithUsers(OrganizationId),
    Template(Arc<Rights>, TemplateId),
    ApiKey(ApiKeyId),
    ApiKeyCount,
    EventTypes,
    ProfileTime(ExternalIdentity),
}

impl Needs {
    /// The channel with this id.
    pub fn channel(&mut self, id: ChannelId) {
        self.channels.insert(id);
    }

    /// The message with this id.
    pub fn message(&mut self, id: MessageId) {
        self.messages.insert(id);
    }

    /// The message with this id, its author and its assignee.
    pub fn message_with_people(&mut self, id: MessageId) {
        self.messages.insert(id);
        self.people.insert(id);
    }

    /// The comment with this id.
    pub fn comment(&mut self, id: CommentId) {
        self.comments.insert(id);
    }

    /// The notification with this id, and whether `reader` has read it.
    pub fn notification(&mut self, id: NotificationId, reader: UserId) {
        self.notifications.insert((id, reader));
    }

    /// The user with this id, with the user's rights in each channel that is read.
    pub fn user(&mut self, id: UserId) {
        self.users.insert(id);
    }

    /// The user with this name, as a mention spells it, with the user's rights in each channel that is read.
    pub fn username(&mut self, name: &str) {
        self.usernames.insert(name.to_owned());
    }

    /// Whether the locations of an audience exist.
    pub fn audience(&mut self, audience: &Audience) {
        self.locations.extend(audience.0.iter());
    }

    /// Whether the location exists.
    pub fn location(&mut self, id: LocationId) {
        self.locations.insert(id);
    }

    /// The use of an idempotency key, with the object that was created.
    pub fn key(&mut self, author: UserId, key: &str) {
        self.keys.insert((author, key.to_owned()));
    }

    /// The event that an actor, or the server, recorded with this idempotency key.
    pub fn event_key(&mut self, actor: Option<UserId>, key: &str) {
        self.event_keys.insert((actor, key.to_owned()));
    }

    /// Tells how many events the command records, if they may be many. It bounds how much one batch writes.
    pub fn many_events(&mut self, count: usize) {
        self.many_events += count;
    }

    /// The newest message that a channel had at this position of the log.
    pub fn position(&mut self, channel: ChannelId, cursor: Cursor) {
        self.positions.insert((channel, (cursor.seq.0, cursor.tag.0)));
    }

    /// Whether there is a metric with this name, and how many metrics there are.
    pub fn metric(&mut self, name: &str) {
        self.metrics.insert(name.to_owned());
    }

    /// Whether the row of the outbox exists, and no other program has locked it.
    pub fn outbox_row(&mut self, id: i64) {
        self.outbox.insert(id);
    }

    /// The channel with this name, among those that a viewer with these rights may read.
    pub fn room(&mut self, rights: &Arc<Rights>, name: &str) {
        self.lookups.push(Lookup::Room(Arc::clone(rights), name.to_owned()));
    }

    /// A channel whose name looks like `name`, among those that a viewer with these rights may read.
    pub fn similar_channel(&mut self, rights: &Arc<Rights>, name: &str) {
        self.lookups.push(Lookup::SimilarChannel(Arc::clone(rights), name.to_owned()));
        self.lock_head();
    }

    /// Another channel whose name looks like `name` or, if that is `None`, like the present name of channel `id`.
    pub fn similar_to_channel(&mut self, rights: &Arc<Rights>, id: ChannelId, name: Option<&str>) {
        self.lookups.push(Lookup::SimilarToChannel(Arc::clone(rights), id, name.map(str::to_owned)));
        self.lock_head();
    }

    /// For each of these names, the user whose name looks like it. `but` is the user to leave out.
    pub fn similar_users(&mut self, names: Vec<String>, but: Option<UserId>) {
        self.lookups.push(Lookup::SimilarUsers(names, but));
        self.lock_head();
    }

    /// The use of an idempotency key that may have created a user, with that user.
    pub fn user_key(&mut self, author: UserId, key: &str) {
        self.key(author, key);
        if !self.lookups.iter().any(|lookup| matches!(lookup, Lookup::CreatedUsers)) {
            self.lookups.push(Lookup::CreatedUsers);
        }
        self.lock_head();
    }

    /// Which users these identities belong to, or belonged to.
    pub fn identities(&mut self, identities: Vec<ExternalIdentity>) {
        self.lookups.push(Lookup::Identities(identities));
        self.lock_head();
    }

    /// Which of these organizations exist.
    pub fn known_organizations(&mut self, ids: Vec<OrganizationId>) {
        self.lookups.push(Lookup::KnownOrganizations(ids));
        self.lock_head();
    }

    /// Whether there is any user.
    pub fn any_user(&mut self) {
        self.lookups.push(Lookup::Users);
        self.lock_head();
    }

    /// The sessions of a user.
    pub fn sessions_of(&mut self, user: UserId) {
        self.lookups.push(Lookup::SessionsOf(user));
        self.lock_head();
    }

    /// The session whose refresh token has this digest of its first part, and its user.
    pub fn session_of_family(&mut self, family: &str) {
        self.lookups.push(Lookup::SessionOfFamily(family.to_owned()));
        self.lock_head();
    }

    /// The link with this digest of its token, and its user.
    pub fn password_reset(&mut self, digest: &str) {
        self.lookups.push(Lookup::PasswordReset(digest.to_owned()));
        self.lock_head();
    }

    /// The number of invitations.
    pub fn invite_count(&mut self) {
        self.lookups.push(Lookup::InviteCount);
        self.lock_head();
    }

    /// The invitation with this id.
    pub fn invite(&mut self, id: InviteId) {
        self.lookups.push(Lookup::Invite(id));
        self.lock_head();
    }

    /// The invitation with this code, and its channels.
    pub fn invite_with_code(&mut self, code: &str) {
        self.lookups.push(Lookup::InviteWithCode(code.to_owned()));
        self.lock_head();
    }

    /// The organization whose name looks like `name`, and the number of organizations.
    pub fn similar_organization(&mut self, name: &str) {
        self.lookups.push(Lookup::SimilarOrganization(name.to_owned()));
        self.lock_head();
    }

    /// The organization with this id, with its locations.
    pub fn organization(&mut self, id: OrganizationId) {
        self.lookups.push(Lookup::Organization(id));
        self.lock_head();
    }

    /// The organization with this id, with its locations and the ids of its users.
    pub fn organization_with_users(&mut self, id: OrganizationId) {
        self.lookups.push(Lookup::OrganizationWithUsers(id));
        self.lock_head();
    }

    /// The template with this id, if a viewer with these rights may see it.
    pub fn template(&mut self, rights: &Arc<Rights>, id: TemplateId) {
        self.lookups.push(Lookup::Template(Arc::clone(rights), id));
        self.lock_head();
    }

    /// The API key with this id.
    pub fn api_key(&mut self, id: ApiKeyId) {
        self.lookups.push(Lookup::ApiKey(id));
        self.lock_head();
    }

    /// The number of API keys.
    pub fn api_key_count(&mut self) {
        self.lookups.push(Lookup::ApiKeyCount);
        self.lock_head();
    }

    /// When the token was issued whose profile the user of this identity has.
    pub fn profile_time(&mut self, identity: &ExternalIdentity) {
        self.lookups.push(Lookup::ProfileTime(identity.clone()));
        self.lock_head();
    }

    /// The types of application events that are defined.
    pub fn event_types(&mut self) {
        self.lookups.push(Lookup::EventTypes);
        self.lock_head();
    }

    /// The number of sign-in attempts for this key within `span`, which is the same for all commands, and the time of the
    /// first one. Locks the log head, so that the count is exact for all instances together. Other commands may follow in
    /// the batch.
    pub fn attempts(&mut self, key: &str, span: Duration) {
        self.attempts.insert(key.to_owned());
        self.attempt_span = span;
        self.locks_head = true;
    }

    /// Locks the log head before anything is read. Needed if the decision depends on rows whose changes the commit does
    /// not notice, or if it has a [`SingleWrite`](super::SingleWrite). Other instances wait meanwhile. The command is
    /// the last one of its batch.
    pub fn lock_head(&mut self) {
        self.locks_head = true;
        self.is_closed = true;
    }

    /// Whether no further command may join the batch.
    pub(super) fn is_full(&self) -> bool {
        self.is_closed || self.lookups.len() >= MAX_LOOKUPS || self.many_events >= MAX_MANY_EVENTS
    }
}
