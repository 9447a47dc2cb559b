//! What somebody may see, as a plain value.

use std::collections::HashSet;

use super::{Audience, ChannelId, LocationId, UserId};

/// The rights of one viewer at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// Who; `None` is an anonymous reader.
    pub user: Option<UserId>,
    /// May read and moderate everything.
    pub admin: bool,
    /// The user's location and the locations of the user's organization, sorted.
    pub locations: Vec<LocationId>,
    /// The channels the user is a member of.
    pub channels: HashSet<ChannelId>,
}

impl Rights {
    /// Whether somebody with these rights is in the audience of what `owner` wrote.
    #[must_use]
    pub fn in_audience(&self, audience: &Audience, owner: Option<UserId>) -> bool {
        audience.is_everybody()
            || self.admin
            || (self.user.is_some() && self.user == owner)
            || self.locations.iter().any(|location| audience.0.binary_search(location).is_ok())
    }
}
