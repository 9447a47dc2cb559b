//! Values of which only the newest matters. They are not part of the log.

use super::{ChannelId, Timestamp, UserId};

/// A named number that an admin or the server itself publishes.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// The name of the metric.
    pub name: String,
    /// The current value.
    pub value: f64,
    /// When the value last changed.
    pub updated_at: Timestamp,
}

/// A user became present in a channel, or stopped being present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PresenceChange {
    /// The channel.
    pub channel: ChannelId,
    /// The user.
    pub user: UserId,
    /// Whether the user is present now.
    pub present: bool,
}
