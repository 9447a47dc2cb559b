//! The newest events of one topic, the wakers of its subscribers, and the subscriber's side of it ([`Receiver`]).

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use super::live_event::LiveEvent;
use super::shared::Shared;
use super::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering, PoisonError};
use crate::model::{Cursor, Event, KindSet, Seq};

/// A buffer with the newest events of one topic. It holds every event of the topic above its floor.
#[derive(Debug)]
pub(super) struct TopicBuffer {
    state: Mutex<BufferState>,
    /// How often wakers were taken to be woken. It changes under the lock of `state` and is read without the lock.
    wake_epoch: AtomicU64,
}

#[derive(Debug)]
struct BufferState {
    /// Events of the topic at or below this position are no longer in the buffer. It rises only when an event of this
    /// topic is dropped, so a subscriber of a quiet topic does not lag because other topics are busy.
    floor: Seq,
    events: VecDeque<(Seq, Arc<LiveEvent>)>,
    /// One entry per subscriber. A receiver keeps the index of its entry until it is dropped.
    slots: Vec<Slot>,
    /// Indexes of entries without a receiver, for reuse.
    free_slots: Vec<usize>,
}

/// The entry of one subscriber in a topic buffer: the event kinds that wake it, and its waker while it waits.
#[derive(Debug)]
struct Slot {
    kinds: KindSet,
    waker: Option<Waker>,
}

impl TopicBuffer {
    pub(super) fn new(floor: Seq, events: Vec<Arc<LiveEvent>>) -> Self {
        let events = events.into_iter().map(|event| (event.cursor.seq, event)).collect();
        let state = BufferState { floor, events, slots: Vec::new(), free_slots: Vec::new() };
        Self { state: Mutex::new(state), wake_epoch: AtomicU64::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, BufferState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The floor of this buffer and its events for which `wanted` is true. They are the first content of a new topic's
    /// buffer.
    pub(super) fn copy(&self, wanted: impl Fn(&Event) -> bool) -> (Seq, Vec<Arc<LiveEvent>>) {
        let state = self.state();
        let events = state.events.iter().filter(|(_, event)| wanted(event)).map(|(_, event)| Arc::clone(event));
        (state.floor, events.collect())
    }

    /// Whether the event at this cursor is in the buffer, with the same tag.
    pub(super) fn holds(&self, cursor: Cursor) -> bool {
        let state = self.state();
        let at = state.events.binary_search_by_key(&cursor.seq, |(seq, _)| *seq);
        at.is_ok_and(|at| state.events[at].1.cursor == cursor)
    }

    pub(super) fn for_each(&self, visit: impl Fn(&LiveEvent)) {
        self.state().events.iter().for_each(|(_, event)| visit(event));
    }

    pub(super) fn push(&self, event: Arc<LiveEvent>) {
        self.state().events.push_back((event.cursor.seq, event));
    }

    pub(super) fn len(&self) -> usize {
        self.state().events.len()
    }

    /// The number of entries for subscribers, also those without one.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.state().slots.len()
    }

    pub(super) fn floor(&self) -> Seq {
        self.state().floor
    }

    /// Removes the oldest event.
    pub(super) fn pop(&self) -> Option<Arc<LiveEvent>> {
        let mut state = self.state();
        let (seq, event) = state.events.pop_front()?;
        state.floor = seq;
        Some(event)
    }

    /// Removes the events at or below `floor`.
    pub(super) fn trim(&self, floor: Seq) {
        let mut state = self.state();
        while let Some((seq, _)) = state.events.front()
            && *seq <= floor
        {
            state.floor = *seq;
            state.events.pop_front();
        }
    }

    /// Closes the buffer. Its floor is then above every position, so all its subscribers get [`Next::Lagged`].
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.floor = Seq(i64::MAX);
        state.events.clear();
    }

    /// Moves the wakers of subscribers to any of these kinds to the end of `wakers`.
    pub(super) fn take_wakers(&self, kinds: KindSet, wakers: &mut VecDeque<Waker>) {
        let mut state = self.state();
        self.wake_epoch.fetch_add(1, Ordering::Release);
        wakers.extend(
            state.slots.iter_mut().filter(|slot| slot.kinds.overlaps(kinds)).filter_map(|slot| slot.waker.take()),
        );
    }
}

/// The result of polling a [`Receiver`].
#[derive(Debug)]
pub enum Next {
    /// The next event of the topic.
    Event(Arc<LiveEvent>),
    /// The buffer no longer holds the next event. The subscriber must subscribe again, and read the log up to the
    /// position that `subscribe` returns.
    Lagged,
}

/// A subscription to the buffer of one topic.
#[derive(Debug)]
pub struct Receiver {
    buffer: Arc<TopicBuffer>,
    shared: Arc<Shared>,
    /// The index of the subscriber's entry in the buffer.
    slot: usize,
    /// The wake epoch at which the waker was stored. While the epoch is the same, there is no new event and the waker
    /// is still stored. Comparing the epochs needs no lock.
    waiting_since: Option<u64>,
}

impl Receiver {
    pub(super) fn new(buffer: Arc<TopicBuffer>, shared: Arc<Shared>, kinds: KindSet) -> Self {
        let slot = {
            let mut state = buffer.state();
            let fresh = Slot { kinds, waker: None };
            match state.free_slots.pop() {
                Some(free) => {
                    state.slots[free] = fresh;
                    free
                }
                None => {
                    state.slots.push(fresh);
                    state.slots.len() - 1
                }
            }
        };
        Self { buffer, shared, slot, waiting_since: None }
    }

    /// Polls for the first event above `after`. Pending means that there is none up to the hub's head. The same task
    /// must always poll, and `after` must never decrease.
    pub fn poll_next(&mut self, after: Seq, context: &mut Context<'_>) -> Poll<Next> {
        if self.waiting_since == Some(self.buffer.wake_epoch.load(Ordering::Acquire)) {
            return Poll::Pending;
        }
        self.waiting_since = None;
        let mut state = self.buffer.state();
        if after < state.floor {
            return Poll::Ready(Next::Lagged);
        }
        let at = state.events.partition_point(|(seq, _)| *seq <= after);
        if let Some((seq, event)) = state.events.get(at) {
            let is_kept = *seq > self.shared.window_floor();
            return Poll::Ready(if is_kept { Next::Event(Arc::clone(event)) } else { Next::Lagged });
        }
        let slot = &mut state.slots[self.slot];
        match &mut slot.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        // The epoch changes only under the lock that is held here, so no wake-up can be missed.
        self.waiting_since = Some(self.buffer.wake_epoch.load(Ordering::Acquire));
        Poll::Pending
    }

    /// The hub's head, if the topic has no event above `after`: a subscriber at `after` has then seen everything up to
    /// the head. `None` if there are more events, or if the buffer no longer reaches down to `after`.
    #[must_use]
    pub fn served(&self, after: Seq) -> Option<Cursor> {
        let head = self.shared.head();
        let state = self.buffer.state();
        let up_to_date = after >= state.floor && state.events.back().is_none_or(|(seq, _)| *seq <= after);
        up_to_date.then_some(head)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.buffer.state();
        state.slots[self.slot].waker = None;
        state.slots[self.slot].kinds = KindSet::default();
        state.free_slots.push(self.slot);
    }
}
