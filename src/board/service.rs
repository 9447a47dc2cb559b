//! The state that all use cases share: the store, the hub, permissions, limits and caches.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::counts::Counts;
use super::gauges::Metrics;
use super::log_tailer::Watermark;
use super::notification_rules::Mentions;
use super::permissions::{PermissionCache, UserState, Viewer};
use super::policy::Policy;
use super::presence_registry::Presence;
use super::remover::Remover;
use super::username_cache::UsernameCache;
use crate::auth::{Passwords, SignInLimiter, Tokens};
use crate::capacity::{FairLimits, FairPermit, FairSemaphore, RateLimiter};
use crate::error::{Error, Result};
use crate::hub::{Hub, ReadAt};
use crate::model::{CapacityKey, Cursor, MemoryBudget, UserId};
use crate::store::{Store, Tx};

/// How long the response to a permission change waits until this instance delivers by the new permissions.
const PERMISSIONS_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

/// How long the database may take to answer a health check.
const HEALTH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// Limits on mutations that run at the same time. Each mutation waits for the disk, and the writer commits many of
/// them in one batch. One caller may have a quarter of the slots, and so may all anonymous callers together.
const MUTATIONS: FairLimits = FairLimits { total: 256, anonymous: 64, each: 64 };

/// How many users may be notified per minute because one author mentioned them.
pub const MENTIONS_PER_MINUTE: u32 = 120;

/// Limits on mutations that wait for a slot of [`MUTATIONS`].
const WAITING_MUTATIONS: FairLimits = FairLimits { total: 16_384, anonymous: 2_048, each: 1_024 };

/// How long a mutation waits for a slot before it fails with `UNAVAILABLE`.
const MUTATION_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Authentication services and rate limiters that the use cases need.
pub struct AuthServices {
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    /// Issues and verifies tokens.
    pub tokens: Tokens,
    /// Limits sign-in attempts per username and address.
    pub attempts: SignInLimiter,
    /// Limits mutations per user.
    pub mutations: RateLimiter<UserId>,
    /// Limits the users that one author notifies by mentions.
    pub mentions: RateLimiter<UserId>,
    /// Limits new rooms per user.
    pub rooms: RateLimiter<UserId>,
    /// Limits sign-in attempts per address, for all usernames together.
    pub sign_ins: RateLimiter<IpAddr>,
    /// Limits new accounts per address.
    pub registrations: RateLimiter<IpAddr>,
}

/// The use cases of one instance, and what they share: the store, the hub, permissions, limits and caches.
pub struct Board {
    pub(super) store: Arc<Store>,
    pub(super) hub: Hub,
    pub(super) access: Arc<PermissionCache>,
    pub(super) progress: Arc<Watermark>,
    pub(super) auth: AuthServices,
    pub(super) rules: Policy,
    pub(super) presence: Arc<Presence>,
    pub(super) metrics: Metrics,
    pub(super) names: UsernameCache,
    pub(super) remover: Remover,
    pub(super) mutations: FairSemaphore,
    /// The last health check of the database: when it started, and its result.
    pub(super) health: tokio::sync::Mutex<Option<(Instant, Result<Cursor>)>>,
    pub(super) counts: Counts,
    /// The memory budget of responses that are being built or sent.
    pub(super) memory: Arc<MemoryBudget>,
    /// The memory budget of pages of the log that subscriptions have not consumed yet.
    pub(super) pages: Arc<MemoryBudget>,
}

impl Board {
    /// Creates the service over an open store. A running `LogTailer` must publish the store's commits to `hub`.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        hub: Hub,
        access: Arc<PermissionCache>,
        progress: Arc<Watermark>,
        auth: AuthServices,
        rules: Policy,
    ) -> Self {
        let (presence, metrics) = (Arc::new(Presence::default()), Metrics::default());
        let (names, remover, counts) = (UsernameCache::default(), Remover::default(), Counts::default());
        let mutations =
            FairSemaphore::new(MUTATIONS, WAITING_MUTATIONS, MUTATION_WAIT, "the server is busy; try again");
        let health = tokio::sync::Mutex::default();
        let size = rules.response_memory;
        let (memory, pages) = (MemoryBudget::new(size, 3 * (size / 8)), MemoryBudget::new(size / 4, size / 16));
        Self {
            store,
            hub,
            access,
            progress,
            auth,
            rules,
            presence,
            metrics,
            names,
            remover,
            mutations,
            health,
            counts,
            memory,
            pages,
        }
    }

    /// The store, for queries.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The hub, for queries of its state.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The cursor of the newest event that was published to the subscribers of this instance.
    #[must_use]
    pub fn head(&self) -> Cursor {
        self.hub.head()
    }

    /// The cursor of the newest event that this instance committed or published. It can be ahead of [`Self::head`]:
    /// then subscribers have not received that event yet.
    #[must_use]
    pub fn now(&self) -> Cursor {
        let head = self.hub.head();
        self.progress.committed().filter(|committed| committed.seq > head.seq).unwrap_or(head)
    }

    /// How many histories of the log this instance has seen, counted from 0. The number grows after a restore, or after
    /// a failover that lost events. Positions and ids of different eras must not be compared.
    #[must_use]
    pub fn era(&self) -> u64 {
        self.hub.era()
    }

    /// The era and the head of the log, to be recorded before a read. [`Self::rewritten_since`] takes the result.
    #[must_use]
    pub fn read_at(&self) -> ReadAt {
        // Read the era first. Then the data that is read later may be newer than the recorded era, but never older.
        let era = self.hub.era();
        ReadAt { era, seq: self.hub.head().seq }
    }

    /// Whether an object was edited or deleted since `read`, or the log has another history than at that time.
    #[must_use]
    pub fn rewritten_since(&self, read: ReadAt) -> bool {
        self.hub.rewritten_since(read)
    }

    /// The lowest cursor of several subscriptions, or the head if there are none. A cursor above the head belongs to a
    /// lost history. Such a cursor is returned unchanged, so that the log rejects it. If the head were returned
    /// instead, the client would miss events.
    #[must_use]
    pub fn lowest(&self, served: impl Iterator<Item = Cursor>) -> Cursor {
        let served: Vec<Cursor> = served.collect();
        // Read the head after the cursors, because they may move in the meantime.
        let head = self.hub.head();
        let lost = served.iter().find(|cursor| cursor.seq > head.seq);
        *lost.or_else(|| served.iter().min_by_key(|cursor| cursor.seq)).unwrap_or(&head)
    }

    /// Whether anonymous clients may read public channels.
    #[must_use]
    pub fn allows_anonymous_read(&self) -> bool {
        self.rules.anonymous_read
    }

    /// The policy of the installation.
    #[must_use]
    pub fn rules(&self) -> &Policy {
        &self.rules
    }

    /// The memory budget of responses that are being built or sent.
    #[must_use]
    pub fn memory(&self) -> &Arc<MemoryBudget> {
        &self.memory
    }

    /// The memory budget of pages of the log that subscriptions have not consumed yet.
    #[must_use]
    pub fn page_memory(&self) -> &Arc<MemoryBudget> {
        &self.pages
    }

    /// Counters for operators.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Waits for a slot in which this caller may run one mutation. Dropping the result frees the slot.
    ///
    /// # Errors
    /// `UNAVAILABLE` if no slot becomes free within 5 s, or too many mutations wait for one.
    pub async fn mutation_slot(&self, party: CapacityKey) -> Result<FairPermit> {
        self.mutations.take(party).await
    }

    /// The head of the log, read from the database. Only one check runs at a time. Concurrent callers share the result
    /// of a check that started after their call.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database does not answer within 2 s, or cannot be reached.
    pub async fn reach_database(&self) -> Result<Cursor> {
        let called = Instant::now();
        let mut last = self.health.lock().await;
        if let Some((at, result)) = &*last
            && *at >= called
        {
            return result.clone();
        }
        let at = Instant::now();
        let result = self.check_database().await;
        *last = Some((at, result.clone()));
        result
    }

    pub(super) async fn check_database(&self) -> Result<Cursor> {
        let check = self.store.read(|snapshot| crate::store::log::head(snapshot.db()));
        let result = tokio::time::timeout(HEALTH_TIMEOUT, check).await;
        result.unwrap_or_else(|_| Err(Error::Unavailable("the database does not answer".into())))
    }

    /// Why the database accepts no writes, if that is known: for example a full disk, or a file that was moved.
    pub async fn write_problem(&self) -> Option<String> {
        tokio::time::timeout(HEALTH_TIMEOUT, self.store.trouble())
            .await
            .unwrap_or_else(|_| Some("the database does not answer".into()))
    }

    /// Tries one write to the database. A database that is only busy counts as writable.
    ///
    /// # Errors
    /// One line for the operator that names the problem.
    pub async fn check_writable(&self) -> std::result::Result<(), String> {
        drop(self.store.probe().await);
        self.store.trouble().await.map_or(Ok(()), Err)
    }

    /// The current state of the viewer's user. Takes one mutation from the user's budget.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session; `RATE_LIMITED` if the user's budget of mutations is used up.
    pub(super) fn actor(&self, viewer: &Viewer) -> Result<Arc<UserState>> {
        let user_state = viewer.user_state()?;
        self.auth.mutations.check(user_state.user.id)?;
        Ok(user_state)
    }

    /// The users that `texts` mention. Mentions beyond the author's budget of notifications notify no user.
    pub(super) fn mentions(&self, author: UserId, texts: &[&str]) -> Mentions {
        Mentions::new(texts, || self.auth.mentions.check(author).is_ok())
    }

    /// Runs a command that changes permissions. Returns once this instance delivers events by the new permissions, or
    /// after 1 s at the latest.
    pub(super) async fn write_access<T: Send + 'static>(
        &self,
        mut command: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let writing = self.store.write(move |tx| {
            let result = command(tx)?;
            Ok((result, tx.head()))
        });
        let (result, head) = writing.await?;
        self.progress.wait_until(head, PERMISSIONS_TIMEOUT).await;
        Ok(result)
    }
}
