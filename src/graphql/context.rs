//! What the resolvers of one operation share: the viewer, one snapshot, the loaders.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::allowance::{Allowance, json_len};
use super::loaders::Loader;
use super::reader_gate::ReaderGate;
use crate::board::{Board, Largest, MAX_LOCATIONS, Viewer};
use crate::error::{Error, Result};
use crate::live::{SubscriptionRequest, Update};
use crate::model::{
    CapacityKey, Channel, ChannelId, CommentId, Cursor, EventKind, Location, LocationId, Message, MessageId,
    NotificationId, Organization, OrganizationId, Page, PageRequest, Rights, Timestamp, User, UserId, Weight,
};
use crate::store::{
    Db, ReadPurpose, Snapshot, channels, comments, is_over_time, log, messages, notifications, organizations,
    read_markers, users,
};
use juniper::Executor;

/// What an id of a list takes in a response, in bytes.
const SHOWN_ID: usize = 24;
/// What a field takes in a response beside its name and its text: half of what it takes in memory.
const FIELD: usize = 64;

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
    /// A query or a mutation.
    Answer,
    /// A subscription is being opened. Its resolver leaves the request here.
    Open(Opened),
    /// One item of a subscription is rendered.
    Render(Update),
}

/// What the resolver of a subscription that is being opened asks for.
#[derive(Default)]
pub struct Opened {
    request: OnceLock<SubscriptionRequest>,
    checkpoints: AtomicBool,
}

impl Opened {
    /// Keeps the request.
    pub fn set(&self, request: SubscriptionRequest) {
        // juniper refuses subscriptions with a second root field before any resolver runs.
        let _: std::result::Result<(), SubscriptionRequest> = self.request.set(request);
    }

    /// Checkpoints are items of it, too.
    pub fn add_checkpoints(&self) {
        self.checkpoints.store(true, Ordering::Relaxed);
    }

    /// The request. `None` if the resolver did not run.
    #[must_use]
    pub fn request(&self) -> Option<SubscriptionRequest> {
        self.request.get().cloned()
    }

    /// Whether checkpoints are items of it.
    #[must_use]
    pub fn has_checkpoints(&self) -> bool {
        self.checkpoints.load(Ordering::Relaxed)
    }
}

/// After so long an operation is answered that its outcome is unknown: longer than the writer takes to say so, and than a
/// statement may take in PostgreSQL.
pub(super) const DEADLINE: Duration = Duration::from_secs(12);

/// The context of one operation.
pub struct Ctx {
    board: Arc<Board>,
    caller: Caller,
    purpose: Purpose,
    gate: ReaderGate,
    /// Whether the results of a mutation are shown on a reader thread.
    shows_on_reader: bool,
    allowance: Arc<Allowance>,
    /// Where the log stands in the snapshot, once a resolver asked.
    log_head: Mutex<Option<Cursor>>,
    began: Instant,
    /// The snapshot, and when it was opened: it may be read for a limited time.
    reading: Mutex<Option<(Snapshot, Instant)>>,
    used_database: AtomicBool,
    unavailable: AtomicBool,
    over_time: AtomicBool,
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
    /// For one operation. The gate says whether the current thread may wait for the database.
    #[must_use]
    pub fn new(
        board: Arc<Board>,
        caller: Caller,
        purpose: Purpose,
        gate: ReaderGate,
        allowance: Arc<Allowance>,
    ) -> Self {
        Self {
            board,
            caller,
            purpose,
            gate,
            shows_on_reader: false,
            allowance,
            log_head: Mutex::new(None),
            began: Instant::now(),
            reading: Mutex::default(),
            used_database: AtomicBool::new(false),
            unavailable: AtomicBool::new(false),
            over_time: AtomicBool::new(false),
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

    /// The same for a mutation whose results are read from the database.
    #[must_use]
    pub fn showing_on_reader(self, shows_on_reader: bool) -> Self {
        Self { shows_on_reader, ..self }
    }

    /// Whether the current thread may wait for the database, and how to get to one that may.
    #[must_use]
    pub fn gate(&self) -> &ReaderGate {
        &self.gate
    }

    /// What the response may still take.
    #[must_use]
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// A text that is shown, if there is room for it in the response.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the response would be too large, `UNAVAILABLE` if there is no memory for it now.
    pub fn show<'t>(&self, text: &'t str) -> Result<&'t str> {
        self.allowance.show(json_len(text)).map(|()| text)
    }

    /// The same for a text that may be missing.
    ///
    /// # Errors
    /// Those of [`Self::show`].
    pub fn show_some<'t>(&self, text: Option<&'t str>) -> Result<Option<&'t str>> {
        text.map(|text| self.show(text)).transpose()
    }

    /// The ids of a list that are shown.
    ///
    /// # Errors
    /// Those of [`Self::show`].
    pub fn show_ids(&self, ids: &[LocationId]) -> Result<Vec<juniper::ID>> {
        self.allowance.show(SHOWN_ID * ids.len())?;
        Ok(ids.iter().map(super::scalars::to_id).collect())
    }

    /// The items of a list that is as long as it is, `times` of them with these fields.
    ///
    /// # Errors
    /// Those of [`Self::show`].
    pub fn show_items<S: juniper::ScalarValue>(
        &self,
        times: usize,
        executor: &Executor<'_, '_, Self, S>,
    ) -> Result<()> {
        self.allowance.show(times * fields_weight(&executor.look_ahead()))
    }

    /// Counts one object that was loaded.
    ///
    /// # Errors
    /// Those of [`Self::show`].
    pub fn loaded<T: Weight>(&self, found: Option<T>) -> Result<Option<T>> {
        if let Some(found) = &found {
            self.allowance.load(found.weight())?;
        }
        Ok(found)
    }

    /// Reads a page of a list whose items have `largest` bytes at most.
    ///
    /// # Errors
    /// Those of `load`, and of [`Self::show`].
    pub fn page<T: Weight, K: Clone>(
        &self,
        window: &PageRequest<K>,
        largest: usize,
        key: impl Fn(&T) -> K,
        load: impl Fn(&mut Db, &PageRequest<K>) -> Result<Page<T>>,
    ) -> Result<Page<T>> {
        self.allowance.page(window, largest, (key, |item: &T| item.weight()), |part| self.read(|db| load(db, part)))
    }

    /// The largest objects that there can be.
    #[must_use]
    pub fn largest(&self) -> Largest {
        self.board.rules().largest()
    }

    fn load_all<K: Copy + Eq + Hash, V: Weight>(
        &self,
        ids: &[K],
        largest: usize,
        load: impl Fn(&mut Db, &[K]) -> Result<HashMap<K, V>>,
    ) -> Result<HashMap<K, Arc<V>>> {
        let mut all = HashMap::new();
        let load = |some: &[K]| -> Result<(HashMap<K, V>, usize)> {
            let found = self.read(|db| load(db, some))?;
            let bytes = found.values().map(Weight::weight).sum();
            Ok((found, bytes))
        };
        let keep = |found: HashMap<K, V>| all.extend(found.into_iter().map(|(key, value)| (key, Arc::new(value))));
        self.allowance.each(ids, largest, load, keep)?;
        Ok(all)
    }

    /// Numbers or times by their keys: small, but too many for one statement, perhaps.
    fn count_all<K: Copy + Eq + Hash, V>(
        &self,
        ids: &[K],
        load: impl Fn(&mut Db, &[K]) -> Result<HashMap<K, V>>,
    ) -> Result<HashMap<K, V>> {
        let mut all = HashMap::new();
        self.allowance.each(ids, 0, |some| Ok((self.read(|db| load(db, some))?, 0)), |found| all.extend(found))?;
        Ok(all)
    }

    /// Whose share of the server's capacity the operation takes. Does not make a rendering personal.
    #[must_use]
    pub fn party(&self) -> CapacityKey {
        self.caller.viewer.party()
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
        self.caller.viewer.user_state().map(drop)
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
        self.allowance.check()?;
        if !self.gate.is_open() {
            if matches!(self.purpose, Purpose::Render(_)) {
                // The item is discarded and rendered again on a reader thread, because `used_database` is set.
                return Err(Error::Unavailable("this needs the database".into()));
            }
            debug_assert!(false, "a field of `result_fields::IN_MEMORY` reads the database");
        }
        if self.is_unavailable() {
            // The next statement would wait as long as the one that failed, and its transaction is over.
            return Err(unavailable());
        }
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.board.store().read_limit();
        let done = match &mut *reading {
            // A client that tries again unchanged would wait as long again.
            Some((_, since)) if since.elapsed() > limit => {
                self.over_time.store(true, Ordering::Relaxed);
                return Err(took_too_long(limit));
            }
            Some((snapshot, _)) => read(snapshot.db()),
            none => self.board.store().snapshot(ReadPurpose::Clients).and_then(|snapshot| {
                let (snapshot, _) = none.insert((snapshot, Instant::now()));
                read(snapshot.db())
            }),
        };
        if done.as_ref().is_err_and(is_over_time) {
            self.over_time.store(true, Ordering::Relaxed);
            return Err(took_too_long(limit));
        }
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

    /// Whether reading took longer than an operation may.
    #[must_use]
    pub fn is_over_time(&self) -> bool {
        self.over_time.load(Ordering::Relaxed)
    }

    /// Whether what the rendered event shows is not there any more, in the snapshot that it was rendered from: then what
    /// belongs to it may be missing.
    #[must_use]
    pub fn has_lost_object(&self) -> bool {
        let Purpose::Render(Update::Event(event)) = &self.purpose else { return false };
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
    pub fn forget(&self) {
        self.unavailable.store(false, Ordering::Relaxed);
        *self.log_head.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = None;
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

    /// Runs a use case that writes for the viewer, when it is the turn of this caller. Then the result can be shown.
    ///
    /// # Errors
    /// Those of the use case. `UNAVAILABLE` if the turn does not come in time.
    pub async fn run<T, F>(&self, case: impl FnOnce(Arc<Board>, Caller) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.run_with_own_turns(async |board: Arc<Board>, caller: Caller| {
            let _turn = board.mutation_slot(caller.viewer.party()).await?;
            case(board.clone(), caller).await
        })
        .await
    }

    /// The same for a use case that takes turns itself: one that waits for a password must not keep a turn meanwhile.
    ///
    /// # Errors
    /// Those of the use case.
    pub async fn run_with_own_turns<T, F>(&self, case: impl FnOnce(Arc<Board>, Caller) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        // The root field before may have been shown on a reader thread. What was read for it is older than this change.
        self.gate.left().await;
        self.forget();
        if self.began.elapsed() > DEADLINE {
            return Err(Error::Unavailable("this takes too long; it was not done".into()));
        }
        let done = case(Arc::clone(&self.board), self.caller.clone()).await;
        if self.shows_on_reader {
            self.gate.passed().await;
        }
        done
    }

    /// A user by id.
    ///
    /// # Errors
    /// Those of the database.
    pub fn user(&self, id: UserId) -> Result<Option<Arc<User>>> {
        self.users.get(id, |ids| self.load_all(ids, self.largest().user, users::by_ids))
    }

    /// A channel by id, whoever may read it.
    ///
    /// # Errors
    /// Those of the database.
    pub fn channel(&self, id: ChannelId) -> Result<Option<Arc<Channel>>> {
        self.channels.get(id, |ids| self.load_all(ids, self.largest().channel, channels::by_ids))
    }

    /// A message by id, whoever may see it.
    ///
    /// # Errors
    /// Those of the database.
    pub fn message(&self, id: MessageId) -> Result<Option<Arc<Message>>> {
        self.messages.get(id, |ids| self.load_all(ids, self.largest().message, messages::by_ids))
    }

    /// An organization by id.
    ///
    /// # Errors
    /// Those of the database.
    pub fn organization(&self, id: OrganizationId) -> Result<Option<Arc<Organization>>> {
        self.organizations.get(id, |ids| self.load_all(ids, self.largest().place, organizations::by_ids))
    }

    /// A location by id.
    ///
    /// # Errors
    /// Those of the database.
    pub fn location(&self, id: LocationId) -> Result<Option<Arc<Location>>> {
        self.locations.get(id, |ids| self.load_all(ids, self.largest().place, organizations::locations_by_ids))
    }

    /// The locations of an organization, by name.
    ///
    /// # Errors
    /// Those of the database.
    pub fn locations_of(&self, id: OrganizationId) -> Result<Arc<Vec<Location>>> {
        let largest = MAX_LOCATIONS * self.largest().place;
        let found = self.locations_of.get(id, |ids| self.load_all(ids, largest, organizations::locations_of))?;
        Ok(found.unwrap_or_default())
    }

    /// How many comments a message has.
    ///
    /// # Errors
    /// Those of the database.
    pub fn comment_count(&self, id: MessageId) -> Result<i64> {
        Ok(self.comment_counts.get(id, |ids| self.count_all(ids, messages::comment_counts))?.unwrap_or(0))
    }

    /// How many messages of a channel the viewer has not read; nothing for those who are not signed in.
    ///
    /// # Errors
    /// Those of the database.
    pub fn unread(&self, id: ChannelId) -> Result<i64> {
        let rights = self.rights()?;
        let Some(user) = rights.user else { return Ok(0) };
        let found =
            self.unread.get(id, |ids| self.count_all(ids, |db, ids| read_markers::unread(db, &rights, user, ids)))?;
        Ok(found.unwrap_or(0))
    }

    /// When the viewer read an announcement, if they have.
    ///
    /// # Errors
    /// Those of the database.
    pub fn announcement_read(&self, id: NotificationId) -> Result<Option<Timestamp>> {
        let Some(user) = self.viewer().user_id() else { return Ok(None) };
        let read =
            |ids: &[NotificationId]| self.count_all(ids, |db, ids| notifications::announcements_read(db, user, ids));
        self.announcements_read.get(id, read)
    }
}

/// What an object with these fields takes in a response, beside its texts.
fn fields_weight<S: juniper::ScalarValue>(field: &juniper::LookAheadSelection<'_, S>) -> usize {
    field.children().iter().map(|child| FIELD + child.field_name().len() + fields_weight(child)).sum()
}

fn unavailable() -> Error {
    Error::Unavailable("the database cannot be reached; try again".into())
}

fn took_too_long(limit: Duration) -> Error {
    Error::TooComplex(format!("reading this takes longer than {} ms: ask for less at once", limit.as_millis()))
}
