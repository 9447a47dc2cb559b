//! A published event in memory, together with its object.

use std::ops::Deref;

use super::sync::{AtomicBool, Mutex, Ordering, PoisonError};
use crate::model::{Event, EventBody, EventKind, LoggedEvent, UserId};

/// A published event. Its object follows later edits, and is removed when the object is deleted.
#[derive(Debug)]
pub struct LiveEvent {
    event: Event,
    body: Mutex<EventBody>,
    is_tombstone: AtomicBool,
    /// The size when the event was published. It stays the same when the body changes, so that the window's total stays
    /// correct.
    weight: usize,
}

impl Deref for LiveEvent {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.event
    }
}

impl LiveEvent {
    /// Wraps an event that the writer committed or that was read from the log.
    #[must_use]
    pub fn new(logged: LoggedEvent) -> Self {
        let weight = logged.weight();
        Self { event: logged.event, body: Mutex::new(logged.body), is_tombstone: AtomicBool::new(false), weight }
    }

    /// The estimated size in memory when the event was published, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The current object. `None` if the object was deleted; the event must then be skipped.
    #[must_use]
    pub fn body(&self) -> Option<EventBody> {
        if self.is_deleted() { None } else { Some(self.body.lock().unwrap_or_else(PoisonError::into_inner).clone()) }
    }

    /// Whether the object was deleted.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.is_tombstone.load(Ordering::Acquire)
    }

    /// Updates this event after a later event of the same object: takes over the edited object, or drops the object if
    /// it was deleted.
    pub(super) fn apply_later(&self, later: &Self) {
        if !self.event.kind.shows_object() {
            return;
        }
        match later.event.kind {
            EventKind::MessageUpdated if self.is_of(&[EventKind::MessageAdded, EventKind::MessageUpdated], later) => {
                self.copy_body(later);
            }
            EventKind::CommentUpdated if self.is_of(&[EventKind::CommentAdded, EventKind::CommentUpdated], later) => {
                self.copy_body(later);
            }
            EventKind::ChannelUpdated if self.is_of(&[EventKind::ChannelAdded, EventKind::ChannelUpdated], later) => {
                self.copy_body(later);
            }
            EventKind::MessageDeleted if self.event.message == later.event.message => self.tombstone(),
            EventKind::CommentDeleted if self.is_of(&[EventKind::CommentAdded, EventKind::CommentUpdated], later) => {
                self.tombstone();
            }
            EventKind::ChannelDeleted if self.event.channel == later.event.channel => self.tombstone(),
            EventKind::TemplateDeleted if self.is_of(&[EventKind::TemplateAdded], later) => self.tombstone(),
            // The texts of an erased user. The channels stay.
            EventKind::UserErased if self.is_by(UserId(later.event.object)) => self.tombstone(),
            _ => {}
        }
    }

    fn is_by(&self, user: UserId) -> bool {
        let is_channel = matches!(self.event.kind, EventKind::ChannelAdded | EventKind::ChannelUpdated);
        self.event.actor == Some(user) && !is_channel
    }

    fn is_of(&self, kinds: &[EventKind], later: &Self) -> bool {
        kinds.contains(&self.event.kind) && self.event.object == later.event.object
    }

    fn copy_body(&self, later: &Self) {
        let body = later.body.lock().unwrap_or_else(PoisonError::into_inner).clone();
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = body;
    }

    fn tombstone(&self) {
        self.is_tombstone.store(true, Ordering::Release);
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = EventBody::None;
    }
}
