//! Follows the signals of a channel, and the events of the channel that a client wants beside them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _};
use tokio_stream::wrappers::BroadcastStream;

use super::{LogReader, LogRequest, Update};
use crate::board::{Board, Viewer};
use crate::error::Result;
use crate::model::{ChannelId, Cursor, KindSet, Signal, TypeFilter};

/// The signals of a channel, which a client wants.
#[derive(Debug, Clone)]
pub struct SignalRequest {
    /// The channel.
    pub channel: ChannelId,
    /// Only signals of these types.
    pub types: Option<TypeFilter>,
    /// The events of the same channel. Without kinds, the client gets none.
    pub events: LogRequest,
}

/// The signals of a channel. They end with the channel, or with the permission to read it.
pub struct SignalReader {
    /// Also reads the events that can end the subscription.
    log: LogReader,
    yields_events: bool,
    signals: BoxStream<'static, Arc<Signal>>,
}

impl SignalReader {
    /// Follows a channel.
    ///
    /// # Errors
    /// `NOT_FOUND` if the viewer may not read the channel; others of [`LogReader::open`].
    pub async fn open(board: &Board, viewer: &Viewer, request: SignalRequest) -> Result<Self> {
        let SignalRequest { channel, types, events } = request;
        let signals = board.signals.follow(channel);
        let yields_events = events.kinds != KindSet::default();
        let log = LogReader::open(board, viewer, events).await?;
        let viewer = viewer.clone();
        let wanted = move |signal: Arc<Signal>| {
            let is_wanted = types.as_ref().is_none_or(|types| types.matches(&signal.signal_type));
            Some(signal).filter(|_| is_wanted && viewer.can_read(channel))
        };
        // A slow reader skips signals. The sender goes when the server stops, which is not the end of the subscription.
        let signals =
            BroadcastStream::new(signals).filter_map(move |signal| std::future::ready(signal.ok().and_then(&wanted)));
        Ok(Self { log, yields_events, signals: signals.chain(stream::pending()).boxed() })
    }

    /// The position of the log up to which every event was yielded.
    pub fn served(&mut self) -> Option<Cursor> {
        self.yields_events.then(|| self.log.served())
    }

    /// The last position of the log that the reader moved past.
    #[must_use]
    pub fn position(&self) -> Option<Cursor> {
        self.yields_events.then(|| self.log.position())
    }

    /// Checks again whether the viewer may follow this. If not, the subscription has ended.
    ///
    /// # Errors
    /// `FORBIDDEN` if the viewer may not.
    pub fn recheck(&mut self) -> Result<()> {
        self.log.recheck()
    }
}

impl Stream for SignalReader {
    type Item = Result<Update>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Update>>> {
        while let Poll::Ready(update) = self.log.poll_next_unpin(context) {
            match update {
                Some(Ok(_)) if !self.yields_events => {}
                update => return Poll::Ready(update),
            }
        }
        self.signals.poll_next_unpin(context).map(|signal| signal.map(|signal| Ok(Update::Signal(signal))))
    }
}
