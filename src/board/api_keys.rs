//! API keys: programs act with them as a user, within the scopes and the channels of the key.

#[cfg(test)]
pub(super) mod tests;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::commands::{Commands, ViewerCommand};
use super::permissions::{PermissionCache, UserState};
use super::{Viewer, validate};
use crate::auth::{api_key_digest, generate_api_key_secret};
use crate::capacity::RecentMap;
use crate::error::{Error, Result};
use crate::model::{
    ApiKey, ApiKeyId, ApiScope, ApiScopes, CapacityKey, ChannelId, EventBody, EventKind, Freshness, Role, Timestamp,
    UserId,
};
use crate::store::api_keys::{self, MAX_KEYS};
use crate::store::{BatchState, Effects, Needs, NewEvent, SingleWrite, Store, WriteCommand};

/// The greatest number of channels that a key is limited to.
const MAX_CHANNELS: usize = 100;
/// The greatest rate of mutations of a key.
const MAX_RATE: u32 = 100_000;
/// The longest name of a key, in characters.
const MAX_NAME: usize = 100;
/// Half of the number of secrets that an instance knows without asking the database.
const KNOWN_SECRETS: usize = 1_000;
/// How long an instance knows a secret.
const KNOWN_FOR: Duration = Duration::from_secs(600);
/// How long a key that was revoked or has expired is still listed.
const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The caller whose share of the read capacity the lookups of unknown secrets take.
const UNKNOWN_CALLER: CapacityKey = CapacityKey::Address(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

/// The input for a new API key.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// What the key is for.
    pub name: String,
    /// The user as whom the key acts.
    pub user: UserId,
    /// What the key may be used for.
    pub scopes: Vec<ApiScope>,
    /// The channels that the key is limited to; `None`: it is not limited.
    pub channels: Option<Vec<ChannelId>>,
    /// The rate of mutations of the key; `None`: that of a user.
    pub mutations_per_second: Option<u32>,
    /// When the key expires; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// The use cases of API keys, and their authentication.
pub struct ApiKeys {
    commands: Arc<Commands>,
    store: Arc<Store>,
    permissions: Arc<PermissionCache>,
    /// The keys of secrets that were used, by the digest of the secret. Whether a key is still valid is part of the
    /// user's permissions.
    known: Mutex<RecentMap<String, Option<(ApiKeyId, UserId)>>>,
    /// When keys were used, since the times were last written.
    uses: Mutex<HashMap<ApiKeyId, Timestamp>>,
}

impl ApiKeys {
    pub(super) fn new(commands: Arc<Commands>, store: Arc<Store>, permissions: Arc<PermissionCache>) -> Self {
        Self {
            commands,
            store,
            permissions,
            known: Mutex::new(RecentMap::new(KNOWN_FOR, KNOWN_SECRETS)),
            uses: Mutex::default(),
        }
    }

    /// Creates a key. Returns it with its secret, which cannot be read again.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `FORBIDDEN` if the viewer is not an admin. `BAD_USER_INPUT` for an
    /// invalid field. `NOT_FOUND` if the user or a channel does not exist. `CONFLICT` if there are too many keys.
    /// `RATE_LIMITED` if the viewer's budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn create(&self, viewer: &Viewer, new: NewApiKey) -> Result<(ApiKey, String)> {
        self.commands.actor(viewer)?;
        let (command, secret) = CreateApiKey::new(&new)?;
        Ok((self.commands.run_access(viewer, command).await?, secret))
    }

    /// Creates a key for an operator. See [`Self::create`].
    ///
    /// # Errors
    /// As [`Self::create`], but for those about the viewer.
    pub async fn add(&self, new: NewApiKey) -> Result<(ApiKey, String)> {
        let (command, secret) = CreateApiKey::new(&new)?;
        Ok((self.commands.write_access(command).await?, secret))
    }

    /// Revokes a key. Its connections end at once, on all instances.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `FORBIDDEN` if the viewer is not an admin. `NOT_FOUND` if the key does
    /// not exist. `RATE_LIMITED` if the viewer's budget of mutations is used up. `UNAVAILABLE` if the database cannot be
    /// reached.
    pub async fn revoke(&self, viewer: &Viewer, id: ApiKeyId) -> Result<ApiKey> {
        self.commands.actor(viewer)?;
        self.commands.run_access(viewer, RevokeApiKey(id)).await
    }

    /// Revokes a key for an operator. See [`Self::revoke`].
    ///
    /// # Errors
    /// `NOT_FOUND` if the key does not exist. `UNAVAILABLE` if the database cannot be reached.
    pub async fn withdraw(&self, id: ApiKeyId) -> Result<ApiKey> {
        self.commands.write_access(RevokeApiKey(id)).await
    }

    /// All keys, for an operator.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached.
    pub async fn all(&self) -> Result<Vec<ApiKey>> {
        self.store.read(|snapshot| api_keys::all(snapshot.db())).await
    }

    /// The viewer who presents this secret, and the time at which the key expires.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if there is no such key, or it was revoked or has expired, or its user is disabled.
    /// `UNAVAILABLE` if the database cannot be reached.
    pub(super) async fn authenticate(&self, secret: &str) -> Result<(Viewer, Option<Timestamp>)> {
        let digest = api_key_digest(secret).ok_or_else(unknown_key)?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).copied().flatten();
        if let Some((key, user)) = known {
            return self.viewer(key, user).await;
        }
        let (now, sought) = (Timestamp::now(), digest.clone());
        let reading = self.store.read_for(Freshness::Newest, UNKNOWN_CALLER, move |snapshot| {
            api_keys::by_digest(snapshot.db(), &sought, now)
        });
        let (key, user) = reading.await?.ok_or_else(unknown_key)?;
        let found = self.viewer(key, user).await?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner).touch(digest, Instant::now()) = Some((key, user));
        Ok(found)
    }

    async fn viewer(&self, key: ApiKeyId, user: UserId) -> Result<(Viewer, Option<Timestamp>)> {
        let account = self.permissions.account(&self.store, user).await?.ok_or_else(unknown_key)?;
        self.permissions.catch_up_with_key(&self.store, &account, key).await?;
        let viewer = Viewer::with_key(Arc::clone(&self.permissions), account, key);
        let expires_at = viewer.key_state()?.expires_at;
        self.uses.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Timestamp::now());
        Ok((viewer, expires_at))
    }

    /// Writes when keys were used on this instance since the last call.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached. The times are then lost.
    pub async fn record_uses(&self) -> Result<()> {
        let uses = std::mem::take(&mut *self.uses.lock().unwrap_or_else(PoisonError::into_inner));
        let uses: Vec<_> = uses.into_iter().collect();
        if uses.is_empty() {
            return Ok(());
        }
        self.store.maintain(move |db| api_keys::record_uses(db, &uses)).await
    }

    /// Removes keys that were revoked or have expired long ago.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached.
    pub(super) async fn remove_old(&self) -> Result<()> {
        let before = Timestamp::now().before(KEEP);
        self.store.maintain(move |db| api_keys::remove_old(db, before)).await
    }
}

fn unknown_key() -> Error {
    Error::Unauthenticated("there is no such API key, or it was revoked or has expired".into())
}

struct CreateApiKey {
    /// The key, without its id and the time of its creation.
    key: ApiKey,
    digest: String,
}

impl CreateApiKey {
    fn new(new: &NewApiKey) -> Result<(Self, String)> {
        let name = validate::name("name", &new.name, MAX_NAME)?;
        if new.scopes.is_empty() {
            return Err(Error::input("scopes", "a key needs at least one scope"));
        }
        let channels: Option<Vec<ChannelId>> =
            new.channels.as_ref().map(|ids| ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect());
        if let Some(channels) = &channels {
            if channels.is_empty() || channels.len() > MAX_CHANNELS {
                return Err(Error::input(
                    "channelIds",
                    format!("give 1 to {MAX_CHANNELS} channels, or leave them out"),
                ));
            }
            if new.scopes.contains(&ApiScope::Admin) {
                return Err(Error::input("channelIds", "a key with the scope ADMIN cannot be limited to channels"));
            }
        }
        if new.mutations_per_second.is_some_and(|rate| rate == 0 || rate > MAX_RATE) {
            return Err(Error::input("mutationsPerSecond", format!("must be 1 to {MAX_RATE}")));
        }
        if new.expires_at.is_some_and(|at| at <= Timestamp::now()) {
            return Err(Error::input("expiresAt", "must be in the future"));
        }
        let (secret, created_at) = (generate_api_key_secret(), Timestamp(0));
        let key = ApiKey {
            id: ApiKeyId(-1),
            name,
            user_id: new.user,
            scopes: ApiScopes::of(&new.scopes),
            channels,
            mutations_per_second: new.mutations_per_second,
            created_at,
            expires_at: new.expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        let digest = api_key_digest(&secret).ok_or_else(|| Error::internal("a secret without the form of one"))?;
        Ok((Self { key, digest }, secret))
    }

    fn name_needs(&self, needs: &mut Needs) {
        needs.user(self.key.user_id);
        self.key.channels.iter().flatten().for_each(|id| needs.channel(*id));
        needs.api_key_count();
    }

    fn create(&self, state: &BatchState) -> Result<(ApiKey, Effects)> {
        let user = state.user(self.key.user_id)?;
        if user.disabled {
            return Err(Error::input("userId", "the user is disabled or deleted"));
        }
        if self.key.scopes.contains(ApiScope::Admin) && user.role != Role::Admin {
            return Err(Error::input("scopes", "ADMIN needs a user who is an admin"));
        }
        if self.key.channels.iter().flatten().any(|id| !state.has_channel(*id)) {
            return Err(Error::NotFound("channel"));
        }
        if state.api_key_count()? >= MAX_KEYS {
            return Err(Error::Conflict(format!("there are {MAX_KEYS} API keys already")));
        }
        let key = ApiKey { created_at: state.now(), ..self.key.clone() };
        let mut effects = state.effects();
        effects.write(SingleWrite::AddApiKey(key.clone(), self.digest.clone()));
        Ok((key, effects))
    }
}

impl WriteCommand for CreateApiKey {
    type Output = ApiKey;

    fn needs(&self, needs: &mut Needs) {
        self.name_needs(needs);
    }

    fn decide(&self, state: &BatchState) -> Result<(ApiKey, Effects)> {
        self.create(state)
    }
}

impl ViewerCommand for CreateApiKey {
    type Output = ApiKey;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        self.name_needs(needs);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(ApiKey, Effects)> {
        actor.check_admin()?;
        self.create(state)
    }
}

struct RevokeApiKey(ApiKeyId);

impl RevokeApiKey {
    fn revoke(&self, actor: Option<UserId>, state: &BatchState) -> Result<(ApiKey, Effects)> {
        let (mut key, mut effects) = (state.api_key(self.0)?.clone(), state.effects());
        if key.revoked_at.is_none() {
            key.revoked_at = Some(state.now());
            effects.write(SingleWrite::RevokeApiKey(key.id));
            // Every instance reloads the permissions of the user, and checks the user's connections.
            let ended = NewEvent::new(EventKind::SessionsEnded, key.user_id.0, actor).for_user(key.user_id);
            effects.record(ended, EventBody::None);
        }
        Ok((key, effects))
    }
}

impl WriteCommand for RevokeApiKey {
    type Output = ApiKey;

    fn needs(&self, needs: &mut Needs) {
        needs.api_key(self.0);
    }

    fn decide(&self, state: &BatchState) -> Result<(ApiKey, Effects)> {
        self.revoke(None, state)
    }
}

impl ViewerCommand for RevokeApiKey {
    type Output = ApiKey;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.api_key(self.0);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(ApiKey, Effects)> {
        actor.check_admin()?;
        self.revoke(Some(actor.user.id), state)
    }
}
