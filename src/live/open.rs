//! Starts a reader of the log: checks the cursor, and that the object exists for the viewer.

use std::sync::Arc;

use super::LogReader;
use super::log_reader::EventFilter;
use crate::board::{Board, Viewer};
use crate::error::{Error, Result};
use crate::model::{ChannelId, Cursor, Freshness, KindSet, MessageId, Topic, TypeFilter};

/// What a client names to follow. Unlike a [`Topic`], a message has no channel yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Everything the viewer may see.
    Everything,
    /// A channel.
    Channel(ChannelId),
    /// A message, and the channel in which it must be, if the client names one.
    Message(Option<ChannelId>, MessageId),
    /// The shared templates.
    Templates,
    /// The notifications of the viewer, and the announcements.
    Notifications,
}

/// Which events of the log a client wants.
#[derive(Debug, Clone)]
pub struct LogRequest {
    /// Where the events happen.
    pub target: Target,
    /// The kinds of events.
    pub kinds: KindSet,
    /// Only application events of these types.
    pub types: Option<TypeFilter>,
    /// Only events of tickets.
    pub tickets_only: bool,
    /// No events that the viewer caused.
    pub exclude_own: bool,
    /// The position behind which the subscription begins. Without one it begins at the newest position that this instance knows.
    pub after: Option<Cursor>,
}

impl LogReader {
    /// Starts to read the log for a viewer.
    ///
    /// # Errors
    /// `NOT_FOUND` if the target does not exist for the viewer, `CURSOR_EXPIRED` for a cursor that cannot be resumed from,
    /// `UNAUTHENTICATED` if the target is not for anonymous readers, `UNAVAILABLE` if the database does not answer.
    pub async fn open(board: &Board, viewer: &Viewer, request: LogRequest) -> Result<Self> {
        let after = request.after.unwrap_or_else(|| board.log.now());
        let topic = topic_of(board, viewer, request.target, after).await?;
        let LogRequest { kinds, types, tickets_only, exclude_own, .. } = request;
        let filter = EventFilter { topic, kinds, types, tickets_only, exclude_own };
        // The subscription comes first: what happens during the checks is in the hub.
        let (receiver, head) = board.hub().subscribe(topic, filter.watched()).await?;
        let is_known = after == head || board.hub().knows(after).await?;
        let is_bound = matches!(topic, Topic::Channel(_) | Topic::Message(..));
        if !is_known || is_bound {
            let checks = board.reads.read(Freshness::Reaching(after), viewer, move |view| {
                if !is_known {
                    view.check_cursor(after)?;
                }
                view.check_topic(topic, after)
            });
            checks.await?;
        }
        let presence = match topic {
            Topic::Channel(channel) => board.presence.enter(viewer, channel),
            _ => None,
        };
        let parts = (Arc::clone(board.store()), board.hub().clone(), Arc::clone(&board.page_memory));
        Ok(Self::new(parts, viewer.clone(), filter, after, receiver, presence))
    }
}

async fn topic_of(board: &Board, viewer: &Viewer, target: Target, after: Cursor) -> Result<Topic> {
    match target {
        Target::Everything => viewer.rights().map(|_| Topic::Everything),
        Target::Channel(channel) => Ok(Topic::Channel(channel)),
        Target::Templates => {
            viewer.user_state()?.check_unlimited()?;
            Ok(Topic::Templates)
        }
        Target::Notifications => {
            viewer.check_unlimited()?;
            Ok(Topic::Notifications(viewer.rights()?.user))
        }
        Target::Message(named, message) => {
            let reading = board.reads.read(Freshness::Reaching(after), viewer, move |view| {
                // The cursor first: with a cursor of a lost history no id means what the client thinks.
                view.check_cursor(after)?;
                view.channel_of_message(message, after)
            });
            match (reading.await?, named) {
                (channel, Some(named)) if channel != named => Err(Error::NotFound("message")),
                (channel, _) => Ok(Topic::Message(channel, message)),
            }
        }
    }
}
