//! The newest events of the log, sorted into the buffers of the topics that have subscribers. The hub's task owns the
//! window and changes it. Subscribers read their buffers at the same time.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;

use super::live_event::LiveEvent;
use super::shared::Shared;
use super::sync::Arc;
use super::topic_buffer::{Receiver, TopicBuffer};
use crate::model::{Cursor, Event, KindSet, LoggedEvent, Topic};

/// Number of published events after which all topic buffers are trimmed and unused ones are removed.
pub(super) const SWEEP_INTERVAL: usize = 1024;

/// How much the window holds at most. The newest event stays, also if it is larger than `bytes`.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowLimits {
    pub(super) events: usize,
    /// The estimated memory of the events.
    pub(super) bytes: usize,
}

/// The buffers of all topics, and the wakers of their subscribers that have new events.
pub(super) struct Window {
    shared: Arc<Shared>,
    limits: WindowLimits,
    pub(super) buffers: HashMap<Topic, Arc<TopicBuffer>>,
    /// The buffer of [`Topic::Everything`]. A new topic's buffer starts with the matching events of this one.
    everything: Arc<TopicBuffer>,
    /// The estimated memory of the events in the window, in bytes.
    bytes: usize,
    /// Events published since the last sweep.
    since_sweep: usize,
    /// Wakers of subscribers that have new events and were not woken yet.
    wakers: VecDeque<Waker>,
}

impl Window {
    /// An empty window above `head`.
    pub(super) fn new(shared: Arc<Shared>, head: Cursor, limits: WindowLimits) -> Self {
        let everything = Arc::new(TopicBuffer::new(head.seq, Vec::new()));
        let buffers = HashMap::from([(Topic::Everything, Arc::clone(&everything))]);
        Self { shared, limits, buffers, everything, bytes: 0, since_sweep: 0, wakers: VecDeque::new() }
    }

    /// Wakes up to `count` subscribers that have new events. Returns whether there were any.
    pub(super) fn wake(&mut self, count: usize) -> bool {
        let count = self.wakers.len().min(count);
        self.wakers.drain(..count).for_each(Waker::wake);
        count > 0
    }

    /// Subscribes to a topic, and wakes the subscriber for events of these kinds.
    pub(super) fn subscribe(&mut self, topic: Topic, kinds: KindSet) -> Receiver {
        let everything = &self.everything;
        let buffer = self.buffers.entry(topic).or_insert_with(|| {
            let (floor, events) = everything.copy(|event| topic.has(event));
            Arc::new(TopicBuffer::new(floor, events))
        });
        Receiver::new(Arc::clone(buffer), Arc::clone(&self.shared), kinds)
    }

    /// Whether the cursor is the head or the position of an event in the window.
    pub(super) fn knows(&self, cursor: Cursor) -> bool {
        cursor == self.shared.head() || self.everything.holds(cursor)
    }

    /// Adds the events that follow the last published position, up to `head`. [`Self::wake`] then wakes the subscribers.
    pub(super) fn publish(&mut self, events: Vec<LoggedEvent>, head: Cursor) {
        self.since_sweep += events.len();
        let mut touched: Vec<Arc<TopicBuffer>> = Vec::new();
        let mut kinds = Vec::with_capacity(events.len());
        for logged in events {
            let event = Arc::new(LiveEvent::new(logged));
            self.update_older_events(&event);
            self.bytes += event.weight();
            kinds.push(event.kind);
            for buffer in self.buffers_of(&event) {
                buffer.push(Arc::clone(&event));
                if !touched.iter().any(|known| Arc::ptr_eq(known, &buffer)) {
                    touched.push(buffer);
                }
            }
        }
        // The head must move last. A subscriber reads the head first and then finds its buffer empty; it may then
        // conclude that it has seen everything up to that head.
        self.shared.set_head(head);
        let kinds = KindSet::of(&kinds);
        for buffer in touched {
            buffer.take_wakers(kinds, &mut self.wakers);
        }
        self.trim();
    }

    fn buffers_of(&self, event: &Event) -> Vec<Arc<TopicBuffer>> {
        let mut found: Vec<_> = Topic::of(event).filter_map(|topic| self.buffers.get(&topic).cloned()).collect();
        if event.is_wide() {
            let wide = self.buffers.iter().filter(|(topic, _)| topic.has_unnamed(event));
            found.extend(wide.map(|(_, buffer)| Arc::clone(buffer)));
        }
        found
    }

    /// Applies an edit or a deletion to the older events in the window. So a slow subscriber gets the current object,
    /// as it would from the log, and never text that was already edited or deleted.
    fn update_older_events(&self, event: &LiveEvent) {
        if !event.kind.rewrites() {
            return;
        }
        self.everything.for_each(|older| older.apply_later(event));
        self.shared.record_rewrite(event.cursor.seq);
    }

    fn trim(&mut self) {
        let WindowLimits { events, bytes } = self.limits;
        while self.everything.len() > events || (self.bytes > bytes && self.everything.len() > 1) {
            self.bytes -= self.everything.pop().map_or(0, |event| event.weight());
        }
        // Topic buffers are trimmed only in the sweep below. Until then `window_floor` keeps subscribers from reading
        // events that have left the window.
        self.shared.set_window_floor(self.everything.floor());
        if self.since_sweep >= SWEEP_INTERVAL {
            self.since_sweep = 0;
            let floor = self.everything.floor();
            self.buffers.retain(|topic, buffer| *topic == Topic::Everything || Arc::strong_count(buffer) > 1);
            self.buffers.values().for_each(|buffer| buffer.trim(floor));
        }
    }

    /// Discards all events, because the log has another history. All subscribers lag; [`Self::wake`] wakes them.
    pub(super) fn reset(&mut self, head: Cursor) {
        self.shared.begin_era();
        let mut fresh = Self::new(Arc::clone(&self.shared), head, self.limits);
        // Subscribers of the last events may not have been woken yet.
        fresh.wakers = std::mem::take(&mut self.wakers);
        for buffer in std::mem::replace(self, fresh).buffers.values() {
            buffer.close();
            buffer.take_wakers(KindSet::all(), &mut self.wakers);
        }
        // The head must change after all buffers are closed. Otherwise a subscriber could see the new head with its old
        // buffer, and conclude that it has seen everything up to that head.
        self.shared.restart_at(head);
    }
}
