//! Accounts: registering, signing in, and ending all sessions.

#[cfg(test)]
pub(super) mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::api_keys::ApiKeys;
use super::commands::{Commands, ViewerCommand};
use super::counts::SignInCounts;
use super::external_users::ExternalUsers;
use super::permissions::{PermissionCache, TokenSession, UserState};
use super::policy::{MAX_USERNAME, Policy};
use super::records::record_sessions_ended;
use super::sessions::{Session, UserSessions};
use super::{Viewer, validate};
use crate::auth::{
    CodeFlow, PasswordPermit, Passwords, SignInLimiter, TokenSubject, Tokens, TrustedIssuers, WINDOW, is_api_key_secret,
};
use crate::capacity::RateLimiter;
use crate::error::{Error, Result};
use crate::model::{
    CapacityKey, Freshness, Invite, PageRequest, Role, SessionId, Timestamp, User, UserId, UserKind, client_prefix,
};
use crate::store::{
    BatchState, Effects, Needs, NewUserRow, ReadPurpose, SingleWrite, Snapshot, Store, WriteCommand, invites, users,
};
use crate::unicode;

/// The longest password, in bytes. Longer passwords are rejected before hashing, because Argon2 reads all of the input
/// and a client could send megabytes.
const MAX_PASSWORD_BYTES: usize = 4_000;
/// How many users one query of [`Accounts::all`] reads.
const PAGE: usize = 500;

/// The input for a new account.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The name for signing in; unique.
    pub username: String,
    /// The name that other users see.
    pub display_name: String,
    /// The permissions of the account.
    pub role: Role,
}

/// A client that has not signed in yet.
#[derive(Debug, Clone, Copy)]
pub struct Client<'c> {
    /// The client's address.
    pub address: IpAddr,
    /// The program, as its header `User-Agent` names it.
    pub user_agent: Option<&'c str>,
}

/// Authentication services and rate limiters that the use cases of accounts need.
pub struct AuthServices {
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    /// Issues and verifies tokens.
    pub tokens: Tokens,
    /// Verifies tokens of other issuers; `None`: these are refused.
    pub issuers: Option<Arc<TrustedIssuers>>,
    /// Signs users in at one of these issuers, with a limit per address; `None`: the web client does not offer it.
    pub oidc: Option<(CodeFlow, RateLimiter<IpAddr>)>,
    /// Limits sign-in attempts per username and address.
    pub attempts: SignInLimiter,
    /// Limits sign-in attempts per address, for all usernames together.
    pub sign_ins: RateLimiter<IpAddr>,
    /// Limits new accounts per address.
    pub registrations: RateLimiter<IpAddr>,
}

/// The use cases of accounts.
pub struct Accounts {
    pub(super) commands: Arc<Commands>,
    pub(super) store: Arc<Store>,
    pub(super) permissions: Arc<PermissionCache>,
    pub(super) policy: Arc<Policy>,
    pub(super) auth: AuthServices,
    pub(super) sessions: Arc<UserSessions>,
    pub(super) counts: SignInCounts,
    pub(super) api_keys: Arc<ApiKeys>,
    pub(super) external_users: Option<Arc<ExternalUsers>>,
}

impl Accounts {
    /// The counters of sign-in attempts.
    #[must_use]
    pub fn counts(&self) -> &SignInCounts {
        &self.counts
    }

    /// Creates an account and signs the user in. The first account of an empty installation is an admin, unless the
    /// policy forbids that. An invitation decides about the role, the organization, the location and the channels of the
    /// user; without one, the user is a member.
    ///
    /// # Errors
    /// `FORBIDDEN` if registration is closed, and there is no invitation. `BAD_USER_INPUT` if a name, the password or the
    /// invitation is not acceptable. `CONFLICT` if the username is taken, or a name looks like another username.
    /// `RATE_LIMITED` after too many attempts or accounts from this address. `UNAVAILABLE` if the server is busy or the
    /// database cannot be reached.
    pub async fn register(
        &self,
        client: Client<'_>,
        new: NewUser,
        password: String,
        invite: Option<String>,
    ) -> Result<Session> {
        if !self.policy.registration_open && invite.is_none() {
            return Err(Error::Forbidden("registration is closed: ask an operator for an account".into()));
        }
        let from = client.address;
        let party = CapacityKey::Address(client_prefix(from));
        self.auth.attempts.check(from, &new.username)?;
        let (username, display_name) = validated_names(&new)?;
        checked_password("password", &password, &username)?;
        // Check this limit after the checks above: rejected input must not use up the address's budget of accounts.
        self.auth.registrations.check(client_prefix(from))?;
        self.check_invite(party, invite.clone()).await?;
        let turn = self.auth.passwords.turn(party).await?;
        let (hash, turn) = self.auth.passwords.hash(turn, password).await?;
        drop(turn);
        let _turn = self.commands.slot(party).await?;
        let role = if self.policy.first_user_admin { NewRole::AdminIfFirst } else { NewRole::Fixed(Role::Member) };
        let command = AddUser { username, display_name, hash, role, invite };
        let user = self.commands.write_access(command).await?;
        self.sessions.start(user, client.user_agent).await
    }

    /// Refuses an invalid invitation before the password is hashed. The command that creates the account checks it again.
    async fn check_invite(&self, party: CapacityKey, code: Option<String>) -> Result<()> {
        let Some(code) = code else { return Ok(()) };
        let reading = move |snapshot: &mut Snapshot| invites::find_by_code(snapshot.db(), &code);
        let found = self.store.read_for(Freshness::Newest, party, reading).await?;
        if found.is_some_and(|invite| invite.is_valid(Timestamp::now())) { Ok(()) } else { Err(no_such_invite()) }
    }

    /// Creates an account for an operator: without rate limits, and also while registration is closed.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if a name or the password is not acceptable. `CONFLICT` if the username is taken, or a name
    /// looks like another username. `UNAVAILABLE` if the database cannot be reached.
    pub async fn add(&self, new: NewUser, password: String) -> Result<User> {
        let (username, display_name) = validated_names(&new)?;
        checked_password("password", &password, &username)?;
        let turn = self.auth.passwords.turn(CapacityKey::Server).await?;
        let (hash, _turn) = self.auth.passwords.hash(turn, password).await?;
        let role = NewRole::Fixed(new.role);
        self.commands.write_access(AddUser { username, display_name, hash, role, invite: None }).await
    }

    /// Signs a user in. The response and its time are the same for an unknown username and a wrong password.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the username or the password is wrong, or the account is disabled. `RATE_LIMITED` after too
    /// many attempts. `UNAVAILABLE` if the server is busy or the database cannot be reached.
    pub async fn sign_in(&self, client: Client<'_>, username: &str, password: String) -> Result<Session> {
        let result = self.verify_sign_in(client, username, password).await;
        self.counts.sign_in(&result);
        result
    }

    async fn verify_sign_in(&self, client: Client<'_>, username: &str, password: String) -> Result<Session> {
        let from = client.address;
        let party = CapacityKey::Address(client_prefix(from));
        let turn = self.begin_attempt(party, from, username).await?;
        let name = username.to_owned();
        let reading = move |snapshot: &mut Snapshot| users::credentials(snapshot.db(), &name);
        let found = self.store.read_for(Freshness::Newest, party, reading).await?;
        let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), hash));
        let valid = password.len() <= MAX_PASSWORD_BYTES && self.auth.passwords.verify(turn, password, hash).await?.0;
        match user.filter(|user| valid && !user.disabled) {
            Some(user) => {
                self.auth.attempts.succeeded(from, username);
                let _turn = self.commands.slot(party).await?;
                self.sessions.start(user, client.user_agent).await
            }
            None => Err(Error::Unauthenticated("the username or the password is wrong".into())),
        }
    }

    /// Counts a sign-in attempt before the password is verified, then waits for a password thread. The limits in memory
    /// come first, so that a flood of attempts does not reach the database; then the limit that all instances share.
    /// The password slot is taken before the write slot: attempts that wait for a password thread hold no write slot.
    async fn begin_attempt(&self, party: CapacityKey, from: IpAddr, username: &str) -> Result<PasswordPermit> {
        self.auth.sign_ins.check(client_prefix(from))?;
        self.auth.attempts.check(from, username)?;
        let turn = self.auth.passwords.turn(party).await?;
        self.count_attempt(party, from, username).await?;
        Ok(turn)
    }

    async fn count_attempt(&self, party: CapacityKey, from: IpAddr, username: &str) -> Result<()> {
        let Some(limit) = self.auth.attempts.limit() else { return Ok(()) };
        let key = SignInLimiter::shared_key(from, username);
        let _turn = self.commands.slot(party).await?;
        self.commands.write_access(CountAttempt { key, limit }).await
    }

    /// Verifies a token, also one of another issuer, or the secret of an API key. Returns the viewer and the time at which
    /// the token expires.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the token is malformed, expired or revoked. `UNAVAILABLE` if the database cannot be
    /// reached, or if no key of the issuer is known yet.
    pub async fn authenticate(&self, token: &str) -> Result<(Viewer, Option<Timestamp>)> {
        if is_api_key_secret(token) {
            return self.api_keys.authenticate(token).await;
        }
        if let Some(external) = self.external_users.as_ref().filter(|users| users.issuers().are_meant_by(token)) {
            return external.authenticate(token).await;
        }
        let claims = self.auth.tokens.verify(token, Timestamp::now())?;
        let account = self.permissions.account(&self.store, claims.user).await?;
        let account = account.ok_or_else(|| Error::Unauthenticated("the session has ended: sign in again".into()))?;
        // Another instance or the command line may have issued the token after a change that this instance has not read
        // yet.
        let session = TokenSession::of(&claims);
        self.permissions.catch_up(&self.store, &account, session).await?;
        let viewer = Viewer::signed_in(Arc::clone(&self.permissions), account, session);
        viewer.check_session()?;
        session.id.into_iter().for_each(|id| self.sessions.last_seen.note(id));
        Ok((viewer, Some(claims.expires_at)))
    }

    /// The viewer of an anonymous client at this address.
    #[must_use]
    pub fn anonymous_viewer(&self, address: IpAddr) -> Viewer {
        Viewer::anonymous(Arc::clone(&self.permissions), address)
    }

    /// Issues a token for a user on behalf of an operator. Blocks the thread on the database.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such user. `UNAVAILABLE` if the database cannot be reached.
    pub fn token_for(&self, username: &str) -> Result<Session> {
        let user = self.by_username(username)?;
        let issued = self.auth.tokens.issue_unbounded(TokenSubject::of(&user, None), Timestamp::now())?;
        Ok(Session { token: issued.token, expires_at: issued.expires_at, refresh_token: None, user })
    }

    /// Changes the viewer's password, ends all sessions of the user and starts a new one.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `FORBIDDEN` for a token of another issuer. `BAD_USER_INPUT` if `current`
    /// is wrong or `new` is not acceptable.
    /// `RATE_LIMITED` after too many attempts. `UNAVAILABLE` if the server is busy or the database cannot be reached.
    pub async fn change_password(
        &self,
        client: Client<'_>,
        viewer: &Viewer,
        current: String,
        new: String,
    ) -> Result<Session> {
        let user = viewer.own_session_state()?.user.clone();
        let party = viewer.party();
        if current.len() > MAX_PASSWORD_BYTES {
            return Err(Error::input("current", "the current password is wrong"));
        }
        let turn = self.begin_attempt(party, client.address, &user.username).await?;
        checked_password("new", &new, &user.username)?;
        let name = user.username.clone();
        let reading = move |snapshot: &mut Snapshot| users::credentials(snapshot.db(), &name);
        let found = self.store.read_for(Freshness::Newest, party, reading).await?;
        let (is_correct, turn) = self.auth.passwords.verify(turn, current, found.and_then(|(_, hash)| hash)).await?;
        if !is_correct {
            return Err(Error::input("current", "the current password is wrong"));
        }
        let (hash, turn) = self.auth.passwords.hash(turn, new).await?;
        drop(turn);
        let id = user.id;
        let _turn = self.commands.slot(party).await?;
        let user = self.commands.write_access(EndSessions { user: id, actor: Some(id), new_hash: Some(hash) }).await?;
        self.sessions.start(user, client.user_agent).await
    }

    /// Ends every session of the viewer, including the current one.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `UNAVAILABLE` if the database cannot be reached.
    pub async fn sign_out_everywhere(&self, viewer: &Viewer) -> Result<()> {
        let id = viewer.session_state()?.user.id;
        self.commands.write_access(EndSessions { user: id, actor: Some(id), new_hash: None }).await.map(drop)
    }

    /// Disables or enables an account. Disabling ends all sessions of the user, and so does enabling. A `viewer` of
    /// `None` is the operator.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `FORBIDDEN` if the viewer is not an admin. `NOT_FOUND` if there is no
    /// such user. `RATE_LIMITED` if the viewer's budget of mutations is used up.
    pub async fn set_disabled(&self, viewer: Option<&Viewer>, user: UserId, disabled: bool) -> Result<User> {
        let change = SetDisabled { user, disabled };
        match viewer {
            Some(viewer) => {
                self.commands.actor(viewer)?;
                self.commands.run_access(viewer, change).await
            }
            None => self.commands.write_access(change).await,
        }
    }

    /// Finds a user by username. Blocks the thread on the database.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such user. `UNAVAILABLE` if the database cannot be reached.
    pub fn by_username(&self, username: &str) -> Result<User> {
        let found = users::credentials(self.store.snapshot(ReadPurpose::Own)?.db(), username)?;
        found.map(|(user, _)| user).ok_or(Error::NotFound("user"))
    }

    /// All users, sorted by username, for the command line. Blocks the thread on the database.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached; `INTERNAL_SERVER_ERROR` if a statement fails.
    pub fn all(&self) -> Result<Vec<User>> {
        let mut snapshot = self.store.snapshot(ReadPurpose::Own)?;
        let (mut all, mut window) = (Vec::new(), PageRequest::first(PAGE));
        loop {
            let page = users::list(snapshot.db(), None, &window)?;
            window.after = page.items.last().map(|user| user.username.clone());
            all.extend(page.items);
            if !page.more {
                return Ok(all);
            }
        }
    }
}

/// Creates an account.
struct AddUser {
    username: String,
    display_name: String,
    hash: String,
    role: NewRole,
    /// The code of an invitation.
    invite: Option<String>,
}

/// The role of a new account.
#[derive(Clone, Copy)]
enum NewRole {
    /// This role.
    Fixed(Role),
    /// An admin if there is no other account, else a member.
    AdminIfFirst,
}

impl WriteCommand for AddUser {
    type Output = User;

    fn needs(&self, needs: &mut Needs) {
        needs.similar_users(vec![self.username.clone(), self.display_name.clone()], None);
        if matches!(self.role, NewRole::AdminIfFirst) {
            needs.any_user();
        }
        self.invite.iter().for_each(|code| needs.invite_with_code(code));
    }

    fn decide(&self, state: &BatchState) -> Result<(User, Effects)> {
        check_lookalike_username(state, &self.username)?;
        check_lookalike_display_name(state, &self.display_name)?;
        let invite = self.invite.as_ref().map(|code| valid_invite(state, code)).transpose()?;
        let role = match self.role {
            NewRole::AdminIfFirst if !state.has_users()? => Role::Admin,
            NewRole::AdminIfFirst => invite.map_or(Role::Member, |invite| invite.role),
            NewRole::Fixed(role) => invite.map_or(role, |invite| invite.role),
        };
        let user = User {
            id: UserId(-1),
            username: self.username.clone(),
            display_name: self.display_name.clone(),
            role,
            disabled: false,
            token_version: 0,
            organization_id: invite.and_then(|invite| invite.organization_id),
            location_id: invite.and_then(|invite| invite.location_id),
            created_at: state.now(),
            last_session: SessionId(0),
            kind: UserKind::Person,
            email: None,
            deleted_at: None,
        };
        let mut effects = state.effects();
        let row = NewUserRow {
            user: user.clone(),
            password_hash: self.hash.clone(),
            identity: None,
            profile_at: Timestamp(0),
        };
        effects.write(SingleWrite::AddUsers(vec![row]));
        if let Some(invite) = invite {
            let channels = invite.channels.iter().filter(|channel| state.has_channel(**channel));
            let members: Vec<_> = channels.map(|channel| (*channel, user.id, effects.end())).collect();
            if !members.is_empty() {
                effects.write(SingleWrite::AddMembers(members));
            }
            effects.write(SingleWrite::UpdateInvite(Invite { uses: invite.uses + 1, ..invite.clone() }));
        }
        Ok((user, effects))
    }
}

/// The invitation with this code, if a user may register with it.
fn valid_invite<'s>(state: &'s BatchState, code: &str) -> Result<&'s Invite> {
    let invite = state.invite_with_code(code).filter(|invite| invite.is_valid(state.now()));
    invite.ok_or_else(no_such_invite)
}

fn no_such_invite() -> Error {
    Error::input("invite", "the invitation is not valid, or not any more: ask for a new one")
}

/// Counts a sign-in attempt, unless there were too many.
struct CountAttempt {
    key: String,
    limit: usize,
}

impl WriteCommand for CountAttempt {
    type Output = ();

    fn needs(&self, needs: &mut Needs) {
        needs.attempts(&self.key, WINDOW);
    }

    fn decide(&self, state: &BatchState) -> Result<((), Effects)> {
        let (count, first) = state.attempts(&self.key)?;
        if usize::try_from(count).is_ok_and(|count| count < self.limit) {
            let mut effects = state.effects();
            effects.add_attempt(&self.key);
            return Ok(((), effects));
        }
        let waited = first.map_or(Duration::ZERO, |first| first.until(state.now()));
        Err(Error::RateLimited { retry_after: WINDOW.saturating_sub(waited) })
    }
}

/// Ends all sessions of a user, and stores the hash of a new password if there is one.
pub(super) struct EndSessions {
    pub user: UserId,
    /// The user who asked for it; `None` for the operator.
    pub actor: Option<UserId>,
    pub new_hash: Option<String>,
}

impl WriteCommand for EndSessions {
    type Output = User;

    fn needs(&self, needs: &mut Needs) {
        needs.lock_head();
        needs.user(self.user);
    }

    fn decide(&self, state: &BatchState) -> Result<(User, Effects)> {
        let (user, mut effects) = end_sessions(state, state.user(self.user)?.clone(), self.actor);
        if let Some(hash) = &self.new_hash {
            effects.write(SingleWrite::SetPasswordHash(user.id, hash.clone()));
        }
        Ok((user, effects))
    }
}

/// Disables or enables an account, and ends all sessions of the user.
struct SetDisabled {
    user: UserId,
    disabled: bool,
}

impl SetDisabled {
    fn change(&self, state: &BatchState, actor: Option<UserId>) -> Result<(User, Effects)> {
        let known = state.user(self.user)?;
        if known.disabled == self.disabled {
            return Ok((known.clone(), state.effects()));
        }
        Ok(end_sessions(state, User { disabled: self.disabled, ..known.clone() }, actor))
    }
}

/// The operator's command.
impl WriteCommand for SetDisabled {
    type Output = User;

    fn needs(&self, needs: &mut Needs) {
        needs.lock_head();
        needs.user(self.user);
    }

    fn decide(&self, state: &BatchState) -> Result<(User, Effects)> {
        self.change(state, None)
    }
}

/// An admin's command.
impl ViewerCommand for SetDisabled {
    type Output = User;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        WriteCommand::needs(self, needs);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(User, Effects)> {
        actor.check_admin()?;
        self.change(state, Some(actor.user.id))
    }
}

/// Writes the user with a new token version, which ends all sessions.
fn end_sessions(state: &BatchState, mut user: User, actor: Option<UserId>) -> (User, Effects) {
    user.token_version += 1;
    let mut effects = state.effects();
    effects.write(SingleWrite::UpdateUser(user.clone()));
    effects.write(SingleWrite::EndSessions(user.id));
    record_sessions_ended(&mut effects, user.id, actor);
    (user, effects)
}

fn validated_names(new: &NewUser) -> Result<(String, String)> {
    let username = validate::username("username", &new.username, MAX_USERNAME)?;
    let display_name = validate::name("displayName", &new.display_name, MAX_USERNAME * 2)?;
    Ok((username, display_name))
}

/// Rejects a username that looks like another username. This prevents that one user impersonates another.
pub(super) fn check_lookalike_username(state: &BatchState, username: &str) -> Result<()> {
    if let Some(other) = state.similar_name(username)? {
        let taken = if unicode::is_same(other, username) {
            format!("the username {username:?} is taken")
        } else {
            format!("the username {username:?} looks like {other:?}, which is taken")
        };
        return Err(Error::Conflict(taken));
    }
    Ok(())
}

/// Rejects a display name that looks like the username of another user.
pub(super) fn check_lookalike_display_name(state: &BatchState, display_name: &str) -> Result<()> {
    if let Some(other) = state.similar_name(display_name)? {
        return Err(Error::Conflict(format!("the display name {display_name:?} looks like another user, {other:?}")));
    }
    Ok(())
}

/// Rejects a password that is too long, or easy to guess.
pub(super) fn checked_password(field: &'static str, password: &str, username: &str) -> Result<()> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(Error::input(field, format!("a password has at most {MAX_PASSWORD_BYTES} bytes")));
    }
    unicode::password(password, username).map_err(|problem| Error::input(field, problem))
}
