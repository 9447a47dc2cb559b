//! The rights of a viewer, as a plain value.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Audience, Channel, ChannelId, KeyChannels, LocationId, UserId, Visibility};

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
    /// The channels that the viewer's API key is limited to; `None` without such a key. Nothing else exists for the
    /// viewer.
    pub limit: Option<Arc<KeyChannels>>,
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
        let is_shown = channel.visibility == Visibility::Public || self.admin || self.channels.contains(&channel.id);
        is_shown && self.includes(channel.id)
    }

    /// Whether this channel is among those that the viewer's API key is limited to. Always true without such a key.
    #[must_use]
    pub fn includes(&self, channel: ChannelId) -> bool {
        self.limit.as_ref().is_none_or(|limit| limit.channels.contains(&channel))
    }

    /// The rights of a program that acts as this user with an API key.
    #[must_use]
    pub fn narrowed(&self, is_admin: bool, limit: Option<KeyChannels>) -> Self {
        Self { admin: self.admin && is_admin, limit: limit.map(Arc::new), ..self.clone() }
    }
}
