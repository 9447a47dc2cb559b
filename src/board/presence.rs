//! Use cases of presence: connect, join a channel, and list the users who are present.

use std::sync::Arc;

use tokio::sync::watch;

use super::presence_registry::{PresenceGuard, Users, View};
use super::{Board, Viewer};
use crate::model::ChannelId;

impl Board {
    /// Marks the viewer as connected until the guard is dropped. `None` for anonymous viewers, who have no presence.
    #[must_use]
    pub fn connect(&self, viewer: &Viewer) -> Option<PresenceGuard> {
        viewer.user_id().map(|user| self.presence.seat((None, user)))
    }

    /// Marks the viewer as present in a channel until the guard is dropped. `None` for anonymous viewers.
    #[must_use]
    pub fn enter(&self, viewer: &Viewer, channel: ChannelId) -> Option<PresenceGuard> {
        viewer.user_id().map(|user| self.presence.seat((Some(channel), user)))
    }

    /// The users who are present in a channel, on all instances together.
    #[must_use]
    pub fn present(&self, channel: ChannelId) -> Users {
        self.presence.view().of(Some(channel))
    }

    /// Watches the users who are present in each channel, on all instances together.
    #[must_use]
    pub fn watch_presence(&self) -> watch::Receiver<Arc<View>> {
        self.presence.view.subscribe()
    }
}
