//! Invitations to register.

use super::objects::{BYTES_PER_LISTED_ID, FIXED_BYTES};
use super::{ChannelId, InviteId, LocationId, OrganizationId, Role, Timestamp, Weight};

/// An invitation to register. It also works while registration is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The id of the invitation.
    pub id: InviteId,
    /// The random text that a new user registers with.
    pub code: String,
    /// The role of the new users.
    pub role: Role,
    /// The channels that the new users become members of.
    pub channels: Vec<ChannelId>,
    /// The organization of the new users.
    pub organization_id: Option<OrganizationId>,
    /// The location of the new users.
    pub location_id: Option<LocationId>,
    /// How many users may register with the invitation; `None` for any number.
    pub max_uses: Option<i64>,
    /// How many users have registered with the invitation.
    pub uses: i64,
    /// When the invitation was created.
    pub created_at: Timestamp,
    /// The invitation is not valid from this time on.
    pub expires_at: Option<Timestamp>,
    /// When an admin revoked the invitation.
    pub revoked_at: Option<Timestamp>,
}

impl Invite {
    /// Whether a user may register with the invitation at this time.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none()
            && self.expires_at.is_none_or(|end| now < end)
            && self.max_uses.is_none_or(|max| self.uses < max)
    }
}

impl Weight for Invite {
    fn weight(&self) -> usize {
        FIXED_BYTES + self.code.len() + BYTES_PER_LISTED_ID * self.channels.len()
    }
}
