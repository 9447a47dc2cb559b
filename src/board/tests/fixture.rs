//! A board over tables in memory, for tests of decisions without a database. Its users run commands, in batches as the
//! writer runs them.

use std::sync::Arc;

use super::any_command::AnyCommand;
use crate::board::commands::ViewerCommand;
use crate::board::commands::tests::by_viewer;
use crate::board::permissions::{PermissionCache, TokenSession, UserState, Viewer};
use crate::board::{channels, comments, messages, policy};
use crate::capacity::{Rate, RateLimiter};
use crate::error::Result;
use crate::model::{
    ApiKeyId, ChannelId, Comment, LocationId, LoggedEvent, Message, MessageId, Notification, OrganizationId, Rights,
    Role, SessionId, Timestamp, UserId, Visibility,
};
use crate::store::{DecidedBatch, SqliteMirror, TestAnswer, TestQueue, TestTables, WriteCommand};

/// The policy of the tests.
pub const POLICY: policy::Policy = policy::Policy {
    registration_open: true,
    public_url: String::new(),
    first_user_admin: false,
    anonymous_read: true,
    max_title: 40,
    max_content: 200,
    response_memory: 0,
};

/// A rate limiter that never refuses.
pub fn unlimited() -> RateLimiter<UserId> {
    RateLimiter::new(Rate::per_minute(0))
}

/// A board over tables in memory.
pub struct BoardFixture {
    pub tables: TestTables,
    permissions: Arc<PermissionCache>,
    queue: TestQueue,
    /// Gets the same writes, if there is one.
    mirror: Option<SqliteMirror>,
    /// How the states that batches have left differed from the tables.
    pub stale: Vec<String>,
}

/// What a command has returned, and the events that its batch has recorded.
#[derive(Debug)]
pub struct Change<T> {
    pub output: T,
    pub events: Vec<LoggedEvent>,
}

impl<T> Change<T> {
    /// The only event.
    pub fn event(&self) -> &LoggedEvent {
        let [event] = &self.events[..] else { panic!("not exactly one event: {:#?}", self.events) };
        event
    }
}

impl BoardFixture {
    /// A board without any content.
    pub fn new() -> Self {
        Self {
            tables: TestTables::default(),
            permissions: Arc::new(PermissionCache::empty()),
            queue: TestQueue::default(),
            mirror: None,
            stale: Vec::new(),
        }
    }

    /// Writes to a SQLite database, too, and compares what batches read. Must be called before the first command.
    pub fn mirror_to(&mut self, mut mirror: SqliteMirror) {
        mirror.begin(&self.tables);
        self.mirror = Some(mirror);
    }

    /// Takes the SQLite database, after a comparison of all its rows with the tables.
    pub fn take_mirror(&mut self) -> Option<SqliteMirror> {
        let admin = Rights { user: Some(UserId(1)), admin: true, ..Rights::default() };
        let needs = self.tables.everything(&Arc::new(admin));
        self.mirror.take().map(|mut mirror| {
            self.stale.extend(mirror.difference(&self.tables, &needs));
            mirror.roll_back();
            mirror
        })
    }

    /// Adds a user.
    pub fn user(&mut self, username: &str) -> UserId {
        self.tables.insert_user(username, Role::Member)
    }

    /// Adds an admin.
    pub fn admin(&mut self, username: &str) -> UserId {
        self.tables.insert_user(username, Role::Admin)
    }

    /// Adds an organization with one location. Its users are those with these ids.
    pub fn organization(&mut self, name: &str, users: &[UserId]) -> (OrganizationId, LocationId) {
        let organization = self.tables.insert_organization(name);
        let location = self.tables.insert_location(organization, "Main");
        users.iter().for_each(|user| self.tables.user_mut(*user).organization_id = Some(organization));
        (organization, location)
    }

    /// Adds a channel.
    pub fn channel(&mut self, owner: UserId, name: &str, visibility: Visibility) -> ChannelId {
        self.run(owner, channels::tests::create(name, visibility)).expect("a channel").output.id
    }

    /// Adds a public channel.
    pub fn public_channel(&mut self, owner: UserId) -> ChannelId {
        self.channel(owner, "general", Visibility::Public)
    }

    /// Adds a private channel with these members besides its owner.
    pub fn private_channel(&mut self, owner: UserId, members: &[UserId]) -> ChannelId {
        let id = self.channel(owner, "staff", Visibility::Private);
        for member in members {
            self.run(owner, channels::tests::add_member(id, *member)).expect("a member");
        }
        id
    }

    /// Adds a message.
    pub fn message(&mut self, author: UserId, channel: ChannelId) -> Message {
        let new = messages::tests::new_message(channel);
        self.run(author, messages::tests::create(author, new)).expect("a message").output
    }

    /// Adds a ticket.
    pub fn ticket(&mut self, author: UserId, channel: ChannelId, assignee: Option<UserId>) -> Message {
        let new = messages::tests::new_ticket(channel, assignee);
        self.run(author, messages::tests::create(author, new)).expect("a ticket").output
    }

    /// Adds a comment.
    pub fn comment(&mut self, author: UserId, message: MessageId) -> Comment {
        let new = comments::tests::new_comment(message);
        self.run(author, comments::tests::create(author, new)).expect("a comment").output
    }

    /// A viewer in a session of the user that began now.
    pub fn viewer(&self, user: UserId) -> Viewer {
        self.viewer_in(user, None)
    }

    /// A viewer in this session of the user.
    pub fn viewer_in(&self, user: UserId, id: Option<SessionId>) -> Viewer {
        let account = self.permissions.set(self.state(user));
        let version = self.tables.users[&user].token_version;
        let session = TokenSession { version: Some(version), id, began: Timestamp(0) };
        Viewer::signed_in(Arc::clone(&self.permissions), account, session)
    }

    /// A program that acts as the user with this key.
    pub fn viewer_with_key(&self, user: UserId, key: ApiKeyId) -> Viewer {
        let account = self.permissions.set(self.state(user));
        Viewer::with_key(Arc::clone(&self.permissions), account, key)
    }

    /// The present state of a user.
    pub fn state(&self, id: UserId) -> UserState {
        let user = &self.tables.users[&id];
        let keys = self.tables.api_keys.values().map(|(key, _)| key);
        let keys = keys.filter(|key| key.user_id == id && key.revoked_at.is_none()).cloned().collect();
        let own = self.tables.sessions.values().filter(|session| session.user_id == id);
        let sessions = own.map(|session| session.id).collect();
        let sessions_ended_at = self.tables.sessions_ended_at.get(&id).copied();
        UserState::new(user.clone(), self.tables.rights(user), sessions, keys).with_sessions_ended_at(sessions_ended_at)
    }

    /// Queues a command of a viewer.
    pub fn queue_for<C: ViewerCommand>(&mut self, viewer: Viewer, command: C) -> TestAnswer<C::Output> {
        self.queue.push(by_viewer(viewer, command))
    }

    /// Queues a command of a user, in a session that begins now.
    pub fn queue<C: ViewerCommand>(&mut self, actor: UserId, command: C) -> TestAnswer<C::Output> {
        self.queue_for(self.viewer(actor), command)
    }

    /// Runs the queued commands, in as few batches as possible. Permissions are up to date before each batch.
    pub fn run_queue(&mut self) {
        while !self.queue.is_empty() {
            for id in self.tables.users.keys() {
                self.permissions.set(self.state(*id));
            }
            self.stale.extend(self.tables.run_batch(&mut self.queue, self.mirror.as_mut()));
        }
    }

    /// Decides on a batch of these commands, but writes nothing. Returns the batch, and which commands were accepted.
    pub fn decide(&self, commands: Vec<(UserId, AnyCommand)>) -> (DecidedBatch, Vec<bool>) {
        let mut queue = TestQueue::default();
        let push = |(actor, command)| queue.push(by_viewer(self.viewer(actor), command));
        let answers: Vec<_> = commands.into_iter().map(push).collect();
        let decided = self.tables.decide_batch(&mut queue);
        (decided, answers.into_iter().map(|answer| answer.get().is_ok()).collect())
    }

    /// Runs a command of a user.
    pub fn run<C: ViewerCommand>(&mut self, actor: UserId, command: C) -> Result<Change<C::Output>> {
        let answer = self.queue(actor, command);
        self.answered(answer)
    }

    /// Runs a command of the server or the operator.
    pub fn run_for_server<C: WriteCommand>(&mut self, command: C) -> Result<Change<C::Output>> {
        let answer = self.queue.push(command);
        self.answered(answer)
    }

    /// Runs the queue. A refused command must leave the tables as they were.
    fn answered<T>(&mut self, answer: TestAnswer<T>) -> Result<Change<T>> {
        let before = self.tables.clone();
        self.run_queue();
        let output = answer.get().inspect_err(|_| assert_eq!(self.tables, before))?;
        Ok(Change { output, events: self.tables.log[before.log.len()..].to_vec() })
    }

    /// The notifications of a user, oldest first.
    pub fn notifications_of(&self, user: UserId) -> Vec<&Notification> {
        self.tables.notifications.values().filter(|notification| notification.user_id == Some(user)).collect()
    }

    /// The titles of a user's notifications, oldest first.
    pub fn titles_of(&self, user: UserId) -> Vec<&str> {
        self.notifications_of(user).into_iter().map(|notification| notification.title.as_str()).collect()
    }
}
