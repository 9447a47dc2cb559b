//! Use cases of presence: connect, join a channel, and list who is present.

use std::sync::Arc;

use tokio::sync::watch;

use super::presence_registry::{PresenceGuard, Users, View};
use super::{Board, Viewer};
use crate::model::ChannelId;

impl Board {
    /// The viewer is connected as long as this is held; nobody who is not signed in is.
    #[must_use]
    pub fn connect(&self, viewer: &Viewer) -> Option<PresenceGuard> {
        viewer.user_id().map(|user| self.presence.seat((None, user)))
    }

    /// The viewer is present in a channel as long as this is held.
    #[must_use]
    pub fn enter(&self, viewer: &Viewer, channel: ChannelId) -> Option<PresenceGuard> {
        viewer.user_id().map(|user| self.presence.seat((Some(channel), user)))
    }

    /// Who is present in a channel.
    #[must_use]
    pub fn present(&self, channel: ChannelId) -> Users {
        self.presence.view().of(Some(channel))
    }

    /// Who is present in each channel, on all instances together.
    #[must_use]
    pub fn watch_presence(&self) -> watch::Receiver<Arc<View>> {
        self.presence.view.subscribe()
    }
}
