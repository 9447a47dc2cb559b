//! Who may see what, decided from an event's fields alone and by the rights of this moment. The
//! same rule as SQL conditions is `store::visible`; a property test holds the two together.
//!
//! Rights live here once per signed-in user and instance. An account is registered before it is
//! loaded, and the tail reloads it before any reader moves past a change: nobody is ever served
//! by rights older than the event.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::error::{Error, Result};
use crate::model::{ChannelId, Event, EventKind, Party, Rights, Timestamp, User, UserId, Visibility, household};
use crate::store::{Store, channels, users};

/// How many accounts are kept for users who are not connected.
const KEPT: usize = 10_000;

/// How many accounts are reloaded from one snapshot.
const RELOADED: usize = 256;

/// How often an account is looked up that somebody knows to be newer.
const CATCH_UP_TRIES: usize = 20;

/// The rights of everybody this instance serves.
pub struct Access {
    private: RwLock<HashSet<ChannelId>>,
    accounts: Mutex<HashMap<UserId, Arc<Account>>>,
}

/// A signed-in user, kept up to date.
pub struct Account {
    id: UserId,
    state: RwLock<Option<Arc<Standing>>>,
    /// Counts the changes that passed, so that a load which one overtook is done again.
    generation: AtomicU64,
}

/// What is known of a user at one moment.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The user.
    pub user: User,
    /// What they may see.
    pub rights: Arc<Rights>,
}

impl Account {
    fn is_behind(&self, version: i64) -> bool {
        self.standing().is_some_and(|standing| standing.user.token_version < version)
    }

    fn standing(&self) -> Option<Arc<Standing>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Access {
    /// Loads what everybody's rights depend on.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn load(store: &Arc<Store>) -> Result<Self> {
        let private = store.read(|snapshot| channels::private_ids(snapshot.db())).await?;
        Ok(Self { private: RwLock::new(private), accounts: Mutex::default() })
    }

    /// A user's account; `None` if there is no such user.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn account(&self, store: &Arc<Store>, id: UserId) -> Result<Option<Arc<Account>>> {
        let account = self.register(id);
        while account.standing().is_none() {
            let generation = account.generation.load(Ordering::Acquire);
            let reading = store.read_for(Party::User(id), move |snapshot| standing(snapshot.db(), id));
            let Some(standing) = reading.await? else {
                self.forget(&account);
                return Ok(None);
            };
            let mut state = account.state.write().unwrap_or_else(PoisonError::into_inner);
            if account.generation.load(Ordering::Acquire) == generation {
                *state = Some(Arc::new(standing));
            }
        }
        Ok(Some(account))
    }

    /// Brings an account up to a token version that is newer than what is known here.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn catch_up(&self, store: &Arc<Store>, account: &Account, version: i64) -> Result<()> {
        let id = account.id;
        // A load that the tail overtakes is not kept, and what the tail has loaded may not be there yet.
        for _ in 0..CATCH_UP_TRIES {
            if !account.is_behind(version) {
                return Ok(());
            }
            let generation = account.generation.load(Ordering::Acquire);
            let standing = store.read_for(Party::User(id), move |snapshot| standing(snapshot.db(), id)).await?;
            let mut state = account.state.write().unwrap_or_else(PoisonError::into_inner);
            if account.generation.load(Ordering::Acquire) == generation {
                // Still behind, it is a version of a history that was lost.
                *state = standing.map(Arc::new);
                return Ok(());
            }
        }
        Err(Error::Unavailable("the account is changing; try again".into()))
    }

    /// Forgets an account that turned out not to exist, unless another caller waits for the same one: that one must stay
    /// where the tail finds it.
    fn forget(&self, account: &Arc<Account>) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_kept = accounts.get(&account.id).is_some_and(|kept| Arc::ptr_eq(kept, account));
        // One is in the map, the other is the caller's.
        if is_kept && Arc::strong_count(account) <= 2 {
            accounts.remove(&account.id);
        }
    }

    fn register(&self, id: UserId) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() > 2 * KEPT {
            accounts.retain(|_, account| Arc::strong_count(account) > 1);
        }
        let fresh = || Arc::new(Account { id, state: RwLock::new(None), generation: AtomicU64::new(0) });
        Arc::clone(accounts.entry(id).or_insert_with(fresh))
    }

    /// Brings the rights up to these events, before anybody is served them.
    ///
    /// # Errors
    /// Those of the database.
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
        let accounts = self.known(&affected);
        for account in &accounts {
            account.generation.fetch_add(1, Ordering::AcqRel);
        }
        let ids: Vec<UserId> = accounts.iter().map(|account| account.id).collect();
        let (visibilities, standings) = store
            .read(move |snapshot| {
                let visibilities = channels::visibilities(snapshot.db(), &touched)?;
                let standings = ids.iter().map(|id| standing(snapshot.db(), *id)).collect::<Result<Vec<_>>>()?;
                Ok((visibilities, standings))
            })
            .await?;
        self.set_private(visibilities);
        for (account, standing) in accounts.into_iter().zip(standings) {
            let mut state = account.state.write().unwrap_or_else(PoisonError::into_inner);
            account.generation.fetch_add(1, Ordering::AcqRel);
            *state = standing.map(Arc::new);
        }
        Ok(())
    }

    /// Reloads everything: the log is another one than it was.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn reload(&self, store: &Arc<Store>) -> Result<()> {
        let private = store.read(|snapshot| channels::private_ids(snapshot.db())).await?;
        *self.private.write().unwrap_or_else(PoisonError::into_inner) = private;
        let accounts: Vec<_> = {
            let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
            // Those without a connection are loaded when they come.
            accounts.retain(|_, account| Arc::strong_count(account) > 1);
            accounts.values().cloned().collect()
        };
        for some in accounts.chunks(RELOADED) {
            self.load_again(store, some).await?;
        }
        Ok(())
    }

    /// Loads these accounts from one snapshot.
    async fn load_again(&self, store: &Arc<Store>, accounts: &[Arc<Account>]) -> Result<()> {
        for account in accounts {
            account.generation.fetch_add(1, Ordering::AcqRel);
        }
        let ids: Vec<UserId> = accounts.iter().map(|account| account.id).collect();
        let reading =
            store.read(move |snapshot| ids.iter().map(|id| standing(snapshot.db(), *id)).collect::<Result<Vec<_>>>());
        for (account, standing) in accounts.iter().zip(reading.await?) {
            let mut state = account.state.write().unwrap_or_else(PoisonError::into_inner);
            account.generation.fetch_add(1, Ordering::AcqRel);
            *state = standing.map(Arc::new);
        }
        Ok(())
    }

    fn known(&self, ids: &[UserId]) -> Vec<Arc<Account>> {
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

fn standing(db: &mut crate::store::Db, id: UserId) -> Result<Option<Standing>> {
    let Some(user) = users::find(db, id)? else { return Ok(None) };
    let rights = Arc::new(users::rights(db, &user)?);
    Ok(Some(Standing { user, rights }))
}

/// Somebody who reads, and the session in which they do.
#[derive(Clone)]
pub struct Viewer {
    access: Arc<Access>,
    account: Option<Arc<Account>>,
    version: i64,
    signed_in_at: Timestamp,
    party: Party,
}

impl Viewer {
    /// An anonymous reader at this address.
    #[must_use]
    pub fn anonymous(access: Arc<Access>, address: IpAddr) -> Self {
        let party = Party::Address(household(address));
        Self { access, account: None, version: 0, signed_in_at: Timestamp(0), party }
    }

    /// A signed-in user with a token of this version, in a session that began then.
    #[must_use]
    pub fn signed_in(access: Arc<Access>, account: Arc<Account>, version: i64, signed_in_at: Timestamp) -> Self {
        let party = Party::User(account.id);
        Self { access, account: Some(account), version, signed_in_at, party }
    }

    /// When the session began.
    #[must_use]
    pub fn signed_in_at(&self) -> Timestamp {
        self.signed_in_at
    }

    /// Whose share of the server's capacity and memory is taken by what this viewer asks for.
    #[must_use]
    pub fn party(&self) -> Party {
        self.party
    }

    /// Who it is; `None` is an anonymous reader.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        self.account.as_ref().map(|account| account.id)
    }

    /// What is known of the user now.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if nobody is signed in, or the session has ended.
    pub fn standing(&self) -> Result<Arc<Standing>> {
        let account = self.account.as_ref().ok_or_else(|| Error::Unauthenticated("sign in first".into()))?;
        let standing = account.standing().ok_or_else(ended)?;
        let valid = !standing.user.disabled && standing.user.token_version == self.version;
        if valid { Ok(standing) } else { Err(ended()) }
    }

    /// What is known of an admin now. Who decides by it asks again in the transaction: only there it
    /// is as new as the log.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`; `FORBIDDEN` for everybody else.
    pub fn admin(&self) -> Result<Arc<Standing>> {
        let standing = self.standing()?;
        if standing.rights.admin { Ok(standing) } else { Err(Error::Forbidden("only an admin may do this".into())) }
    }

    /// Whether the session still holds; an anonymous reader's always does.
    #[must_use]
    pub fn is_welcome(&self) -> bool {
        self.account.is_none() || self.standing().is_ok()
    }

    /// The rights of this moment.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the session has ended.
    pub fn rights(&self) -> Result<Arc<Rights>> {
        if self.account.is_none() { Ok(Arc::default()) } else { Ok(Arc::clone(&self.standing()?.rights)) }
    }

    /// Whether the channel may be read.
    #[must_use]
    pub fn reads(&self, channel: ChannelId) -> bool {
        if self.access.is_private(channel) { self.belongs_to(channel) } else { self.is_welcome() }
    }

    /// Whether the channel may be read even when it is private.
    fn belongs_to(&self, channel: ChannelId) -> bool {
        self.standing().is_ok_and(|standing| standing.rights.admin || standing.rights.channels.contains(&channel))
    }

    /// Whether this event exists for the viewer now.
    #[must_use]
    pub fn sees(&self, event: &Event) -> bool {
        use EventKind as Kind;
        match event.kind {
            Kind::Genesis | Kind::SessionsEnded => false,
            Kind::AccessChanged => match event.user {
                Some(user) => self.user_id() == Some(user) && self.is_welcome(),
                // A channel became public or private: nothing changed for those who belong to it.
                None => self.is_welcome() && !event.channel.is_some_and(|channel| self.belongs_to(channel)),
            },
            Kind::TemplateAdded | Kind::TemplateDeleted => {
                self.standing().is_ok_and(|standing| standing.rights.in_audience(&event.audience, event.owner))
            }
            // Whoever may read at all hears what is announced to all; a note is its user's alone.
            Kind::NotificationAdded => self.is_welcome() && event.user.is_none_or(|user| self.user_id() == Some(user)),
            Kind::MessageAdded
            | Kind::MessageUpdated
            | Kind::MessageDeleted
            | Kind::CommentAdded
            | Kind::CommentUpdated
            | Kind::CommentDeleted
            | Kind::ChannelAdded
            | Kind::ChannelUpdated
            | Kind::ChannelDeleted
            | Kind::RoomBroadcast => event.channel.is_some_and(|channel| self.reads(channel)) && self.hears(event),
        }
    }

    fn hears(&self, event: &Event) -> bool {
        event.audience.is_everybody()
            || self.standing().is_ok_and(|standing| standing.rights.in_audience(&event.audience, event.owner))
    }
}

fn ended() -> Error {
    Error::Unauthenticated("the session has ended: sign in again".into())
}
