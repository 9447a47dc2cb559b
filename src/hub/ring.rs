//! The newest events of one topic, and who waits for the next.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{LiveEvent, Shared};
use crate::model::{Cursor, Event, KindSet, Seq};

/// The newest events of one topic: everything of it above the floor.
#[derive(Debug)]
pub(super) struct Ring {
    state: Mutex<State>,
    /// How often those who wait were woken.
    calls: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// Moves only when an event *of this topic* is dropped: a quiet reader does not lag because
    /// others are busy.
    floor: Seq,
    events: VecDeque<(Seq, Arc<LiveEvent>)>,
    waiting: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Slot {
    kinds: KindSet,
    waker: Option<Waker>,
}

impl Ring {
    pub(super) fn new(floor: Seq, events: Vec<Arc<LiveEvent>>) -> Self {
        let events = events.into_iter().map(|event| (event.cursor.seq, event)).collect();
        let state = State { floor, events, waiting: Vec::new(), free: Vec::new() };
        Self { state: Mutex::new(state), calls: AtomicU64::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part of the window that a topic's new ring starts with.
    pub(super) fn copy(&self, wanted: impl Fn(&Event) -> bool) -> (Seq, Vec<Arc<LiveEvent>>) {
        let state = self.state();
        let events = state.events.iter().filter(|(_, event)| wanted(event)).map(|(_, event)| Arc::clone(event));
        (state.floor, events.collect())
    }

    pub(super) fn holds(&self, cursor: Cursor) -> bool {
        let state = self.state();
        let at = state.events.binary_search_by_key(&cursor.seq, |(seq, _)| *seq);
        at.is_ok_and(|at| state.events[at].1.cursor == cursor)
    }

    pub(super) fn each(&self, see: impl Fn(&LiveEvent)) {
        self.state().events.iter().for_each(|(_, event)| see(event));
    }

    pub(super) fn push(&self, event: Arc<LiveEvent>) {
        self.state().events.push_back((event.cursor.seq, event));
    }

    pub(super) fn len(&self) -> usize {
        self.state().events.len()
    }

    pub(super) fn floor(&self) -> Seq {
        self.state().floor
    }

    pub(super) fn pop(&self) -> Option<Arc<LiveEvent>> {
        let mut state = self.state();
        let (seq, event) = state.events.pop_front()?;
        state.floor = seq;
        Some(event)
    }

    pub(super) fn trim(&self, floor: Seq) {
        let mut state = self.state();
        while let Some((seq, _)) = state.events.front()
            && *seq <= floor
        {
            state.floor = *seq;
            state.events.pop_front();
        }
    }

    /// Ends the ring: it lies above every position there can be, so all its readers lag.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.floor = Seq(i64::MAX);
        state.events.clear();
    }

    /// Takes the wakers of those who wait for one of these kinds.
    pub(super) fn take_wakers(&self, kinds: KindSet, wakers: &mut VecDeque<Waker>) {
        let mut state = self.state();
        self.calls.fetch_add(1, Ordering::Release);
        wakers.extend(
            state.waiting.iter_mut().filter(|slot| slot.kinds.overlaps(kinds)).filter_map(|slot| slot.waker.take()),
        );
    }
}

/// What a reader gets next.
#[derive(Debug)]
pub enum Next {
    /// The next event of the topic.
    Event(Arc<LiveEvent>),
    /// The ring no longer holds what comes next: subscribe again and read the log up to there.
    Lagged,
}

/// A reader's place at a ring.
#[derive(Debug)]
pub struct Receiver {
    ring: Arc<Ring>,
    shared: Arc<Shared>,
    slot: usize,
    /// The calls that there had been when its waker was left there. Until the next there is nothing new, and the waker is
    /// where it was: that takes no lock to see.
    waits_since: Option<u64>,
}

impl Receiver {
    pub(super) fn new(ring: Arc<Ring>, shared: Arc<Shared>, kinds: KindSet) -> Self {
        let slot = {
            let mut state = ring.state();
            let fresh = Slot { kinds, waker: None };
            match state.free.pop() {
                Some(free) => {
                    state.waiting[free] = fresh;
                    free
                }
                None => {
                    state.waiting.push(fresh);
                    state.waiting.len() - 1
                }
            }
        };
        Self { ring, shared, slot, waits_since: None }
    }

    /// The first event above `after`; pending means that there is none up to the hub's head. Always to be polled by the
    /// same task, and with a position that does not go back.
    pub fn poll_next(&mut self, after: Seq, context: &mut Context<'_>) -> Poll<Next> {
        if self.waits_since == Some(self.ring.calls.load(Ordering::Acquire)) {
            return Poll::Pending;
        }
        self.waits_since = None;
        let mut state = self.ring.state();
        if after < state.floor {
            return Poll::Ready(Next::Lagged);
        }
        let at = state.events.partition_point(|(seq, _)| *seq <= after);
        if let Some((seq, event)) = state.events.get(at) {
            let is_kept = self.shared.is_in_window(*seq);
            return Poll::Ready(if is_kept { Next::Event(Arc::clone(event)) } else { Next::Lagged });
        }
        let slot = &mut state.waiting[self.slot];
        match &mut slot.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        // Calls are counted under the lock that is held here.
        self.waits_since = Some(self.ring.calls.load(Ordering::Acquire));
        Poll::Pending
    }

    /// The position up to which somebody who has read everything above `after` has been served:
    /// the hub's head, if there is nothing more; else `None`.
    #[must_use]
    pub fn served(&self, after: Seq) -> Option<Cursor> {
        let head = self.shared.head();
        let state = self.ring.state();
        let up_to_date = after >= state.floor && state.events.back().is_none_or(|(seq, _)| *seq <= after);
        up_to_date.then_some(head)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.ring.state();
        state.waiting[self.slot].waker = None;
        state.waiting[self.slot].kinds = KindSet::default();
        state.free.push(self.slot);
    }
}
