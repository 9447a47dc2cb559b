//! Rate limits by the generic cell rate algorithm (GCRA): a bucket of permits that refills at a constant rate. Only one
//! moment is stored for each bucket: when the bucket will be full again. Each permit that is taken moves this moment by
//! one interval.
//!
//! The crate `governor` has this algorithm, but the number of keys of its keyed limiters is not bounded.

use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::recent_map::RecentMap;
use crate::error::{Error, Result};

/// Keys per generation of a limiter, so that its two generations use about 15 MB at most. With more active keys, old
/// buckets are dropped, which means that they are full again.
const MAX_KEYS: usize = 100_000;

/// How long a bucket is kept at least. Longer than buckets with a rate of their own need to become full.
const MIN_KEEP: Duration = Duration::from_secs(5);

/// How fast a bucket refills, and how many permits it holds.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Time in which the bucket gains one permit; zero: no limit.
    interval: Duration,
    /// Time in which an empty bucket becomes full.
    refill: Duration,
}

impl Rate {
    /// `rate` permits per second, and at most `burst` permits at once. A rate of 0 means no limit.
    #[must_use]
    pub fn per_second(rate: u32, burst: u32) -> Self {
        Self::new(rate, Duration::from_secs(1), burst)
    }

    /// `rate` permits per minute, which may all be taken at once. 0 means no limit.
    #[must_use]
    pub fn per_minute(rate: u32) -> Self {
        Self::new(rate, Duration::from_secs(60), rate)
    }

    fn new(rate: u32, period: Duration, burst: u32) -> Self {
        let interval = period.checked_div(rate).unwrap_or_default();
        Self { interval, refill: interval.saturating_mul(burst.max(1)) }
    }

    /// When the bucket will be full again if one more permit is taken now.
    fn take(self, full_at: Option<Instant>, now: Instant) -> Instant {
        full_at.unwrap_or(now).max(now) + self.interval
    }

    /// How long a bucket that will be full at `full_at` is overdrawn; zero if it is not overdrawn.
    fn overdrawn(self, full_at: Instant, now: Instant) -> Duration {
        full_at.saturating_duration_since(now).saturating_sub(self.refill)
    }
}

/// A rate limit with one bucket for each key, in bounded memory: at most 200,000 keys, whichever keys clients send.
#[derive(Debug)]
pub struct RateLimiter<K> {
    rate: Rate,
    full_at: Mutex<RecentMap<K, Option<Instant>>>,
}

impl<K: Eq + Hash> RateLimiter<K> {
    /// A limiter whose buckets are full.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        // A bucket that was not used for the whole refill time is full, so its entry is not needed any more.
        let keep = rate.refill.max(MIN_KEEP);
        Self { rate, full_at: Mutex::new(RecentMap::new(keep, MAX_KEYS)) }
    }

    /// Takes one permit of this key.
    ///
    /// # Errors
    /// [`Error::RateLimited`] with the time until the next permit. No permit is taken then.
    pub fn check(&self, key: K) -> Result<()> {
        self.check_at(key, Instant::now())
    }

    /// [`Self::check`] at a given time.
    ///
    /// # Errors
    /// [`Error::RateLimited`] with the time until the next permit. No permit is taken then.
    pub fn check_at(&self, key: K, now: Instant) -> Result<()> {
        self.check_with(key, self.rate, now)
    }

    /// [`Self::check_at`] for a key with a rate of its own, whose bucket becomes full within 5 s.
    ///
    /// # Errors
    /// [`Error::RateLimited`] with the time until the next permit. No permit is taken then.
    pub fn check_with(&self, key: K, rate: Rate, now: Instant) -> Result<()> {
        if rate.interval.is_zero() {
            return Ok(());
        }
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.touch(key, now);
        let next = rate.take(*full_at, now);
        let retry_after = rate.overdrawn(next, now);
        if !retry_after.is_zero() {
            return Err(Error::RateLimited { retry_after });
        }
        *full_at = Some(next);
        Ok(())
    }
}

/// A rate limit for events that have already happened: none is refused, but the source must pause once the bucket is
/// overdrawn.
#[derive(Debug)]
pub struct Throttle {
    rate: Rate,
    full_at: Option<Instant>,
}

impl Throttle {
    /// A throttle whose bucket is full.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, full_at: None }
    }

    /// Counts one event.
    pub fn record(&mut self) {
        self.record_at(Instant::now());
    }

    fn record_at(&mut self, now: Instant) {
        self.full_at = Some(self.rate.take(self.full_at, now));
    }

    /// The time before which the source must not continue; `None`: it may continue.
    #[must_use]
    pub fn blocked_until(&self) -> Option<Instant> {
        self.blocked_until_at(Instant::now())
    }

    fn blocked_until_at(&self, now: Instant) -> Option<Instant> {
        let pause = self.rate.overdrawn(self.full_at?, now);
        (!pause.is_zero()).then(|| now + pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZOWI: u32 = 1;
    const ZOLO: u32 = 2;

    fn passed(limiter: &RateLimiter<u32>, user: u32, tries: u32, now: Instant) -> usize {
        (0..tries).filter(|_| limiter.check_at(user, now).is_ok()).count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_applies() {
        let (limiter, start) = (RateLimiter::new(Rate::per_second(50, 200)), Instant::now());
        assert_eq!(passed(&limiter, ZOWI, 300, start), 200);
        let error = limiter.check_at(ZOWI, start).unwrap_err();
        assert_eq!(error, Error::RateLimited { retry_after: Duration::from_millis(20) });
        assert_eq!(passed(&limiter, ZOWI, 300, start + Duration::from_secs(1)), 50);
        assert_eq!(passed(&limiter, ZOWI, 300, start + Duration::from_secs(100)), 200, "never more than a burst");
    }

    #[test]
    fn each_key_has_its_own_bucket() {
        let (limiter, now) = (RateLimiter::new(Rate::per_minute(20)), Instant::now());
        assert_eq!(passed(&limiter, ZOWI, 100, now), 20);
        assert_eq!(passed(&limiter, ZOLO, 100, now), 20);
        assert_eq!(passed(&limiter, ZOWI, 100, now + Duration::from_secs(3)), 1);
    }

    #[test]
    fn a_rate_of_zero_means_no_limit() {
        let (limiter, now) = (RateLimiter::new(Rate::per_second(0, 200)), Instant::now());
        assert_eq!(passed(&limiter, ZOWI, 10_000, now), 10_000);
        let mut throttle = Throttle::new(Rate::per_second(0, 0));
        (0..10_000).for_each(|_| throttle.record_at(now));
        assert_eq!(throttle.blocked_until_at(now), None);
    }

    #[test]
    fn many_keys_use_bounded_memory() {
        let (limiter, now) = (RateLimiter::new(Rate::per_minute(1)), Instant::now());
        (0..500_000_u32).for_each(|key| limiter.check_at(key, now).unwrap());
        assert!(limiter.full_at.lock().unwrap().len() <= 2 * MAX_KEYS);
    }

    #[test]
    fn a_throttle_pauses_after_a_burst_until_the_rate_is_kept() {
        let (mut throttle, start) = (Throttle::new(Rate::per_second(100, 200)), Instant::now());
        for _ in 0..200 {
            throttle.record_at(start);
            assert_eq!(throttle.blocked_until_at(start), None);
        }
        throttle.record_at(start);
        let until = throttle.blocked_until_at(start).expect("a pause");
        assert_eq!(until, start + Duration::from_millis(10));
        assert_eq!(throttle.blocked_until_at(until), None);
        throttle.record_at(start + Duration::from_secs(10));
        assert_eq!(throttle.blocked_until_at(start + Duration::from_secs(10)), None, "the bucket was full again");
    }
}
