//! The GraphQL types of sessions, and of links to set a password.

use std::sync::Arc;

use juniper::{ID, graphql_object};

use super::context::Ctx;
use super::scalars::{DateTime, to_id};
use super::users::User;
use crate::board;
use crate::error::{Error, Result};
use crate::model::{self, SessionId};

/// A session that was started or extended, as a GraphQL object.
pub struct Session {
    session: board::Session,
    user: User,
}

impl Session {
    /// Wraps a session and registers the keys that its fields may load.
    pub fn new(ctx: &Ctx, session: board::Session) -> Self {
        let user = User::new(ctx, Arc::new(session.user.clone()));
        Self { session, user }
    }

    /// When the token expires.
    pub fn end(&self) -> model::Timestamp {
        self.session.expires_at
    }
}

/// A session that was started or extended.
#[graphql_object(context = Ctx)]
impl Session {
    /// The token. Clients send it as `Authorization: Bearer …`, or in `connection_init`.
    fn token(&self) -> &str {
        &self.session.token
    }

    /// When the token expires.
    fn expires_at(&self) -> DateTime {
        DateTime(self.session.expires_at)
    }

    /// The token for `renewSession`. It is valid once, and for `--session-lifetime`. The mutation `refreshToken` does not
    /// issue one, so this field is an error there.
    fn refresh_token(&self) -> Result<&str> {
        let none = || Error::input("refreshToken", "this mutation issues no refresh token; use renewSession");
        self.session.refresh_token.as_deref().ok_or_else(none)
    }

    /// The user whom the session belongs to.
    fn user(&self) -> &User {
        &self.user
    }
}

/// A link with which a user sets a new password.
#[graphql_object(context = Ctx)]
impl PasswordReset {
    /// The address of the page that asks for the new password. It is valid once. Hand it over to the user in private.
    fn url(&self) -> &str {
        &self.0.url
    }

    /// When the link expires.
    fn expires_at(&self) -> DateTime {
        DateTime(self.0.expires_at)
    }
}

/// A link with which a user sets a new password, as a GraphQL object.
pub struct PasswordReset(pub board::PasswordReset);

/// A session in the list of a user's sessions, as a GraphQL object.
pub struct SessionInfo {
    session: model::UserSession,
    is_current: bool,
}

impl SessionInfo {
    /// Wraps a session. `current` is the session of the viewer.
    pub fn new(session: model::UserSession, current: Option<SessionId>) -> Self {
        let is_current = Some(session.id) == current;
        Self { session, is_current }
    }
}

/// A session of the viewer. It began when the viewer signed in.
#[graphql_object(context = Ctx)]
impl SessionInfo {
    /// The id of the session.
    fn id(&self) -> ID {
        to_id(self.session.id)
    }

    /// When the viewer signed in.
    fn created_at(&self) -> DateTime {
        DateTime(self.session.created_at)
    }

    /// When the session was last used for a request or a connection, to within about a minute.
    fn last_seen_at(&self) -> DateTime {
        DateTime(self.session.last_seen_at)
    }

    /// The program that signed in, as its header `User-Agent` names it.
    fn user_agent(&self, ctx: &Ctx) -> Result<Option<&str>> {
        ctx.show_some(self.session.user_agent.as_deref())
    }

    /// Whether the viewer uses this session now.
    fn current(&self) -> bool {
        self.is_current
    }
}
