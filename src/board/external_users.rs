//! Users of other issuers. The first token of a user creates the account. Later tokens update the name, the email address
//! and the role, but only when these differ from what is stored.

mod arrivals;
mod names;
#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::arrivals::Arrivals;
use self::names::StoredProfile;
use super::Viewer;
use super::commands::Commands;
use super::permissions::{Account, PermissionCache, TokenSession};
use super::records::{record_access_changed, record_user_updated};
use crate::auth::{TrustedIssuers, VerifiedToken};
use crate::capacity::RecentMap;
use crate::error::{Error, Result};
use crate::model::{CapacityKey, ExternalIdentity, Role, Timestamp, User, UserId};
use crate::store::{BatchState, Effects, Needs, SingleWrite, Store, WriteCommand};

/// Half of the number of identities that an instance knows without asking the database.
const KNOWN_IDENTITIES: usize = 10_000;
/// How long an instance knows an identity that is not used.
const KNOWN_FOR: Duration = Duration::from_secs(600);
/// Minimum time between two updates of a user on an instance, except to take the role of an admin away. Tokens of one
/// user that say different things must not cause a write for each request.
const MIN_UPDATE_PAUSE: Duration = Duration::from_secs(10);

/// Authenticates tokens of other issuers, and keeps their users up to date.
pub struct ExternalUsers {
    issuers: Arc<TrustedIssuers>,
    commands: Arc<Commands>,
    store: Arc<Store>,
    permissions: Arc<PermissionCache>,
    arrivals: Arc<Arrivals>,
    known: Mutex<RecentMap<ExternalIdentity, KnownIdentity>>,
}

/// What an instance knows about an identity.
#[derive(Default)]
struct KnownIdentity {
    user: Option<UserId>,
    /// A hash of a profile of the issuer, and of the user as an update with this profile has left them. Such a user differs
    /// from the profile if a name is not acceptable here.
    settled: Option<u64>,
    updated: Option<Instant>,
    /// When the newest token of this identity was issued that this instance has seen. Older ones change nothing.
    newest: Option<Timestamp>,
}

impl ExternalUsers {
    pub(super) fn new(
        issuers: Arc<TrustedIssuers>,
        commands: Arc<Commands>,
        store: Arc<Store>,
        permissions: Arc<PermissionCache>,
    ) -> Self {
        let arrivals = Arc::new(Arrivals::new(Arc::clone(&commands), Arc::clone(&store)));
        let known = Mutex::new(RecentMap::new(KNOWN_FOR, KNOWN_IDENTITIES));
        Self { issuers, commands, store, permissions, arrivals, known }
    }

    /// The issuers whose tokens are accepted.
    #[must_use]
    pub fn issuers(&self) -> &Arc<TrustedIssuers> {
        &self.issuers
    }

    /// The viewer with this token, and when the session ends. Creates the user of the first token of an identity.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the token is not valid, the user is disabled, or the user's sessions were ended after it was
    /// issued. `UNAVAILABLE` if the database cannot be reached, or no key of the issuer is known yet.
    pub(super) async fn authenticate(&self, token: &str) -> Result<(Viewer, Option<Timestamp>)> {
        let verified = self.issuers.verify(token, Timestamp::now()).await?;
        let account = self.account(&verified).await?;
        let session = TokenSession::of_other_issuer(verified.issued_at);
        let viewer = Viewer::signed_in(Arc::clone(&self.permissions), account, session);
        let user = viewer.session_state()?.user.clone();
        self.update(&verified, &user).await?;
        Ok((viewer, Some(verified.ends_at)))
    }

    /// The user of an ID token, for a session of the server. Creates the user of a new identity.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the user is disabled or was deleted. `UNAVAILABLE` if the database cannot be reached.
    pub(super) async fn sign_in(&self, token: &VerifiedToken) -> Result<User> {
        let account = self.account(token).await?;
        // The user has just signed in, so the end of earlier sessions does not matter.
        let session = TokenSession::of_other_issuer(Timestamp::now());
        let viewer = Viewer::signed_in(Arc::clone(&self.permissions), account, session);
        let user = viewer.session_state()?.user.clone();
        self.update(token, &user).await?;
        Ok(user)
    }

    /// The account of the token's user.
    async fn account(&self, token: &VerifiedToken) -> Result<Arc<Account>> {
        let known = |known: &KnownIdentity| known.user;
        let found = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&token.identity).and_then(known);
        if let Some(user) = found
            && let Some(account) = self.permissions.account(&self.store, user).await?
            && !account.is_deleted()
        {
            return Ok(account);
        }
        let user = self.arrivals.find_or_create(token).await?;
        let account = self.permissions.account(&self.store, user).await?;
        let account = account.ok_or_else(|| Error::Unauthenticated("the user was deleted".into()))?;
        self.with_known(&token.identity, |known| {
            *known = KnownIdentity { user: Some(user), ..KnownIdentity::default() }
        });
        Ok(account)
    }

    /// Updates the user if the profile of the issuer differs.
    async fn update(&self, token: &VerifiedToken, user: &User) -> Result<()> {
        let (identity, profile) = (&token.identity, StoredProfile::of(&token.profile));
        let is_due = |known: &mut KnownIdentity| {
            if known.newest > Some(token.issued_at) {
                return false;
            }
            known.newest = Some(token.issued_at);
            let is_recent = known.updated.is_some_and(|at| at.elapsed() < MIN_UPDATE_PAUSE);
            let is_urgent = user.role == Role::Admin && profile.role == Some(Role::Member);
            let is_due = profile.differs_from(user)
                && known.settled != Some(settled(&profile, user))
                && (is_urgent || !is_recent);
            if is_due {
                known.updated = Some(Instant::now());
            }
            is_due
        };
        if !self.with_known(identity, is_due) {
            return Ok(());
        }
        let _turn = self.commands.slot(CapacityKey::User(user.id)).await?;
        let (identity_of, issued_at) = (identity.clone(), token.issued_at);
        let command = UpdateExternalUser { user: user.id, identity: identity_of, issued_at, profile: profile.clone() };
        let updated = self.commands.write_access(command).await?;
        self.with_known(identity, |known| known.settled = Some(settled(&profile, &updated)));
        Ok(())
    }

    fn with_known<T>(&self, identity: &ExternalIdentity, use_known: impl FnOnce(&mut KnownIdentity) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        use_known(known.touch(identity.clone(), Instant::now()))
    }
}

fn settled(profile: &StoredProfile, user: &User) -> u64 {
    let mut hasher = DefaultHasher::new();
    (profile, &user.display_name, &user.email, user.role.code()).hash(&mut hasher);
    hasher.finish()
}

/// Updates a user from a profile of the user's issuer.
struct UpdateExternalUser {
    user: UserId,
    identity: ExternalIdentity,
    /// When the token with the profile was issued.
    issued_at: Timestamp,
    profile: StoredProfile,
}

impl WriteCommand for UpdateExternalUser {
    type Output = User;

    fn needs(&self, needs: &mut Needs) {
        needs.lock_head();
        needs.user(self.user);
        needs.profile_time(&self.identity);
        needs.similar_users(self.profile.display_name.iter().cloned().collect(), Some(self.user));
    }

    fn decide(&self, state: &BatchState) -> Result<(User, Effects)> {
        let known = state.user(self.user)?;
        if self.issued_at < state.profile_time(&self.identity)? {
            // A newer token has said something else.
            return Ok((known.clone(), state.effects()));
        }
        let StoredProfile { display_name, email, role, .. } = &self.profile;
        let mut user = User {
            email: email.clone().or_else(|| known.email.clone()),
            role: role.unwrap_or(known.role),
            ..known.clone()
        };
        // A name that looks like the username of another user is left out. The issuer cannot know the other names.
        if let Some(name) = display_name
            && state.similar_name(name)?.is_none()
        {
            user.display_name.clone_from(name);
        }
        let mut effects = state.effects();
        if user == *known {
            return Ok((user, effects));
        }
        effects.write(SingleWrite::UpdateUser(user.clone()));
        effects.write(SingleWrite::SetProfileTime(self.identity.clone(), self.issued_at));
        if user.role != known.role {
            record_access_changed(&mut effects, user.id, None, None);
        }
        if (&user.display_name, &user.email) != (&known.display_name, &known.email) {
            record_user_updated(&mut effects, user.id, None);
        }
        Ok((user, effects))
    }
}
