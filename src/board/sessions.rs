//! Sessions: starting, renewing and ending them.
//!
//! A session has one refresh token at a time. Using it replaces it. A token that is used a second time was copied, and
//! it is not known which user of it is the right one. So the session ends.

#[cfg(test)]
pub(super) mod tests;

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Viewer;
use super::commands::{Commands, ViewerCommand};
use super::last_seen::LastSeen;
use super::permissions::UserState;
use super::records::record_sessions_ended;
use crate::auth::{RefreshToken, TokenSubject, Tokens};
use crate::capacity::RateLimiter;
use crate::error::{Error, Result};
use crate::model::{CapacityKey, SessionId, Timestamp, User, UserId, UserSession, client_prefix};
use crate::store::{BatchState, Effects, Needs, Numbers, Settle, SingleWrite, WriteCommand};

/// How many sessions a user may have. A further one ends the one that was not used for the longest time.
const MAX_SESSIONS: usize = 100;
/// The longest name of a program that is stored with a session, in characters.
const MAX_USER_AGENT: usize = 200;

/// A session that was started or extended.
#[derive(Clone)]
pub struct Session {
    /// The token that authenticates the client's requests.
    pub token: String,
    /// When the token expires.
    pub expires_at: Timestamp,
    /// The token that renews the session, if a new one was issued.
    pub refresh_token: Option<String>,
    /// The user whom the token belongs to.
    pub user: User,
}

/// The use cases of sessions.
pub struct UserSessions {
    pub(super) commands: Arc<Commands>,
    pub(super) tokens: Tokens,
    /// Limits uses of refresh tokens per address.
    pub(super) renewals: RateLimiter<IpAddr>,
    pub(super) last_seen: Arc<LastSeen>,
}

impl UserSessions {
    /// Starts a session of a user who has proved their identity. `user_agent` is the program that the user signs in with.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the account was disabled, or its sessions were ended, since `user` was read. `UNAVAILABLE`
    /// if the database cannot be reached.
    pub(super) async fn start(&self, user: User, user_agent: Option<&str>) -> Result<Session> {
        let (session, refresh_token) = self.start_for(&user, user_agent, self.tokens.session_lifetime()).await?;
        self.opened(user, session, &refresh_token)
    }

    /// Starts a session that ends after this time, unless its refresh token is used before. Returns the refresh token, for
    /// a page that the user is sent to.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(super) async fn hand_over(&self, user: User, user_agent: Option<&str>, within: Duration) -> Result<String> {
        self.start_for(&user, user_agent, within).await.map(|(_, refresh_token)| refresh_token.text())
    }

    async fn start_for(
        &self,
        user: &User,
        user_agent: Option<&str>,
        lifetime: Duration,
    ) -> Result<(SessionId, RefreshToken)> {
        let refresh_token = RefreshToken::generate();
        let command = StartSession {
            user: user.id,
            version: user.token_version,
            family: refresh_token.family_digest(),
            secret: refresh_token.secret_digest(),
            user_agent: user_agent.map(|agent| agent.chars().take(MAX_USER_AGENT).collect()),
            lifetime,
        };
        let session = self.commands.write_access(command).await?;
        // The writer may have found its own commit in the log, which does not name sessions.
        if session.0 < 0 {
            return Err(Error::Unavailable("the session may not have been started; sign in again".into()));
        }
        Ok((session, refresh_token))
    }

    /// Replaces a refresh token, and issues a new token for its session. `from` is the client's address.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the refresh token is not valid. If it was used before, its session ends. `RATE_LIMITED`
    /// after too many attempts. `UNAVAILABLE` if the server is busy or the database cannot be reached.
    pub async fn renew(&self, from: IpAddr, refresh_token: &str) -> Result<Session> {
        let prefix = client_prefix(from);
        self.renewals.check(prefix)?;
        let used = RefreshToken::parse(refresh_token).ok_or_else(not_valid)?;
        let next = used.next();
        let command = RenewSession {
            family: used.family_digest(),
            secret: used.secret_digest(),
            next: next.secret_digest(),
            lifetime: self.tokens.session_lifetime(),
        };
        let _turn = self.commands.slot(CapacityKey::Address(prefix)).await?;
        match self.commands.write_access(command).await? {
            Renewal::Renewed(user, session) => self.opened(*user, session, &next),
            Renewal::UsedTwice => Err(not_valid()),
        }
    }

    fn opened(&self, user: User, session: SessionId, refresh_token: &RefreshToken) -> Result<Session> {
        let issued = self.tokens.issue(TokenSubject::of(&user, Some(session)), Timestamp::now())?;
        let refresh_token = Some(refresh_token.text());
        Ok(Session { token: issued.token, expires_at: issued.expires_at, refresh_token, user })
    }

    /// Issues a new token for the viewer's session, without a refresh token. The token is valid at most until
    /// `--session-lifetime` after the user signed in, or used the refresh token.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the session has ended, or the viewer is anonymous. `FORBIDDEN` for a token of another issuer.
    pub fn refresh(&self, viewer: &Viewer) -> Result<Session> {
        let user = viewer.own_session_state()?.user.clone();
        let session = viewer.session();
        let issued = self.tokens.renew(TokenSubject::of(&user, session.id), session.began, Timestamp::now())?;
        Ok(Session { token: issued.token, expires_at: issued.expires_at, refresh_token: None, user })
    }

    /// Ends a session of the viewer. Its tokens are not valid any more, and its sockets are closed.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the viewer has no such session. `RATE_LIMITED` if the
    /// viewer's budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn end(&self, viewer: &Viewer, id: SessionId) -> Result<()> {
        self.commands.actor(viewer)?;
        self.commands.run_access(viewer, EndSession(id)).await
    }
}

/// Starts a session.
struct StartSession {
    user: UserId,
    version: i64,
    family: String,
    secret: String,
    user_agent: Option<String>,
    lifetime: Duration,
}

impl WriteCommand for StartSession {
    type Output = SessionId;

    fn needs(&self, needs: &mut Needs) {
        needs.user(self.user);
        needs.sessions_of(self.user);
    }

    fn decide(&self, state: &BatchState) -> Result<(SessionId, Effects)> {
        let user = state.user(self.user)?;
        if user.disabled || user.token_version != self.version {
            return Err(Error::Unauthenticated("the sessions of this user were ended: sign in again".into()));
        }
        let mut effects = state.effects();
        let mut known: Vec<&UserSession> = state.sessions_of(self.user)?.iter().collect();
        known.sort_by_key(|session| Reverse((session.last_seen_at, session.id)));
        let surplus = known.get(MAX_SESSIONS - 1..).unwrap_or_default();
        surplus.iter().for_each(|session| effects.write(SingleWrite::EndSession(session.id)));
        if !surplus.is_empty() {
            record_sessions_ended(&mut effects, self.user, Some(self.user));
        }
        let (id, now) = (SessionId(-1), state.now());
        effects.write(SingleWrite::StartSession(UserSession {
            id,
            user_id: self.user,
            created_at: now,
            last_seen_at: now,
            expires_at: now.after(self.lifetime),
            user_agent: self.user_agent.clone(),
            family: self.family.clone(),
            secret: self.secret.clone(),
        }));
        Ok((id, effects))
    }
}

/// Uses a refresh token.
struct RenewSession {
    family: String,
    secret: String,
    next: String,
    lifetime: Duration,
}

/// The result of the use of a refresh token.
#[derive(Debug, PartialEq)]
enum Renewal {
    /// The session of this user goes on.
    Renewed(Box<User>, SessionId),
    /// The token was used before, so the session has ended.
    UsedTwice,
}

impl Settle for Renewal {
    fn settle(&mut self, _: &Numbers) {}
}

impl WriteCommand for RenewSession {
    type Output = Renewal;

    fn needs(&self, needs: &mut Needs) {
        needs.session_of_family(&self.family);
    }

    fn decide(&self, state: &BatchState) -> Result<(Renewal, Effects)> {
        let session = state.session_of_family(&self.family).ok_or_else(not_valid)?;
        let user = state.user(session.user_id)?;
        if user.disabled || session.expires_at <= state.now() {
            return Err(not_valid());
        }
        let mut effects = state.effects();
        if session.secret != self.secret {
            effects.write(SingleWrite::EndSession(session.id));
            record_sessions_ended(&mut effects, user.id, Some(user.id));
            return Ok((Renewal::UsedTwice, effects));
        }
        effects.write(SingleWrite::RenewSession(UserSession {
            secret: self.next.clone(),
            last_seen_at: state.now(),
            expires_at: state.now().after(self.lifetime),
            ..session.clone()
        }));
        Ok((Renewal::Renewed(Box::new(user.clone()), session.id), effects))
    }
}

/// Ends a session of the user who asks for it.
struct EndSession(SessionId);

impl ViewerCommand for EndSession {
    type Output = ();

    fn needs(&self, actor: &UserState, needs: &mut Needs) {
        needs.sessions_of(actor.user.id);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<((), Effects)> {
        actor.check_session()?;
        let user = actor.user.id;
        if !state.sessions_of(user)?.iter().any(|session| session.id == self.0) {
            return Err(Error::NotFound("session"));
        }
        let mut effects = state.effects();
        effects.write(SingleWrite::EndSession(self.0));
        record_sessions_ended(&mut effects, user, Some(user));
        Ok(((), effects))
    }
}

/// The error for a refresh token that renews no session. It does not say why, so that it does not help to guess.
fn not_valid() -> Error {
    Error::Unauthenticated("the refresh token is not valid: sign in again".into())
}
