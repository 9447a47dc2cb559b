//! A fair, bounded semaphore for async code.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::fair_queue::{FairLimits, FairQueue};
use crate::error::{Error, Result};
use crate::model::CapacityKey;

/// A bounded number of permits that callers share fairly. It works like a semaphore with a fair, bounded queue.
#[derive(Clone)]
pub struct FairSemaphore(Arc<SharedSlots>);

struct SharedSlots {
    state: Mutex<FairQueue<oneshot::Sender<FairPermit>>>,
    /// How long a caller waits before it is refused.
    max_wait: Duration,
    /// The error message for a caller that is refused.
    refusal: &'static str,
}

/// A permit. Dropping it passes it on to the next caller in the queue.
pub struct FairPermit {
    /// The caller that holds the permit; `None` once the permit was returned.
    holder: Option<CapacityKey>,
    turns: Arc<SharedSlots>,
}

impl FairSemaphore {
    /// At most `slots` permits at once, with room in the queue for `room` callers. A caller waits for `max_wait` at
    /// most.
    #[must_use]
    pub fn new(slots: FairLimits, room: FairLimits, max_wait: Duration, refusal: &'static str) -> Self {
        Self(Arc::new(SharedSlots { state: Mutex::new(FairQueue::new(slots, room)), max_wait, refusal }))
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// `UNAVAILABLE` at once if the queue has no room for the caller. `UNAVAILABLE` later if the caller is evicted from
    /// the queue, or gets no permit in time.
    pub async fn take(&self, party: CapacityKey) -> Result<FairPermit> {
        let waiting = {
            let mut state = self.0.lock();
            if state.enter(party) {
                return Ok(FairPermit { holder: Some(party), turns: Arc::clone(&self.0) });
            }
            let (sender, waiting) = oneshot::channel();
            // Dropping the sender of an evicted caller ends the wait of that caller.
            let evicted = state.push(party, sender).map_err(|_| self.refused())?;
            drop(state);
            drop(evicted);
            waiting
        };
        let turn = tokio::time::timeout(self.0.max_wait, waiting).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| self.refused())
    }

    /// Changes the limits of the queue.
    pub fn set_queue_limits(&self, room: FairLimits) {
        self.0.lock().set_queue_limits(room);
    }

    fn refused(&self) -> Error {
        Error::Unavailable(self.0.refusal.into())
    }
}

impl SharedSlots {
    fn lock(&self) -> MutexGuard<'_, FairQueue<oneshot::Sender<FairPermit>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        let Some(mut party) = self.holder.take() else { return };
        // The next caller may have stopped waiting. The permit then goes to the caller after it.
        loop {
            let next = {
                let mut state = self.turns.lock();
                state.leave(party);
                state.pop()
            };
            let Some((next, sender)) = next else { return };
            let turn = Self { holder: Some(next), turns: Arc::clone(&self.turns) };
            match sender.send(turn) {
                Ok(()) => return,
                Err(mut turn) => turn.holder = None,
            }
            party = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::model::UserId;

    const ANN: CapacityKey = CapacityKey::User(UserId(1));
    const BEN: CapacityKey = CapacityKey::User(UserId(2));

    fn turns(total: usize) -> FairSemaphore {
        let all = |total| FairLimits { total, anonymous: total, each: total };
        FairSemaphore::new(all(total), all(100_000), Duration::from_secs(5), "busy")
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_waits_too_long_is_refused() {
        let turns = turns(1);
        let _held = turns.take(ANN).await.expect("a turn");
        assert_eq!(turns.take(BEN).await.err(), Some(Error::Unavailable("busy".into())));
    }

    #[tokio::test]
    async fn callers_that_stopped_waiting_are_skipped() {
        let turns = turns(1);
        let held = turns.take(ANN).await.expect("a turn");
        for _ in 0..50_000 {
            assert!(turns.take(ANN).now_or_never().is_none(), "the caller queues, then stops waiting");
        }
        let mut last = Box::pin(turns.take(ANN));
        assert!(last.as_mut().now_or_never().is_none());
        drop(held);
        drop(last.now_or_never().expect("it is its turn").expect("a turn"));
        drop(turns.take(BEN).now_or_never().expect("all are free").expect("a turn"));
        assert!(turns.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_permit_that_arrives_after_its_caller_left_is_passed_on() {
        let turns = turns(1);
        let held = turns.take(ANN).await.expect("a turn");
        let mut first = Box::pin(turns.take(ANN));
        let mut second = Box::pin(turns.take(BEN));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(held);
        // The permit is in the channel of a caller that never receives it.
        drop(first);
        assert!(second.now_or_never().expect("it is its turn").is_ok());
    }
}
