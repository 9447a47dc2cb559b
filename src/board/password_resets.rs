//! Password resets: a link lets a user set a new password without the old one.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::accounts::{Accounts, Client, EndSessions, checked_password};
use super::commands::ViewerCommand;
use super::permissions::UserState;
use super::sessions::Session;
use super::{Policy, Viewer};
use crate::auth::{generate_one_time_token, one_time_token_digest};
use crate::error::{Error, Result};
use crate::model::{CapacityKey, Freshness, Timestamp, User, UserId, client_prefix};
use crate::store::{BatchState, Effects, Needs, SingleWrite, Snapshot, WriteCommand, password_resets, users};

/// How long a link is valid.
const LINK_LIFETIME: Duration = Duration::from_secs(86_400);

/// A link with which a user sets a new password.
#[derive(Clone)]
pub struct PasswordReset {
    /// The address of the page, with the one-time token in its fragment, which browsers do not send to servers.
    pub url: String,
    /// When the link expires.
    pub expires_at: Timestamp,
}

impl Accounts {
    /// Creates a link with which a user sets a new password. An earlier link of the user is not valid any more. Only
    /// admins may do this.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `FORBIDDEN` if the viewer is not an admin. `NOT_FOUND` if there is no
    /// such user. `RATE_LIMITED` if the viewer's budget of mutations is used up. `UNAVAILABLE` if the database cannot be
    /// reached.
    pub async fn create_password_reset(&self, viewer: &Viewer, user: UserId) -> Result<PasswordReset> {
        self.commands.actor(viewer)?;
        let (command, link) = CreateReset::new(user, &self.policy);
        self.commands.run(viewer, command).await?;
        Ok(link)
    }

    /// The same for the operator.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such user. `UNAVAILABLE` if the database cannot be reached.
    pub async fn reset_link(&self, user: UserId) -> Result<PasswordReset> {
        let (command, link) = CreateReset::new(user, &self.policy);
        self.commands.write_access(command).await?;
        Ok(link)
    }

    /// Asks for a link for the user with this name, by mail. It does nothing, because this version sends no mail. The
    /// result does not depend on whether the user exists.
    ///
    /// # Errors
    /// `RATE_LIMITED` after too many attempts.
    pub fn request_password_reset(&self, client: Client<'_>, login: &str) -> Result<()> {
        self.auth.sign_ins.check(client_prefix(client.address))?;
        self.auth.attempts.check(client.address, login)
    }

    /// Sets a new password with the token of a link, ends all sessions of the user and starts a new one.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if the token is not valid, or the password is not acceptable. `RATE_LIMITED` after too many
    /// attempts. `UNAVAILABLE` if the server is busy or the database cannot be reached.
    pub async fn reset_password(&self, client: Client<'_>, token: &str, new: String) -> Result<Session> {
        let prefix = client_prefix(client.address);
        self.auth.sign_ins.check(prefix)?;
        let (party, digest) = (CapacityKey::Address(prefix), one_time_token_digest(token));
        let wanted = digest.clone();
        let reading = move |snapshot: &mut Snapshot| match password_resets::find(snapshot.db(), &wanted)? {
            Some((user, _)) => users::find(snapshot.db(), user),
            None => Ok(None),
        };
        let user = self.store.read_for(Freshness::Newest, party, reading).await?.ok_or_else(not_valid)?;
        checked_password("new", &new, &user.username)?;
        let turn = self.auth.passwords.turn(party).await?;
        let (hash, turn) = self.auth.passwords.hash(turn, new).await?;
        drop(turn);
        let _turn = self.commands.slot(party).await?;
        let user = self.commands.write_access(ResetPassword { digest, hash }).await?;
        self.sessions.start(user, client.user_agent).await
    }

    /// Sets the password of a user for the operator, and ends all sessions of the user.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if the password is not acceptable. `NOT_FOUND` if there is no such user. `UNAVAILABLE` if the
    /// database cannot be reached.
    pub async fn set_password(&self, user: &User, new: String) -> Result<User> {
        checked_password("password", &new, &user.username)?;
        let turn = self.auth.passwords.turn(CapacityKey::Server).await?;
        let (hash, _turn) = self.auth.passwords.hash(turn, new).await?;
        let command = EndSessions { user: user.id, actor: None, new_hash: Some(hash) };
        self.commands.write_access(command).await
    }
}

/// Stores a link.
struct CreateReset {
    user: UserId,
    digest: String,
    expires_at: Timestamp,
}

impl CreateReset {
    fn new(user: UserId, policy: &Arc<Policy>) -> (Self, PasswordReset) {
        let token = generate_one_time_token();
        let (digest, expires_at) = (one_time_token_digest(&token), Timestamp::now().after(LINK_LIFETIME));
        let link = PasswordReset { url: format!("{}/#/reset/{token}", policy.public_url), expires_at };
        (Self { user, digest, expires_at }, link)
    }

    fn change(&self, state: &BatchState) -> Result<((), Effects)> {
        let user = state.user(self.user)?;
        let mut effects = state.effects();
        effects.write(SingleWrite::SetPasswordReset(user.id, self.digest.clone(), self.expires_at));
        Ok(((), effects))
    }
}

/// The operator's command.
impl WriteCommand for CreateReset {
    type Output = ();

    fn needs(&self, needs: &mut Needs) {
        needs.lock_head();
        needs.user(self.user);
    }

    fn decide(&self, state: &BatchState) -> Result<((), Effects)> {
        self.change(state)
    }
}

/// An admin's command.
impl ViewerCommand for CreateReset {
    type Output = ();

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        WriteCommand::needs(self, needs);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<((), Effects)> {
        actor.check_admin()?;
        self.change(state)
    }
}

/// Uses a link.
struct ResetPassword {
    digest: String,
    hash: String,
}

impl WriteCommand for ResetPassword {
    type Output = User;

    fn needs(&self, needs: &mut Needs) {
        needs.password_reset(&self.digest);
    }

    fn decide(&self, state: &BatchState) -> Result<(User, Effects)> {
        let (user, expires_at) = state.password_reset(&self.digest).ok_or_else(not_valid)?;
        if expires_at <= state.now() || state.user(user)?.disabled {
            return Err(not_valid());
        }
        EndSessions { user, actor: Some(user), new_hash: Some(self.hash.clone()) }.decide(state)
    }
}

/// The error for a token that sets no password. It does not say why, so that it does not help to guess.
fn not_valid() -> Error {
    Error::input("token", "the link is not valid, or has expired: ask for a new one")
}
