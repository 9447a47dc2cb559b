//! Counts open connections per address, or sockets per user, and enforces a limit for each.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

type CountsByKey<K> = Arc<Mutex<HashMap<K, usize>>>;

/// A limit on the number of permits that each key may hold at a time.
pub struct ConnectionLimit<K> {
    /// The limit per key; 0 means no limit.
    limit: usize,
    counts: CountsByKey<K>,
}

/// A permit for one connection. Dropping it frees its place.
#[derive(Debug)]
pub struct Permit<K: Eq + Hash> {
    /// The key and the counter; `None` if the permit is not counted.
    counted: Option<(K, CountsByKey<K>)>,
}

impl<K: Eq + Hash + Copy> ConnectionLimit<K> {
    /// A limit of `limit` permits for each key; 0 means no limit.
    pub fn new(limit: usize) -> Self {
        Self { limit, counts: Arc::default() }
    }

    /// Takes a permit for this key; `None` if the limit is reached.
    pub fn try_acquire(&self, key: K) -> Option<Permit<K>> {
        if self.limit == 0 {
            return Some(Permit::uncounted());
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Permit { counted: Some((key, Arc::clone(&self.counts))) })
    }
}

impl<K: Eq + Hash> Permit<K> {
    /// A permit that counts against no limit.
    pub fn uncounted() -> Self {
        Self { counted: None }
    }
}

impl<K: Eq + Hash> Drop for Permit<K> {
    fn drop(&mut self) {
        let Some((key, counts)) = self.counted.take() else { return };
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let remaining = counts.get_mut(&key).map_or(0, |count| {
            *count -= 1;
            *count
        });
        // Remove keys without connections: clients choose their addresses, so the map could grow without bound.
        if remaining == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_limit_and_unused_keys_are_removed() {
        let quota = ConnectionLimit::new(2);
        let held = [quota.try_acquire('a'), quota.try_acquire('a'), quota.try_acquire('b')];
        assert!(held.iter().all(Option::is_some));
        assert!(quota.try_acquire('a').is_none());
        assert!(quota.try_acquire('b').is_some());
        drop(held);
        assert!(quota.counts.lock().unwrap().is_empty());
        assert!(quota.try_acquire('a').is_some());
    }

    #[test]
    fn zero_means_no_limit() {
        let quota = ConnectionLimit::new(0);
        let all: Vec<_> = (0..1_000).map(|_| quota.try_acquire('a')).collect();
        assert!(all.iter().all(Option::is_some));
    }
}
