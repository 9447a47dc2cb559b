//! What somebody can follow, whatever it is: the log, or values that are live and no events.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::feed::{Feed, Item};
use super::follow::Wish;
use super::metrics::MetricFeed;
use super::presence::PresenceFeed;
use super::{Board, Viewer};
use crate::error::{Error, Result};
use crate::hub::LiveEvent;
use crate::model::{ChannelId, Cursor, Metric, PresenceChange};

/// What somebody wants to follow.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Events of the log.
    Events(Wish),
    /// One metric, or all.
    Metrics(Option<String>),
    /// Who is present in a channel.
    Presence(ChannelId),
}

/// What comes of it.
#[derive(Debug)]
pub enum News {
    /// An event.
    Event(Arc<LiveEvent>),
    /// Everything of the log up to here has come: what follows is live.
    CaughtUp(Cursor),
    /// A metric has this value.
    Metric(Metric),
    /// Somebody came or left.
    Presence(PresenceChange),
    /// Nothing more will come: what was followed is gone (`None`), or this error.
    End(Option<Error>),
}

/// Something that is followed.
pub enum Stream {
    /// Events of the log.
    Events(Box<Feed>),
    /// Metrics.
    Metrics(MetricFeed),
    /// Who is present in a channel.
    Presence(Box<PresenceFeed>),
}

impl Board {
    /// Follows something.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CURSOR_EXPIRED`, `UNAUTHENTICATED`.
    pub async fn open_stream(&self, viewer: &Viewer, wanted: Wanted) -> Result<Stream> {
        Ok(match wanted {
            Wanted::Events(wish) => Stream::Events(Box::new(self.follow(viewer, wish).await?)),
            Wanted::Metrics(only) => Stream::Metrics(self.follow_metrics(only)),
            Wanted::Presence(channel) => Stream::Presence(Box::new(self.follow_presence(viewer, channel).await?)),
        })
    }
}

impl Stream {
    /// Up to where everything has come; `None` if it is not of the log.
    pub fn served(&mut self) -> Option<Cursor> {
        match self {
            Self::Events(feed) => Some(feed.served()),
            Self::Metrics(_) | Self::Presence(_) => None,
        }
    }

    /// The last position that it went past, which is at hand; `None` if it is not of the log.
    #[must_use]
    pub fn position(&self) -> Option<Cursor> {
        match self {
            Self::Events(feed) => Some(feed.position()),
            Self::Metrics(_) | Self::Presence(_) => None,
        }
    }

    /// Whether the viewer may still follow this; when not, it has ended.
    ///
    /// # Errors
    /// `FORBIDDEN` then.
    pub fn recheck(&mut self) -> Result<()> {
        match self {
            Self::Events(feed) => feed.recheck(),
            Self::Metrics(_) => Ok(()),
            Self::Presence(feed) => feed.recheck(),
        }
    }

    /// What comes next.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<News> {
        match self {
            Self::Events(feed) => feed.poll_next(context).map(|item| match item {
                Item::Event(event) => News::Event(event),
                Item::CaughtUp(cursor) => News::CaughtUp(cursor),
                Item::End(error) => News::End(error),
            }),
            Self::Metrics(feed) => feed.poll_next(context),
            Self::Presence(feed) => feed.poll_next(context),
        }
    }
}
