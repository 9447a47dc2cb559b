//! The context that all resolvers of one operation share: the viewer, one snapshot of the database, and the loaders.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::allowance::{Allowance, json_len};
use super::loaders::Loader;
use super::reader_gate::ReaderGate;
use crate::board::{Board, Client, Largest, MAX_LOCATIONS, ReadSnapshot, Recipient, View, Viewer};
use crate::error::{Error, Result};
use crate::live::{SubscriptionRequest, Update};
use crate::model::{
    CapacityKey, Channel, ChannelId, Cursor, Freshness, Location, LocationId, Message, MessageId, NotificationId,
    Organization, OrganizationId, Page, PageRequest, Timestamp, User, UserId, Weight,
};
use juniper::Executor;

/// Size of an id of a list in a response, in bytes.
const SHOWN_ID: usize = 24;
/// Bytes that are counted for a field besides its name and its text: half of its size in memory, because a response
/// exists twice while it is written.
const FIELD: usize = 64;

/// The client that sent an operation, and its session.
#[derive(Clone)]
pub struct Caller {
    /// The user or the anonymous client that sent the operation.
    pub viewer: Viewer,
    /// The client's address.
    pub address: IpAddr,
    /// The program, as its header `User-Agent` names it. `None` for an operation on a WebSocket, which may live long.
    pub user_agent: Option<Arc<str>>,
    /// Receives the new end of the session from `refreshToken`, so that the WebSocket extends its session. `None` for
    /// requests without a WebSocket.
    pub extends: Option<Arc<Mutex<Option<Timestamp>>>>,
}

impl Caller {
    /// The client, for use cases that sign a user in.
    #[must_use]
    pub fn client(&self) -> Client<'_> {
        Client { address: self.address, user_agent: self.user_agent.as_deref() }
    }
}

/// The purpose for which an operation is executed.
pub enum Purpose {
    /// A query or a mutation.
    Answer,
    /// A subscription is being opened. Its resolver stores here what to follow, and the engine then opens the stream.
    Open(Opened),
    /// One item of a subscription is rendered.
    Render(Update),
}

/// The request that the resolver of a subscription stores when the subscription is opened.
#[derive(Default)]
pub struct Opened {
    request: OnceLock<SubscriptionRequest>,
    checkpoints: AtomicBool,
}

impl Opened {
    /// Stores the request.
    pub fn set(&self, request: SubscriptionRequest) {
        // juniper refuses subscriptions with a second root field before any resolver runs.
        let _: std::result::Result<(), SubscriptionRequest> = self.request.set(request);
    }

    /// Makes checkpoints items of the subscription, too.
    pub fn add_checkpoints(&self) {
        self.checkpoints.store(true, Ordering::Relaxed);
    }

    /// The request. `None` if the resolver did not run.
    #[must_use]
    pub fn request(&self) -> Option<SubscriptionRequest> {
        self.request.get().cloned()
    }

    /// Whether checkpoints are items of the subscription.
    #[must_use]
    pub fn has_checkpoints(&self) -> bool {
        self.checkpoints.load(Ordering::Relaxed)
    }
}

/// Time limit of an operation. After it, the client gets the error that the outcome is unknown. The limit is longer
/// than the time after which the writer itself reports an unknown outcome, and than the statement timeout in
/// PostgreSQL.
pub(super) const DEADLINE: Duration = Duration::from_secs(12);

/// The context of one operation.
pub struct Ctx {
    board: Arc<Board>,
    caller: Caller,
    purpose: Purpose,
    gate: ReaderGate,
    /// Whether the results of a mutation are resolved on a reader thread.
    shows_on_reader: bool,
    allowance: Arc<Allowance>,
    /// The head of the log in the snapshot, once a resolver has read it.
    log_head: Mutex<Option<Cursor>>,
    began: Instant,
    snapshot: Mutex<Option<ReadSnapshot>>,
    used_database: AtomicBool,
    unavailable: AtomicBool,
    /// Whether the replica that served the snapshot failed.
    lost_replica: AtomicBool,
    /// Whether the operation was executed again on the primary, because the replica failed.
    uses_primary: AtomicBool,
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
    /// The number of comments of a message.
    pub comment_counts: Loader<MessageId, i64>,
    /// The number of messages of a channel that the viewer has not read.
    pub unread: Loader<ChannelId, i64>,
    /// When the viewer has read an announcement.
    pub announcements_read: Loader<NotificationId, Timestamp>,
}

impl juniper::Context for Ctx {}

impl Ctx {
    /// Creates the context of one operation. The gate tells whether the current thread may wait for the database.
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
            snapshot: Mutex::default(),
            used_database: AtomicBool::new(false),
            unavailable: AtomicBool::new(false),
            lost_replica: AtomicBool::new(false),
            uses_primary: AtomicBool::new(false),
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

    /// Sets whether the results of a mutation are resolved on a reader thread, because they need the database.
    #[must_use]
    pub fn showing_on_reader(self, shows_on_reader: bool) -> Self {
        Self { shows_on_reader, ..self }
    }

    /// The gate, which tells whether the current thread may wait for the database. An operation can wait at the gate
    /// for a thread that may.
    #[must_use]
    pub fn gate(&self) -> &ReaderGate {
        &self.gate
    }

    /// The size limit and the memory of the response.
    #[must_use]
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// Counts a text that the response will contain, and returns the text.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the response would be too large, `UNAVAILABLE` if there is no free memory for it.
    pub fn show<'t>(&self, text: &'t str) -> Result<&'t str> {
        self.allowance.show(json_len(text)).map(|()| text)
    }

    /// Like [`Self::show`], for a text that may be missing.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the response would be too large, `UNAVAILABLE` if there is no free memory for it.
    pub fn show_some<'t>(&self, text: Option<&'t str>) -> Result<Option<&'t str>> {
        text.map(|text| self.show(text)).transpose()
    }

    /// Counts ids that the response will contain, and returns them as GraphQL ids.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the response would be too large, `UNAVAILABLE` if there is no free memory for it.
    pub fn show_ids<I: std::fmt::Display>(&self, ids: &[I]) -> Result<Vec<juniper::ID>> {
        self.allowance.show(SHOWN_ID * ids.len())?;
        Ok(ids.iter().map(super::scalars::to_id).collect())
    }

    /// Counts the fields of a list without a page limit. The list has `times` items with the fields that the operation
    /// selects.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the response would be too large, `UNAVAILABLE` if there is no free memory for it.
    pub fn show_items<S: juniper::ScalarValue>(
        &self,
        times: usize,
        executor: &Executor<'_, '_, Self, S>,
    ) -> Result<()> {
        self.allowance.show(times * fields_weight(&executor.look_ahead()))
    }

    /// Counts the size of one object that was loaded, and returns the object.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the response would be too large, `UNAVAILABLE` if there is no free memory for it.
    pub fn loaded<T: Weight>(&self, found: Option<T>) -> Result<Option<T>> {
        if let Some(found) = &found {
            self.allowance.load(found.weight())?;
        }
        Ok(found)
    }

    /// Reads a page of a list whose items have `largest` bytes at most. `key` is the sort key of an item.
    ///
    /// # Errors
    /// Returns errors of `load`. `QUERY_TOO_COMPLEX` if the response would be too large, `UNAVAILABLE` if there is no
    /// free memory for it.
    pub fn page<T: Weight, K: Clone>(
        &self,
        window: &PageRequest<K>,
        largest: usize,
        key: impl Fn(&T) -> K,
        load: impl Fn(&mut View<'_>, &PageRequest<K>) -> Result<Page<T>>,
    ) -> Result<Page<T>> {
        self.allowance.page(window, largest, (key, |item: &T| item.weight()), |part| self.read(|view| load(view, part)))
    }

    /// The size of the largest object of each type that the policy of the server allows.
    #[must_use]
    pub fn largest(&self) -> Largest {
        self.board.policy.largest()
    }

    fn load_all<K: Copy + Eq + Hash, V: Weight>(
        &self,
        ids: &[K],
        largest: usize,
        load: impl Fn(&mut View<'_>, &[K]) -> Result<HashMap<K, V>>,
    ) -> Result<HashMap<K, Arc<V>>> {
        let mut all = HashMap::new();
        let load = |some: &[K]| -> Result<(HashMap<K, V>, usize)> {
            let found = self.read(|view| load(view, some))?;
            let bytes = found.values().map(Weight::weight).sum();
            Ok((found, bytes))
        };
        let keep = |found: HashMap<K, V>| all.extend(found.into_iter().map(|(key, value)| (key, Arc::new(value))));
        self.allowance.each(ids, largest, load, keep)?;
        Ok(all)
    }

    /// Loads small values, such as numbers or times, by their keys. Several statements read them if there are many
    /// keys.
    fn count_all<K: Copy + Eq + Hash, V>(
        &self,
        ids: &[K],
        load: impl Fn(&mut View<'_>, &[K]) -> Result<HashMap<K, V>>,
    ) -> Result<HashMap<K, V>> {
        let mut all = HashMap::new();
        self.allowance.each(ids, 0, |some| Ok((self.read(|view| load(view, some))?, 0)), |found| all.extend(found))?;
        Ok(all)
    }

    /// The caller whose share of the server's capacity the operation uses. A call does not make a rendering
    /// personal.
    #[must_use]
    pub fn party(&self) -> CapacityKey {
        self.caller.viewer.party()
    }

    /// The use cases.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// The purpose for which the operation is executed.
    #[must_use]
    pub fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// The viewer. A call makes the rendering personal: it is not shared with other viewers.
    #[must_use]
    pub fn viewer(&self) -> &Viewer {
        self.personal.store(true, Ordering::Relaxed);
        &self.caller.viewer
    }

    /// Whether the viewer may see users. A call does not make the rendering personal: signed-in viewers share one
    /// rendering, and anonymous viewers share another.
    #[must_use]
    pub fn can_see_users(&self) -> bool {
        self.caller.viewer.can_see_users()
    }

    /// Whether the rendering depends on the viewer, so that it cannot be shared with other viewers.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.personal.load(Ordering::Relaxed)
    }

    /// Whether the operation has read the database.
    #[must_use]
    pub fn used_database(&self) -> bool {
        self.used_database.load(Ordering::Relaxed)
    }

    /// Extends the session of the WebSocket that the operation arrived on. Does nothing for other operations.
    pub fn extend_session(&self, until: Timestamp) {
        if let Some(end) = &self.caller.extends {
            *end.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
    }

    /// Reads what the viewer may see in the operation's snapshot. The first read opens the snapshot.
    ///
    /// # Errors
    /// Returns errors of `read`. `UNAVAILABLE` if the database does not answer, or this thread may not wait for it.
    /// `QUERY_TOO_COMPLEX` if reading takes longer than the time limit.
    pub fn read<T>(&self, read: impl FnOnce(&mut View<'_>) -> Result<T>) -> Result<T> {
        self.used_database.store(true, Ordering::Relaxed);
        self.allowance.check()?;
        let is_rendering = matches!(self.purpose, Purpose::Render(_));
        if !self.gate.is_open() {
            if is_rendering {
                // The item is discarded and rendered again on a reader thread, because `used_database` is set.
                return Err(Error::Unavailable("this needs the database".into()));
            }
            debug_assert!(false, "a field of `result_fields::IN_MEMORY` reads the database");
        }
        if self.is_unavailable() {
            // A new statement would wait as long as the one that failed. The snapshot's transaction has ended anyway.
            return Err(unavailable());
        }
        let recipient = if is_rendering { Recipient::AllViewers } else { Recipient::Viewer };
        let mut snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        let result = match self.opened(&mut snapshot) {
            Ok(snapshot) => {
                let (result, is_personal) = self.board.reads.view(snapshot, &self.caller.viewer, recipient, read);
                if is_personal {
                    self.personal.store(true, Ordering::Relaxed);
                }
                if result.as_ref().is_err_and(|error| snapshot.is_lost(error)) {
                    self.lost_replica.store(true, Ordering::Relaxed);
                }
                result
            }
            Err(error) => Err(error),
        };
        match result {
            Err(Error::TooComplex(_)) => self.over_time.store(true, Ordering::Relaxed),
            Err(Error::Unavailable(_)) => self.unavailable.store(true, Ordering::Relaxed),
            _ => {}
        }
        result
    }

    fn opened<'s>(&self, snapshot: &'s mut Option<ReadSnapshot>) -> Result<&'s mut ReadSnapshot> {
        match snapshot {
            Some(snapshot) => Ok(snapshot),
            none => Ok(none.insert(self.board.reads.snapshot(self.freshness())?)),
        }
    }

    /// How new the data of the operation must be. The result of a mutation is read from the primary: a replica does not
    /// have the change yet.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        let is_for_primary = self.shows_on_reader || self.uses_primary.load(Ordering::Relaxed);
        if is_for_primary { Freshness::Newest } else { Freshness::Known }
    }

    /// Prepares a query for another execution, on the primary, if the replica failed during this one. Returns whether
    /// the query must be executed again.
    pub fn moves_to_primary(&self) -> bool {
        let is_moving = self.lost_replica.swap(false, Ordering::Relaxed);
        if is_moving {
            self.uses_primary.store(true, Ordering::Relaxed);
            self.allowance.start_over();
        }
        is_moving
    }

    /// The head of the log in the operation's snapshot.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database does not answer; `QUERY_TOO_COMPLEX` if reading takes too long.
    pub fn log_head(&self) -> Result<Cursor> {
        let mut head = self.log_head.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(head) = *head {
            return Ok(head);
        }
        Ok(*head.insert(self.read(|view| view.log_head())?))
    }

    /// Whether a read failed because the database did not answer. A later execution may succeed.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.unavailable.load(Ordering::Relaxed)
    }

    /// Whether reading took longer than the time limit of a snapshot.
    #[must_use]
    pub fn is_over_time(&self) -> bool {
        self.over_time.load(Ordering::Relaxed)
    }

    /// Whether the object of the rendered event no longer exists in the snapshot from which the item was rendered. Then
    /// related objects, such as the comments of a message, may be missing, too.
    #[must_use]
    pub fn has_lost_object(&self) -> bool {
        let Purpose::Render(Update::Event(event)) = &self.purpose else { return false };
        self.read(|view| view.has_object(event)) == Ok(false)
    }

    /// Ends the snapshot and clears the loaders, because data may have been written. Later reads see the new data.
    pub fn forget(&self) {
        self.unavailable.store(false, Ordering::Relaxed);
        *self.log_head.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = None;
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

    /// Runs a use case that writes for the viewer, once the caller has a mutation slot. When this returns, the thread
    /// may resolve the fields of the result.
    ///
    /// # Errors
    /// Returns errors of the use case. `UNAVAILABLE` if no slot becomes free in time.
    pub async fn run<T, F>(&self, case: impl FnOnce(Arc<Board>, Caller) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.run_with_own_turns(async |board: Arc<Board>, caller: Caller| {
            let _turn = board.commands.slot(caller.viewer.party()).await?;
            case(board.clone(), caller).await
        })
        .await
    }

    /// Like [`Self::run`], for a use case that takes its mutation slot itself. A use case that hashes a password must
    /// not hold a slot meanwhile.
    ///
    /// # Errors
    /// Returns errors of the use case. `UNAVAILABLE` if the operation has already used up its time limit.
    pub async fn run_with_own_turns<T, F>(&self, case: impl FnOnce(Arc<Board>, Caller) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        // The fields of the previous root field may have been resolved on a reader thread. The data that was read for
        // them is older than this change.
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

    /// A user by id. `None` if there is none.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database does not answer; `QUERY_TOO_COMPLEX` if the read is too slow or too large.
    pub fn user(&self, id: UserId) -> Result<Option<Arc<User>>> {
        self.users.get(id, |ids| self.load_all(ids, self.largest().user, |view, ids| view.users(ids)))
    }

    /// A channel by id, without a check of the viewer's permissions. `None` if there is none.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database does not answer; `QUERY_TOO_COMPLEX` if the read is too slow or too large.
    pub fn channel(&self, id: ChannelId) -> Result<Option<Arc<Channel>>> {
        self.channels
            .get(id, |ids| self.load_all(ids, self.largest().channel, |view, ids| view.channels_of_messages(ids)))
    }

    /// A message by id, without a check of the viewer's permissions. `None` if there is none.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database does not answer; `QUERY_TOO_COMPLEX` if the read is too slow or too large.
    pub fn message(&self, id: MessageId) -> Result<Option<Arc<Message>>> {
        self.messages
            .get(id, |ids| self.load_all(ids, self.largest().message, |view, ids| view.messages_of_comments(ids)))
    }

    /// An organization by id. `None` if there is none.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database does not answer; `QUERY_TOO_COMPLEX` if the read is too slow or too large.
    pub fn organization(&self, id: OrganizationId) -> Result<Option<Arc<Organization>>> {
        self.organizations.get(id, |ids| self.load_all(ids, self.largest().place, |view, ids| view.organizations(ids)))
    }

    /// A location by id. `None` if there is none.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database does not answer; `QUERY_TOO_COMPLEX` if the read is too slow or too large.
    pub fn location(&self, id: LocationId) -> Result<Option<Arc<Location>>> {
        self.locations.get(id, |ids| self.load_all(ids, self.largest().place, |view, ids| view.locations(ids)))
    }

    /// The locations of an organization, ordered by name.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database does not answer; `QUERY_TOO_COMPLEX` if the read is too slow or too large.
    pub fn locations_of(&self, id: OrganizationId) -> Result<Arc<Vec<Location>>> {
        let largest = MAX_LOCATIONS * self.largest().place;
        let found = self.locations_of.get(id, |ids| self.load_all(ids, largest, |view, ids| view.locations_of(ids)))?;
        Ok(found.unwrap_or_default())
    }

    /// The number of comments of a message.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database does not answer; `QUERY_TOO_COMPLEX` if the read is too slow or too large.
    pub fn comment_count(&self, id: MessageId) -> Result<i64> {
        Ok(self.comment_counts.get(id, |ids| self.count_all(ids, |view, ids| view.comment_counts(ids)))?.unwrap_or(0))
    }

    /// The number of messages of a channel that the viewer has not read; 0 for anonymous viewers. A call makes the
    /// rendering personal.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database does not answer; `QUERY_TOO_COMPLEX` if the read is too slow or too large.
    pub fn unread(&self, id: ChannelId) -> Result<i64> {
        if self.viewer().user_id().is_none() {
            return Ok(0);
        }
        let found = self.unread.get(id, |ids| self.count_all(ids, |view, ids| view.unread(ids)))?;
        Ok(found.unwrap_or(0))
    }

    /// When the viewer has read an announcement; `None` if never. A call makes the rendering personal.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database does not answer; `QUERY_TOO_COMPLEX` if the read is too slow or too large.
    pub fn announcement_read(&self, id: NotificationId) -> Result<Option<Timestamp>> {
        if self.viewer().user_id().is_none() {
            return Ok(None);
        }
        self.announcements_read.get(id, |ids| self.count_all(ids, |view, ids| view.announcements_read(ids)))
    }
}

/// Bytes that are counted for one object with the selected fields, besides its texts.
fn fields_weight<S: juniper::ScalarValue>(field: &juniper::LookAheadSelection<'_, S>) -> usize {
    field.children().iter().map(|child| FIELD + child.field_name().len() + fields_weight(child)).sum()
}

fn unavailable() -> Error {
    Error::Unavailable("the database cannot be reached; try again".into())
}
