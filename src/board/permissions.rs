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

use crate::auth::Claims;
use crate::error::{Error, Result};
use crate::model::{
    ApiKey, ApiKeyId, ApiScope, ApiScopes, CapacityKey, ChannelId, Event, EventKind, Freshness, KeyChannels, Rights,
    SessionId, Timestamp, User, UserId, Visibility, client_prefix,
};
use crate::store::{Store, api_keys, channels, sessions, users};

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
    /// Counts changes of users' names. What shows names is cached for one count.
    user_revision: AtomicU64,
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
    /// The sessions of the user that have not ended, in ascending order.
    pub sessions: Arc<[SessionId]>,
    /// The API key with which a program acts as the user; `None` for a session of the user.
    pub key: Option<KeyState>,
    /// The same user with each of the user's API keys.
    by_key: HashMap<ApiKeyId, Arc<Self>>,
}

/// What an API key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyState {
    /// The key.
    pub id: ApiKeyId,
    /// What the key may be used for.
    pub scopes: ApiScopes,
    /// The rate of mutations of the key; `None`: that of a user.
    pub mutations_per_second: Option<u32>,
    /// When the key expires, if it does.
    pub expires_at: Option<Timestamp>,
}

/// The session of a viewer, as the token describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSession {
    /// The token version of the user.
    pub version: i64,
    /// The session; `None` for a token that belongs to no session.
    pub id: Option<SessionId>,
    /// When the user signed in, or last used the refresh token.
    pub began: Timestamp,
}

impl TokenSession {
    /// No session, for an anonymous client and for an API key.
    const NONE: Self = Self { version: 0, id: None, began: Timestamp(0) };

    /// The session of a token.
    #[must_use]
    pub fn of(claims: &Claims) -> Self {
        Self { version: claims.version, id: claims.session, began: claims.signed_in_at }
    }
}

impl UserState {
    /// The state of a user who has these sessions, in ascending order, and these API keys.
    #[must_use]
    pub fn new(user: User, rights: Rights, sessions: Vec<SessionId>, keys: Vec<ApiKey>) -> Self {
        let by_key = keys.into_iter().map(|key| (key.id, Arc::new(Self::with_key(&user, &rights, key)))).collect();
        Self { user, rights: Arc::new(rights), sessions: sessions.into(), key: None, by_key }
    }

    fn with_key(user: &User, rights: &Rights, key: ApiKey) -> Self {
        let limit = key.channels.map(|channels| KeyChannels { key: key.id, channels: channels.into_iter().collect() });
        let rights = Arc::new(rights.narrowed(key.scopes.contains(ApiScope::Admin), limit));
        let ApiKey { id, scopes, mutations_per_second, expires_at, .. } = key;
        let key = Some(KeyState { id, scopes, mutations_per_second, expires_at });
        Self { user: user.clone(), rights, sessions: Arc::default(), key, by_key: HashMap::new() }
    }

    /// Checks that the viewer's API key, if there is one, has this scope.
    ///
    /// # Errors
    /// `FORBIDDEN` if the key does not have the scope.
    pub fn check_scope(&self, scope: ApiScope) -> Result<()> {
        if self.key.is_none_or(|key| key.scopes.allow(scope)) {
            return Ok(());
        }
        Err(Error::Forbidden(format!("this API key does not have the scope {}", scope.name())))
    }

    /// Checks that the viewer has a session, for changes of the own account.
    ///
    /// # Errors
    /// `FORBIDDEN` for an API key.
    pub fn check_session(&self) -> Result<()> {
        if self.key.is_none() { Ok(()) } else { Err(Error::Forbidden("an API key cannot do this: sign in".into())) }
    }

    /// Checks that the viewer is not limited to the channels of an API key.
    ///
    /// # Errors
    /// `FORBIDDEN` if the viewer is.
    pub fn check_unlimited(&self) -> Result<()> {
        if self.rights.limit.is_none() {
            return Ok(());
        }
        Err(Error::Forbidden("this API key is limited to channels, and this belongs to none".into()))
    }

    /// Checks that the user is an admin.
    ///
    /// # Errors
    /// `FORBIDDEN` if the user is not an admin.
    pub fn check_admin(&self) -> Result<()> {
        if self.rights.admin { Ok(()) } else { Err(Error::Forbidden("only an admin may do this".into())) }
    }
}

impl Account {
    fn is_behind(&self, session: TokenSession) -> bool {
        self.user_state().is_some_and(|state| {
            state.user.token_version < session.version || session.id.is_some_and(|id| state.user.last_session < id)
        })
    }

    /// Whether the cached state lacks a key that the database has.
    fn lacks(&self, key: ApiKeyId) -> bool {
        self.user_state().is_some_and(|user_state| !user_state.by_key.contains_key(&key))
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
        Ok(Self { private: RwLock::new(private), accounts: Mutex::default(), user_revision: AtomicU64::new(0) })
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

    /// Reloads a cached account that is older than the session of a token that was presented.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the account kept changing, or if the database cannot be reached; `INTERNAL_SERVER_ERROR` if a
    /// statement fails.
    pub async fn catch_up(&self, store: &Arc<Store>, account: &Account, session: TokenSession) -> Result<()> {
        self.reload_while(store, account, |account| account.is_behind(session)).await
    }

    /// Reloads a cached account that does not contain this key of the user, which may be new.
    ///
    /// # Errors
    /// As [`Self::catch_up`].
    pub async fn catch_up_with_key(&self, store: &Arc<Store>, account: &Account, key: ApiKeyId) -> Result<()> {
        self.reload_while(store, account, |account| account.lacks(key)).await
    }

    async fn reload_while(
        &self,
        store: &Arc<Store>,
        account: &Account,
        is_outdated: impl Fn(&Account) -> bool,
    ) -> Result<()> {
        let id = account.id;
        // A load is discarded if the tailer changes the account meanwhile. The tailer's own load can be older than
        // the session.
        for _ in 0..CATCH_UP_ATTEMPTS {
            if !is_outdated(account) {
                return Ok(());
            }
            let generation = account.generation.load(Ordering::Acquire);
            let user_state = store
                .read_for(Freshness::Newest, CapacityKey::User(id), move |snapshot| load_state(snapshot.db(), id))
                .await?;
            let mut state = account.state.write().unwrap_or_else(PoisonError::into_inner);
            if account.generation.load(Ordering::Acquire) == generation {
                // If the state is still outdated, the token belongs to a history of the log that was lost, or the key was
                // revoked meanwhile.
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

    /// A number that grows when the names of a user change.
    #[must_use]
    pub fn user_revision(&self) -> u64 {
        self.user_revision.load(Ordering::Acquire)
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
                EventKind::UserUpdated => {
                    affected.push(UserId(event.object));
                    self.user_revision.fetch_add(1, Ordering::AcqRel);
                }
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
        Self { private: RwLock::default(), accounts: Mutex::default(), user_revision: AtomicU64::new(0) }
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
    let rights = users::rights(db, &user)?;
    let sessions = sessions::ids_of_user(db, id)?;
    let keys = api_keys::unrevoked_of(db, id)?;
    Ok(Some(UserState::new(user, rights, sessions, keys)))
}

/// The identity behind a request or a subscription: an anonymous client, or a user with a session.
///
/// Every socket and every subscription has some, and each delivery reads one. So it is small, and the way to the account
/// is short.
#[derive(Clone)]
pub struct Viewer {
    permissions: Arc<PermissionCache>,
    identity: Identity,
    session: TokenSession,
}

#[derive(Clone)]
enum Identity {
    User(Arc<Account>),
    /// A program with an API key of the user. Boxed to keep the enum small.
    Key(Box<(Arc<Account>, ApiKeyId)>),
    /// Boxed, because it is larger than an account's pointer.
    Anonymous(Box<CapacityKey>),
}

impl Viewer {
    /// An anonymous client at this address.
    #[must_use]
    pub fn anonymous(permissions: Arc<PermissionCache>, address: IpAddr) -> Self {
        let identity = Identity::Anonymous(Box::new(CapacityKey::Address(client_prefix(address))));
        Self { permissions, identity, session: TokenSession::NONE }
    }

    /// A signed-in user with a token of this session.
    #[must_use]
    pub fn signed_in(permissions: Arc<PermissionCache>, account: Arc<Account>, session: TokenSession) -> Self {
        Self { permissions, identity: Identity::User(account), session }
    }

    /// A program that acts as the user of this account with an API key.
    #[must_use]
    pub fn with_key(permissions: Arc<PermissionCache>, account: Arc<Account>, key: ApiKeyId) -> Self {
        let identity = Identity::Key(Box::new((account, key)));
        Self { permissions, identity, session: TokenSession::NONE }
    }

    /// The session, as the token describes it. For an anonymous client and an API key it began at time 0.
    #[must_use]
    pub fn session(&self) -> TokenSession {
        self.session
    }

    /// The party whose share of the server's capacity and memory this viewer's requests take.
    #[must_use]
    pub fn party(&self) -> CapacityKey {
        match &self.identity {
            Identity::User(account) => CapacityKey::User(account.id),
            Identity::Key(key) => CapacityKey::User(key.0.id),
            Identity::Anonymous(key) => **key,
        }
    }

    fn account(&self) -> Option<&Arc<Account>> {
        match &self.identity {
            Identity::User(account) => Some(account),
            Identity::Key(key) => Some(&key.0),
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

    /// The current state of the signed-in user, whatever the viewer is going to do.
    fn valid_state(&self) -> Result<Arc<UserState>> {
        let account = self.account().ok_or_else(|| Error::Unauthenticated("sign in first".into()))?;
        let user_state = account.user_state().ok_or_else(session_ended)?;
        if user_state.user.disabled {
            return Err(session_ended());
        }
        if let Identity::Key(key) = &self.identity {
            return valid_key(&user_state, key.1);
        }
        let is_running = |id: SessionId| user_state.sessions.binary_search(&id).is_ok();
        let valid = user_state.user.token_version == self.session.version && self.session.id.is_none_or(is_running);
        if valid { Ok(user_state) } else { Err(session_ended()) }
    }

    /// The API key with which the viewer acts.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if there is none, or it was revoked or has expired.
    pub fn key_state(&self) -> Result<KeyState> {
        self.valid_state()?.key.ok_or_else(|| Error::Unauthenticated("this is not an API key".into()))
    }

    /// The current state of the signed-in user, for a viewer who does what needs this scope.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the client is anonymous, or the session has ended. `FORBIDDEN` if the viewer's API key does
    /// not have the scope.
    pub fn state_in(&self, scope: ApiScope) -> Result<Arc<UserState>> {
        let user_state = self.valid_state()?;
        user_state.check_scope(scope)?;
        Ok(user_state)
    }

    /// The current state of the signed-in user, for a viewer who reads.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the client is anonymous, or the session has ended. `FORBIDDEN` if the viewer's API key does
    /// not have the scope `READ`.
    pub fn user_state(&self) -> Result<Arc<UserState>> {
        self.state_in(ApiScope::Read)
    }

    /// The current state of a user with a session, for changes of the own account and its sessions.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the client is anonymous, or the session has ended. `FORBIDDEN` for an API key.
    pub fn session_state(&self) -> Result<Arc<UserState>> {
        let user_state = self.valid_state()?;
        user_state.check_session()?;
        Ok(user_state)
    }

    /// Whether the session is still valid. Always true for an anonymous client.
    #[must_use]
    pub fn has_valid_session(&self) -> bool {
        self.check_session().is_ok()
    }

    /// Checks that the session is still valid. It always is for an anonymous client.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the session has ended.
    pub fn check_session(&self) -> Result<()> {
        if self.account().is_none() { Ok(()) } else { self.valid_state().map(drop) }
    }

    /// The current permissions of a viewer who reads. An anonymous client has the default permissions, which are empty.
    ///
    /// # Errors
    /// As [`Self::user_state`].
    pub fn rights(&self) -> Result<Arc<Rights>> {
        if self.account().is_none() { Ok(Arc::default()) } else { Ok(Arc::clone(&self.user_state()?.rights)) }
    }

    /// Whether the viewer may read what all viewers may read. False if the session has ended, or the viewer's API key does
    /// not have the scope `READ`.
    fn can_read_anything(&self) -> bool {
        self.account().is_none() || self.user_state().is_ok()
    }

    /// Whether the viewer may read the channel now.
    #[must_use]
    pub fn can_read(&self, channel: ChannelId) -> bool {
        if self.permissions.is_private(channel) {
            return self.can_read_private(channel);
        }
        match &self.identity {
            Identity::Key(_) => self.user_state().is_ok_and(|user_state| user_state.rights.includes(channel)),
            Identity::User(_) | Identity::Anonymous(_) => self.has_valid_session(),
        }
    }

    /// Whether the viewer could read the channel if it were private: the user is an admin or a member.
    fn can_read_private(&self, channel: ChannelId) -> bool {
        self.user_state().is_ok_and(|user_state| {
            let rights = &user_state.rights;
            (rights.admin || rights.channels.contains(&channel)) && rights.includes(channel)
        })
    }

    /// Whether the channel is among those that the viewer's API key is limited to.
    fn includes(&self, channel: ChannelId) -> bool {
        self.account().is_none() || self.user_state().is_ok_and(|user_state| user_state.rights.includes(channel))
    }

    /// Checks that the viewer may read what belongs to no channel.
    ///
    /// # Errors
    /// As [`Self::rights`]. `FORBIDDEN` if the viewer's API key is limited to channels.
    pub fn check_unlimited(&self) -> Result<()> {
        if self.account().is_none() { Ok(()) } else { self.user_state()?.check_unlimited() }
    }

    /// Whether the viewer may see what belongs to no channel.
    fn is_unlimited(&self) -> bool {
        self.check_unlimited().is_ok()
    }

    /// Whether the viewer may receive this event now.
    #[must_use]
    pub fn can_see(&self, event: &Event) -> bool {
        use EventKind as Kind;
        match event.kind {
            Kind::Genesis | Kind::SessionsEnded | Kind::UserErased | Kind::MetricPublished | Kind::EventTypeChanged => {
                false
            }
            Kind::AccessChanged => match event.user {
                Some(user) => self.user_id() == Some(user) && self.can_read_anything(),
                // A channel became public or private. Members and admins can read it before and after, so they need no
                // event.
                None => {
                    self.can_read_anything()
                        && event.channel.is_none_or(|channel| self.includes(channel) && !self.can_read_private(channel))
                }
            },
            Kind::UserUpdated => self.account().is_some() && self.is_unlimited(),
            Kind::TemplateAdded | Kind::TemplateDeleted => {
                self.is_unlimited()
                    && self
                        .user_state()
                        .is_ok_and(|user_state| user_state.rights.in_audience(&event.audience, event.owner))
            }
            // A notification without a user is for every valid viewer. One with a user is for that user alone.
            Kind::NotificationAdded => {
                self.is_unlimited() && event.user.is_none_or(|user| self.user_id() == Some(user))
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
            | Kind::RoomBroadcast
            | Kind::AppEvent => {
                event.channel.is_some_and(|channel| self.can_read(channel)) && self.in_audience_of(event)
            }
        }
    }

    fn in_audience_of(&self, event: &Event) -> bool {
        event.audience.is_unrestricted()
            || self.user_state().is_ok_and(|user_state| user_state.rights.in_audience(&event.audience, event.owner))
    }
}

/// The state of a user with an API key that is neither revoked nor expired.
fn valid_key(user_state: &UserState, key: ApiKeyId) -> Result<Arc<UserState>> {
    let by_key = user_state.by_key.get(&key).filter(|with_key| {
        with_key.key.and_then(|key| key.expires_at).is_none_or(|expires_at| Timestamp::now() < expires_at)
    });
    by_key.cloned().ok_or_else(|| Error::Unauthenticated("the API key was revoked or has expired".into()))
}

fn session_ended() -> Error {
    Error::Unauthenticated("the session has ended: sign in again".into())
}
