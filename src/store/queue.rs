//! The queue before the writer: bounded, and patient with those who are on their way. Who was just answered often asks
//! again at once, while the others who had waited are already being committed: two halves of a crowd take turns for
//! ever, with two COMMITs. A batch that waits a moment for the other half needs one.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// After a wait in vain so many batches do without: where changes come by chance, and not as answers to answers, the next
/// would be in vain, too.
const SKIPPED_BATCHES: u32 = 16;

/// A bounded queue that one thread takes from.
pub struct CommitQueue<T> {
    state: Mutex<State<T>>,
    item_arrived: Condvar,
    capacity: usize,
}

struct State<T> {
    items: VecDeque<T>,
    /// Who takes is woken when there are so many.
    wake_at: usize,
    is_closed: bool,
}

/// Why something was not queued.
#[derive(Debug, PartialEq, Eq)]
pub enum PushError {
    /// There is no room.
    Full,
    /// Nobody takes anything more.
    Closed,
}

/// Those who ask again and again, as far as is known of them.
#[derive(Debug, Default)]
pub struct BatchWindow {
    /// So many were answered or waiting when the last batch was done.
    size: usize,
    /// They are waited for as long as a batch takes: so long they would wait for the next one.
    max_wait: Duration,
    /// So many batches do not wait for anybody.
    skipped_batches: u32,
}

impl BatchWindow {
    /// A batch is done: so many were in it, or wait, and it took so long.
    pub fn record_batch(&mut self, size: usize, duration: Duration) {
        self.size = size;
        self.max_wait = duration;
    }

    /// How long the next batch waits for how many.
    fn next_wait(&mut self) -> (usize, Duration) {
        if self.skipped_batches > 0 {
            self.skipped_batches -= 1;
            return (1, Duration::ZERO);
        }
        (self.size, self.max_wait)
    }
}

impl<T> CommitQueue<T> {
    /// An empty one with so much room.
    pub fn new(capacity: usize) -> Self {
        let state = State { items: VecDeque::new(), wake_at: 1, is_closed: false };
        Self { state: Mutex::new(state), item_arrived: Condvar::new(), capacity }
    }

    /// Queues an item.
    ///
    /// # Errors
    /// If there is no room or it is closed.
    pub fn push(&self, item: T) -> Result<(), PushError> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(PushError::Closed);
        }
        if state.items.len() >= self.capacity {
            return Err(PushError::Full);
        }
        state.items.push_back(item);
        // Whoever waits for a crowd is not woken for each of it.
        if state.items.len() == state.wake_at {
            self.item_arrived.notify_one();
        }
        Ok(())
    }

    /// Waits for an item, then a moment for the rest of the crowd, and takes what is there, `most` at most. `None` if it
    /// is closed and empty.
    pub fn take(&self, window: &mut BatchWindow, limit: usize) -> Option<Vec<T>> {
        let mut state = self.lock();
        state.wake_at = 1;
        state = self
            .item_arrived
            .wait_while(state, |state| state.is_below_target())
            .unwrap_or_else(PoisonError::into_inner);
        let (size, max_wait) = window.next_wait();
        state.wake_at = size.clamp(1, limit);
        let waited = self.item_arrived.wait_timeout_while(state, max_wait, |state| state.is_below_target());
        let (mut state, end) = waited.unwrap_or_else(PoisonError::into_inner);
        if end.timed_out() {
            window.skipped_batches = SKIPPED_BATCHES;
        }
        Some(state.take(limit)).filter(|taken| !taken.is_empty())
    }

    /// Takes what is there, `most` at most.
    pub fn take_ready(&self, limit: usize) -> Vec<T> {
        self.lock().take(limit)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Takes nothing more in. What is there can still be taken.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.item_arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn is_below_target(&self) -> bool {
        self.items.len() < self.wake_at && !self.is_closed
    }

    fn take(&mut self, limit: usize) -> Vec<T> {
        let count = self.items.len().min(limit);
        self.items.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_batch_waits_for_the_rest_of_the_crowd() {
        let queue = CommitQueue::new(8);
        let mut window = BatchWindow::default();
        window.record_batch(3, LONG);
        queue.push(1).expect("the queue has room");
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take(&mut window, 8));
            // It has seen the first, and waits for two more.
            while queue.lock().wake_at != 3 && !taken.is_finished() {
                std::thread::yield_now();
            }
            assert_eq!(queue.len(), 1, "it did not wait");
            queue.push(2).expect("the queue has room");
            queue.push(3).expect("the queue has room");
            assert_eq!(taken.join().expect("taken"), Some(vec![1, 2, 3]));
        });
    }

    #[test]
    fn a_crowd_that_does_not_come_is_not_waited_for_again_and_again() {
        let queue = CommitQueue::new(8);
        let mut window = BatchWindow::default();
        window.record_batch(3, Duration::from_millis(1));
        queue.push(1).expect("the queue has room");
        assert_eq!(queue.take(&mut window, 8), Some(vec![1]));
        window.record_batch(3, LONG);
        for item in 0..SKIPPED_BATCHES {
            queue.push(item).expect("the queue has room");
            assert_eq!(queue.take(&mut window, 8), Some(vec![item]));
        }
        assert_eq!(window.next_wait(), (3, LONG));
    }

    #[test]
    fn whoever_is_alone_does_not_wait() {
        let queue = CommitQueue::new(8);
        let mut window = BatchWindow::default();
        for item in 1..=2 {
            queue.push(item).expect("the queue has room");
            assert_eq!(queue.take(&mut window, 8), Some(vec![item]));
            window.record_batch(1, LONG);
        }
    }

    #[test]
    fn what_is_too_much_is_refused_and_what_is_in_comes_out() {
        let queue = CommitQueue::new(2);
        let mut window = BatchWindow::default();
        assert_eq!((queue.push(1), queue.push(2), queue.push(3)), (Ok(()), Ok(()), Err(PushError::Full)));
        window.record_batch(5, LONG);
        queue.close();
        assert_eq!(queue.push(4), Err(PushError::Closed));
        assert_eq!((queue.take(&mut window, 1), queue.len()), (Some(vec![1]), 1));
        assert_eq!((queue.take(&mut window, 8), queue.take(&mut window, 8)), (Some(vec![2]), None));
    }
}
