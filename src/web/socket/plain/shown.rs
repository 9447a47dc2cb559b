//! Events are made into frames once for all who read them, as GraphQL's are.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::frames;
use crate::graphql::SMALL;
use crate::hub::LiveEvent;
use crate::model::{Body, Cursor, Lease, UserId};

/// How many bytes of frames are kept.
const KEPT_BYTES: usize = 8 << 20;
/// What an entry takes beside its bytes.
const ENTRY_BYTES: usize = 200;

/// As what an event is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Form {
    /// As one of a room, to those who are signed in or to the others.
    Room(Arc<str>, bool),
    /// As one of a ticket.
    Ticket,
    /// As a notification.
    Notification,
}

impl Form {
    /// Whose name is needed to show this.
    pub fn author(&self, event: &LiveEvent) -> Option<UserId> {
        match (self, event.body()) {
            (Self::Room(_, true), Some(Body::Message(message))) => Some(message.author_id),
            _ => None,
        }
    }

    fn show(&self, event: &LiveEvent, username: Option<&str>) -> Option<Utf8Bytes> {
        match (self, event.body()) {
            (Self::Room(room, _), _) => frames::of_room(event, room, username),
            (Self::Ticket, _) => frames::of_ticket(event),
            (Self::Notification, Some(Body::Notification(notification))) => Some(frames::notification(&notification)),
            (Self::Notification, _) => None,
        }
    }
}

/// An event, the state of its object, and its form. With tags: after a failover the same number may be another event.
type Key = (Cursor, Option<Cursor>, Form);

/// The frames of late, bounded in bytes.
#[derive(Default)]
pub struct Shown(Mutex<Table>);

#[derive(Default)]
struct Table {
    frames: HashMap<Key, Utf8Bytes>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl Shown {
    /// The frame of an event, if it is known already.
    pub fn known(&self, event: &LiveEvent, form: &Form) -> Option<Utf8Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).frames.get(&key(event, form)).cloned()
    }

    /// The frame of an event; `None` if it has nothing to show. `lease` is what it is held in as long as it is sent somewhere.
    pub fn frame(
        &self,
        event: &LiveEvent,
        form: &Form,
        username: Option<&str>,
        lease: Option<Lease>,
    ) -> Option<Utf8Bytes> {
        let key = key(event, form);
        let frame = with_lease(form.show(event, username)?, lease);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.bytes += ENTRY_BYTES + frame.len();
        if let Some(before) = table.frames.insert(key.clone(), frame.clone()) {
            table.bytes -= ENTRY_BYTES + before.len();
        } else {
            table.order.push_back(key);
        }
        while table.bytes > KEPT_BYTES
            && let Some(oldest) = table.order.pop_front()
        {
            table.bytes -= table.frames.remove(&oldest).map_or(0, |frame| ENTRY_BYTES + frame.len());
        }
        Some(frame)
    }
}

/// A long frame holds the memory that is borrowed for it.
fn with_lease(frame: Utf8Bytes, lease: Option<Lease>) -> Utf8Bytes {
    let Some(mut lease) = lease.filter(|_| frame.len() > SMALL) else { return frame };
    lease.set(frame.len());
    let held = Bytes::from_owner(Held { frame: frame.clone(), _lease: lease });
    Utf8Bytes::try_from(held).unwrap_or(frame)
}

struct Held {
    frame: Utf8Bytes,
    _lease: Lease,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.frame.as_str().as_bytes()
    }
}

fn key(event: &LiveEvent, form: &Form) -> Key {
    let revision = event.body().and_then(|body| body.revision());
    (event.cursor, revision, form.clone())
}
