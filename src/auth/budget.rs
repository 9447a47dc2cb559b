//! How much somebody may do: so many actions per time, saved up to a burst. Owns the counts per user or
//! address on this instance; what an action is (a mutation, a new room, an account) the caller says.

use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::recent::Recent;
use crate::error::{Error, Result};

/// Users or addresses per generation; more active ones than this have their budgets refilled early.
const CAPACITY: usize = 100_000;

/// A budget of actions for each user or address.
///
/// Only one moment is kept for each: when the budget will be full again. Every action moves it by
/// `price`, and it may lie at most a whole refill ahead.
#[derive(Debug)]
pub struct Budget<K> {
    /// What one action costs in time; zero means no limit.
    price: Duration,
    /// How long an empty budget takes to fill.
    refill: Duration,
    full_at: Mutex<Recent<K, Option<Instant>>>,
}

impl<K: Eq + Hash> Budget<K> {
    /// `rate` actions per second, at most `burst` of them at once; a rate of 0 means no limit.
    #[must_use]
    pub fn per_second(rate: u32, burst: u32) -> Self {
        Self::new(rate, Duration::from_secs(1), burst)
    }

    /// `rate` actions per minute, all of them at once if need be; 0 means no limit.
    #[must_use]
    pub fn per_minute(rate: u32) -> Self {
        Self::new(rate, Duration::from_secs(60), rate)
    }

    fn new(rate: u32, period: Duration, burst: u32) -> Self {
        let price = period.checked_div(rate).unwrap_or_default();
        let refill = price.saturating_mul(burst.max(1));
        let full_at = Mutex::new(Recent::new(refill.max(Duration::from_secs(1)), CAPACITY));
        Self { price, refill, full_at }
    }

    /// Takes one action from the budget of whoever it is.
    ///
    /// # Errors
    /// [`Error::RateLimited`] with the time until there is one; nothing is taken then.
    pub fn check(&self, whose: K) -> Result<()> {
        self.check_at(whose, Instant::now())
    }

    pub(super) fn check_at(&self, whose: K, now: Instant) -> Result<()> {
        if self.price.is_zero() {
            return Ok(());
        }
        let mut budgets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = budgets.touch(whose, now);
        let spent = full_at.unwrap_or(now).max(now) + self.price;
        let wait = spent.saturating_duration_since(now).saturating_sub(self.refill);
        if !wait.is_zero() {
            return Err(Error::RateLimited { retry_after: wait });
        }
        *full_at = Some(spent);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;

    const ZOWI: UserId = UserId(1);
    const ZOLO: UserId = UserId(2);

    fn passed(budget: &Budget<UserId>, user: UserId, tries: u32, now: Instant) -> usize {
        (0..tries).filter(|_| budget.check_at(user, now).is_ok()).count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let (budget, start) = (Budget::per_second(50, 200), Instant::now());
        assert_eq!(passed(&budget, ZOWI, 300, start), 200);
        let error = budget.check_at(ZOWI, start).unwrap_err();
        assert_eq!(error, Error::RateLimited { retry_after: Duration::from_millis(20) });
        assert_eq!(passed(&budget, ZOWI, 300, start + Duration::from_secs(1)), 50);
        assert_eq!(passed(&budget, ZOWI, 300, start + Duration::from_secs(100)), 200, "never more than a burst");
    }

    #[test]
    fn each_user_has_their_own() {
        let (budget, now) = (Budget::per_minute(20), Instant::now());
        assert_eq!(passed(&budget, ZOWI, 100, now), 20);
        assert_eq!(passed(&budget, ZOLO, 100, now), 20);
        assert_eq!(passed(&budget, ZOWI, 100, now + Duration::from_secs(3)), 1);
    }

    #[test]
    fn zero_means_no_limit() {
        let (budget, now) = (Budget::per_second(0, 200), Instant::now());
        assert_eq!(passed(&budget, ZOWI, 10_000, now), 10_000);
    }
}
