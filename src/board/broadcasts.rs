//! Broadcasts: what other programs send to a room. It is kept nowhere but in the log, for as long as
//! that keeps it.

use super::{Board, Viewer};
use crate::error::{Error, Result};
use crate::model::{Body, EventKind, JsonText};
use crate::store::{Change, channels};

/// The longest, in bytes of JSON.
const MAX_BYTES: usize = 64 << 10;

/// What is sent to a room.
#[derive(Debug, Clone)]
pub struct Broadcast {
    /// The room's name.
    pub room: String,
    /// An object.
    pub data: JsonText,
}

impl Board {
    /// Sends something to everybody in a room.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `FORBIDDEN`, `NOT_FOUND` for the room, `RATE_LIMITED`.
    pub async fn broadcast(&self, viewer: &Viewer, broadcast: Broadcast) -> Result<()> {
        let actor = self.actor(viewer)?.user.id;
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
        // No channel has a longer name.
        if broadcast.room.chars().count() > self.rules.max_title {
            return Err(Error::NotFound("room"));
        }
        let viewer = viewer.clone();
        self.store
            .write(move |tx| {
                let found = channels::find_by_name(tx.read(), &viewer.admin()?.rights, &broadcast.room)?;
                let room = found.ok_or(Error::NotFound("room"))?.id;
                let change = Change::new(EventKind::RoomBroadcast, room.0, Some(actor)).in_channel(room);
                tx.record(change.carrying(payload.clone()), Body::None);
                Ok(())
            })
            .await
    }
}
