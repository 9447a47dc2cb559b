//! A map of what happened lately, with a hard bound on its memory. Strangers choose the keys, so
//! it must never grow with what they send and never walk over all of it in one call.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Values by key, kept for at least `keep` after they were last touched, in two generations: what
/// is not touched while a generation passes goes with the generation before.
///
/// A generation also ends when it is full. A flood of keys can thus make the map forget early,
/// after `capacity` other keys: the price for a memory that does not depend on strangers.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    keep: Duration,
    capacity: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// When the young generation began.
    since: Instant,
}

impl<K: Eq + Hash, V: Default> Recent<K, V> {
    /// At most twice `capacity` keys (at least one).
    pub(super) fn new(keep: Duration, capacity: usize) -> Self {
        let (young, old) = (HashMap::new(), HashMap::new());
        Self { keep, capacity: capacity.max(1), young, old, since: Instant::now() }
    }

    /// The value of `key`, a default one if nothing is known of it.
    pub(super) fn touch(&mut self, key: K, now: Instant) -> &mut V {
        let full = self.young.len() >= self.capacity && !self.young.contains_key(&key);
        if full || now.saturating_duration_since(self.since) >= self.keep {
            self.old = std::mem::take(&mut self.young);
            self.since = now;
        }
        let carried = self.old.remove(&key);
        self.young.entry(key).or_insert_with(|| carried.unwrap_or_default())
    }

    /// The value of `key` if it is known; does not keep it for longer.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn it_remembers_for_the_whole_time_and_forgets_later() {
        let start = Instant::now();
        let mut recent = Recent::<&str, u32>::new(MINUTE, 100);
        *recent.touch("a", start) = 1;
        // Other keys make generations pass; `a` is still within its minute.
        recent.touch("b", start + MINUTE / 2);
        recent.touch("c", start + MINUTE);
        assert_eq!(*recent.touch("a", start + MINUTE), 1);
        recent.touch("d", start + 2 * MINUTE);
        recent.touch("e", start + 3 * MINUTE);
        assert_eq!(*recent.touch("a", start + 3 * MINUTE), 0);
    }

    #[test]
    fn a_flood_of_keys_costs_bounded_memory() {
        let now = Instant::now();
        let mut recent = Recent::<u32, u32>::new(MINUTE, 100);
        for key in 0..100_000 {
            *recent.touch(key, now) += 1;
            assert!(recent.len() <= 200);
        }
        assert_eq!(*recent.touch(99_950, now), 1, "the latest are still known");
    }
}
