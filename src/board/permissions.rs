//! Permission checks on events, decided from the fields of the event and the current permissions of the viewer.
//! `store::visibility` has the same rules as SQL conditions for queries; a property test compares the two.
//!
//! This module caches the permissions of each signed-in user of this instance. An account is registered before it is
//! loaded, and the log tailer reloads it before any subscriber passes a change. So no event is delivered by
//! permissions that are older than the event.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::error::{Error, Result};
use crate::model::{
    CapacityKey, ChannelId, Event, EventKind, Freshness, Rights, Timestamp, User, UserId, Visibility, client_prefix,
};
use crate::store::{Store, channels, users};

/// Half of the number of cached accounts above which accounts without connections are dropped from the cache.
const IDLE_ACCOUNTS: usize = 10_000;

/// How many accounts one snapshot reloads.
const RELOAD_BATCH: usize = 256;

/// How often an account is reloaded when a token has a newer version than the cached account.
const CATCH_UP_ATTEMPTS: usize = 20;

/// The permissions of all users of this instance, kept current by the log tailer.
pub struct PermissionCache {
    private: RwLock<HashSet<ChannelId>>,
    accounts: Mutex<HashMap<UserId, Arc<Account>>>,
}

/// A signed-in user's cached state.
pub struct Account {
    id: UserId,
    state: RwLock<Option<Arc<UserState>>>,
    /// Counts changes of the user's permissions. A load that overlaps with a change is discarded and repeated.
    generation: AtomicU64,
}

/// A user and their permissions at one moment.
#[derive(Debug, Clone)]
pub struct UserState {
    /// The user.
    pub user: User,
    /// What the user may see.
    pub rights: Arc<Rights>,
}

impl UserState {
    /// Checks that the user is an admin.
    ///
    /// # Errors
    /// `FORBIDDEN` if the user is not an admin.
    pub fn check_admin(&self) -> Result<()> {
        if self.rights.admin { Ok(()) } else { Err(Error::Forbidden("only an admin may do this".into())) }
    }
}

impl Account {
    fn is_behind(&self, version: i64) -> bool {
        self.user_state().is_some_and(|user_state| user_state.user.token_version < version)
    }

    fn user_state(&self) -> Option<Arc<UserState>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl PermissionCache {
    /// Loads the set of private channels. Accounts are loaded on demand.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached; `INTERNAL_SERVER_ERROR` if a statement fails.
    pub async fn load(store: &Arc<Store>) -> Result<Self> {
        let private = store.read(|snapshot| channels::private_ids(snapshot.db())).await?;
        Ok(Self { private: RwLock::new(private), accounts: Mutex::default() })
    }

    /// A user's account, loaded if it is not cached; `None` if the user does not exist.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached; `INTERNAL_SERVER_ERROR` if a statement fails.
    pub async fn account(&self, store: &Arc<Store>, id: UserId) -> Result<Option<Arc<Account>>> {
        let account = self.register(id);
        while account.user_state().is_none() {
            let generation = account.generation.load(Ordering::Acquire);
            let reading =
                store.read_for(Freshness::Newest, CapacityKey::User(id), move |snapshot| load_state(snapshot.db(), id));
            let Some(user_state) = reading.await? else {
                self.remove_missing(&account);
                return Ok(None);
            };
            let mut state = account.state.write().unwrap_or_else(PoisonError::into_inner);
            if account.generation.load(Ordering::Acquire) == generation {
                *state = Some(Arc::new(user_state));
            }
        }
        Ok(Some(account))
    }

    /// Reloads a cached account whose token version is below `version`, the version of a token that was presented.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the account kept changing, or if the database cannot be reached; `INTERNAL_SERVER_ERROR` if a
    /// statement fails.
    pub async fn catch_up(&self, store: &Arc<Store>, account: &Account, version: i64) -> Result<()> {
        let id = account.id;
        // A load is discarded if the tailer changes the account meanwhile. The tailer's own load can be older than
        // `version`.
        for _ in 0..CATCH_UP_ATTEMPTS {
            if !account.is_behind(version) {
                return Ok(());
            }
            let generation = account.generation.load(Ordering::Acquire);
            let user_state = store
                .read_for(Freshness::Newest, CapacityKey::User(id), move |snapshot| load_state(snapshot.db(), id))
                .await?;
            let mut state = account.state.write().unwrap_or_else(PoisonError::into_inner);
            if account.generation.load(Ordering::Acquire) == generation {
                // If the state is still behind, the token belongs to a history of the log that was lost.
                *state = user_state.map(Arc::new);
                return Ok(());
            }
        }
        Err(Error::Unavailable("the account is changing; try again".into()))
    }

    /// Removes an account from the cache because the user does not exist. The account stays if another caller is
    /// loading it: the tailer must be able to find it there.
    fn remove_missing(&self, account: &Arc<Account>) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_kept = accounts.get(&account.id).is_some_and(|kept| Arc::ptr_eq(kept, account));
        // One reference is in the map, the other is the caller's.
        if is_kept && Arc::strong_count(account) <= 2 {
            accounts.remove(&account.id);
        }
    }

    fn register(&self, id: UserId) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() > 2 * IDLE_ACCOUNTS {
            accounts.retain(|_, account| Arc::strong_count(account) > 1);
        }
        let fresh = || Arc::new(Account { id, state: RwLock::new(None), generation: AtomicU64::new(0) });
        Arc::clone(accounts.entry(id).or_insert_with(fresh))
    }

    /// Updates the permissions for these events. Must finish before the events are published to subscribers.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached; `INTERNAL_SERVER_ERROR` if a statement fails.
    pub async fn apply<'e>(&self, store: &Arc<Store>, events: impl Iterator<Item = &'e Event>) -> Result<()> {
        let (mut touched, mut affected) = (Vec::new(), Vec::new());
        for event in events.filter(|event| event.kind.changes_access()) {
            match event.kind {
                EventKind::ChannelAdded => {
                    touched.extend(event.channel);
                    affected.extend(event.actor);
                }
                EventKind::ChannelUpdated | EventKind::ChannelDeleted => touched.extend(event.channel),
                _ => affected.extend(event.user),
            }
        }
        if touched.is_empty() && affected.is_empty() {
            return Ok(());
        }
        let accounts = self.registered(&affected);
        for account in &accounts {
            account.generation.fetch_add(1, Ordering::AcqRel);
        }
        let ids: Vec<UserId> = accounts.iter().map(|account| account.id).collect();
        let (visibilities, standings) = store
            .read(move |snapshot| {
                let visibilities = channels::visibilities(snapshot.db(), &touched)?;
                let standings = ids.iter().map(|id| load_state(snapshot.db(), *id)).collect::<Result<Vec<_>>>()?;
                Ok((visibilities, standings))
            })
            .await?;
        self.set_private(visibilities);
        for (account, user_state) in accounts.into_iter().zip(standings) {
            let mut state = account.state.write().unwrap_or_else(PoisonError::into_inner);
            account.generation.fetch_add(1, Ordering::AcqRel);
            *state = user_state.map(Arc::new);
        }
        Ok(())
    }

    /// Reloads all permissions, because the log has another history than before.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached; `INTERNAL_SERVER_ERROR` if a statement fails.
    pub async fn reload(&self, store: &Arc<Store>) -> Result<()> {
        let private = store.read(|snapshot| channels::private_ids(snapshot.db())).await?;
        *self.private.write().unwrap_or_else(PoisonError::into_inner) = private;
        let accounts: Vec<_> = {
            let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
            // Accounts without connections are loaded again when their users return.
            accounts.retain(|_, account| Arc::strong_count(account) > 1);
            accounts.values().cloned().collect()
        };
        for batch in accounts.chunks(RELOAD_BATCH) {
            self.load_accounts(store, batch).await?;
        }
        Ok(())
    }

    /// Loads the state of these accounts from one snapshot.
    async fn load_accounts(&self, store: &Arc<Store>, accounts: &[Arc<Account>]) -> Result<()> {
        for account in accounts {
            account.generation.fetch_add(1, Ordering::AcqRel);
        }
        let ids: Vec<UserId> = accounts.iter().map(|account| account.id).collect();
        let reading =
            store.read(move |snapshot| ids.iter().map(|id| load_state(snapshot.db(), *id)).collect::<Result<Vec<_>>>());
        for (account, user_state) in accounts.iter().zip(reading.await?) {
            let mut state = account.state.write().unwrap_or_else(PoisonError::into_inner);
            account.generation.fetch_add(1, Ordering::AcqRel);
            *state = user_state.map(Arc::new);
        }
        Ok(())
    }

    fn registered(&self, ids: &[UserId]) -> Vec<Arc<Account>> {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = ids.iter().filter_map(|id| accounts.get(id).cloned()).collect();
        found.sort_by_key(|account| account.id);
        found.dedup_by_key(|account| account.id);
        found
    }

    fn set_private(&self, visibilities: Vec<(ChannelId, Visibility)>) {
        let mut private = self.private.write().unwrap_or_else(PoisonError::into_inner);
        for (channel, visibility) in visibilities {
            match visibility {
                Visibility::Private => private.insert(channel),
                Visibility::Public => private.remove(&channel),
            };
        }
    }

    fn is_private(&self, channel: ChannelId) -> bool {
        self.private.read().unwrap_or_else(PoisonError::into_inner).contains(&channel)
    }
}

#[cfg(test)]
impl PermissionCache {
    /// A cache without accounts, for tests without a database.
    #[must_use]
    pub fn empty() -> Self {
        Self { private: RwLock::default(), accounts: Mutex::default() }
    }

    /// Replaces the state of a user, as the log tailer does. Returns the account.
    pub(super) fn set(&self, user_state: UserState) -> Arc<Account> {
        let account = self.register(user_state.user.id);
        *account.state.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(user_state));
        account
    }
}

fn load_state(db: &mut crate::store::Db, id: UserId) -> Result<Option<UserState>> {
    let Some(user) = users::find(db, id)? else { return Ok(None) };
    let rights = Arc::new(users::rights(db, &user)?);
    Ok(Some(UserState { user, rights }))
}

/// The identity behind a request or a subscription: an anonymous client, or a user with a session.
///
/// Every socket and every subscription has some, and each delivery reads one. So it is small, and the way to the account
/// is short.
#[derive(Clone)]
pub struct Viewer {
    permissions: Arc<PermissionCache>,
    identity: Identity,
    version: i64,
    signed_in_at: Timestamp,
}

#[derive(Clone)]
enum Identity {
    User(Arc<Account>),
    /// Boxed, because it is larger than an account's pointer.
    Anonymous(Box<CapacityKey>),
}

impl Viewer {
    /// An anonymous client at this address.
    #[must_use]
    pub fn anonymous(permissions: Arc<PermissionCache>, address: IpAddr) -> Self {
        let identity = Identity::Anonymous(Box::new(CapacityKey::Address(client_prefix(address))));
        Self { permissions, identity, version: 0, signed_in_at: Timestamp(0) }
    }

    /// A signed-in user with a token of version `version`, in a session that began at `signed_in_at`.
    #[must_use]
    pub fn signed_in(
        permissions: Arc<PermissionCache>,
        account: Arc<Account>,
        version: i64,
        signed_in_at: Timestamp,
    ) -> Self {
        Self { permissions, identity: Identity::User(account), version, signed_in_at }
    }

    /// When the session began; time 0 for an anonymous client.
    #[must_use]
    pub fn signed_in_at(&self) -> Timestamp {
        self.signed_in_at
    }

    /// The party whose share of the server's capacity and memory this viewer's requests take.
    #[must_use]
    pub fn party(&self) -> CapacityKey {
        match &self.identity {
            Identity::User(account) => CapacityKey::User(account.id),
            Identity::Anonymous(key) => **key,
        }
    }

    fn account(&self) -> Option<&Arc<Account>> {
        match &self.identity {
            Identity::User(account) => Some(account),
            Identity::Anonymous(_) => None,
        }
    }

    /// The user's id; `None` for an anonymous client.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        self.account().map(|account| account.id)
    }

    /// Whether the viewer may see users: who owns, writes, or is assigned. Anonymous clients may not.
    #[must_use]
    pub fn can_see_users(&self) -> bool {
        self.account().is_some()
    }

    /// The current state of the signed-in user.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the client is anonymous, or the session has ended.
    pub fn user_state(&self) -> Result<Arc<UserState>> {
        let account = self.account().ok_or_else(|| Error::Unauthenticated("sign in first".into()))?;
        let user_state = account.user_state().ok_or_else(session_ended)?;
        let valid = !user_state.user.disabled && user_state.user.token_version == self.version;
        if valid { Ok(user_state) } else { Err(session_ended()) }
    }

    /// Whether the session is still valid. Always true for an anonymous client.
    #[must_use]
    pub fn has_valid_session(&self) -> bool {
        self.account().is_none() || self.user_state().is_ok()
    }

    /// The current permissions. An anonymous client has the default permissions, which are empty.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the session has ended.
    pub fn rights(&self) -> Result<Arc<Rights>> {
        if self.account().is_none() { Ok(Arc::default()) } else { Ok(Arc::clone(&self.user_state()?.rights)) }
    }

    /// Whether the viewer may read the channel now.
    #[must_use]
    pub fn can_read(&self, channel: ChannelId) -> bool {
        if self.permissions.is_private(channel) { self.can_read_private(channel) } else { self.has_valid_session() }
    }

    /// Whether the viewer could read the channel if it were private: the user is an admin or a member.
    fn can_read_private(&self, channel: ChannelId) -> bool {
        self.user_state()
            .is_ok_and(|user_state| user_state.rights.admin || user_state.rights.channels.contains(&channel))
    }

    /// Whether the viewer may receive this event now.
    #[must_use]
    pub fn can_see(&self, event: &Event) -> bool {
        use EventKind as Kind;
        match event.kind {
            Kind::Genesis | Kind::SessionsEnded => false,
            Kind::AccessChanged => match event.user {
                Some(user) => self.user_id() == Some(user) && self.has_valid_session(),
                // A channel became public or private. Members and admins can read it before and after, so they need no
                // event.
                None => {
                    self.has_valid_session() && !event.channel.is_some_and(|channel| self.can_read_private(channel))
                }
            },
            Kind::TemplateAdded | Kind::TemplateDeleted => {
                self.user_state().is_ok_and(|user_state| user_state.rights.in_audience(&event.audience, event.owner))
            }
            // A notification without a user is for every valid viewer. One with a user is for that user alone.
            Kind::NotificationAdded => {
                self.has_valid_session() && event.user.is_none_or(|user| self.user_id() == Some(user))
            }
            Kind::MessageAdded
            | Kind::MessageUpdated
            | Kind::MessageDeleted
            | Kind::CommentAdded
            | Kind::CommentUpdated
            | Kind::CommentDeleted
            | Kind::ChannelAdded
            | Kind::ChannelUpdated
            | Kind::ChannelDeleted
            | Kind::RoomBroadcast => {
                event.channel.is_some_and(|channel| self.can_read(channel)) && self.in_audience_of(event)
            }
        }
    }

    fn in_audience_of(&self, event: &Event) -> bool {
        event.audience.is_unrestricted()
            || self.user_state().is_ok_and(|user_state| user_state.rights.in_audience(&event.audience, event.owner))
    }
}

fn session_ended() -> Error {
    Error::Unauthenticated("the session has ended: sign in again".into())
}
