//! Coming in: whose socket it is, decided when `connection_init` arrives; without GraphQL, at once.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::quota::Share;
use super::super::{Site, callers};
use super::close::Close;
use crate::board::Seated;
use crate::error::{Error, Result};
use crate::graphql::Caller;
use crate::live::SessionWatch;
use crate::model::{Timestamp, UserId};

/// What the upgrade said of the client.
pub struct Entry {
    token: Result<Option<String>>,
    address: IpAddr,
    /// Whether somebody without a token may come in here at all.
    strangers: bool,
}

/// Somebody who came in.
pub struct Entered {
    /// Who.
    pub caller: Caller,
    /// When the session ends.
    pub until: Option<Timestamp>,
    /// Watches the session of a signed-in user.
    pub watch: Option<SessionWatch>,
    /// Counts the socket among those of the user.
    pub place: Option<Share<UserId>>,
    /// Counts them among the active users.
    pub connected: Option<Seated>,
}

impl Entry {
    /// From the upgrade's token and address.
    pub fn new(token: Result<Option<String>>, address: IpAddr, strangers: bool) -> Self {
        Self { token, address, strangers }
    }

    /// Comes in with the parameters of `connection_init`: a token there goes before one of the upgrade.
    pub async fn enter(&self, site: &Arc<Site>, parameters: &Map<String, Value>) -> Result<Entered, Close> {
        let token = match token(parameters).map_err(close)? {
            Some(token) => Some(token),
            None => self.token.clone().map_err(close)?,
        };
        if token.is_none() && !(self.strangers && site.board.serves_strangers()) {
            return Err(Close::Unauthorized);
        }
        let (caller, until) = callers::caller(site, token.as_deref(), self.address).await.map_err(close)?;
        let watch = SessionWatch::start(&site.board, &caller.viewer).await.map_err(close)?;
        let place = match caller.viewer.user_id() {
            Some(user) => Some(site.users.one_more(user).ok_or(Close::Crowded)?),
            None => None,
        };
        let connected = site.board.connect(&caller.viewer);
        Ok(Entered { caller, until, watch, place, connected })
    }
}

fn token(parameters: &Map<String, Value>) -> Result<Option<String>> {
    let text = |name: &str| parameters.get(name)?.as_str();
    if let Some(header) = text("authorization").or_else(|| text("Authorization")).filter(|text| !text.is_empty()) {
        return callers::bearer(header).map(Some);
    }
    Ok(text("token").or_else(|| text("authToken")).filter(|text| !text.is_empty()).map(str::to_owned))
}

fn close(error: Error) -> Close {
    match error {
        Error::Unauthenticated(why) => Close::Forbidden(why),
        // Whoever came back at once would only meet it again, and the operator would have a crowd besides.
        Error::Internal(detail) => {
            tracing::error!(%detail, "a fault while somebody came in");
            Close::Fault
        }
        error => {
            tracing::warn!(%error, "somebody could not come in");
            Close::Busy
        }
    }
}
