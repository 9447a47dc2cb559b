//! Follows who is present in a channel: the users who are there first, then who joins and who leaves.

use std::ops::Bound::{Excluded, Unbounded};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt as _};

use super::changes::{Changes, Difference};
use super::{LogReader, LogRequest, Target, Update};
use crate::board::{Board, PresentUsers, Viewer};
use crate::error::Result;
use crate::model::{ChannelId, KindSet, PresenceChange, UserId};

/// The users who joined or left a channel, by id.
struct PresenceDifference(ChannelId);

impl Difference for PresenceDifference {
    type State = PresentUsers;
    type Key = UserId;

    fn next(&self, from: &PresentUsers, to: &PresentUsers, after: Option<&UserId>) -> Option<(UserId, Update)> {
        if Arc::ptr_eq(from, to) {
            return None;
        }
        let range = (after.map_or(Unbounded, |after| Excluded(*after)), Unbounded);
        let left = from.range(range).find(|user| !to.contains(user)).map(|user| (*user, false));
        let joined = to.range(range).find(|user| !from.contains(user)).map(|user| (*user, true));
        let (user, present) = left.into_iter().chain(joined).min()?;
        Some((user, Update::Presence(PresenceChange { channel: self.0, user, present })))
    }
}

/// The presence changes of a channel. They end with the channel, or with the permission to read it.
pub struct PresenceReader {
    /// Reads the events of the channel that can end the subscription. Its other events are skipped.
    channel: LogReader,
    changes: Changes<PresenceDifference>,
}

impl PresenceReader {
    /// Follows a channel.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for anonymous readers. `NOT_FOUND` if the viewer may not read the channel.
    pub async fn open(board: &Board, viewer: &Viewer, channel: ChannelId) -> Result<Self> {
        viewer.user_state()?;
        let request = LogRequest {
            target: Target::Channel(channel),
            kinds: KindSet::default(),
            types: None,
            tickets_only: false,
            exclude_own: false,
            after: None,
        };
        let reader = LogReader::open(board, viewer, request).await?;
        let changes =
            Changes::new(PresenceDifference(channel), board.presence.watch(), move |view| view.of(Some(channel)));
        Ok(Self { channel: reader, changes })
    }

    /// Checks again whether the viewer may follow this. If not, the subscription has ended.
    ///
    /// # Errors
    /// `FORBIDDEN` if the viewer may not.
    pub fn recheck(&mut self) -> Result<()> {
        self.channel.recheck()
    }
}

impl Stream for PresenceReader {
    type Item = Result<Update>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Update>>> {
        while let Poll::Ready(update) = self.channel.poll_next_unpin(context) {
            match update {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        self.changes.poll_next_unpin(context).map(|update| update.map(Ok))
    }
}
