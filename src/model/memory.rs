//! Memory budgets: each instance lends clients a bounded number of bytes, for responses and for pages of the log. A
//! client can hold at most a fixed share of a budget. All anonymous clients together can hold at most half, so
//! anonymous load always leaves memory for users.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::CapacityKey;

/// The unit of lending, in bytes. Leases are rounded up to it.
const CHUNK: usize = 1 << 10;
/// Minimum size at which the map of clients is cleaned up. Later cleanups wait until it has twice the entries that the
/// last one left.
const MIN_SWEEP: usize = 1_024;

/// A memory budget that clients borrow from.
#[derive(Debug)]
pub struct MemoryBudget {
    size: usize,
    total: Arc<Semaphore>,
    /// Bounds all anonymous clients together: half of the budget.
    anonymous: Arc<Semaphore>,
    /// The maximum that one client can hold, in bytes.
    share: usize,
    parties: Mutex<Parties>,
}

#[derive(Debug, Default)]
struct Parties {
    /// One semaphore per client, alive while the client holds or waits for bytes.
    semaphores: HashMap<CapacityKey, Weak<Semaphore>>,
    /// The number of entries at which dead ones are removed.
    sweep_at: usize,
}

impl MemoryBudget {
    /// A budget of `size` bytes. One client can hold `share` bytes at most, and never more than half of `size`. All
    /// anonymous clients together can hold half.
    #[must_use]
    pub fn new(size: usize, share: usize) -> Arc<Self> {
        let (total, anonymous) = (semaphore(size), semaphore(size / 2));
        Arc::new(Self { size, total, anonymous, share: share.min(size / 2), parties: Mutex::default() })
    }

    /// An empty lease for this client.
    #[must_use]
    pub fn lease(self: &Arc<Self>, party: CapacityKey) -> MemoryLease {
        MemoryLease { memory: Arc::clone(self), party, permits: None }
    }

    /// How many bytes are lent now.
    #[must_use]
    pub fn lent(&self) -> usize {
        self.size.saturating_sub(self.total.available_permits() * CHUNK)
    }

    /// The size of the budget, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    fn semaphore_of(&self, party: CapacityKey) -> Arc<Semaphore> {
        let mut parties = self.parties.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = parties.semaphores.get(&party).and_then(Weak::upgrade) {
            return known;
        }
        if parties.semaphores.len() >= parties.sweep_at {
            parties.semaphores.retain(|_, known| known.strong_count() > 0);
            parties.sweep_at = MIN_SWEEP.max(2 * parties.semaphores.len());
        }
        let fresh = semaphore(self.share);
        parties.semaphores.insert(party, Arc::downgrade(&fresh));
        fresh
    }
}

/// Bytes that one client holds. Dropping the lease returns them to the budget.
#[derive(Debug)]
pub struct MemoryLease {
    memory: Arc<MemoryBudget>,
    party: CapacityKey,
    permits: Option<Permits>,
}

/// The same number of permits from each semaphore that bounds the client: its own, that of all anonymous clients, and
/// that of the whole budget.
#[derive(Debug)]
struct Permits {
    own: OwnedSemaphorePermit,
    anonymous: Option<OwnedSemaphorePermit>,
    total: OwnedSemaphorePermit,
}

impl MemoryLease {
    /// The number of bytes that the lease holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.permits.as_ref().map_or(0, |permits| permits.total.num_permits() * CHUNK)
    }

    /// Grows the lease to at least this many bytes. Returns `false`, and changes nothing, if they are not free now.
    pub fn try_grow_to(&mut self, bytes: usize) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes()).filter(|more| *more > 0) else { return true };
        let Ok(more) = self.try_take(chunks(more)) else { return false };
        match &mut self.permits {
            Some(permits) => permits.merge(more),
            none => *none = Some(more),
        }
        true
    }

    /// Returns the bytes above this number to the budget.
    pub fn shrink_to(&mut self, bytes: usize) {
        let keep = chunks(bytes) as usize;
        match &mut self.permits {
            Some(_) if keep == 0 => self.permits = None,
            Some(permits) => permits.give_back(permits.total.num_permits().saturating_sub(keep)),
            None => {}
        }
    }

    /// Shrinks the lease to this many bytes, or grows it if that many are free now.
    pub fn set(&mut self, bytes: usize) {
        self.shrink_to(bytes);
        self.try_grow_to(bytes);
    }

    /// Moves all bytes into a new lease; this lease is empty afterwards.
    #[must_use]
    pub fn split_off(&mut self) -> Self {
        let (memory, party, permits) = (Arc::clone(&self.memory), self.party, self.permits.take());
        Self { memory, party, permits }
    }

    /// Gives all bytes of this lease back to the budget, then waits up to `patience` until `bytes` are free, and takes
    /// them. Returns whether that succeeded. The lease holds nothing while it waits, so two waiting leases cannot block
    /// each other.
    pub async fn renew(&mut self, bytes: usize, patience: Duration) -> bool {
        self.permits = None;
        let taken = tokio::time::timeout(patience, self.take(chunks(bytes))).await.ok().flatten();
        self.permits = taken;
        self.permits.is_some()
    }

    /// Gives all bytes of this lease back to the budget, then waits without a time limit until `bytes` are free. A size
    /// above the client's share is reduced to that share.
    pub async fn wait_for(&mut self, bytes: usize) {
        self.permits = None;
        self.permits = self.take(chunks(bytes.min(self.memory.share))).await;
    }

    fn try_take(&self, chunks: u32) -> Result<Permits, TryAcquireError> {
        let own = self.client_semaphore().try_acquire_many_owned(chunks)?;
        let anonymous = self.anonymous_semaphore().map(|all| all.try_acquire_many_owned(chunks)).transpose()?;
        let total = Arc::clone(&self.memory.total).try_acquire_many_owned(chunks)?;
        Ok(Permits { own, anonymous, total })
    }

    /// Waits for the client's own semaphore first. So a client that has used up its share does not hold permits or a
    /// queue position that other clients need.
    async fn take(&self, chunks: u32) -> Option<Permits> {
        let own = self.client_semaphore().acquire_many_owned(chunks).await.ok()?;
        let anonymous = match self.anonymous_semaphore() {
            Some(all) => Some(all.acquire_many_owned(chunks).await.ok()?),
            None => None,
        };
        let total = Arc::clone(&self.memory.total).acquire_many_owned(chunks).await.ok()?;
        Some(Permits { own, anonymous, total })
    }

    fn client_semaphore(&self) -> Arc<Semaphore> {
        self.memory.semaphore_of(self.party)
    }

    fn anonymous_semaphore(&self) -> Option<Arc<Semaphore>> {
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
    Arc::new(Semaphore::new((bytes / CHUNK).min(Semaphore::MAX_PERMITS)))
}

fn chunks(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(CHUNK)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::UserId;
    use super::*;

    const EVA: CapacityKey = CapacityKey::User(UserId(1));
    const BEN: CapacityKey = CapacityKey::User(UserId(2));

    fn anonymous(last: u8) -> CapacityKey {
        CapacityKey::Address(IpAddr::from([192, 0, 2, last]))
    }

    fn taken(memory: &Arc<MemoryBudget>, party: CapacityKey, bytes: usize) -> Option<MemoryLease> {
        let mut lease = memory.lease(party);
        lease.try_grow_to(bytes).then_some(lease)
    }

    #[test]
    fn each_client_gets_its_own_share() {
        let memory = MemoryBudget::new(8 * CHUNK, 3 * CHUNK);
        let eva = taken(&memory, EVA, 3 * CHUNK).expect("the share");
        assert!(taken(&memory, EVA, 1).is_none(), "the share counts for all connections of a user");
        let ben = taken(&memory, BEN, 3 * CHUNK).expect("the share of another user");
        assert_eq!(memory.lent(), 6 * CHUNK);
        drop((eva, ben));
        assert_eq!(memory.lent(), 0);
    }

    #[test]
    fn anonymous_clients_leave_half_of_the_budget_to_users() {
        let memory = MemoryBudget::new(8 * CHUNK, 3 * CHUNK);
        let held = [taken(&memory, anonymous(1), 3 * CHUNK), taken(&memory, anonymous(2), CHUNK)];
        assert!(held.iter().all(Option::is_some));
        assert!(taken(&memory, anonymous(3), 1).is_none());
        assert!(taken(&memory, EVA, 3 * CHUNK).is_some());
    }

    #[test]
    fn a_lease_that_cannot_grow_keeps_its_bytes_and_shrinking_frees_bytes() {
        let memory = MemoryBudget::new(8 * CHUNK, 4 * CHUNK);
        let mut lease = taken(&memory, EVA, 2 * CHUNK).expect("room");
        assert!(!lease.try_grow_to(5 * CHUNK));
        assert_eq!((lease.bytes(), memory.lent()), (2 * CHUNK, 2 * CHUNK));
        assert!(lease.try_grow_to(4 * CHUNK));
        lease.shrink_to(CHUNK + 1);
        assert_eq!((lease.bytes(), memory.lent()), (2 * CHUNK, 2 * CHUNK));
        lease.shrink_to(0);
        assert_eq!((lease.bytes(), memory.lent()), (0, 0));
    }

    #[tokio::test]
    async fn a_waiting_lease_gets_bytes_that_another_lease_returns() {
        let memory = MemoryBudget::new(8 * CHUNK, 4 * CHUNK);
        let held = taken(&memory, EVA, 4 * CHUNK).expect("room");
        let mut waiting = memory.lease(EVA);
        assert!(!waiting.renew(CHUNK, Duration::from_millis(1)).await);
        let waiter = tokio::spawn(async move {
            waiting.wait_for(100 * CHUNK).await;
            waiting.bytes()
        });
        tokio::task::yield_now().await;
        drop(held);
        assert_eq!(waiter.await.expect("the task ends"), 4 * CHUNK, "a lease is at most the client's share");
    }

    #[test]
    fn clients_without_leases_are_removed_from_the_map() {
        let memory = MemoryBudget::new(8 * CHUNK, 4 * CHUNK);
        for user in 0..10_000 {
            assert!(taken(&memory, CapacityKey::User(UserId(user)), CHUNK).is_some());
        }
        assert!(memory.parties.lock().expect("no panic").semaphores.len() <= 2 * MIN_SWEEP);
    }
}
