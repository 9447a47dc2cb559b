//! What a subscription yields.

use std::sync::Arc;

use crate::hub::LiveEvent;
use crate::model::{Cursor, Metric, PresenceChange, Signal};

/// One update of a subscription.
#[derive(Debug, Clone)]
pub enum Update {
    /// An event of the log that the viewer may see.
    Event(Arc<LiveEvent>),
    /// The subscription has yielded every event of the log up to this position. The next events are live.
    CaughtUp(Cursor),
    /// The current value of a metric.
    Metric(Metric),
    /// A user joined or left a channel.
    Presence(PresenceChange),
    /// A signal to the users who follow a channel.
    Signal(Arc<Signal>),
}

impl Update {
    /// The event, if this is one.
    #[must_use]
    pub fn event(&self) -> Option<&Arc<LiveEvent>> {
        match self {
            Self::Event(event) => Some(event),
            Self::CaughtUp(_) | Self::Metric(_) | Self::Presence(_) | Self::Signal(_) => None,
        }
    }

    /// The position in the log from which a client can resume after this update. Live values have none.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        match self {
            Self::Event(event) => Some(event.cursor),
            Self::CaughtUp(cursor) => Some(*cursor),
            Self::Metric(_) | Self::Presence(_) | Self::Signal(_) => None,
        }
    }
}
