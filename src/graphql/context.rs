//! What the resolvers of one operation share: the viewer, one snapshot, the loaders.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::change::Change;
use super::loaders::Loader;
use crate::board::{Board, Viewer, Wanted};
use crate::error::{Error, Result};
use crate::hub::LiveEvent;
use crate::model::{
    Channel, ChannelId, CommentId, Cursor, EventKind, Location, LocationId, Message, MessageId, Metric, NotificationId,
    Organization, OrganizationId, PresenceChange, Rights, Timestamp, User, UserId,
};
use crate::store::{Db, Snapshot, channels, comments, log, messages, notifications, organizations, reading, users};

/// The request an operation came with.
#[derive(Clone)]
pub struct Caller {
    /// Who reads.
    pub viewer: Viewer,
    /// From where.
    pub address: IpAddr,
    /// Where the end of the session is kept, if `refreshToken` is to extend it.
    pub extends: Option<Arc<Mutex<Option<Timestamp>>>>,
}

/// What an operation is executed for.
pub enum Purpose {
    /// A query, or a mutation of several root fields, which are run one after the other: on a thread that may block.
    Answer,
    /// A mutation of one root field.
    Change(Change),
    /// A subscription is being opened: its resolver says what is wished for.
    Open(Opened),
    /// One item of a subscription is rendered.
    Render(Delivery),
}

/// What the resolver of a subscription that is being opened says.
#[derive(Default)]
pub struct Opened {
    wanted: OnceLock<Wanted>,
    checkpoints: AtomicBool,
}

impl Opened {
    /// This is wanted.
    pub fn set(&self, wanted: Wanted) {
        // juniper refuses subscriptions with a second root field before any resolver runs.
        let _: std::result::Result<(), Wanted> = self.wanted.set(wanted);
    }

    /// Checkpoints are items of it, too.
    pub fn add_checkpoints(&self) {
        self.checkpoints.store(true, Ordering::Relaxed);
    }

    /// What is wanted, if a resolver got so far.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        self.wanted.get().cloned()
    }

    /// Whether checkpoints are items of it.
    #[must_use]
    pub fn has_checkpoints(&self) -> bool {
        self.checkpoints.load(Ordering::Relaxed)
    }
}

/// One item of a subscription.
#[derive(Clone)]
pub enum Delivery {
    /// An event.
    Event(Arc<LiveEvent>),
    /// Everything up to here has been delivered.
    Checkpoint(Cursor),
    /// A metric's value.
    Metric(Metric),
    /// Somebody came or left.
    Presence(PresenceChange),
}

/// The context of one operation.
pub struct Ctx {
    board: Arc<Board>,
    caller: Caller,
    purpose: Purpose,
    may_block: bool,
    snapshot: Mutex<Option<Snapshot>>,
    /// Where the log stands in the snapshot, once a resolver asked.
    log_head: Mutex<Option<Cursor>>,
    used_database: AtomicBool,
    unavailable: AtomicBool,
    personal: AtomicBool,
    /// Users by id.
    pub users: Loader<UserId, Arc<User>>,
    /// Channels by id.
    pub channels: Loader<ChannelId, Arc<Channel>>,
    /// Messages by id.
    pub messages: Loader<MessageId, Arc<Message>>,
    /// Organizations by id.
    pub organizations: Loader<OrganizationId, Arc<Organization>>,
    /// Locations by id.
    pub locations: Loader<LocationId, Arc<Location>>,
    /// The locations of an organization.
    pub locations_of: Loader<OrganizationId, Arc<Vec<Location>>>,
    /// How many comments a message has.
    pub comment_counts: Loader<MessageId, i64>,
    /// How many messages of a channel the viewer has not read.
    pub unread: Loader<ChannelId, i64>,
    /// When the viewer read an announcement.
    pub announcements_read: Loader<NotificationId, Timestamp>,
}

impl juniper::Context for Ctx {}

impl Ctx {
    /// For one operation; `may_block` says whether this thread may wait for the database.
    #[must_use]
    pub fn new(board: Arc<Board>, caller: Caller, purpose: Purpose, may_block: bool) -> Self {
        Self {
            board,
            caller,
            purpose,
            may_block,
            snapshot: Mutex::new(None),
            log_head: Mutex::new(None),
            used_database: AtomicBool::new(false),
            unavailable: AtomicBool::new(false),
            personal: AtomicBool::new(false),
            users: Loader::default(),
            channels: Loader::default(),
            messages: Loader::default(),
            organizations: Loader::default(),
            locations: Loader::default(),
            locations_of: Loader::default(),
            comment_counts: Loader::default(),
            unread: Loader::default(),
            announcements_read: Loader::default(),
        }
    }

    /// The same on a thread that may wait for the database.
    #[must_use]
    pub fn may_block(self) -> Self {
        Self { may_block: true, ..self }
    }

    /// The board.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// What the operation is executed for.
    #[must_use]
    pub fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// Whether a change was asked for that is still to be made.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        matches!(&self.purpose, Purpose::Change(change) if change.is_asked())
    }

    /// Who reads. Whoever asks makes the rendering one of this viewer alone.
    #[must_use]
    pub fn viewer(&self) -> &Viewer {
        self.personal.store(true, Ordering::Relaxed);
        &self.caller.viewer
    }

    /// The viewer's rights; makes the rendering personal, too.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the session has ended.
    pub fn rights(&self) -> Result<Arc<Rights>> {
        self.viewer().rights()
    }

    /// Whether the reader never signed in. Does not make a rendering personal: see [`Self::signed_in`].
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.caller.viewer.user_id().is_none()
    }

    /// Refuses anonymous readers. Renderings are shared among the signed-in and among the
    /// anonymous, so this alone does not make one personal.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`.
    pub fn signed_in(&self) -> Result<()> {
        // Other signed-in readers get the same rendering, so it must not depend on whether this reader's session has
        // just ended. The delivery checks that.
        if matches!(self.purpose, Purpose::Render(_)) && !self.is_anonymous() {
            return Ok(());
        }
        self.caller.viewer.standing().map(drop)
    }

    /// Whether what was rendered depends on who the viewer is.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.personal.load(Ordering::Relaxed)
    }

    /// Whether the database was needed.
    #[must_use]
    pub fn used_database(&self) -> bool {
        self.used_database.load(Ordering::Relaxed)
    }

    /// Extends the session of the socket this operation came by.
    pub fn extend_session(&self, until: Timestamp) {
        if let Some(end) = &self.caller.extends {
            *end.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
    }

    /// Reads from the operation's snapshot.
    ///
    /// # Errors
    /// Those of `read`; `UNAVAILABLE` if no snapshot can be had.
    pub fn read<T>(&self, read: impl FnOnce(&mut Db) -> Result<T>) -> Result<T> {
        self.used_database.store(true, Ordering::Relaxed);
        if !self.may_block {
            // Nobody is shown this: it is run again where it may read.
            return Err(Error::Unavailable("this needs the database".into()));
        }
        let mut snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match &mut *snapshot {
            Some(snapshot) => read(snapshot.db()),
            none => self.board.store().snapshot().and_then(|snapshot| read(none.insert(snapshot).db())),
        };
        if matches!(done, Err(Error::Unavailable(_))) {
            self.unavailable.store(true, Ordering::Relaxed);
        }
        done
    }

    /// Where the log stands in the operation's snapshot.
    ///
    /// # Errors
    /// Those of the database.
    pub fn log_head(&self) -> Result<Cursor> {
        let mut head = self.log_head.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(head) = *head {
            return Ok(head);
        }
        Ok(*head.insert(self.read(log::head)?))
    }

    /// Whether something could not be read that may well be there later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.unavailable.load(Ordering::Relaxed)
    }

    /// Whether what the rendered event shows is not there any more, in the snapshot that it was rendered from: then what
    /// belongs to it may be missing.
    #[must_use]
    pub fn has_lost_object(&self) -> bool {
        let Purpose::Render(Delivery::Event(event)) = &self.purpose else { return false };
        let id = event.object;
        let found = match event.kind {
            EventKind::MessageAdded | EventKind::MessageUpdated => {
                self.read(|db| Ok(messages::by_ids(db, &[MessageId(id)])?.len()))
            }
            EventKind::CommentAdded | EventKind::CommentUpdated => {
                self.read(|db| Ok(comments::by_ids(db, &[CommentId(id)])?.len()))
            }
            EventKind::ChannelAdded | EventKind::ChannelUpdated => {
                self.read(|db| Ok(channels::by_ids(db, &[ChannelId(id)])?.len()))
            }
            _ => return false,
        };
        found == Ok(0)
    }

    /// Something may have been written: what is read from now on must know of it.
    fn forget(&self) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.log_head.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.users.clear();
        self.channels.clear();
        self.messages.clear();
        self.organizations.clear();
        self.locations.clear();
        self.locations_of.clear();
        self.comment_counts.clear();
        self.unread.clear();
        self.announcements_read.clear();
    }

    /// Runs a use case of the viewer. Where this thread may not wait for it, this says only what is to be run, and is
    /// called again when that is done.
    ///
    /// # Errors
    /// Those of the case.
    pub fn run<T, F>(&self, case: impl FnOnce(Arc<Board>, Caller) -> F) -> Result<T>
    where
        T: Clone + Send + Sync + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let case = || case(Arc::clone(&self.board), self.caller.clone());
        match &self.purpose {
            Purpose::Change(change) => change.made_or_asked(case),
            _ => {
                let made = tokio::runtime::Handle::current().block_on(case());
                self.forget();
                made
            }
        }
    }

    /// A user by id.
    ///
    /// # Errors
    /// Those of the database.
    pub fn user(&self, id: UserId) -> Result<Option<Arc<User>>> {
        self.users.get(id, |ids| self.read(|db| Ok(shared(users::by_ids(db, ids)?))))
    }

    /// A channel by id, whoever may read it.
    ///
    /// # Errors
    /// Those of the database.
    pub fn channel(&self, id: ChannelId) -> Result<Option<Arc<Channel>>> {
        self.channels.get(id, |ids| self.read(|db| Ok(shared(channels::by_ids(db, ids)?))))
    }

    /// A message by id, whoever may see it.
    ///
    /// # Errors
    /// Those of the database.
    pub fn message(&self, id: MessageId) -> Result<Option<Arc<Message>>> {
        self.messages.get(id, |ids| self.read(|db| Ok(shared(messages::by_ids(db, ids)?))))
    }

    /// An organization by id.
    ///
    /// # Errors
    /// Those of the database.
    pub fn organization(&self, id: OrganizationId) -> Result<Option<Arc<Organization>>> {
        self.organizations.get(id, |ids| self.read(|db| Ok(shared(organizations::by_ids(db, ids)?))))
    }

    /// A location by id.
    ///
    /// # Errors
    /// Those of the database.
    pub fn location(&self, id: LocationId) -> Result<Option<Arc<Location>>> {
        self.locations.get(id, |ids| self.read(|db| Ok(shared(organizations::locations_by_ids(db, ids)?))))
    }

    /// The locations of an organization, by name.
    ///
    /// # Errors
    /// Those of the database.
    pub fn locations_of(&self, id: OrganizationId) -> Result<Arc<Vec<Location>>> {
        let found =
            self.locations_of.get(id, |ids| self.read(|db| Ok(shared(organizations::locations_of(db, ids)?))))?;
        Ok(found.unwrap_or_default())
    }

    /// How many comments a message has.
    ///
    /// # Errors
    /// Those of the database.
    pub fn comment_count(&self, id: MessageId) -> Result<i64> {
        Ok(self.comment_counts.get(id, |ids| self.read(|db| messages::comment_counts(db, ids)))?.unwrap_or(0))
    }

    /// How many messages of a channel the viewer has not read; nothing for those who are not signed in.
    ///
    /// # Errors
    /// Those of the database.
    pub fn unread(&self, id: ChannelId) -> Result<i64> {
        let rights = self.rights()?;
        let Some(user) = rights.user else { return Ok(0) };
        let found = self.unread.get(id, |ids| self.read(|db| reading::unread(db, &rights, user, ids)))?;
        Ok(found.unwrap_or(0))
    }

    /// When the viewer read an announcement, if they have.
    ///
    /// # Errors
    /// Those of the database.
    pub fn announcement_read(&self, id: NotificationId) -> Result<Option<Timestamp>> {
        let Some(user) = self.viewer().user_id() else { return Ok(None) };
        self.announcements_read.get(id, |ids| self.read(|db| notifications::announcements_read(db, user, ids)))
    }
}

fn shared<K: Eq + std::hash::Hash, V>(found: std::collections::HashMap<K, V>) -> std::collections::HashMap<K, Arc<V>> {
    found.into_iter().map(|(key, value)| (key, Arc::new(value))).collect()
}
