//! The cache of frames. A frame of an event is built once and sent to all clients that get the same frame.

use std::sync::Arc;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::server_message;
use crate::capacity::ByteCache;
use crate::graphql::SMALL;
use crate::hub::LiveEvent;
use crate::model::{Cursor, EventBody, MemoryLease, UserId};

/// Maximum size of the cache, in bytes.
const KEPT_BYTES: usize = 8 << 20;

/// The form in which an event is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Form {
    /// As an event of a room, with the author's name if the reader is signed in.
    Room(Arc<str>, bool),
    /// As an application event of a room.
    AppEvent(Arc<str>),
    /// As an event of a ticket.
    Ticket,
    /// As a notification.
    Notification,
}

impl Form {
    /// The user whose name the frame contains.
    pub fn author(&self, event: &LiveEvent) -> Option<UserId> {
        match (self, event.body()) {
            (Self::Room(_, true), Some(EventBody::Message(message))) => Some(message.author_id),
            _ => None,
        }
    }

    fn show(&self, event: &LiveEvent, username: Option<&str>) -> Option<Utf8Bytes> {
        match (self, event.body()) {
            (Self::Room(room, _), _) => server_message::of_room(event, room, username),
            (Self::AppEvent(room), _) => server_message::of_app_event(event, room),
            (Self::Ticket, _) => server_message::of_ticket(event),
            (Self::Notification, Some(EventBody::Notification(notification))) => {
                Some(server_message::notification(&notification))
            }
            (Self::Notification, _) => None,
        }
    }
}

/// The cursor of an event, the cursor of the last change of its object, the form of the frame, and the number of changes
/// of users' names. Cursors contain tags, because after a failover the same number can be another event.
type FrameKey = (Cursor, Option<Cursor>, Form, u64);

/// The cache of frames.
pub struct FrameCache(ByteCache<FrameKey, Utf8Bytes>);

impl Default for FrameCache {
    fn default() -> Self {
        Self(ByteCache::new(KEPT_BYTES))
    }
}

impl FrameCache {
    /// The frame of an event, if it is in the cache. `users` is the number of changes of users' names.
    pub fn get(&self, event: &LiveEvent, form: &Form, users: u64) -> Option<Utf8Bytes> {
        self.0.get(&key(event, form, users))
    }

    /// Builds the frame of an event and caches it. `None` if the protocol has no frame for the event. The frame holds
    /// the lease until it is sent.
    pub fn render(
        &self,
        event: &LiveEvent,
        (form, users): (&Form, u64),
        username: Option<&str>,
        lease: Option<MemoryLease>,
    ) -> Option<Utf8Bytes> {
        let frame = with_lease(form.show(event, username)?, lease);
        self.0.insert(key(event, form, users), frame.clone(), frame.len());
        Some(frame)
    }
}

/// Ties the memory lease to a long frame: the lease ends when the last copy of the frame is dropped. A short frame
/// needs no lease.
fn with_lease(frame: Utf8Bytes, lease: Option<MemoryLease>) -> Utf8Bytes {
    let Some(mut lease) = lease.filter(|_| frame.len() > SMALL) else { return frame };
    lease.set(frame.len());
    let held = Bytes::from_owner(Held { frame: frame.clone(), _lease: lease });
    Utf8Bytes::try_from(held).unwrap_or(frame)
}

struct Held {
    frame: Utf8Bytes,
    _lease: MemoryLease,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.frame.as_str().as_bytes()
    }
}

fn key(event: &LiveEvent, form: &Form, users: u64) -> FrameKey {
    let revision = event.body().and_then(|body| body.revision());
    (event.cursor, revision, form.clone(), users)
}
