//! API keys: secrets with which programs act as a user, within some of the user's permissions.

use std::collections::HashSet;

use super::{ApiKeyId, ChannelId, Timestamp, UserId};

/// What an API key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApiScope {
    /// Queries and subscriptions.
    Read,
    /// All mutations that the user may make without being an admin, but those of the user's own account.
    Write,
    /// Publishing events.
    Publish,
    /// Everything that the user may do as an admin. Includes the other scopes.
    Admin,
}

impl ApiScope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Publish, Self::Admin];

    /// The name of the scope in GraphQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Publish => "PUBLISH",
            Self::Admin => "ADMIN",
        }
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiScopes(i16);

impl ApiScopes {
    /// All scopes: what a session has.
    pub const ALL: Self = Self::of(&ApiScope::ALL);

    /// The set of these scopes.
    #[must_use]
    pub const fn of(scopes: &[ApiScope]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < scopes.len() {
            bits |= 1 << scopes[at] as i16;
            at += 1;
        }
        Self(bits)
    }

    /// Whether a key with these scopes may do what `scope` allows.
    #[must_use]
    pub fn allow(self, scope: ApiScope) -> bool {
        self.contains(scope) || self.contains(ApiScope::Admin)
    }

    /// Whether the set contains this scope itself.
    #[must_use]
    pub fn contains(self, scope: ApiScope) -> bool {
        self.0 & (1 << scope as i16) != 0
    }

    /// The scopes, in the order of [`ApiScope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = ApiScope> {
        ApiScope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    /// The number that the database stores.
    #[must_use]
    pub fn code(self) -> i16 {
        self.0
    }

    /// The set for a number from the database. Unknown bits are ignored: they allow nothing.
    #[must_use]
    pub fn from_code(code: i16) -> Self {
        Self(code & Self::ALL.0)
    }
}

/// An API key. The digest of its secret stays in `store`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The id of the key.
    pub id: ApiKeyId,
    /// What the key is for.
    pub name: String,
    /// The user as whom the key acts.
    pub user_id: UserId,
    /// What the key may be used for.
    pub scopes: ApiScopes,
    /// The channels that the key is limited to; `None` if it is not limited.
    pub channels: Option<Vec<ChannelId>>,
    /// The rate of mutations of the key; `None`: that of a user.
    pub mutations_per_second: Option<u32>,
    /// When the key was created.
    pub created_at: Timestamp,
    /// When the key expires, if it does.
    pub expires_at: Option<Timestamp>,
    /// When the key was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// When the key was used last, to within a minute.
    pub last_used_at: Option<Timestamp>,
}

/// The channels that an API key is limited to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChannels {
    /// The key.
    pub key: ApiKeyId,
    /// Its channels.
    pub channels: HashSet<ChannelId>,
}
