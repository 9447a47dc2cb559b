//! The writer's queue: bounded, with an adaptive batching delay. Clients often submit their next command as soon
//! as the previous one is answered. Without a delay, two groups of clients would alternate, with one COMMIT
//! each. Waiting for up to the duration of one commit merges both groups into one batch.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Number of batches without a delay after a delay that timed out. A timeout shows that commands arrive
/// independently of the answers, so the next delay would probably time out as well.
const SKIPPED_BATCHES: u32 = 16;

/// A bounded queue with a single consumer.
pub struct CommitQueue<T> {
    state: Mutex<QueueState<T>>,
    item_arrived: Condvar,
    capacity: usize,
}

struct QueueState<T> {
    items: VecDeque<T>,
    /// The consumer is woken when the queue has this many items.
    wake_at: usize,
    is_closed: bool,
}

/// Why the queue rejected an item.
#[derive(Debug, PartialEq, Eq)]
pub enum PushError {
    /// The queue is full.
    Full,
    /// The queue is closed.
    Closed,
}

/// The batching delay, adapted to the last batch.
#[derive(Debug, Default)]
pub struct BatchWindow {
    /// Number of commands that were in the last batch or queued at its end. The next batch waits for as many.
    size: usize,
    /// Maximum delay: the duration of the last batch. A command that misses this batch would wait that long
    /// anyway.
    max_wait: Duration,
    /// Number of batches that still skip the delay.
    skipped_batches: u32,
}

impl BatchWindow {
    /// Records a finished batch: `size` commands were in it or are queued now, and it took `duration`.
    pub fn record_batch(&mut self, size: usize, duration: Duration) {
        self.size = size;
        self.max_wait = duration;
    }

    /// Returns the number of items that the next batch waits for, and the maximum delay.
    fn next_wait(&mut self) -> (usize, Duration) {
        if self.skipped_batches > 0 {
            self.skipped_batches -= 1;
            return (1, Duration::ZERO);
        }
        (self.size, self.max_wait)
    }
}

impl<T> CommitQueue<T> {
    /// Creates an empty queue for at most `capacity` items.
    pub fn new(capacity: usize) -> Self {
        let state = QueueState { items: VecDeque::new(), wake_at: 1, is_closed: false };
        Self { state: Mutex::new(state), item_arrived: Condvar::new(), capacity }
    }

    /// Appends an item, without blocking.
    ///
    /// # Errors
    /// [`PushError::Full`] or [`PushError::Closed`].
    pub fn push(&self, item: T) -> Result<(), PushError> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(PushError::Closed);
        }
        if state.items.len() >= self.capacity {
            return Err(PushError::Full);
        }
        state.items.push_back(item);
        // The condition is not `>=`, so that a consumer that waits for several items is woken only once.
        if state.items.len() == state.wake_at {
            self.item_arrived.notify_one();
        }
        Ok(())
    }

    /// Blocks until an item is queued, then waits for more items as `window` says, and removes up to `limit`
    /// items. Returns `None` if the queue is closed and empty.
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

    /// Removes up to `limit` items without waiting.
    pub fn take_ready(&self, limit: usize) -> Vec<T> {
        self.lock().take(limit)
    }

    /// Number of queued items.
    pub fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Rejects further items. Items that are already queued can still be taken.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.item_arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, QueueState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> QueueState<T> {
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
    fn a_batch_waits_for_as_many_commands_as_the_last_one() {
        let queue = CommitQueue::new(8);
        let mut window = BatchWindow::default();
        window.record_batch(3, LONG);
        queue.push(1).expect("the queue has room");
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take(&mut window, 8));
            // Once `wake_at` is 3, the consumer has seen the first item and waits for two more.
            while queue.lock().wake_at != 3 && !taken.is_finished() {
                std::thread::yield_now();
            }
            assert_eq!(queue.len(), 1, "the consumer must wait for more items");
            queue.push(2).expect("the queue has room");
            queue.push(3).expect("the queue has room");
            assert_eq!(taken.join().expect("the consumer does not panic"), Some(vec![1, 2, 3]));
        });
    }

    #[test]
    fn batches_after_a_timed_out_delay_skip_the_delay() {
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
    fn a_single_client_is_not_delayed() {
        let queue = CommitQueue::new(8);
        let mut window = BatchWindow::default();
        for item in 1..=2 {
            queue.push(item).expect("the queue has room");
            assert_eq!(queue.take(&mut window, 8), Some(vec![item]));
            window.record_batch(1, LONG);
        }
    }

    #[test]
    fn a_full_or_closed_queue_rejects_items_and_keeps_queued_ones() {
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
