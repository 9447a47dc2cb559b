//! How many connections there are of one address or user.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

type There<K> = Arc<Mutex<HashMap<K, usize>>>;

/// Quota what is there, up to a limit for each.
pub struct Quota<K> {
    /// 0: no limit.
    most: usize,
    there: There<K>,
}

/// One that is there as long as this is held.
#[derive(Debug)]
pub struct Share<K: Eq + Hash> {
    /// `None` if it does not count.
    of: Option<(K, There<K>)>,
}

impl<K: Eq + Hash + Copy> Quota<K> {
    /// At most so many for each; 0 means no limit.
    pub fn new(most: usize) -> Self {
        Self { most, there: Arc::default() }
    }

    /// One more; `None` if that is one too many.
    pub fn one_more(&self, whose: K) -> Option<Share<K>> {
        if self.most == 0 {
            return Some(Share::nothing());
        }
        let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        let count = there.entry(whose).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share { of: Some((whose, Arc::clone(&self.there))) })
    }
}

impl<K: Eq + Hash> Share<K> {
    /// One that does not count.
    pub fn nothing() -> Self {
        Self { of: None }
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let Some((whose, there)) = self.of.take() else { return };
        let mut there = there.lock().unwrap_or_else(PoisonError::into_inner);
        let left = there.get_mut(&whose).map_or(0, |count| {
            *count -= 1;
            *count
        });
        // Nobody is remembered who is not there: strangers choose their addresses.
        if left == 0 {
            there.remove(&whose);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_limit_of_its_own_and_who_is_gone_is_forgotten() {
        let quota = Quota::new(2);
        let here = [quota.one_more('a'), quota.one_more('a'), quota.one_more('b')];
        assert!(here.iter().all(Option::is_some));
        assert!(quota.one_more('a').is_none());
        assert!(quota.one_more('b').is_some());
        drop(here);
        assert!(quota.there.lock().unwrap().is_empty());
        assert!(quota.one_more('a').is_some());
    }

    #[test]
    fn zero_means_no_limit() {
        let quota = Quota::new(0);
        let all: Vec<_> = (0..1_000).map(|_| quota.one_more('a')).collect();
        assert!(all.iter().all(Option::is_some));
    }
}
