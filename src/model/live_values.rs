//! Values of which only the newest matters, and signals. They are not part of the log.

use std::sync::Arc;

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

/// A message to the users who follow a channel at this moment. It is stored nowhere and has no position in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// A random number, by which renderings of the signal are shared.
    pub id: u64,
    /// The channel.
    pub channel: ChannelId,
    /// The user who sent the signal.
    pub user: UserId,
    /// The type, which the sender chose.
    pub signal_type: Arc<str>,
    /// The data, as JSON text.
    pub data: Option<Arc<str>>,
}
