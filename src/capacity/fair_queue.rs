//! A fair queue for a bounded number of slots. Signed-in and anonymous callers are served alternately; within each of
//! the two classes, callers are served round-robin.

use std::collections::{HashMap, VecDeque};

use crate::model::CapacityKey;

/// Limits for all callers together, for all anonymous callers together, and for each caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FairLimits {
    /// The limit for all callers together.
    pub total: usize,
    /// The limit for all anonymous callers together.
    pub anonymous: usize,
    /// The limit for each caller.
    pub each: usize,
}

impl FairLimits {
    /// Limits with `total` slots, of which all anonymous callers together get half, and each caller half. Half is at
    /// least one.
    #[must_use]
    pub fn halves(total: usize) -> Self {
        let half = (total / 2).max(1);
        Self { total, anonymous: half, each: half }
    }
}

/// The queue has no room for the caller.
#[derive(Debug, PartialEq, Eq)]
pub struct QueueFull;

/// Slots and the fair queue in front of them. The owner must protect it with a lock.
pub struct FairQueue<T> {
    slots: FairLimits,
    room: FairLimits,
    taken: Taken,
    users: Class<T>,
    anonymous: Class<T>,
    /// Whether anonymous callers are served next when both classes wait.
    is_anonymous_next: bool,
}

/// The slots in use.
#[derive(Default)]
struct Taken {
    total: usize,
    anonymous: usize,
    by_caller: HashMap<CapacityKey, usize>,
}

/// The queued items of one class, by caller. `order` holds each waiting caller once, in the order of service.
struct Class<T> {
    order: VecDeque<CapacityKey>,
    waiting: HashMap<CapacityKey, VecDeque<T>>,
    len: usize,
}

impl<T> FairQueue<T> {
    /// An empty queue in front of `slots`, with room for `room` waiting items.
    #[must_use]
    pub fn new(slots: FairLimits, room: FairLimits) -> Self {
        let (users, anonymous) = (Class::default(), Class::default());
        Self { slots, room, taken: Taken::default(), users, anonymous, is_anonymous_next: false }
    }

    /// Changes the limits of the queue. Items that wait already stay.
    pub fn set_queue_limits(&mut self, room: FairLimits) {
        self.room = room;
    }

    /// The number of waiting items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len + self.anonymous.len
    }

    /// Whether no item waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this caller may have a slot now.
    #[must_use]
    pub fn is_free_for(&self, party: CapacityKey) -> bool {
        is_free(&self.slots, &self.taken, party)
    }

    /// Takes a slot if this caller may have one now. This does not overtake waiting items: while a slot is free, only
    /// callers that have used up their own limit can have items waiting.
    pub fn enter(&mut self, party: CapacityKey) -> bool {
        let is_free = self.is_free_for(party);
        if is_free {
            self.take(party);
        }
        is_free
    }

    /// Queues an item. If the queue is full, the newest item of the caller with the most queued items is removed and
    /// returned, provided that caller has more queued items than this one.
    ///
    /// # Errors
    /// [`QueueFull`] if there is no room for this caller.
    pub fn push(&mut self, party: CapacityKey, item: T) -> Result<Option<T>, QueueFull> {
        let is_full =
            self.len() >= self.room.total || party.is_anonymous() && self.anonymous.len >= self.room.anonymous;
        let others = self.users.len;
        let class = if party.is_anonymous() { &mut self.anonymous } else { &mut self.users };
        let queued = class.waiting.get(&party).map_or(0, VecDeque::len);
        if queued >= self.room.each {
            return Err(QueueFull);
        }
        let mut evicted = None;
        if is_full {
            evicted = class.drop_from_longest(queued + 1);
            // Anonymous callers must not keep a signed-in caller out of the queue.
            if evicted.is_none() && !party.is_anonymous() && others < self.room.total {
                evicted = self.anonymous.drop_from_longest(0);
            }
            if evicted.is_none() {
                return Err(QueueFull);
            }
        }
        let class = if party.is_anonymous() { &mut self.anonymous } else { &mut self.users };
        class.push(party, item);
        Ok(evicted)
    }

    /// Takes the next item whose caller may have a slot, and the slot.
    pub fn pop(&mut self) -> Option<(CapacityKey, T)> {
        if self.is_empty() || self.taken.total >= self.slots.total {
            return None;
        }
        let may = |party: CapacityKey| is_free(&self.slots, &self.taken, party);
        let (first, second) = match self.is_anonymous_next {
            true => (&mut self.anonymous, &mut self.users),
            false => (&mut self.users, &mut self.anonymous),
        };
        let (party, item) = first.pop(may).or_else(|| second.pop(may))?;
        self.is_anonymous_next = !party.is_anonymous();
        self.take(party);
        Some((party, item))
    }

    /// Gives a slot of this caller back.
    pub fn leave(&mut self, party: CapacityKey) {
        self.taken.total -= 1;
        self.taken.anonymous -= usize::from(party.is_anonymous());
        if let Some(count) = self.taken.by_caller.get_mut(&party) {
            *count -= 1;
            if *count == 0 {
                self.taken.by_caller.remove(&party);
            }
        }
    }

    fn take(&mut self, party: CapacityKey) {
        self.taken.total += 1;
        self.taken.anonymous += usize::from(party.is_anonymous());
        *self.taken.by_caller.entry(party).or_insert(0) += 1;
    }
}

fn is_free(slots: &FairLimits, taken: &Taken, party: CapacityKey) -> bool {
    taken.total < slots.total
        && (!party.is_anonymous() || taken.anonymous < slots.anonymous)
        && taken.by_caller.get(&party).is_none_or(|count| *count < slots.each)
}

impl<T> Default for Class<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), waiting: HashMap::new(), len: 0 }
    }
}

impl<T> Class<T> {
    fn push(&mut self, party: CapacityKey, item: T) {
        let queue = self.waiting.entry(party).or_default();
        if queue.is_empty() {
            self.order.push_back(party);
        }
        queue.push_back(item);
        self.len += 1;
    }

    /// Removes the oldest item of the next caller that `may` have a slot. Callers that are passed over hold a slot
    /// each, so there are few.
    fn pop(&mut self, may: impl Fn(CapacityKey) -> bool) -> Option<(CapacityKey, T)> {
        for _ in 0..self.order.len() {
            let party = self.order.pop_front()?;
            if !may(party) {
                self.order.push_back(party);
                continue;
            }
            let queue = self.waiting.get_mut(&party)?;
            let item = queue.pop_front()?;
            if queue.is_empty() {
                self.waiting.remove(&party);
            } else {
                self.order.push_back(party);
            }
            self.len -= 1;
            return Some((party, item));
        }
        None
    }

    /// Removes the newest item of the caller with the most items, if that caller has more than `more_than`.
    fn drop_from_longest(&mut self, more_than: usize) -> Option<T> {
        let (party, length) =
            self.waiting.iter().map(|(party, queue)| (*party, queue.len())).max_by_key(|(_, n)| *n)?;
        if length <= more_than {
            return None;
        }
        let queue = self.waiting.get_mut(&party)?;
        let dropped = queue.pop_back();
        self.len -= 1;
        if queue.is_empty() {
            self.waiting.remove(&party);
            self.order.retain(|waiting| *waiting != party);
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::model::UserId;

    const WIDE: FairLimits = FairLimits { total: 1_000, anonymous: 1_000, each: 1_000 };

    fn user(id: i64) -> CapacityKey {
        CapacityKey::User(UserId(id))
    }

    fn address(last: u8) -> CapacityKey {
        CapacityKey::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
    }

    fn order(fair: &mut FairQueue<u32>, count: usize) -> Vec<CapacityKey> {
        let served = (0..count).map_while(|_| fair.pop().inspect(|(party, _)| fair.leave(*party)));
        served.map(|(party, _)| party).collect()
    }

    #[test]
    fn callers_are_served_round_robin_whatever_one_of_them_has_queued() {
        let one = FairLimits { total: 1, anonymous: 1, each: 1 };
        let mut fair = FairQueue::new(one, WIDE);
        (0..100).for_each(|item| assert_eq!(fair.push(user(1), item), Ok(None)));
        for caller in [user(2), address(1), address(2)] {
            fair.push(caller, 0).expect("room");
        }
        assert_eq!(order(&mut fair, 5), [user(1), address(1), user(2), address(2), user(1)]);
    }

    #[test]
    fn neither_one_caller_nor_all_anonymous_callers_get_all_slots() {
        let mut fair = FairQueue::<u32>::new(FairLimits { total: 4, anonymous: 2, each: 2 }, WIDE);
        assert!(fair.enter(address(1)) && fair.enter(address(2)) && !fair.enter(address(3)));
        assert!(fair.enter(user(1)) && fair.enter(user(1)), "a user may hold two of the four slots");
        assert!(!fair.enter(user(2)), "all slots are taken");
        fair.leave(address(1));
        fair.push(address(3), 3).expect("room");
        fair.push(user(1), 1).expect("room");
        fair.push(user(2), 2).expect("room");
        assert_eq!(fair.pop(), Some((user(2), 2)), "user 1 holds two slots already");
        assert_eq!((fair.pop(), fair.len()), (None, 2));
        fair.leave(user(1));
        assert_eq!(fair.pop(), Some((address(3), 3)), "the anonymous class has waited longer");
    }

    #[test]
    fn a_full_queue_drops_the_newest_item_of_the_caller_with_the_most() {
        let one = FairLimits { total: 1, anonymous: 1, each: 1 };
        let mut fair = FairQueue::new(one, FairLimits { total: 4, anonymous: 4, each: 4 });
        (0..4).for_each(|item| assert_eq!(fair.push(address(1), item), Ok(None)));
        assert_eq!(fair.push(address(1), 4), Err(QueueFull), "a caller that fills the queue loses its own item");
        assert_eq!(fair.push(address(2), 5), Ok(Some(3)));
        assert_eq!(fair.push(address(3), 6), Ok(Some(2)));
        assert_eq!(fair.push(address(4), 7), Ok(Some(1)));
        assert_eq!(fair.push(address(5), 8), Err(QueueFull), "no caller would have more items queued than this one");
        assert!(
            matches!(fair.push(user(1), 9), Ok(Some(_))),
            "an anonymous item is dropped to make room for a signed-in caller"
        );
        assert_eq!((fair.len(), order(&mut fair, 9).len()), (4, 4));
    }

    #[test]
    fn callers_are_removed_once_they_hold_and_wait_for_nothing() {
        let mut fair = FairQueue::new(FairLimits::halves(2), WIDE);
        for last in 0..=255 {
            fair.push(address(last), u32::from(last)).expect("room");
        }
        assert_eq!(order(&mut fair, 300).len(), 256);
        assert!(
            fair.taken.by_caller.is_empty() && fair.anonymous.waiting.is_empty() && fair.anonymous.order.is_empty()
        );
        assert_eq!((fair.taken.total, fair.taken.anonymous, fair.len()), (0, 0, 0));
    }
}
