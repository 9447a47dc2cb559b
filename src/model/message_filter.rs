//! Which messages a list contains.

use super::{ChannelId, TicketStatus, UserId};

/// Conditions on the messages of a list.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// If set, only messages of this channel match.
    pub channel: Option<ChannelId>,
    /// Whether only messages that are tickets match.
    pub tickets_only: bool,
    /// If set, only tickets with this status match.
    pub status: Option<TicketStatus>,
    /// If set, only tickets with this assignee match.
    pub assignee: Option<UserId>,
}

impl MessageFilter {
    /// Whether the filter has a condition that only tickets can meet.
    #[must_use]
    pub fn is_for_tickets(&self) -> bool {
        self.tickets_only || self.status.is_some() || self.assignee.is_some()
    }
}
