//! Authenticates the client of a WebSocket: on `connection_init`, or for plain JSON right after the upgrade.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::connection_limits::Permit;
use super::super::{AppState, client_identity};
use super::close::Close;
use crate::board::PresenceGuard;
use crate::error::{Error, Result};
use crate::graphql::Caller;
use crate::live::SessionWatch;
use crate::model::{Timestamp, UserId};

/// The token and the address from the upgrade request.
pub struct Credentials {
    token: Result<Option<String>>,
    address: IpAddr,
    /// Whether clients without a token are allowed on this path.
    allows_anonymous: bool,
    /// The number of the connection.
    pub connection_id: u64,
}

/// The state of an authenticated WebSocket. Dropping it frees the user's permit and presence.
pub struct Authenticated {
    /// The caller of all operations.
    pub caller: Caller,
    /// When the token expires; `None` for anonymous clients.
    pub expires_at: Option<Timestamp>,
    /// Reports the end of the user's sessions and changes of the user's permissions; `None` for anonymous clients.
    pub watch: Option<SessionWatch>,
    /// The permit of the limit on sockets per user; `None` for anonymous clients.
    pub permit: Option<Permit<UserId>>,
    /// Counts the user as active; `None` for anonymous clients.
    pub connected: Option<PresenceGuard>,
}

impl Credentials {
    /// Keeps what the upgrade request contained.
    pub fn new(token: Result<Option<String>>, address: IpAddr, allows_anonymous: bool, connection_id: u64) -> Self {
        Self { token, address, allows_anonymous, connection_id }
    }

    /// Authenticates the client. A token in the parameters of `connection_init` takes precedence over the upgrade's.
    ///
    /// # Errors
    /// The close code for a missing or invalid token, too many sockets of the user, or a database failure.
    pub async fn authenticate(
        &self,
        site: &Arc<AppState>,
        parameters: &Map<String, Value>,
    ) -> Result<Authenticated, Close> {
        let close_for = |error| close_for(error, self.connection_id);
        let token = match token(parameters).map_err(close_for)? {
            Some(token) => Some(token),
            None => self.token.clone().map_err(close_for)?,
        };
        if token.is_none() && !(self.allows_anonymous && site.board.policy.anonymous_read) {
            return Err(Close::Unauthorized);
        }
        let (caller, expires_at) =
            client_identity::caller(site, token.as_deref(), self.address).await.map_err(close_for)?;
        let watch = SessionWatch::start(&site.board, &caller.viewer).await.map_err(close_for)?;
        let permit = match caller.viewer.user_id() {
            Some(user) => Some(site.users.try_acquire(user).ok_or(Close::TooManySockets)?),
            None => None,
        };
        let connected = site.board.presence.connect(&caller.viewer);
        Ok(Authenticated { caller, expires_at, watch, permit, connected })
    }
}

fn token(parameters: &Map<String, Value>) -> Result<Option<String>> {
    let text = |name: &str| parameters.get(name)?.as_str();
    if let Some(header) = text("authorization").or_else(|| text("Authorization")).filter(|text| !text.is_empty()) {
        return client_identity::bearer(header).map(Some);
    }
    Ok(text("token").or_else(|| text("authToken")).filter(|text| !text.is_empty()).map(str::to_owned))
}

fn close_for(error: Error, connection_id: u64) -> Close {
    match error {
        Error::Unauthenticated(why) => Close::Forbidden(why),
        // Close with 4500, not 1013: a retry would fail in the same way and only add load.
        Error::Internal(detail) => {
            tracing::error!(connection_id, %detail, "internal error while authenticating a WebSocket client");
            Close::Fault
        }
        error => {
            tracing::warn!(connection_id, %error, "cannot authenticate a WebSocket client");
            Close::Busy
        }
    }
}
