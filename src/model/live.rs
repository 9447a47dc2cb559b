//! Values that are live and no events: only the newest counts.

use super::{ChannelId, Timestamp, UserId};

/// A number by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// When it had another value for the last time.
    pub updated_at: Timestamp,
}

/// Somebody came to a channel or left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PresenceChange {
    /// Which channel.
    pub channel: ChannelId,
    /// Who.
    pub user: UserId,
    /// Whether they are there now.
    pub present: bool,
}
