//! The queue before the writer: bounded, and patient with those who are on their way. Who was just answered often asks
//! again at once, while the others who had waited are already being committed: two halves of a crowd take turns for
//! ever, with two COMMITs. A batch that waits a moment for the other half needs one.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// After a wait in vain so many batches do without: where changes come by chance, and not as answers to answers, the next
/// would be in vain, too.
const REST: u32 = 16;

/// A bounded queue that one thread takes from.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    came: Condvar,
    room: usize,
}

struct State<T> {
    items: VecDeque<T>,
    /// Who takes is woken when there are so many.
    wanted: usize,
    is_closed: bool,
}

/// Why something was not queued.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no room.
    Full,
    /// Nobody takes anything more.
    Closed,
}

/// Those who ask again and again, as far as is known of them.
#[derive(Debug, Default)]
pub struct Crowd {
    /// So many were answered or waiting when the last batch was done.
    size: usize,
    /// They are waited for as long as a batch takes: so long they would wait for the next one.
    patience: Duration,
    /// So many batches do not wait for anybody.
    rest: u32,
}

impl Crowd {
    /// A batch is done: so many were in it, or wait, and it took so long.
    pub fn seen(&mut self, size: usize, took: Duration) {
        self.size = size;
        self.patience = took;
    }

    /// How long the next batch waits for how many.
    fn next(&mut self) -> (usize, Duration) {
        if self.rest > 0 {
            self.rest -= 1;
            return (1, Duration::ZERO);
        }
        (self.size, self.patience)
    }
}

impl<T> Queue<T> {
    /// An empty one with so much room.
    pub fn new(room: usize) -> Self {
        let state = State { items: VecDeque::new(), wanted: 1, is_closed: false };
        Self { state: Mutex::new(state), came: Condvar::new(), room }
    }

    /// Queues an item.
    ///
    /// # Errors
    /// If there is no room or it is closed.
    pub fn push(&self, item: T) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Refused::Closed);
        }
        if state.items.len() >= self.room {
            return Err(Refused::Full);
        }
        state.items.push_back(item);
        // Whoever waits for a crowd is not woken for each of it.
        if state.items.len() == state.wanted {
            self.came.notify_one();
        }
        Ok(())
    }

    /// Waits for an item, then a moment for the rest of the crowd, and takes what is there, `most` at most. `None` if it
    /// is closed and empty.
    pub fn take(&self, crowd: &mut Crowd, most: usize) -> Option<Vec<T>> {
        let mut state = self.lock();
        state.wanted = 1;
        state = self.came.wait_while(state, |state| state.is_short()).unwrap_or_else(PoisonError::into_inner);
        let (size, patience) = crowd.next();
        state.wanted = size.clamp(1, most);
        let waited = self.came.wait_timeout_while(state, patience, |state| state.is_short());
        let (mut state, end) = waited.unwrap_or_else(PoisonError::into_inner);
        if end.timed_out() {
            crowd.rest = REST;
        }
        Some(state.take(most)).filter(|taken| !taken.is_empty())
    }

    /// Takes what is there, `most` at most.
    pub fn take_more(&self, most: usize) -> Vec<T> {
        self.lock().take(most)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Takes nothing more in. What is there can still be taken.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.came.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn is_short(&self) -> bool {
        self.items.len() < self.wanted && !self.is_closed
    }

    fn take(&mut self, most: usize) -> Vec<T> {
        let many = self.items.len().min(most);
        self.items.drain(..many).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_batch_waits_for_the_rest_of_the_crowd() {
        let queue = Queue::new(8);
        let mut crowd = Crowd::default();
        crowd.seen(3, LONG);
        queue.push(1).expect("room");
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take(&mut crowd, 8));
            // It has seen the first, and waits for two more.
            while queue.lock().wanted != 3 && !taken.is_finished() {
                std::thread::yield_now();
            }
            assert_eq!(queue.len(), 1, "it did not wait");
            queue.push(2).expect("room");
            queue.push(3).expect("room");
            assert_eq!(taken.join().expect("taken"), Some(vec![1, 2, 3]));
        });
    }

    #[test]
    fn a_crowd_that_does_not_come_is_not_waited_for_again_and_again() {
        let queue = Queue::new(8);
        let mut crowd = Crowd::default();
        crowd.seen(3, Duration::from_millis(1));
        queue.push(1).expect("room");
        assert_eq!(queue.take(&mut crowd, 8), Some(vec![1]));
        crowd.seen(3, LONG);
        for item in 0..REST {
            queue.push(item).expect("room");
            assert_eq!(queue.take(&mut crowd, 8), Some(vec![item]));
        }
        assert_eq!(crowd.next(), (3, LONG));
    }

    #[test]
    fn whoever_is_alone_does_not_wait() {
        let queue = Queue::new(8);
        let mut crowd = Crowd::default();
        for item in 1..=2 {
            queue.push(item).expect("room");
            assert_eq!(queue.take(&mut crowd, 8), Some(vec![item]));
            crowd.seen(1, LONG);
        }
    }

    #[test]
    fn what_is_too_much_is_refused_and_what_is_in_comes_out() {
        let queue = Queue::new(2);
        let mut crowd = Crowd::default();
        assert_eq!((queue.push(1), queue.push(2), queue.push(3)), (Ok(()), Ok(()), Err(Refused::Full)));
        crowd.seen(5, LONG);
        queue.close();
        assert_eq!(queue.push(4), Err(Refused::Closed));
        assert_eq!((queue.take(&mut crowd, 1), queue.len()), (Some(vec![1]), 1));
        assert_eq!((queue.take(&mut crowd, 8), queue.take(&mut crowd, 8)), (Some(vec![2]), None));
    }
}
