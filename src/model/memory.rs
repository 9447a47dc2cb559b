//! Memory that is lent to clients: for responses that are being made or sent, and for pages of the log. There is one
//! budget per instance and purpose. One client gets a part of it at most, and so do all anonymous clients together, so a
//! flood of theirs leaves room for users.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::Party;

/// Memory is lent in pieces of this many bytes.
const PIECE: usize = 1 << 10;
/// The map of clients is swept when it has this many entries, or twice as many as the sweep before left.
const SWEEP: usize = 1_024;

/// A budget of memory.
#[derive(Debug)]
pub struct Memory {
    size: usize,
    total: Arc<Semaphore>,
    /// What all anonymous clients together may have: half.
    anonymous: Arc<Semaphore>,
    /// What one client may have, in bytes.
    share: usize,
    parties: Mutex<Parties>,
}

#[derive(Debug, Default)]
struct Parties {
    known: HashMap<Party, Weak<Semaphore>>,
    sweep_at: usize,
}

impl Memory {
    /// A budget of `size` bytes, of which one client gets `share` bytes at most, and all anonymous clients together
    /// half.
    #[must_use]
    pub fn new(size: usize, share: usize) -> Arc<Self> {
        let (total, anonymous) = (semaphore(size), semaphore(size / 2));
        Arc::new(Self { size, total, anonymous, share: share.min(size / 2), parties: Mutex::default() })
    }

    /// A lease of this client, of nothing yet.
    #[must_use]
    pub fn lease(self: &Arc<Self>, party: Party) -> Lease {
        Lease { memory: Arc::clone(self), party, permits: None }
    }

    /// How many bytes are lent now.
    #[must_use]
    pub fn lent(&self) -> usize {
        self.size.saturating_sub(self.total.available_permits() * PIECE)
    }

    /// How many bytes there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    fn of(&self, party: Party) -> Arc<Semaphore> {
        let mut parties = self.parties.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = parties.known.get(&party).and_then(Weak::upgrade) {
            return known;
        }
        if parties.known.len() >= parties.sweep_at {
            parties.known.retain(|_, known| known.strong_count() > 0);
            parties.sweep_at = SWEEP.max(2 * parties.known.len());
        }
        let fresh = semaphore(self.share);
        parties.known.insert(party, Arc::downgrade(&fresh));
        fresh
    }
}

/// Memory that is lent to one client. Dropping it gives it back.
#[derive(Debug)]
pub struct Lease {
    memory: Arc<Memory>,
    party: Party,
    permits: Option<Permits>,
}

/// The same number of permits of each: what the client may have, what anonymous clients may have, what there is.
#[derive(Debug)]
struct Permits {
    own: OwnedSemaphorePermit,
    anonymous: Option<OwnedSemaphorePermit>,
    total: OwnedSemaphorePermit,
}

impl Lease {
    /// How many bytes it is of.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.permits.as_ref().map_or(0, |permits| permits.total.num_permits() * PIECE)
    }

    /// Makes it one of this many bytes at least, if they are free now.
    pub fn try_grow_to(&mut self, bytes: usize) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes()).filter(|more| *more > 0) else { return true };
        let Ok(more) = self.try_take(pieces(more)) else { return false };
        match &mut self.permits {
            Some(permits) => permits.merge(more),
            none => *none = Some(more),
        }
        true
    }

    /// Gives back what is above this many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        let keep = pieces(bytes) as usize;
        match &mut self.permits {
            Some(_) if keep == 0 => self.permits = None,
            Some(permits) => permits.give_back(permits.total.num_permits().saturating_sub(keep)),
            None => {}
        }
    }

    /// Makes it one of this many bytes: what it is of grows only as far as there is room.
    pub fn set(&mut self, bytes: usize) {
        self.shrink_to(bytes);
        self.try_grow_to(bytes);
    }

    /// What it is of, as a lease of its own; nothing is left.
    #[must_use]
    pub fn split_off(&mut self) -> Self {
        let (memory, party, permits) = (Arc::clone(&self.memory), self.party, self.permits.take());
        Self { memory, party, permits }
    }

    /// Gives back what it is of, and waits until this many bytes are free: whether they were in time. Nobody waits for
    /// a part of what somebody else who waits has.
    pub async fn renew(&mut self, bytes: usize, patience: Duration) -> bool {
        self.permits = None;
        let taken = tokio::time::timeout(patience, self.take(pieces(bytes))).await.ok().flatten();
        self.permits = taken;
        self.permits.is_some()
    }

    /// Waits until this many bytes are free, however long; more than the client's share counts as that share.
    pub async fn wait_for(&mut self, bytes: usize) {
        self.permits = None;
        self.permits = self.take(pieces(bytes.min(self.memory.share))).await;
    }

    fn try_take(&self, pieces: u32) -> Result<Permits, TryAcquireError> {
        let own = self.own().try_acquire_many_owned(pieces)?;
        let anonymous = self.of_anonymous().map(|all| all.try_acquire_many_owned(pieces)).transpose()?;
        let total = Arc::clone(&self.memory.total).try_acquire_many_owned(pieces)?;
        Ok(Permits { own, anonymous, total })
    }

    /// In this order, so that a client that has its share waits in no queue of others.
    async fn take(&self, pieces: u32) -> Option<Permits> {
        let own = self.own().acquire_many_owned(pieces).await.ok()?;
        let anonymous = match self.of_anonymous() {
            Some(all) => Some(all.acquire_many_owned(pieces).await.ok()?),
            None => None,
        };
        let total = Arc::clone(&self.memory.total).acquire_many_owned(pieces).await.ok()?;
        Some(Permits { own, anonymous, total })
    }

    fn own(&self) -> Arc<Semaphore> {
        self.memory.of(self.party)
    }

    fn of_anonymous(&self) -> Option<Arc<Semaphore>> {
        self.party.is_anonymous().then(|| Arc::clone(&self.memory.anonymous))
    }
}

impl Permits {
    fn merge(&mut self, more: Self) {
        self.own.merge(more.own);
        self.total.merge(more.total);
        if let (Some(all), Some(more)) = (&mut self.anonymous, more.anonymous) {
            all.merge(more);
        }
    }

    fn give_back(&mut self, many: usize) {
        drop(self.own.split(many));
        drop(self.total.split(many));
        drop(self.anonymous.as_mut().and_then(|all| all.split(many)));
    }
}

fn semaphore(bytes: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((bytes / PIECE).min(Semaphore::MAX_PERMITS)))
}

fn pieces(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::UserId;
    use super::*;

    const EVA: Party = Party::User(UserId(1));
    const BEN: Party = Party::User(UserId(2));

    fn somewhere(last: u8) -> Party {
        Party::Address(IpAddr::from([192, 0, 2, last]))
    }

    fn taken(memory: &Arc<Memory>, party: Party, bytes: usize) -> Option<Lease> {
        let mut lease = memory.lease(party);
        lease.try_grow_to(bytes).then_some(lease)
    }

    #[test]
    fn one_client_gets_its_share_and_another_one_theirs() {
        let memory = Memory::new(8 * PIECE, 3 * PIECE);
        let eva = taken(&memory, EVA, 3 * PIECE).expect("the share");
        assert!(taken(&memory, EVA, 1).is_none(), "the same user by another connection");
        let ben = taken(&memory, BEN, 3 * PIECE).expect("the other share");
        assert_eq!(memory.lent(), 6 * PIECE);
        drop((eva, ben));
        assert_eq!(memory.lent(), 0);
    }

    #[test]
    fn anonymous_clients_leave_half_of_it_to_users() {
        let memory = Memory::new(8 * PIECE, 3 * PIECE);
        let held = [taken(&memory, somewhere(1), 3 * PIECE), taken(&memory, somewhere(2), PIECE)];
        assert!(held.iter().all(Option::is_some));
        assert!(taken(&memory, somewhere(3), 1).is_none());
        assert!(taken(&memory, EVA, 3 * PIECE).is_some());
    }

    #[test]
    fn a_lease_that_cannot_grow_keeps_what_it_has_and_what_shrinks_is_free() {
        let memory = Memory::new(8 * PIECE, 4 * PIECE);
        let mut lease = taken(&memory, EVA, 2 * PIECE).expect("room");
        assert!(!lease.try_grow_to(5 * PIECE));
        assert_eq!((lease.bytes(), memory.lent()), (2 * PIECE, 2 * PIECE));
        assert!(lease.try_grow_to(4 * PIECE));
        lease.shrink_to(PIECE + 1);
        assert_eq!((lease.bytes(), memory.lent()), (2 * PIECE, 2 * PIECE));
        lease.shrink_to(0);
        assert_eq!((lease.bytes(), memory.lent()), (0, 0));
    }

    #[tokio::test]
    async fn who_waits_gets_what_is_given_back() {
        let memory = Memory::new(8 * PIECE, 4 * PIECE);
        let held = taken(&memory, EVA, 4 * PIECE).expect("room");
        let mut waiting = memory.lease(EVA);
        assert!(!waiting.renew(PIECE, Duration::from_millis(1)).await);
        let waiter = tokio::spawn(async move {
            waiting.wait_for(100 * PIECE).await;
            waiting.bytes()
        });
        tokio::task::yield_now().await;
        drop(held);
        assert_eq!(waiter.await.expect("it got some"), 4 * PIECE, "its share, and no more");
    }

    #[test]
    fn clients_that_are_gone_are_forgotten() {
        let memory = Memory::new(8 * PIECE, 4 * PIECE);
        for user in 0..10_000 {
            assert!(taken(&memory, Party::User(UserId(user)), PIECE).is_some());
        }
        assert!(memory.parties.lock().expect("no panic").known.len() <= 2 * SWEEP);
    }
}
