//! Starting to follow: is the cursor good, is the object there, may the viewer see it?

use std::sync::Arc;

use super::feed::{Feed, Selection};
use super::{Board, Viewer};
use crate::error::{Error, Result};
use crate::model::{ChannelId, Cursor, EventKind, KindSet, MessageId, Rights, Topic};
use crate::store::{Db, channels, log, messages};

/// What somebody wants to follow, as a client says it: a message is named without its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Everything the viewer may see.
    Everything,
    /// A channel.
    Channel(ChannelId),
    /// A message, and the channel it must be in if one is named.
    Message(Option<ChannelId>, MessageId),
    /// The shared templates.
    Templates,
    /// What the viewer is notified of, the announcements too.
    Notifications,
}

/// What somebody wants of it.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// What to follow.
    pub subject: Subject,
    /// Which kinds.
    pub kinds: KindSet,
    /// Only events of tickets.
    pub tickets_only: bool,
    /// Not what the viewer does.
    pub exclude_own: bool,
    /// From where; from [`Board::now`] on if not said.
    pub after: Option<Cursor>,
}

impl Board {
    /// Follows something, from a cursor or from now on.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CURSOR_EXPIRED`, `UNAUTHENTICATED`.
    pub async fn follow(&self, viewer: &Viewer, wish: Wish) -> Result<Feed> {
        let rights = viewer.rights()?;
        let after = wish.after.unwrap_or_else(|| self.now());
        let topic = self.topic(viewer, wish.subject, Arc::clone(&rights), after).await?;
        let selection =
            Selection { topic, kinds: wish.kinds, tickets_only: wish.tickets_only, exclude_own: wish.exclude_own };
        // Subscribe first, look second: what happens in between is in the ring.
        let (receiver, head) = self.hub.subscribe(topic, Feed::kinds(&selection)).await?;
        let known = after == head || self.hub.knows(after).await?;
        let bound = matches!(topic, Topic::Channel(_) | Topic::Message(..));
        if !known || bound {
            self.store
                .read_for(viewer.party(), move |snapshot| {
                    if !known {
                        log::check(snapshot.db(), after)?;
                    }
                    there(snapshot.db(), &rights, topic, after)
                })
                .await?;
        }
        let seated = match topic {
            Topic::Channel(channel) => self.enter(viewer, channel),
            _ => None,
        };
        let parts = (Arc::clone(&self.store), self.hub.clone(), Arc::clone(&self.pages));
        Ok(Feed::new(parts, viewer.clone(), selection, after, receiver, seated))
    }

    async fn topic(&self, viewer: &Viewer, subject: Subject, rights: Arc<Rights>, after: Cursor) -> Result<Topic> {
        match subject {
            Subject::Everything => Ok(Topic::Everything),
            Subject::Channel(channel) => Ok(Topic::Channel(channel)),
            Subject::Templates if rights.user.is_some() => Ok(Topic::Templates),
            Subject::Templates => Err(Error::Unauthenticated("sign in first".into())),
            Subject::Notifications => Ok(Topic::Notifications(rights.user)),
            Subject::Message(channel, message) => {
                let reading = self.store.read_for(viewer.party(), move |snapshot| {
                    // The cursor first: of a history that was lost nothing else makes sense.
                    log::check(snapshot.db(), after)?;
                    place(snapshot.db(), &rights, message, after)
                });
                let place = reading.await?;
                match (place, channel) {
                    (Some(place), Some(channel)) if place != channel => Err(Error::NotFound("message")),
                    (Some(place), _) => Ok(Topic::Message(place, message)),
                    (None, _) => Err(Error::NotFound("message")),
                }
            }
        }
    }
}

/// The channel a message is in, or was in if the log still holds its deletion.
fn place(db: &mut Db, rights: &Rights, id: MessageId, after: Cursor) -> Result<Option<ChannelId>> {
    if let Some(message) = messages::find(db, rights, id)? {
        return Ok(Some(message.channel_id));
    }
    let deletion = log::find(db, EventKind::MessageDeleted, id.0, after.seq)?;
    let deletion = deletion.filter(|event| rights.in_audience(&event.audience, event.owner));
    Ok(deletion.and_then(|event| event.channel))
}

/// Whether the topic is there for the viewer, or was there above the cursor.
fn there(db: &mut Db, rights: &Rights, topic: Topic, after: Cursor) -> Result<()> {
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
