//! Newcomers: connections of which nothing is known yet. They move in turns, a few of them in each round of the
//! scheduler, which by itself lets everybody move who can, in one row: thousands who come at once, or whose time is over at
//! once, would stand before all who are here.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use pin_project_lite::pin_project;
use tokio::sync::Notify;

/// So many newcomers move in one round.
const PORTION: usize = 16;

/// Those whose turn is still to come.
#[derive(Default)]
pub struct Newcomers {
    row: Mutex<VecDeque<Arc<Newcomer>>>,
    came: Notify,
}

/// A connection, until something is known of it.
#[derive(Default)]
pub struct Newcomer {
    state: AtomicU8,
    waker: AtomicWaker,
}

pin_project! {
    /// What a newcomer does.
    pub struct InTurn<F> {
        // `None` once it is known: the newcomer is forgotten.
        turns: Option<(Arc<Newcomers>, Arc<Newcomer>)>,
        #[pin]
        doing: F,
    }
}

impl<F: Future> Future for InTurn<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Some((newcomers, newcomer)) = this.turns {
            ready!(newcomers.poll_turn(newcomer, context));
            if newcomer.state.load(Ordering::Acquire) == KNOWN {
                *this.turns = None;
            }
        }
        this.doing.poll(context)
    }
}

/// Not in the row: it moves when something happens to it, for which it has to stand in the row first.
const RESTING: u8 = 0;
const IN_THE_ROW: u8 = 1;
/// It may move once.
const CALLED: u8 = 2;
/// It is no newcomer any more.
const KNOWN: u8 = 3;

impl Newcomer {
    /// Something is known of it: it need not stand in the row again.
    pub fn set_known(&self) {
        self.state.store(KNOWN, Ordering::Release);
    }

    fn call(&self) {
        let called = self.state.compare_exchange(IN_THE_ROW, CALLED, Ordering::AcqRel, Ordering::Relaxed);
        if called.is_ok() {
            self.waker.wake();
        }
    }
}

impl Newcomers {
    /// Calls them, some at a time, until aborted.
    pub async fn call(self: Arc<Self>) {
        loop {
            self.came.notified().await;
            while self.call_some() {
                tokio::task::yield_now().await;
            }
        }
    }

    fn call_some(&self) -> bool {
        let some: Vec<Arc<Newcomer>> = {
            let mut row = self.row();
            let some = row.len().min(PORTION);
            row.drain(..some).collect()
        };
        some.iter().for_each(|newcomer| newcomer.call());
        !some.is_empty()
    }

    /// Does something as this newcomer: when it is its turn, for as long as it is one.
    pub fn in_turn<F>(self: &Arc<Self>, newcomer: Arc<Newcomer>, doing: F) -> InTurn<F> {
        InTurn { turns: Some((Arc::clone(self), newcomer)), doing }
    }

    fn poll_turn(&self, newcomer: &Arc<Newcomer>, context: &mut Context<'_>) -> Poll<()> {
        if newcomer.state.load(Ordering::Acquire) == KNOWN {
            return Poll::Ready(());
        }
        newcomer.waker.register(context.waker());
        match newcomer.state.load(Ordering::Acquire) {
            KNOWN => Poll::Ready(()),
            CALLED => {
                newcomer.state.store(RESTING, Ordering::Release);
                Poll::Ready(())
            }
            RESTING => {
                newcomer.state.store(IN_THE_ROW, Ordering::Release);
                self.row().push_back(Arc::clone(newcomer));
                self.came.notify_one();
                Poll::Pending
            }
            _ => Poll::Pending,
        }
    }

    fn row(&self) -> MutexGuard<'_, VecDeque<Arc<Newcomer>>> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// On one thread: each round of it is seen.
    #[tokio::test]
    async fn whoever_is_known_does_not_wait_for_all_who_come() {
        const MANY: usize = 1_000;
        let (newcomers, moved) = (Arc::new(Newcomers::default()), Arc::new(AtomicUsize::new(0)));
        let calling = tokio::spawn(Arc::clone(&newcomers).call());
        let come = || {
            let (newcomers, moved) = (Arc::clone(&newcomers), Arc::clone(&moved));
            tokio::spawn(async move {
                let doing = async {
                    for _ in 0..3 {
                        moved.fetch_add(1, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                    }
                };
                newcomers.in_turn(Arc::default(), doing).await;
            })
        };
        let all: Vec<_> = (0..MANY).map(|_| come()).collect();
        // This test is somebody who is here, and is asked for something again and again.
        let (mut before, mut most) = (0, 0);
        while moved.load(Ordering::Relaxed) < 3 * MANY {
            tokio::task::yield_now().await;
            let now = moved.load(Ordering::Relaxed);
            most = most.max(now - before);
            before = now;
        }
        for one in all {
            one.await.expect("it moved");
        }
        calling.abort();
        assert!(0 < most && most <= PORTION, "{most} newcomers moved in one round");
    }

    #[tokio::test]
    async fn whoever_has_become_known_moves_without_being_called() {
        let (newcomers, newcomer) = (Arc::new(Newcomers::default()), Arc::new(Newcomer::default()));
        newcomer.set_known();
        // Nobody calls.
        assert_eq!(newcomers.in_turn(newcomer, async { 7 }).await, 7);
    }
}
