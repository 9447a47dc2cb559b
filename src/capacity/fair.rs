//! Slots, and a queue before them that is served in turns: signed-in and anonymous callers alternate, and within each
//! of the two classes the callers do.

use std::collections::{HashMap, VecDeque};

use crate::model::Party;

/// A bound for everybody together, for all anonymous callers together, and for each caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Everybody together.
    pub total: usize,
    /// All anonymous callers together.
    pub anonymous: usize,
    /// Each caller.
    pub each: usize,
}

impl Share {
    /// So many slots, of which all anonymous callers together and each single caller get half, and one at least.
    #[must_use]
    pub fn halves(total: usize) -> Self {
        let half = (total / 2).max(1);
        Self { total, anonymous: half, each: half }
    }
}

/// The queue has no room for this caller.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// Slots and the queue before them. Callers hold a lock around it.
pub struct Fair<T> {
    slots: Share,
    room: Share,
    taken: Taken,
    members: Class<T>,
    anonymous: Class<T>,
    /// Whose turn it is when both classes wait.
    is_turn_of_anonymous: bool,
}

#[derive(Default)]
struct Taken {
    total: usize,
    anonymous: usize,
    of: HashMap<Party, usize>,
}

/// Those that wait, by caller. `ring` has each caller that waits once.
struct Class<T> {
    ring: VecDeque<Party>,
    waiting: HashMap<Party, VecDeque<T>>,
    len: usize,
}

impl<T> Fair<T> {
    /// With so many slots, and room for so many that wait.
    #[must_use]
    pub fn new(slots: Share, room: Share) -> Self {
        let (members, anonymous) = (Class::default(), Class::default());
        Self { slots, room, taken: Taken::default(), members, anonymous, is_turn_of_anonymous: false }
    }

    /// Changes how many may wait. Those that wait already stay.
    pub fn set_room(&mut self, room: Share) {
        self.room = room;
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len + self.anonymous.len
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this caller may have a slot now.
    #[must_use]
    pub fn is_free_for(&self, party: Party) -> bool {
        is_free(&self.slots, &self.taken, party)
    }

    /// Takes a slot if this caller may have one now. Nobody is overtaken: what waits while a slot is free is of callers
    /// that have all theirs.
    pub fn enter(&mut self, party: Party) -> bool {
        let is_free = self.is_free_for(party);
        if is_free {
            self.take(party);
        }
        is_free
    }

    /// Queues something. Where there is no room left, the newest of the caller that has most in the queue goes, and is
    /// returned, if that caller has more there than this one.
    ///
    /// # Errors
    /// If there is no room for this caller.
    pub fn push(&mut self, party: Party, item: T) -> Result<Option<T>, Full> {
        let is_crowded =
            self.len() >= self.room.total || party.is_anonymous() && self.anonymous.len >= self.room.anonymous;
        let others = self.members.len;
        let class = if party.is_anonymous() { &mut self.anonymous } else { &mut self.members };
        let own = class.waiting.get(&party).map_or(0, VecDeque::len);
        if own >= self.room.each {
            return Err(Full);
        }
        let mut evicted = None;
        if is_crowded {
            evicted = class.drop_from_longest(own + 1);
            // What anonymous callers have queued never keeps a signed-in one out.
            if evicted.is_none() && !party.is_anonymous() && others < self.room.total {
                evicted = self.anonymous.drop_from_longest(0);
            }
            if evicted.is_none() {
                return Err(Full);
            }
        }
        let class = if party.is_anonymous() { &mut self.anonymous } else { &mut self.members };
        class.push(party, item);
        Ok(evicted)
    }

    /// The next that may have a slot, which is taken for it.
    pub fn pop(&mut self) -> Option<(Party, T)> {
        if self.is_empty() || self.taken.total >= self.slots.total {
            return None;
        }
        let may = |party: Party| is_free(&self.slots, &self.taken, party);
        let (first, second) = match self.is_turn_of_anonymous {
            true => (&mut self.anonymous, &mut self.members),
            false => (&mut self.members, &mut self.anonymous),
        };
        let (party, item) = first.pop(may).or_else(|| second.pop(may))?;
        self.is_turn_of_anonymous = !party.is_anonymous();
        self.take(party);
        Some((party, item))
    }

    /// Gives a slot back.
    pub fn leave(&mut self, party: Party) {
        self.taken.total -= 1;
        self.taken.anonymous -= usize::from(party.is_anonymous());
        if let Some(count) = self.taken.of.get_mut(&party) {
            *count -= 1;
            if *count == 0 {
                self.taken.of.remove(&party);
            }
        }
    }

    fn take(&mut self, party: Party) {
        self.taken.total += 1;
        self.taken.anonymous += usize::from(party.is_anonymous());
        *self.taken.of.entry(party).or_insert(0) += 1;
    }
}

fn is_free(slots: &Share, taken: &Taken, party: Party) -> bool {
    taken.total < slots.total
        && (!party.is_anonymous() || taken.anonymous < slots.anonymous)
        && taken.of.get(&party).is_none_or(|count| *count < slots.each)
}

impl<T> Default for Class<T> {
    fn default() -> Self {
        Self { ring: VecDeque::new(), waiting: HashMap::new(), len: 0 }
    }
}

impl<T> Class<T> {
    fn push(&mut self, party: Party, item: T) {
        let queue = self.waiting.entry(party).or_default();
        if queue.is_empty() {
            self.ring.push_back(party);
        }
        queue.push_back(item);
        self.len += 1;
    }

    /// The oldest of the next caller that may; each slot is held by one caller, so few are passed over.
    fn pop(&mut self, may: impl Fn(Party) -> bool) -> Option<(Party, T)> {
        for _ in 0..self.ring.len() {
            let party = self.ring.pop_front()?;
            if !may(party) {
                self.ring.push_back(party);
                continue;
            }
            let queue = self.waiting.get_mut(&party)?;
            let item = queue.pop_front()?;
            if queue.is_empty() {
                self.waiting.remove(&party);
            } else {
                self.ring.push_back(party);
            }
            self.len -= 1;
            return Some((party, item));
        }
        None
    }

    /// Removes the newest of the caller that has most, if that is more than this.
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
            self.ring.retain(|waiting| *waiting != party);
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::model::UserId;

    const WIDE: Share = Share { total: 1_000, anonymous: 1_000, each: 1_000 };

    fn user(id: i64) -> Party {
        Party::User(UserId(id))
    }

    fn address(last: u8) -> Party {
        Party::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
    }

    fn order(fair: &mut Fair<u32>, count: usize) -> Vec<Party> {
        let served = (0..count).map_while(|_| fair.pop().inspect(|(party, _)| fair.leave(*party)));
        served.map(|(party, _)| party).collect()
    }

    #[test]
    fn callers_take_turns_however_much_one_of_them_has_queued() {
        let one = Share { total: 1, anonymous: 1, each: 1 };
        let mut fair = Fair::new(one, WIDE);
        (0..100).for_each(|item| assert_eq!(fair.push(user(1), item), Ok(None)));
        for caller in [user(2), address(1), address(2)] {
            fair.push(caller, 0).expect("room");
        }
        assert_eq!(order(&mut fair, 5), [user(1), address(1), user(2), address(2), user(1)]);
    }

    #[test]
    fn no_caller_and_no_crowd_of_anonymous_ones_has_all_slots() {
        let mut fair = Fair::<u32>::new(Share { total: 4, anonymous: 2, each: 2 }, WIDE);
        assert!(fair.enter(address(1)) && fair.enter(address(2)) && !fair.enter(address(3)));
        assert!(fair.enter(user(1)) && fair.enter(user(1)), "two of four for one user");
        assert!(!fair.enter(user(2)), "all are taken");
        fair.leave(address(1));
        fair.push(address(3), 3).expect("room");
        fair.push(user(1), 1).expect("room");
        fair.push(user(2), 2).expect("room");
        assert_eq!(fair.pop(), Some((user(2), 2)), "user 1 has two already");
        assert_eq!((fair.pop(), fair.len()), (None, 2));
        fair.leave(user(1));
        assert_eq!(fair.pop(), Some((address(3), 3)), "its class has waited longer");
    }

    #[test]
    fn a_full_queue_drops_what_is_newest_of_the_caller_that_has_most() {
        let one = Share { total: 1, anonymous: 1, each: 1 };
        let mut fair = Fair::new(one, Share { total: 4, anonymous: 4, each: 4 });
        (0..4).for_each(|item| assert_eq!(fair.push(address(1), item), Ok(None)));
        assert_eq!(fair.push(address(1), 4), Err(Full), "its own flood is its own loss");
        assert_eq!(fair.push(address(2), 5), Ok(Some(3)));
        assert_eq!(fair.push(address(3), 6), Ok(Some(2)));
        assert_eq!(fair.push(address(4), 7), Ok(Some(1)));
        assert_eq!(fair.push(address(5), 8), Err(Full), "no caller has more in the queue than this one would have");
        assert!(
            matches!(fair.push(user(1), 9), Ok(Some(_))),
            "a signed-in caller always gets in before anonymous ones"
        );
        assert_eq!((fair.len(), order(&mut fair, 9).len()), (4, 4));
    }

    #[test]
    fn what_is_left_is_forgotten() {
        let mut fair = Fair::new(Share::halves(2), WIDE);
        for last in 0..=255 {
            fair.push(address(last), u32::from(last)).expect("room");
        }
        assert_eq!(order(&mut fair, 300).len(), 256);
        assert!(fair.taken.of.is_empty() && fair.anonymous.waiting.is_empty() && fair.anonymous.ring.is_empty());
        assert_eq!((fair.taken.total, fair.taken.anonymous, fair.len()), (0, 0, 0));
    }
}
