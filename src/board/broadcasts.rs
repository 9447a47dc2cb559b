//! Broadcasts: messages that other programs send to a room. They are stored only in the log, and only until it is
//! pruned.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use super::commands::{Commands, ViewerCommand};
use super::idempotency::IdempotencyKey;
use super::permissions::UserState;
use super::{Policy, Viewer, validate};
use crate::error::{Error, Result};
use crate::model::{EventBody, EventKind, JsonText};
use crate::store::{BatchState, Effects, Needs, NewEvent};

/// The input for a broadcast.
#[derive(Debug, Clone)]
pub struct Broadcast {
    /// The name of the room.
    pub room: String,
    /// The payload; must be a JSON object.
    pub data: JsonText,
    /// The idempotency key: a second broadcast with the same key is not sent.
    pub key: Option<String>,
}

/// The use case of broadcasts.
pub struct Broadcasts {
    pub(super) commands: Arc<Commands>,
    pub(super) policy: Arc<Policy>,
}

impl Broadcasts {
    /// Sends a payload to all subscribers of a room. Only admins may do this.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` if the payload is not acceptable. `FORBIDDEN` if the
    /// viewer is not an admin. `NOT_FOUND` if the room does not exist. `CONFLICT` if the key was used with another
    /// broadcast. `RATE_LIMITED` if the viewer's budget of
    /// mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn send(&self, viewer: &Viewer, broadcast: Broadcast) -> Result<()> {
        let author = self.commands.actor(viewer)?.user.id;
        if !broadcast.data.is_object() {
            return Err(Error::input("data", "data must be an object"));
        }
        let payload = validate::payload("data", &broadcast.data)?;
        // Names of channels are limited to this length, so no room can match.
        if broadcast.room.chars().count() > self.policy.max_title {
            return Err(Error::NotFound("room"));
        }
        let room = broadcast.room;
        let key = IdempotencyKey::new(author, broadcast.key.as_deref(), || {
            vec!["broadcast".into(), room.clone(), payload.to_string()]
        })?;
        self.commands.run(viewer, SendBroadcast { room, payload, key }).await
    }
}

struct SendBroadcast {
    room: String,
    payload: Arc<str>,
    key: Option<IdempotencyKey>,
}

impl ViewerCommand for SendBroadcast {
    type Output = ();

    fn needs(&self, actor: &UserState, needs: &mut Needs) {
        needs.room(&actor.rights, &self.room);
        self.key.iter().for_each(|key| key.needs_event(needs));
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<((), Effects)> {
        actor.check_admin()?;
        let room = state.room(&actor.rights, &self.room)?.id;
        let mut effects = state.effects();
        if self.key.as_ref().map_or(Ok(None), |key| key.find_event(state))?.is_some() {
            return Ok(((), effects));
        }
        let key = self.key.as_ref().map(IdempotencyKey::to_event_key);
        let change = NewEvent::new(EventKind::RoomBroadcast, room.0, Some(actor.user.id)).in_channel(room);
        effects.record(change.with_payload(Arc::clone(&self.payload)).with_key(key), EventBody::None);
        Ok(((), effects))
    }
}
