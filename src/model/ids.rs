//! One type per kind of id, so that the compiler rejects a channel id where a message id is needed.

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
    /// The id of a user.
    UserId,
    /// The id of a channel.
    ChannelId,
    /// The id of a message.
    MessageId,
    /// The id of a comment.
    CommentId,
    /// The id of a template.
    TemplateId,
    /// The id of a notification.
    NotificationId,
    /// The id of an organization.
    OrganizationId,
    /// The id of a location.
    LocationId,
    /// The id of an API key.
    ApiKeyId,
    /// The id of a session.
    SessionId,
    /// The id of an invitation.
    InviteId,
}
