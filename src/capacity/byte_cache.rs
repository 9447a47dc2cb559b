//! A cache that is bounded in bytes. It evicts entries that were not used recently.

use std::hash::Hash;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

/// Overhead of an entry besides its key and its value, in bytes.
const ENTRY: usize = 200;

/// A cache of values that are cheap to clone, bounded in bytes.
pub struct ByteCache<K, V>(Cache<K, Weighed<V>, Bytes>);

#[derive(Clone)]
struct Weighed<V> {
    value: V,
    bytes: usize,
}

#[derive(Clone)]
struct Bytes;

impl<K, V> Weighter<K, Weighed<V>> for Bytes {
    fn weight(&self, _: &K, weighed: &Weighed<V>) -> u64 {
        (ENTRY + weighed.bytes) as u64
    }
}

impl<K: Hash + Eq + Clone, V: Clone> ByteCache<K, V> {
    /// A cache of at most `bytes` bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let mut options = OptionsBuilder::new();
        // Shards divide the capacity. With a single shard, one value may be as large as the whole cache.
        options.shards(1).weight_capacity(bytes as u64).estimated_items_capacity(bytes / (16 * ENTRY));
        // `build` fails only if a capacity is missing.
        let options = options.build().unwrap_or_else(|error| unreachable!("{error}"));
        Self(Cache::with_options(options, Bytes, DefaultHashBuilder::default(), DefaultLifecycle::default()))
    }

    /// The value of a key, if the cache has one.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<V> {
        self.0.get(key).map(|weighed| weighed.value)
    }

    /// Inserts a value of this many bytes, and evicts other entries if needed.
    pub fn insert(&self, key: K, value: V, bytes: usize) {
        self.0.insert(key, Weighed { value, bytes });
    }

    /// Replaces the value and the size of a key, if the key is still in the cache.
    pub fn replace(&self, key: K, value: V, bytes: usize) {
        // The error is the entry that was evicted meanwhile.
        drop(self.0.replace(key, Weighed { value, bytes }, true));
    }

    /// The size of all entries, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        usize::try_from(self.0.weight()).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_never_take_more_bytes_than_the_limit_also_after_they_grew() {
        let cache = ByteCache::new(1 << 20);
        for key in 0..10_000 {
            cache.insert(key, key, 100);
            cache.replace(key, key, 10_000);
            assert!(cache.bytes() <= 1 << 20, "{}", cache.bytes());
        }
        assert!(cache.bytes() > 1 << 18 && cache.get(&9_999) == Some(9_999));
        cache.insert(0, 0, 2 << 20);
        assert!(cache.bytes() <= 1 << 20);
    }
}
