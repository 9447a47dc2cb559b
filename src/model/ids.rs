//! Ids as types of their own, so that a channel is never taken for a message.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl From<i64> for $name {
            fn from(id: i64) -> Self {
                Self(id)
            }
        }
    )+};
}

ids! {
    /// Somebody who signs in.
    UserId,
    /// A named place for messages.
    ChannelId,
    /// A post in a channel.
    MessageId,
    /// A reply to a message.
    CommentId,
    /// A reusable text.
    TemplateId,
    /// A note for one user, or for all.
    NotificationId,
    /// An organization.
    OrganizationId,
    /// A location of an organization.
    LocationId,
}
