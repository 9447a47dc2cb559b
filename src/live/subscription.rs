//! A subscription: the updates of whatever a client follows, as one stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt as _};

use super::changes::Changes;
use super::metrics::{self, MetricDifference};
use super::presence::PresenceReader;
use super::signals::{SignalReader, SignalRequest};
use super::{LogReader, LogRequest, Update};
use crate::board::{Board, Viewer};
use crate::error::Result;
use crate::model::{ChannelId, Cursor};

/// What a client wants to follow.
#[derive(Debug, Clone)]
pub enum SubscriptionRequest {
    /// Events of the log.
    Log(LogRequest),
    /// One metric, or all.
    Metrics(Option<String>),
    /// Who is present in a channel.
    Presence(ChannelId),
    /// The signals of a channel.
    Signals(SignalRequest),
}

/// The updates of a subscription. The stream ends (`None`) when the object that it is bound to is deleted, and after an
/// error.
pub enum Subscription {
    /// Events of the log.
    Log(Box<LogReader>),
    /// Metrics.
    Metrics(Changes<MetricDifference>),
    /// Who is present in a channel.
    Presence(Box<PresenceReader>),
    /// The signals of a channel.
    Signals(Box<SignalReader>),
}

impl Subscription {
    /// Starts following something.
    ///
    /// # Errors
    /// `NOT_FOUND` if it does not exist for the viewer, `CURSOR_EXPIRED` for a cursor that cannot be resumed from,
    /// `UNAUTHENTICATED` if an anonymous reader may not follow it, `UNAVAILABLE` if the database does not answer.
    pub async fn open(board: &Board, viewer: &Viewer, request: SubscriptionRequest) -> Result<Self> {
        Ok(match request {
            SubscriptionRequest::Log(request) => Self::Log(Box::new(LogReader::open(board, viewer, request).await?)),
            SubscriptionRequest::Metrics(metric) => {
                viewer.rights()?;
                Self::Metrics(metrics::follow(board, metric))
            }
            SubscriptionRequest::Signals(request) => {
                Self::Signals(Box::new(SignalReader::open(board, viewer, request).await?))
            }
            SubscriptionRequest::Presence(channel) => {
                Self::Presence(Box::new(PresenceReader::open(board, viewer, channel).await?))
            }
        })
    }

    /// The position of the log up to which every event was yielded. Live values have none.
    pub fn served(&mut self) -> Option<Cursor> {
        match self {
            Self::Log(reader) => Some(reader.served()),
            Self::Signals(reader) => reader.served(),
            Self::Metrics(_) | Self::Presence(_) => None,
        }
    }

    /// The last position of the log that the reader moved past. Unlike [`Self::served`], this does not check
    /// whether a later position is equivalent, because no event of the subscription is in between.
    #[must_use]
    pub fn position(&self) -> Option<Cursor> {
        match self {
            Self::Log(reader) => Some(reader.position()),
            Self::Signals(reader) => reader.position(),
            Self::Metrics(_) | Self::Presence(_) => None,
        }
    }

    /// Checks again whether the viewer may follow this. If not, the subscription has ended.
    ///
    /// # Errors
    /// `FORBIDDEN` if the viewer may not.
    pub fn recheck(&mut self) -> Result<()> {
        match self {
            Self::Log(reader) => reader.recheck(),
            Self::Signals(reader) => reader.recheck(),
            Self::Metrics(_) => Ok(()),
            Self::Presence(reader) => reader.recheck(),
        }
    }
}

impl Stream for Subscription {
    type Item = Result<Update>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Update>>> {
        match &mut *self {
            Self::Log(reader) => reader.poll_next_unpin(context),
            Self::Signals(reader) => reader.poll_next_unpin(context),
            Self::Metrics(changes) => changes.poll_next_unpin(context).map(|update| update.map(Ok)),
            Self::Presence(reader) => reader.poll_next_unpin(context),
        }
    }
}
