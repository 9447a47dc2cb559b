//! Accounts and sessions: registering, signing in, and ending sessions.

use std::net::IpAddr;
use std::time::Duration;

use super::{Board, Viewer, text};
use crate::auth::{PasswordTurn, SignInLimiter, WINDOW};
use crate::error::{Error, Result};
use crate::model::{Body, EventKind, Party, Role, Timestamp, User, UserId, Window, household};
use crate::store::{Change, Lane, Snapshot, Tx, attempts, users};
use crate::unicode;

/// The longest password, in bytes. Longer ones are refused before they are read: Argon2 reads all of it, so a client must not send a megabyte.
const MAX_PASSWORD_BYTES: usize = 4_000;
/// How many users are read at once.
const PAGE: usize = 500;
/// The longest username, in characters.
pub(super) const MAX_USERNAME: usize = 50;

/// Somebody who wants to be a user.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// What they will sign in with.
    pub username: String,
    /// What others will read.
    pub display_name: String,
    /// What they may do.
    pub role: Role,
}

/// A session that was opened or extended.
#[derive(Clone)]
pub struct Session {
    /// The token to send.
    pub token: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whose it is.
    pub user: User,
}

impl Board {
    /// Registers a user and signs them in.
    ///
    /// # Errors
    /// `FORBIDDEN` if registration is closed, `BAD_USER_INPUT`, `CONFLICT` if the name is taken, `RATE_LIMITED`.
    pub async fn register(&self, from: IpAddr, new: NewUser, password: String) -> Result<Session> {
        if !self.rules.registration_open {
            return Err(Error::Forbidden("registration is closed: ask an operator for an account".into()));
        }
        let party = Party::Address(household(from));
        self.keepers.attempts.check(from, &new.username)?;
        let (username, display_name) = names(&new)?;
        checked_password("password", &password, &username)?;
        // After what is cheap to refuse: a slip is no account, and costs none.
        self.keepers.registrations.check(household(from))?;
        let turn = self.keepers.passwords.turn(party).await?;
        let (hash, turn) = self.keepers.passwords.hash(turn, password).await?;
        drop(turn);
        let _turn = self.turn(party).await?;
        let user = self.add(username, display_name, hash, Role::Member).await?;
        self.open(user)
    }

    /// Adds a user as an operator does.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `CONFLICT` if the name is taken.
    pub async fn add_user(&self, new: NewUser, password: String) -> Result<User> {
        let (username, display_name) = names(&new)?;
        checked_password("password", &password, &username)?;
        let turn = self.keepers.passwords.turn(Party::Server).await?;
        let (hash, _turn) = self.keepers.passwords.hash(turn, password).await?;
        self.add(username, display_name, hash, new.role).await
    }

    async fn add(&self, username: String, display_name: String, hash: String, role: Role) -> Result<User> {
        self.write_access(move |tx| {
            free(tx, &username, &display_name)?;
            let now = tx.now();
            users::insert(tx.write(), &username, &display_name, &hash, role, now)
        })
        .await
    }

    /// Signs somebody in. A wrong name and a wrong password get the same answer, after the same time.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `RATE_LIMITED`.
    pub async fn login(&self, from: IpAddr, username: &str, password: String) -> Result<Session> {
        let outcome = self.sign_in(from, username, password).await;
        self.counts.sign_in(&outcome);
        outcome
    }

    async fn sign_in(&self, from: IpAddr, username: &str, password: String) -> Result<Session> {
        let turn = self.attempt(Party::Address(household(from)), from, username).await?;
        let wanted = username.to_owned();
        let reading = move |snapshot: &mut Snapshot| users::credentials(snapshot.db(), &wanted);
        let found = self.store.read_for(Party::Address(household(from)), reading).await?;
        let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), Some(hash)));
        let valid =
            password.len() <= MAX_PASSWORD_BYTES && self.keepers.passwords.verify(turn, password, hash).await?.0;
        match user.filter(|user| valid && !user.disabled) {
            Some(user) => {
                self.keepers.attempts.succeeded(from, username);
                self.open(user)
            }
            None => Err(Error::Unauthenticated("the username or the password is wrong".into())),
        }
    }

    /// Counts an attempt to sign in, before the password is looked at, and waits for the turn to do so: here first, so
    /// that a flood does not reach the database, then with all instances together. The turn of the password comes before
    /// that of the write, which is short: attempts that wait for passwords keep nobody from writing.
    async fn attempt(&self, party: Party, from: IpAddr, username: &str) -> Result<PasswordTurn> {
        self.keepers.sign_ins.check(household(from))?;
        self.keepers.attempts.check(from, username)?;
        let turn = self.keepers.passwords.turn(party).await?;
        self.count_attempt(party, from, username).await?;
        Ok(turn)
    }

    async fn count_attempt(&self, party: Party, from: IpAddr, username: &str) -> Result<()> {
        let Some(limit) = self.keepers.attempts.limit() else { return Ok(()) };
        let key = SignInLimiter::shared_key(from, username);
        let _turn = self.turn(party).await?;
        self.write_access(move |tx| {
            let now = tx.now();
            let (count, first) = attempts::within(tx.read(), &key, WINDOW, now)?;
            if usize::try_from(count).is_ok_and(|count| count < limit) {
                return attempts::add(tx.write(), &key, now);
            }
            let waited = first.map_or(Duration::ZERO, |first| first.until(now));
            Err(Error::RateLimited { retry_after: WINDOW.saturating_sub(waited) })
        })
        .await
    }

    /// Whose token this is, and when the session ends.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for a bad, expired or revoked one.
    pub async fn authenticate(&self, token: &str) -> Result<(Viewer, Timestamp)> {
        let claims = self.keepers.tokens.verify(token, Timestamp::now())?;
        let account = self.access.account(&self.store, claims.user).await?;
        let account = account.ok_or_else(|| Error::Unauthenticated("the session has ended: sign in again".into()))?;
        // It may be signed by another instance, or by the command line, after something we have not heard of.
        self.access.catch_up(&self.store, &account, claims.version).await?;
        let access = std::sync::Arc::clone(&self.access);
        let viewer = Viewer::signed_in(access, account, claims.version, claims.signed_in_at);
        viewer.standing()?;
        Ok((viewer, claims.expires_at))
    }

    /// A reader at this address who is not signed in.
    #[must_use]
    pub fn stranger(&self, address: IpAddr) -> Viewer {
        Viewer::anonymous(std::sync::Arc::clone(&self.access), address)
    }

    /// A new token for the session of this viewer, which ends when it has lasted for `--session-lifetime`.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if it has, or if the viewer is not signed in.
    pub fn refresh(&self, viewer: &Viewer) -> Result<Session> {
        let user = viewer.standing()?.user.clone();
        let (tokens, began) = (&self.keepers.tokens, viewer.signed_in_at());
        let issued = tokens.renew(user.id, user.role, user.token_version, began, Timestamp::now())?;
        Ok(Session { token: issued.token, expires_at: issued.expires_at, user })
    }

    /// A token for a user, as an operator makes one. Blocks.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn token_for(&self, username: &str) -> Result<Session> {
        let user = self.user_named(username)?;
        let issued = self.keepers.tokens.issue_unbounded(user.id, user.role, user.token_version, Timestamp::now())?;
        Ok(Session { token: issued.token, expires_at: issued.expires_at, user })
    }

    fn open(&self, user: User) -> Result<Session> {
        let issued = self.keepers.tokens.issue(user.id, user.role, user.token_version, Timestamp::now())?;
        Ok(Session { token: issued.token, expires_at: issued.expires_at, user })
    }

    /// Changes the viewer's password; every other session of theirs ends.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `BAD_USER_INPUT`, `RATE_LIMITED`.
    pub async fn change_password(
        &self,
        from: IpAddr,
        viewer: &Viewer,
        current: String,
        new: String,
    ) -> Result<Session> {
        let user = viewer.standing()?.user.clone();
        let party = viewer.party();
        if current.len() > MAX_PASSWORD_BYTES {
            return Err(Error::input("current", "the current password is wrong"));
        }
        let turn = self.attempt(party, from, &user.username).await?;
        checked_password("new", &new, &user.username)?;
        let name = user.username.clone();
        let reading = move |snapshot: &mut Snapshot| users::credentials(snapshot.db(), &name);
        let found = self.store.read_for(party, reading).await?;
        let (is_right, turn) = self.keepers.passwords.verify(turn, current, found.map(|(_, hash)| hash)).await?;
        if !is_right {
            return Err(Error::input("current", "the current password is wrong"));
        }
        let (hash, turn) = self.keepers.passwords.hash(turn, new).await?;
        drop(turn);
        let id = user.id;
        let _turn = self.turn(party).await?;
        let changing = self.write_access(move |tx| {
            users::set_password_hash(tx.write(), id, &hash)?;
            end_sessions(tx, id, Some(id), |_| {})
        });
        let user = changing.await?;
        self.open(user)
    }

    /// Ends every session of the viewer.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`.
    pub async fn logout_everywhere(&self, viewer: &Viewer) -> Result<()> {
        let id = viewer.standing()?.user.id;
        self.write_access(move |tx| end_sessions(tx, id, Some(id), |_| {})).await.map(drop)
    }

    /// Disables or enables a user; disabling ends all their sessions. `None` is the operator.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`.
    pub async fn set_disabled(&self, viewer: Option<&Viewer>, user: UserId, disabled: bool) -> Result<User> {
        let actor = viewer.map(|viewer| self.actor(viewer)).transpose()?.map(|standing| standing.user.id);
        let viewer = viewer.cloned();
        self.write_access(move |tx| {
            viewer.as_ref().map(Viewer::admin).transpose()?;
            let known = users::find(tx.read(), user)?.ok_or(Error::NotFound("user"))?;
            if known.disabled == disabled {
                return Ok(known);
            }
            end_sessions(tx, user, actor, |user| user.disabled = disabled)
        })
        .await
    }

    /// A user by name. Blocks.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn user_named(&self, username: &str) -> Result<User> {
        let found = users::credentials(self.store.snapshot(Lane::Own)?.db(), username)?;
        found.map(|(user, _)| user).ok_or(Error::NotFound("user"))
    }

    /// Every user, by username, as an operator lists them. Blocks.
    ///
    /// # Errors
    /// Those of the database.
    pub fn all_users(&self) -> Result<Vec<User>> {
        let mut snapshot = self.store.snapshot(Lane::Own)?;
        let (mut all, mut window) = (Vec::new(), Window::first(PAGE));
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

fn end_sessions(tx: &mut Tx<'_>, id: UserId, actor: Option<UserId>, change: impl Fn(&mut User)) -> Result<User> {
    let mut user = users::find(tx.read(), id)?.ok_or(Error::NotFound("user"))?;
    change(&mut user);
    user.token_version += 1;
    users::update(tx.write(), &user)?;
    tx.record(Change::new(EventKind::SessionsEnded, id.0, actor).for_user(id), Body::None);
    Ok(user)
}

fn names(new: &NewUser) -> Result<(String, String)> {
    let username = text::username("username", &new.username, MAX_USERNAME)?;
    let display_name = text::name("displayName", &new.display_name, MAX_USERNAME * 2)?;
    Ok((username, display_name))
}

/// Refuses a username that looks like another user's, and a display name that looks like another user's username:
/// no user shall be taken for another one.
fn free(tx: &mut Tx<'_>, username: &str, display_name: &str) -> Result<()> {
    if let Some(other) = users::looks_like(tx.read(), username)? {
        let taken = if unicode::is_same(&other, username) {
            format!("the username {username:?} is taken")
        } else {
            format!("the username {username:?} looks like {other:?}, which is taken")
        };
        return Err(Error::Conflict(taken));
    }
    if let Some(other) = users::looks_like(tx.read(), display_name)? {
        return Err(Error::Conflict(format!("the display name {display_name:?} looks like another user, {other:?}")));
    }
    Ok(())
}

fn checked_password(field: &'static str, password: &str, username: &str) -> Result<()> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(Error::input(field, format!("a password has at most {MAX_PASSWORD_BYTES} bytes")));
    }
    unicode::password(password, username).map_err(|problem| Error::input(field, problem))
}
