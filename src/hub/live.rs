//! An event in memory, with what it shows.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::model::{Body, Event, EventKind, LoggedEvent};

/// A published event. What it shows follows later edits, until its object is gone.
#[derive(Debug)]
pub struct LiveEvent {
    event: Event,
    body: Mutex<Body>,
    gone: AtomicBool,
    /// Counted once, so that the window's sum stays right when the body changes.
    weight: usize,
}

impl Deref for LiveEvent {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.event
    }
}

impl LiveEvent {
    /// From the writer or the log.
    #[must_use]
    pub fn new(logged: LoggedEvent) -> Self {
        let weight = logged.weight();
        Self { event: logged.event, body: Mutex::new(logged.body), gone: AtomicBool::new(false), weight }
    }

    /// About how many bytes it took in memory when it was published.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// What it shows; `None` if that is gone, and the event is to be skipped.
    #[must_use]
    pub fn body(&self) -> Option<Body> {
        if self.is_gone() { None } else { Some(self.body.lock().unwrap_or_else(PoisonError::into_inner).clone()) }
    }

    /// Whether its object is gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Takes over what a later event says of the same object.
    pub(super) fn rewritten_by(&self, later: &Self) {
        if !self.event.kind.shows_object() {
            return;
        }
        match later.event.kind {
            EventKind::MessageUpdated if self.is_of(&[EventKind::MessageAdded, EventKind::MessageUpdated], later) => {
                self.show(later);
            }
            EventKind::CommentUpdated if self.is_of(&[EventKind::CommentAdded, EventKind::CommentUpdated], later) => {
                self.show(later);
            }
            EventKind::ChannelUpdated if self.is_of(&[EventKind::ChannelAdded, EventKind::ChannelUpdated], later) => {
                self.show(later);
            }
            EventKind::MessageDeleted if self.event.message == later.event.message => self.vanish(),
            EventKind::CommentDeleted if self.is_of(&[EventKind::CommentAdded, EventKind::CommentUpdated], later) => {
                self.vanish();
            }
            EventKind::ChannelDeleted if self.event.channel == later.event.channel => self.vanish(),
            EventKind::TemplateDeleted if self.is_of(&[EventKind::TemplateAdded], later) => self.vanish(),
            _ => {}
        }
    }

    fn is_of(&self, kinds: &[EventKind], later: &Self) -> bool {
        kinds.contains(&self.event.kind) && self.event.object == later.event.object
    }

    fn show(&self, later: &Self) {
        let body = later.body.lock().unwrap_or_else(PoisonError::into_inner).clone();
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = body;
    }

    fn vanish(&self) {
        self.gone.store(true, Ordering::Release);
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = Body::None;
    }
}
