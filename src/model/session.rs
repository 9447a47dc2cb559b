//! Sessions: each one begins when a user signs in, and has one refresh token.

use super::objects::FIXED_BYTES;
use super::{SessionId, Timestamp, UserId, Weight};

/// A session that a user has signed in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSession {
    /// The id of the session. Later sessions of a user have higher ids.
    pub id: SessionId,
    /// The user.
    pub user_id: UserId,
    /// When the user signed in.
    pub created_at: Timestamp,
    /// When the session was last used, to within about a minute.
    pub last_seen_at: Timestamp,
    /// The refresh token is not valid from this time on.
    pub expires_at: Timestamp,
    /// The program that signed in, as its header `User-Agent` names it.
    pub user_agent: Option<String>,
    /// The digest of the part of the refresh token that stays the same.
    pub family: String,
    /// The digest of the part of the refresh token that each use replaces.
    pub secret: String,
}

impl Weight for UserSession {
    fn weight(&self) -> usize {
        let agent = self.user_agent.as_ref().map_or(0, String::len);
        FIXED_BYTES + agent + self.family.len() + self.secret.len()
    }
}
