//! Turns that callers wait for without a thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::fair::{Fair, Share};
use crate::error::{Error, Result};
use crate::model::Party;

/// A bounded number of turns, divided fairly between callers.
#[derive(Clone)]
pub struct Turns(Arc<Shared>);

struct Shared {
    state: Mutex<Fair<oneshot::Sender<Turn>>>,
    /// How long a caller waits before it is refused.
    patience: Duration,
    /// What a caller reads that is refused.
    refusal: &'static str,
}

/// A turn. It ends when it is dropped.
pub struct Turn {
    /// `None` when it has been given back.
    of: Option<Party>,
    turns: Arc<Shared>,
}

impl Turns {
    /// So many turns at once, with room for so many callers that wait, each of them for so long.
    #[must_use]
    pub fn new(slots: Share, room: Share, patience: Duration, refusal: &'static str) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(Fair::new(slots, room)), patience, refusal }))
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// `UNAVAILABLE` at once if too many wait, and later if the turn does not come in time.
    pub async fn take(&self, party: Party) -> Result<Turn> {
        let coming = {
            let mut state = self.0.lock();
            if state.enter(party) {
                return Ok(Turn { of: Some(party), turns: Arc::clone(&self.0) });
            }
            let (sender, coming) = oneshot::channel();
            // The sender of a caller that is evicted goes, and with it what that caller waits for.
            let evicted = state.push(party, sender).map_err(|_| self.refused())?;
            drop(state);
            drop(evicted);
            coming
        };
        let turn = tokio::time::timeout(self.0.patience, coming).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| self.refused())
    }

    /// Changes how many may wait.
    pub fn set_room(&self, room: Share) {
        self.0.lock().set_room(room);
    }

    fn refused(&self) -> Error {
        Error::Unavailable(self.0.refusal.into())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Fair<oneshot::Sender<Turn>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(mut party) = self.of.take() else { return };
        // The caller that is next may have stopped waiting: then it is the turn of the one after it.
        loop {
            let next = {
                let mut state = self.turns.lock();
                state.leave(party);
                state.pop()
            };
            let Some((next, sender)) = next else { return };
            let turn = Self { of: Some(next), turns: Arc::clone(&self.turns) };
            match sender.send(turn) {
                Ok(()) => return,
                Err(mut turn) => turn.of = None,
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

    const ANN: Party = Party::User(UserId(1));
    const BEN: Party = Party::User(UserId(2));

    fn turns(total: usize) -> Turns {
        let all = |total| Share { total, anonymous: total, each: total };
        Turns::new(all(total), all(100_000), Duration::from_secs(5), "busy")
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends() {
        let turns = turns(1);
        let _held = turns.take(ANN).await.expect("a turn");
        assert_eq!(turns.take(BEN).await.err(), Some(Error::Unavailable("busy".into())));
    }

    #[tokio::test]
    async fn callers_that_left_are_passed_over_however_many_they_are() {
        let turns = turns(1);
        let held = turns.take(ANN).await.expect("a turn");
        for _ in 0..50_000 {
            assert!(turns.take(ANN).now_or_never().is_none(), "it waits, then leaves");
        }
        let mut last = Box::pin(turns.take(ANN));
        assert!(last.as_mut().now_or_never().is_none());
        drop(held);
        drop(last.now_or_never().expect("it is its turn").expect("a turn"));
        drop(turns.take(BEN).now_or_never().expect("all are free").expect("a turn"));
        assert!(turns.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_turn_that_arrives_too_late_is_given_on() {
        let turns = turns(1);
        let held = turns.take(ANN).await.expect("a turn");
        let mut first = Box::pin(turns.take(ANN));
        let mut second = Box::pin(turns.take(BEN));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(held);
        // The turn is in the channel, and is never taken out.
        drop(first);
        assert!(second.now_or_never().expect("it is its turn").is_ok());
    }
}
