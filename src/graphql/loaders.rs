//! Batch loading of the objects that one operation refers to, to avoid one statement per list item.
//!
//! juniper executes an operation depth first. When a list is loaded, each item registers the keys that its fields may
//! need. The first field that needs one of these keys loads the values of all of them. So the number of statements
//! depends on the shape of the operation and not on the length of its lists.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;

/// Loads values by their keys, and caches them for one operation. A missing value is cached, too.
pub struct Loader<K, V>(Mutex<LoaderState<K, V>>);

struct LoaderState<K, V> {
    /// Registered keys, some of them more than once. Most are never loaded, so registering must cost little.
    pending: Vec<K>,
    loaded: HashMap<K, Option<V>>,
}

impl<K, V> Default for Loader<K, V> {
    fn default() -> Self {
        Self(Mutex::new(LoaderState { pending: Vec::new(), loaded: HashMap::new() }))
    }
}

impl<K: Copy + Ord + Hash, V: Clone> Loader<K, V> {
    /// Registers a key whose value may be needed. The next call of [`Self::get`] that loads values loads it, too.
    pub fn prefetch(&self, key: K) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.pending.last() != Some(&key) {
            state.pending.push(key);
        }
    }

    /// The value of a key; `None` if there is no value. If it is not loaded, loads the values of all registered keys.
    ///
    /// # Errors
    /// Returns errors of `load`.
    pub fn get(&self, key: K, load: impl FnOnce(&[K]) -> Result<HashMap<K, V>>) -> Result<Option<V>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.loaded.contains_key(&key) {
            let mut keys = std::mem::take(&mut state.pending);
            keys.push(key);
            keys.sort_unstable();
            keys.dedup();
            keys.retain(|key| !state.loaded.contains_key(key));
            let mut found = load(&keys)?;
            for key in keys {
                let value = found.remove(&key);
                state.loaded.entry(key).or_insert(value);
            }
        }
        Ok(state.loaded.get(&key).cloned().flatten())
    }

    /// Removes all values and registered keys, because a write may have changed the data.
    pub fn clear(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending.clear();
        state.loaded.clear();
    }
}
