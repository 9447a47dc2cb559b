//! Broadcasts: messages that other programs send to a room. They are stored only in the log, and only until it is
//! pruned.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use super::commands::{Commands, ViewerCommand};
use super::permissions::UserState;
use super::{Policy, Viewer};
use crate::error::{Error, Result};
use crate::model::{EventBody, EventKind, JsonText};
use crate::store::{BatchState, Effects, Needs, NewEvent};

/// The largest payload, in bytes of JSON.
const MAX_BYTES: usize = 64 << 10;

/// The input for a broadcast.
#[derive(Debug, Clone)]
pub struct Broadcast {
    /// The name of the room.
    pub room: String,
    /// The payload; must be a JSON object.
    pub data: JsonText,
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
    /// viewer is not an admin. `NOT_FOUND` if the room does not exist. `RATE_LIMITED` if the viewer's budget of
    /// mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn send(&self, viewer: &Viewer, broadcast: Broadcast) -> Result<()> {
        self.commands.actor(viewer)?;
        if !broadcast.data.is_object() {
            return Err(Error::input("data", "data must be an object"));
        }
        let payload = broadcast.data.shared();
        if payload.len() > MAX_BYTES {
            return Err(Error::input(
                "data",
                format!("data has {} bytes; at most {MAX_BYTES} are allowed", payload.len()),
            ));
        }
        if payload.contains("\\u0000") {
            return Err(Error::input("data", "data must not contain a NUL character"));
        }
        // Names of channels are limited to this length, so no room can match.
        if broadcast.room.chars().count() > self.policy.max_title {
            return Err(Error::NotFound("room"));
        }
        self.commands.run(viewer, SendBroadcast { room: broadcast.room, payload }).await
    }
}

struct SendBroadcast {
    room: String,
    payload: Arc<str>,
}

impl ViewerCommand for SendBroadcast {
    type Output = ();

    fn needs(&self, actor: &UserState, needs: &mut Needs) {
        needs.room(&actor.rights, &self.room);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<((), Effects)> {
        actor.check_admin()?;
        let room = state.room(&actor.rights, &self.room)?.id;
        let change = NewEvent::new(EventKind::RoomBroadcast, room.0, Some(actor.user.id)).in_channel(room);
        let mut effects = state.effects();
        effects.record(change.with_payload(Arc::clone(&self.payload)), EventBody::None);
        Ok(((), effects))
    }
}
