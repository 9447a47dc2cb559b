//! Whose share of a shared capacity an operation takes.

use std::net::IpAddr;

use super::UserId;

/// A caller, as far as shared capacity is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// The server itself: the tail of the log, rights, health checks.
    Server,
    /// A signed-in user.
    User(UserId),
    /// Items of subscriptions that are rendered for a user: apart from what the user asks for, because other readers may
    /// wait for the same rendering.
    RenderingFor(UserId),
    /// An anonymous client, by its [`household`](super::household).
    Address(IpAddr),
}

impl Party {
    /// Whether it shares the capacity of all anonymous clients.
    #[must_use]
    pub fn is_anonymous(self) -> bool {
        matches!(self, Self::Address(_))
    }

    /// The party of the items that are rendered for this one.
    #[must_use]
    pub fn rendering(self) -> Self {
        match self {
            Self::User(user) => Self::RenderingFor(user),
            other => other,
        }
    }
}
