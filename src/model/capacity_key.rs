//! The key by which shared capacity is divided between callers.

use std::net::IpAddr;

use super::UserId;

/// The caller that an operation counts against, wherever capacity is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CapacityKey {
    /// The server itself: the log tailer, the loading of rights, health checks.
    Server,
    /// A signed-in user.
    User(UserId),
    /// The rendering of subscription items for this user. It is separate from the user's own queries, because other
    /// subscribers may wait for the same rendering.
    RenderingFor(UserId),
    /// An anonymous client, by its address prefix ([`client_prefix`](super::client_prefix)).
    Address(IpAddr),
}

impl CapacityKey {
    /// Whether this caller shares the capacity that is set aside for anonymous clients.
    #[must_use]
    pub fn is_anonymous(self) -> bool {
        matches!(self, Self::Address(_))
    }

    /// The key under which subscription items for this caller are rendered.
    #[must_use]
    pub fn rendering(self) -> Self {
        match self {
            Self::User(user) => Self::RenderingFor(user),
            other => other,
        }
    }
}
