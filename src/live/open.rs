//! Starts a reader of the log: checks the cursor, and that the object exists for the viewer.

use std::sync::Arc;

use super::LogReader;
use super::log_reader::Filter;
use crate::board::{Board, Viewer};
use crate::error::{Error, Result};
use crate::model::{ChannelId, Cursor, EventKind, KindSet, MessageId, Rights, Topic};
use crate::store::{Db, channels, log, messages};

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
#[derive(Debug, Clone, Copy)]
pub struct LogRequest {
    /// Where the events happen.
    pub target: Target,
    /// The kinds of events.
    pub kinds: KindSet,
    /// Only events of tickets.
    pub tickets_only: bool,
    /// No events that the viewer caused.
    pub exclude_own: bool,
    /// The position behind which the subscription begins. Without one it begins at [`Board::now`].
    pub after: Option<Cursor>,
}

impl LogReader {
    /// Starts to read the log for a viewer.
    ///
    /// # Errors
    /// `NOT_FOUND` if the target does not exist for the viewer, `CURSOR_EXPIRED` for a cursor that cannot be resumed from,
    /// `UNAUTHENTICATED` if the target is not for anonymous readers, `UNAVAILABLE` if the database does not answer.
    pub async fn open(board: &Board, viewer: &Viewer, request: LogRequest) -> Result<Self> {
        let rights = viewer.rights()?;
        let after = request.after.unwrap_or_else(|| board.now());
        let topic = topic_of(board, viewer, request.target, Arc::clone(&rights), after).await?;
        let LogRequest { kinds, tickets_only, exclude_own, .. } = request;
        let filter = Filter { topic, kinds, tickets_only, exclude_own };
        // The subscription comes first: what happens during the checks is in the hub.
        let (receiver, head) = board.hub().subscribe(topic, filter.watched()).await?;
        let is_known = after == head || board.hub().knows(after).await?;
        let is_bound = matches!(topic, Topic::Channel(_) | Topic::Message(..));
        if !is_known || is_bound {
            let checks = board.store().read_for(viewer.party(), move |snapshot| {
                if !is_known {
                    log::check(snapshot.db(), after)?;
                }
                check_exists(snapshot.db(), &rights, topic, after)
            });
            checks.await?;
        }
        let presence = match topic {
            Topic::Channel(channel) => board.enter(viewer, channel),
            _ => None,
        };
        let parts = (Arc::clone(board.store()), board.hub().clone(), Arc::clone(board.page_memory()));
        Ok(Self::new(parts, viewer.clone(), filter, after, receiver, presence))
    }
}

async fn topic_of(board: &Board, viewer: &Viewer, target: Target, rights: Arc<Rights>, after: Cursor) -> Result<Topic> {
    match target {
        Target::Everything => Ok(Topic::Everything),
        Target::Channel(channel) => Ok(Topic::Channel(channel)),
        Target::Templates if rights.user.is_some() => Ok(Topic::Templates),
        Target::Templates => Err(Error::Unauthenticated("sign in first".into())),
        Target::Notifications => Ok(Topic::Notifications(rights.user)),
        Target::Message(named, message) => {
            let reading = board.store().read_for(viewer.party(), move |snapshot| {
                // The cursor first: with a cursor of a lost history no id means what the client thinks.
                log::check(snapshot.db(), after)?;
                channel_of(snapshot.db(), &rights, message, after)
            });
            match (reading.await?, named) {
                (Some(channel), Some(named)) if channel != named => Err(Error::NotFound("message")),
                (Some(channel), _) => Ok(Topic::Message(channel, message)),
                (None, _) => Err(Error::NotFound("message")),
            }
        }
    }
}

/// The channel of a message, also of a deleted one if the log still holds its deletion.
fn channel_of(db: &mut Db, rights: &Rights, id: MessageId, after: Cursor) -> Result<Option<ChannelId>> {
    if let Some(message) = messages::find(db, rights, id)? {
        return Ok(Some(message.channel_id));
    }
    let deletion = log::find(db, EventKind::MessageDeleted, id.0, after.seq)?;
    let deletion = deletion.filter(|event| rights.in_audience(&event.audience, event.owner));
    Ok(deletion.and_then(|event| event.channel))
}

/// Checks that the object of a topic exists for the viewer, or did at some position above the cursor.
fn check_exists(db: &mut Db, rights: &Rights, topic: Topic, after: Cursor) -> Result<()> {
    let channel = match topic {
        Topic::Channel(channel) | Topic::Message(channel, _) => channel,
        Topic::Everything | Topic::User(_) | Topic::Templates | Topic::Notifications(_) => return Ok(()),
    };
    if channels::find(db, rights, channel)?.is_some() {
        return Ok(());
    }
    if log::find(db, EventKind::ChannelDeleted, channel.0, after.seq)?.is_some()
        && channels::was_readable(db, rights, channel)?
    {
        return Ok(());
    }
    Err(Error::NotFound(if matches!(topic, Topic::Channel(_)) { "channel" } else { "message" }))
}
