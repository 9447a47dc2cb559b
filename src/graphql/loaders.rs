//! Loading what many objects of one operation refer to, together.
//!
//! An operation runs depth first. When a list is made, its objects say which keys they may want;
//! the first that is really asked for loads them all. So the number of statements depends on the
//! shape of the operation, not on the length of its lists.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;

/// Loads values by their keys, once per operation.
pub struct Loader<K, V>(Mutex<State<K, V>>);

struct State<K, V> {
    wanted: HashSet<K>,
    loaded: HashMap<K, Option<V>>,
}

impl<K, V> Default for Loader<K, V> {
    fn default() -> Self {
        Self(Mutex::new(State { wanted: HashSet::new(), loaded: HashMap::new() }))
    }
}

impl<K: Copy + Eq + Hash, V: Clone> Loader<K, V> {
    /// The value of this key may be asked for.
    pub fn want(&self, key: K) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.loaded.contains_key(&key) {
            state.wanted.insert(key);
        }
    }

    /// The value of a key; loads all that are wanted if it is not there yet.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn get(&self, key: K, load: impl FnOnce(&[K]) -> Result<HashMap<K, V>>) -> Result<Option<V>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.loaded.contains_key(&key) {
            state.wanted.insert(key);
            let keys: Vec<K> = state.wanted.drain().collect();
            let mut found = load(&keys)?;
            for key in keys {
                let value = found.remove(&key);
                state.loaded.entry(key).or_insert(value);
            }
        }
        Ok(state.loaded.get(&key).cloned().flatten())
    }

    /// Forgets everything: something was written.
    pub fn clear(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.wanted.clear();
        state.loaded.clear();
    }
}
