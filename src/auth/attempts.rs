//! How often somebody may try to sign in. Owns the count of attempts per address and username;
//! must be asked *before* the password is looked at, so that parallel guesses are all counted.
//!
//! This count is of one instance and in memory, so that a flood never reaches the database. What
//! passes is counted once more there, by all instances together (`store::attempts`).

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::budget::Budget;
use super::recent::Recent;
use crate::error::{Error, Result};
use crate::model::household;
use crate::unicode;

/// The span in which attempts are counted.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Keys per generation: some 10 MB at worst with ten attempts each. To be forgotten early, a guesser
/// must first send this many sign-ins of other names, which no password check can keep up with.
const CAPACITY: usize = 20_000;

/// How many addresses together may try one username, in attempts of one address.
const ADDRESSES: u32 = 10;

/// For how long an address is known to be one of a user's after they signed in there.
const KNOWN: Duration = Duration::from_secs(30 * 24 * 3600);

/// Counts sign-in attempts: so many per minute for each address and username together, in a
/// sliding window, so that no minute sees more than that.
///
/// Guesses at one username from many addresses are slowed down, too: all addresses together have ten times as many. That
/// must not keep the user out, so an address where the user has signed in before does not count. (An address is known to
/// the instance where that was, until it restarts.)
#[derive(Debug)]
pub struct Attempts {
    per_minute: usize,
    /// Usernames are kept as keyed hashes: whatever their length, a key has one size.
    hasher: RandomState,
    recent: Mutex<Recent<(IpAddr, u64), VecDeque<Instant>>>,
    of_name: Budget<u64>,
    known: Mutex<Recent<(IpAddr, u64), ()>>,
}

impl Attempts {
    /// So many attempts per minute; 0 means no limit.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self {
            per_minute: usize::try_from(per_minute).unwrap_or(usize::MAX),
            hasher: RandomState::new(),
            recent: Mutex::new(Recent::new(WINDOW, CAPACITY)),
            of_name: Budget::per_minute(per_minute.saturating_mul(ADDRESSES)),
            known: Mutex::new(Recent::new(KNOWN, CAPACITY)),
        }
    }

    /// Counts one attempt, whatever comes of it. A refused one is not counted: who waits as told
    /// may try again.
    ///
    /// # Errors
    /// [`Error::RateLimited`] with the time until the next attempt.
    pub fn check(&self, address: IpAddr, username: &str) -> Result<()> {
        self.check_at(address, username, Instant::now())
    }

    /// The user signed in from this address.
    pub fn succeeded(&self, address: IpAddr, username: &str) {
        let key = self.key(address, username);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).touch(key, Instant::now());
    }

    fn key(&self, address: IpAddr, username: &str) -> (IpAddr, u64) {
        (household(address), self.hasher.hash_one(unicode::fold(username.trim())))
    }

    /// How many attempts one window may see; `None` means no limit.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        (self.per_minute > 0).then_some(self.per_minute)
    }

    /// Under what the attempts of one address and username are counted in the database: a hash, so
    /// that no list of who signed in from where comes about.
    #[must_use]
    pub fn shared_key(address: IpAddr, username: &str) -> String {
        let key = Sha256::new().chain_update(household(address).to_string()).chain_update([0]);
        let digest = key.chain_update(unicode::fold(username.trim())).finalize();
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(digest)
    }

    fn check_at(&self, address: IpAddr, username: &str, now: Instant) -> Result<()> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let key = self.key(address, username);
        self.check_address(key, now)?;
        // Only what has passed there: one address alone cannot use up what all have together.
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).is_some() {
            return Ok(());
        }
        self.of_name.check_at(key.1, now)
    }

    fn check_address(&self, key: (IpAddr, u64), now: Instant) -> Result<()> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let attempts = recent.touch(key, now);
        while attempts.front().is_some_and(|first| now.saturating_duration_since(*first) >= WINDOW) {
            attempts.pop_front();
        }
        match attempts.front() {
            Some(first) if attempts.len() >= self.per_minute => {
                Err(Error::RateLimited { retry_after: (*first + WINDOW).saturating_duration_since(now) })
            }
            _ => {
                attempts.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn no_minute_sees_more_than_the_limit() {
        let (attempts, start) = (Attempts::new(10), Instant::now());
        let second = Duration::from_secs(1);
        for n in 0..10 {
            attempts.check_at(HOME, "zowi", start + n * second).unwrap();
        }
        let error = attempts.check_at(HOME, "zowi", start + 10 * second).unwrap_err();
        assert_eq!(error, Error::RateLimited { retry_after: 50 * second });
        assert!(attempts.check_at(HOME, "zowi", start + 59 * second).is_err());
        attempts.check_at(HOME, "zowi", start + 60 * second).unwrap();
        assert!(attempts.check_at(HOME, "zowi", start + 60 * second).is_err());
        attempts.check_at(HOME, "zowi", start + 61 * second).unwrap();
    }

    #[test]
    fn parallel_guesses_are_all_counted() {
        let attempts = Attempts::new(10);
        let passed = thread::scope(|scope| {
            let guesses: Vec<_> = (0..100).map(|_| scope.spawn(|| attempts.check(HOME, "zowi").is_ok())).collect();
            guesses.into_iter().map(|guess| guess.join().unwrap()).filter(|ok| *ok).count()
        });
        assert_eq!(passed, 10);
    }

    #[test]
    fn another_spelling_is_the_same_name_another_name_is_not() {
        let attempts = Attempts::new(1);
        attempts.check(HOME, "zowi").unwrap();
        assert!(attempts.check(HOME, " ZoWi ").is_err());
        assert!(attempts.check(HOME, "ｚｏｗｉ").is_err());
        attempts.check(HOME, "zolo").unwrap();
    }

    #[test]
    fn addresses_of_one_customer_count_together() {
        let attempts = Attempts::new(1);
        attempts.check(ip("2001:db8:1:2::1"), "zowi").unwrap();
        assert!(attempts.check(ip("2001:db8:1:2:ffff::9"), "zowi").is_err());
        attempts.check(ip("2001:db8:1:3::1"), "zowi").unwrap();
        attempts.check(ip("192.0.2.1"), "zowi").unwrap();
        assert!(attempts.check(ip("::ffff:192.0.2.1"), "zowi").is_err());
        attempts.check(ip("192.0.2.2"), "zowi").unwrap();
    }

    #[test]
    fn many_addresses_together_have_a_limit_for_one_name_which_does_not_lock_its_user_out() {
        let (attempts, now) = (Attempts::new(10), Instant::now());
        attempts.succeeded(HOME, "Zowi");
        let from = |last: u32| IpAddr::V4((0xc000_0200 + last).into());
        let passed = (0..200).filter(|n| attempts.check_at(from(*n), "zowi", now).is_ok()).count();
        assert_eq!(passed, 100);
        let refused = attempts.check_at(from(201), "zowi", now);
        assert_eq!(refused, Err(Error::RateLimited { retry_after: Duration::from_millis(600) }));
        attempts.check_at(HOME, "zowi", now).expect("where the user signed in before");
        attempts.check_at(from(1), "zolo", now).expect("another name");
        assert!(attempts.check_at(from(201), "zowi", now + Duration::from_secs(1)).is_ok(), "slower, not never");
    }

    #[test]
    fn one_address_cannot_use_up_what_all_have() {
        let (attempts, now) = (Attempts::new(10), Instant::now());
        let passed = (0..1_000).filter(|_| attempts.check_at(HOME, "zowi", now).is_ok()).count();
        assert_eq!(passed, 10);
        attempts.check_at(ip("192.0.2.1"), "zowi", now).expect("another address");
    }

    #[test]
    fn a_million_names_cost_bounded_memory() {
        let (attempts, now) = (Attempts::new(10), Instant::now());
        for n in 0..100_000 {
            attempts.check_at(HOME, &n.to_string(), now).unwrap();
        }
        assert!(attempts.recent.lock().unwrap().len() <= 2 * CAPACITY);
    }

    #[test]
    fn zero_means_no_limit() {
        let attempts = Attempts::new(0);
        assert!((0..1000).all(|_| attempts.check(HOME, "zowi").is_ok()));
    }
}
