//! Limits on sign-in attempts, by address and username. An attempt must be counted *before* the password is checked, so
//! that parallel guesses are all counted.
//!
//! These counts are in memory and belong to this instance, so a flood of attempts does not reach the database. Attempts
//! that pass are counted again in the database (`store::attempts`), exactly, and for all instances together.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use crate::capacity::{Rate, RateLimiter, RecentMap};
use crate::error::{Error, Result};
use crate::model::client_prefix;
use crate::unicode;

/// The period of the limit: so many attempts in any minute.
pub const WINDOW: Duration = Duration::from_secs(60);

/// The limit on attempts with one username from all addresses together, as a multiple of the limit for one address.
const ADDRESSES: u32 = 10;

/// How long an address stays known after a user has signed in from it.
const KNOWN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Known addresses per generation, for all users together.
const MAX_KNOWN: usize = 20_000;

/// Limits sign-in attempts for each pair of address and username, and for each username from all addresses together.
///
/// The limit of a username must not lock the user out: attempts from an address where the user signed in before do not
/// count towards it. An instance knows such addresses until it restarts.
#[derive(Debug)]
pub struct SignInLimiter {
    per_minute: u32,
    /// Usernames are kept as keyed hashes, so that every key has the same size.
    hasher: RandomState,
    by_address_and_name: RateLimiter<(IpAddr, u64)>,
    by_name: RateLimiter<u64>,
    known: Mutex<RecentMap<(IpAddr, u64), ()>>,
}

impl SignInLimiter {
    /// `per_minute` attempts for each pair of address and username; 0 means no limit.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            hasher: RandomState::new(),
            by_address_and_name: RateLimiter::new(Rate::per_minute(per_minute)),
            by_name: RateLimiter::new(Rate::per_minute(per_minute.saturating_mul(ADDRESSES))),
            known: Mutex::new(RecentMap::new(KNOWN, MAX_KNOWN)),
        }
    }

    /// Counts one attempt, whether or not it will succeed. A refused attempt is not counted.
    ///
    /// # Errors
    /// [`Error::RateLimited`] with the time until the next attempt.
    pub fn check(&self, address: IpAddr, username: &str) -> Result<()> {
        self.check_at(address, username, Instant::now())
    }

    /// Notes that the user signed in from this address.
    pub fn succeeded(&self, address: IpAddr, username: &str) {
        let key = self.key(address, username);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).touch(key, Instant::now());
    }

    fn key(&self, address: IpAddr, username: &str) -> (IpAddr, u64) {
        (client_prefix(address), self.hasher.hash_one(unicode::fold(username.trim())))
    }

    /// The maximum number of attempts in one [`WINDOW`]; `None` means no limit.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        usize::try_from(self.per_minute).ok().filter(|limit| *limit > 0)
    }

    /// The key of the attempts of one address and username in the database. It is a hash, so that the database has no
    /// list of who signed in from where.
    #[must_use]
    pub fn shared_key(address: IpAddr, username: &str) -> String {
        let key = Sha256::new().chain_update(client_prefix(address).to_string()).chain_update([0]);
        let digest = key.chain_update(unicode::fold(username.trim())).finalize();
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(digest)
    }

    fn check_at(&self, address: IpAddr, username: &str, now: Instant) -> Result<()> {
        let key = self.key(address, username);
        self.by_address_and_name.check_at(key, now).map_err(|error| self.until_window_is_empty(error))?;
        // The limit of the username counts only attempts that passed the first limit, so one address cannot use it up.
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).is_some() {
            return Ok(());
        }
        self.by_name.check_at(key.1, now)
    }

    /// The database counts attempts in a sliding window. When the bucket here has its next permit, that window may still
    /// be full. It is not when the bucket is full again.
    fn until_window_is_empty(&self, error: Error) -> Error {
        match error {
            Error::RateLimited { retry_after } => {
                let other_permits = WINDOW.saturating_sub(WINDOW / self.per_minute.max(1));
                Error::RateLimited { retry_after: retry_after + other_permits }
            }
            other => other,
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
    fn after_a_burst_the_client_must_wait_until_no_minute_sees_more_than_the_limit() {
        let (limiter, start) = (SignInLimiter::new(10), Instant::now());
        (0..10).for_each(|_| limiter.check_at(HOME, "zowi", start).unwrap());
        let error = limiter.check_at(HOME, "zowi", start).unwrap_err();
        assert_eq!(error, Error::RateLimited { retry_after: WINDOW });
        (0..10).for_each(|_| limiter.check_at(HOME, "zowi", start + WINDOW).unwrap());
        assert!(limiter.check_at(HOME, "zowi", start + WINDOW).is_err());
    }

    #[test]
    fn parallel_guesses_are_all_counted() {
        let limiter = SignInLimiter::new(10);
        let passed = thread::scope(|scope| {
            let guesses: Vec<_> = (0..100).map(|_| scope.spawn(|| limiter.check(HOME, "zowi").is_ok())).collect();
            guesses.into_iter().map(|guess| guess.join().unwrap()).filter(|ok| *ok).count()
        });
        assert_eq!(passed, 10);
    }

    #[test]
    fn another_spelling_is_the_same_name_another_name_is_not() {
        let limiter = SignInLimiter::new(1);
        limiter.check(HOME, "zowi").unwrap();
        assert!(limiter.check(HOME, " ZoWi ").is_err());
        assert!(limiter.check(HOME, "ｚｏｗｉ").is_err());
        limiter.check(HOME, "zolo").unwrap();
    }

    #[test]
    fn addresses_of_one_customer_count_together() {
        let limiter = SignInLimiter::new(1);
        limiter.check(ip("2001:db8:1:2::1"), "zowi").unwrap();
        assert!(limiter.check(ip("2001:db8:1:2:ffff::9"), "zowi").is_err());
        limiter.check(ip("2001:db8:1:3::1"), "zowi").unwrap();
        limiter.check(ip("192.0.2.1"), "zowi").unwrap();
        assert!(limiter.check(ip("::ffff:192.0.2.1"), "zowi").is_err());
        limiter.check(ip("192.0.2.2"), "zowi").unwrap();
    }

    #[test]
    fn many_addresses_together_have_a_limit_for_one_name_which_does_not_lock_its_user_out() {
        let (limiter, now) = (SignInLimiter::new(10), Instant::now());
        limiter.succeeded(HOME, "Zowi");
        let from = |last: u32| IpAddr::V4((0xc000_0200 + last).into());
        let passed = (0..200).filter(|n| limiter.check_at(from(*n), "zowi", now).is_ok()).count();
        assert_eq!(passed, 100);
        let refused = limiter.check_at(from(201), "zowi", now);
        assert_eq!(refused, Err(Error::RateLimited { retry_after: Duration::from_millis(600) }));
        limiter.check_at(HOME, "zowi", now).expect("where the user signed in before");
        limiter.check_at(from(1), "zolo", now).expect("another name");
        assert!(limiter.check_at(from(201), "zowi", now + Duration::from_secs(1)).is_ok(), "slower, not never");
    }

    #[test]
    fn one_address_cannot_use_up_what_all_have() {
        let (limiter, now) = (SignInLimiter::new(10), Instant::now());
        let passed = (0..1_000).filter(|_| limiter.check_at(HOME, "zowi", now).is_ok()).count();
        assert_eq!(passed, 10);
        limiter.check_at(ip("192.0.2.1"), "zowi", now).expect("another address");
    }

    #[test]
    fn zero_means_no_limit() {
        let limiter = SignInLimiter::new(0);
        assert!((0..1000).all(|_| limiter.check(HOME, "zowi").is_ok()));
    }
}
