//! Tables in memory, for tests of decisions without a database. They run batches as the writer does: they read what the
//! commands need, let them decide, write their effects, and answer.

mod commit_check;
mod mirror;
mod queue;
mod read;
mod reread;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use commit_check::DecidedBatch;
pub use mirror::SqliteMirror;
pub use queue::{TestAnswer, TestQueue};

use super::needs::Needs;
use super::state::BatchState;
use crate::model::{
    ApiKey, ApiKeyId, Channel, ChannelId, Comment, CommentId, Cursor, EventType, ExternalIdentity, Invite, InviteId,
    Location, LocationId, LoggedEvent, Message, MessageId, Metric, Notification, NotificationId, Organization,
    OrganizationId, Rights, Role, Seq, SessionId, Tag, Template, TemplateId, Timestamp, User, UserId, UserKind,
    UserSession,
};
use crate::store::idempotency::CreatedObject;

/// The tag of all batches. So the results of a script do not depend on how it is split into batches.
pub const TAG: Tag = Tag(7);
/// The time of all batches, until a test changes it.
const NOW: Timestamp = Timestamp(1_000_000_000);

/// The content of a database. Deleted objects are absent.
#[derive(Debug, Clone, PartialEq)]
pub struct TestTables {
    pub users: BTreeMap<UserId, User>,
    pub password_hashes: BTreeMap<UserId, String>,
    pub sessions: BTreeMap<SessionId, UserSession>,
    pub identities: BTreeMap<ExternalIdentity, UserId>,
    pub deleted_identities: BTreeMap<ExternalIdentity, Timestamp>,
    /// When all sessions of a user were last ended.
    pub sessions_ended_at: BTreeMap<UserId, Timestamp>,
    pub invites: BTreeMap<InviteId, Invite>,
    pub password_resets: BTreeMap<UserId, (String, Timestamp)>,
    pub organizations: BTreeMap<OrganizationId, Organization>,
    pub locations: BTreeMap<LocationId, Location>,
    pub channels: BTreeMap<ChannelId, Channel>,
    /// The position since which the readers of a channel see its name.
    pub named_at: BTreeMap<ChannelId, Seq>,
    /// The members of channels, with the position at which they joined.
    pub members: BTreeMap<(ChannelId, UserId), Seq>,
    pub messages: BTreeMap<MessageId, Message>,
    pub comments: BTreeMap<CommentId, Comment>,
    pub templates: BTreeMap<TemplateId, Template>,
    pub notifications: BTreeMap<NotificationId, Notification>,
    pub read_announcements: BTreeSet<(NotificationId, UserId)>,
    pub keys: BTreeMap<(UserId, String), (CreatedObject, String)>,
    pub api_keys: BTreeMap<ApiKeyId, (ApiKey, String)>,
    pub event_types: BTreeMap<String, EventType>,
    pub profile_times: BTreeMap<ExternalIdentity, Timestamp>,
    pub read_markers: BTreeMap<(UserId, ChannelId), MessageId>,
    pub metrics: BTreeMap<String, Metric>,
    pub attempts: BTreeMap<String, Vec<Timestamp>>,
    pub log: Vec<LoggedEvent>,
    /// The time of the next batch.
    pub now: Timestamp,
    pub last_ids: LastIds,
}

/// The last id of each type of object that was ever created.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LastIds {
    pub users: i64,
    pub sessions: i64,
    pub invites: i64,
    pub organizations: i64,
    pub locations: i64,
    pub channels: i64,
    pub messages: i64,
    pub comments: i64,
    pub templates: i64,
    pub notifications: i64,
    pub api_keys: i64,
}

/// The id after the last one.
pub fn next(last: &mut i64) -> i64 {
    *last += 1;
    *last
}

impl Default for TestTables {
    fn default() -> Self {
        Self {
            users: BTreeMap::new(),
            password_hashes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            identities: BTreeMap::new(),
            deleted_identities: BTreeMap::new(),
            sessions_ended_at: BTreeMap::new(),
            invites: BTreeMap::new(),
            password_resets: BTreeMap::new(),
            organizations: BTreeMap::new(),
            locations: BTreeMap::new(),
            channels: BTreeMap::new(),
            named_at: BTreeMap::new(),
            members: BTreeMap::new(),
            messages: BTreeMap::new(),
            comments: BTreeMap::new(),
            templates: BTreeMap::new(),
            notifications: BTreeMap::new(),
            read_announcements: BTreeSet::new(),
            keys: BTreeMap::new(),
            api_keys: BTreeMap::new(),
            event_types: BTreeMap::new(),
            profile_times: BTreeMap::new(),
            read_markers: BTreeMap::new(),
            metrics: BTreeMap::new(),
            attempts: BTreeMap::new(),
            log: Vec::new(),
            now: NOW,
            last_ids: LastIds::default(),
        }
    }
}

impl TestTables {
    /// The head of the log.
    pub fn head(&self) -> Cursor {
        self.log.last().map_or(Cursor { seq: Seq(0), tag: TAG }, |last| last.event.cursor)
    }

    /// The rights of a user, by the rule of `users::rights`.
    pub fn rights(&self, user: &User) -> Rights {
        let is_own = |location: &&Location| {
            Some(location.organization_id) == user.organization_id || Some(location.id) == user.location_id
        };
        Rights {
            user: Some(user.id),
            admin: user.role == Role::Admin,
            locations: self.locations.values().filter(is_own).map(|location| location.id).collect(),
            channels: self.members.keys().filter(|(_, member)| *member == user.id).map(|(id, _)| *id).collect(),
            limit: None,
        }
    }

    /// The state of a batch that has read what `needs` names.
    pub fn state(&self, needs: &Needs) -> BatchState {
        BatchState::new(self.read(needs), self.head().seq, TAG, self.now)
    }

    /// All rows, as the needs of a user with these rights. Lookups of similar names and of sign-in attempts are left out:
    /// a command that uses one without naming it gets an error.
    pub fn everything(&self, rights: &Arc<Rights>) -> Needs {
        let (mut needs, user) = (Needs::default(), rights.user.unwrap_or(UserId(0)));
        self.users.values().for_each(|user| {
            needs.user(user.id);
            needs.username(&user.username);
        });
        self.locations.keys().for_each(|id| needs.location(*id));
        self.channels.values().for_each(|channel| {
            needs.channel(channel.id);
            needs.room(rights, &channel.name);
        });
        self.messages.keys().for_each(|id| needs.message_with_people(*id));
        self.comments.keys().for_each(|id| needs.comment(*id));
        self.notifications.keys().for_each(|id| needs.notification(*id, user));
        self.keys.keys().for_each(|(author, key)| needs.key(*author, key));
        for event in self.log.iter().map(|logged| &logged.event) {
            if let Some(key) = &event.key {
                needs.event_key(event.actor, &key.name);
            }
        }
        self.metrics.keys().for_each(|name| needs.metric(name));
        self.templates.keys().for_each(|id| needs.template(rights, *id));
        self.organizations.keys().for_each(|id| needs.organization_with_users(*id));
        self.api_keys.keys().for_each(|id| needs.api_key(*id));
        needs.api_key_count();
        needs.event_types();
        needs
    }
}

/// Objects that a test needs before its first command.
impl TestTables {
    /// Adds a user without an organization or a location.
    pub fn insert_user(&mut self, username: &str, role: Role) -> UserId {
        let id = UserId(next(&mut self.last_ids.users));
        let user = User {
            id,
            username: username.to_owned(),
            display_name: format!("{username} the user"),
            role,
            disabled: false,
            token_version: 0,
            organization_id: None,
            location_id: None,
            created_at: self.now,
            last_session: SessionId(0),
            kind: UserKind::Person,
            email: None,
            deleted_at: None,
        };
        self.users.insert(id, user);
        id
    }

    /// Adds an organization.
    pub fn insert_organization(&mut self, name: &str) -> OrganizationId {
        let id = OrganizationId(next(&mut self.last_ids.organizations));
        self.organizations.insert(id, Organization { id, name: name.to_owned() });
        id
    }

    /// Adds a location of an organization.
    pub fn insert_location(&mut self, organization_id: OrganizationId, name: &str) -> LocationId {
        let id = LocationId(next(&mut self.last_ids.locations));
        self.locations.insert(id, Location { id, organization_id, name: name.to_owned() });
        id
    }

    /// The user with this id, to be changed.
    ///
    /// # Panics
    /// If there is no such user.
    pub fn user_mut(&mut self, id: UserId) -> &mut User {
        self.users.get_mut(&id).expect("the user exists")
    }
}
