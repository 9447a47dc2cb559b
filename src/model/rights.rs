//! The rights of a viewer, as a plain value.

use std::collections::HashSet;

use super::{Audience, Channel, ChannelId, LocationId, UserId, Visibility};

/// The rights of one viewer at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// The viewer's user id; `None` for an anonymous viewer.
    pub user: Option<UserId>,
    /// Whether the viewer is an admin, who may read and moderate everything.
    pub admin: bool,
    /// The user's location and the locations of the user's organization, sorted.
    pub locations: Vec<LocationId>,
    /// The channels the user is a member of.
    pub channels: HashSet<ChannelId>,
}

impl Rights {
    /// Whether a viewer with these rights is in the audience of an object that `owner` wrote. Admins and the owner
    /// always are.
    #[must_use]
    pub fn in_audience(&self, audience: &Audience, owner: Option<UserId>) -> bool {
        audience.is_unrestricted()
            || self.admin
            || (self.user.is_some() && self.user == owner)
            || self.locations.iter().any(|location| audience.0.binary_search(location).is_ok())
    }

    /// Whether a viewer with these rights may read the channel.
    #[must_use]
    pub fn can_read(&self, channel: &Channel) -> bool {
        channel.visibility == Visibility::Public || self.admin || self.channels.contains(&channel.id)
    }
}
