//! How fast a client may speak. Whoever is faster is not read for a while: nothing is lost, nothing
//! piles up here, and before long the client's own TCP makes it wait.

use std::time::{Duration, Instant};

/// So many seconds' worth of frames may come at once.
const BURST: u32 = 2;

/// The pace of one connection.
pub struct Pace {
    /// What one frame costs in time; zero means no limit.
    price: Duration,
    /// When as much may come at once again as at first.
    rested_at: Instant,
    tired_until: Option<Instant>,
}

impl Pace {
    /// So many frames per second; 0 means no limit.
    pub fn new(per_second: u32) -> Self {
        let price = Duration::from_secs(1).checked_div(per_second).unwrap_or_default();
        Self { price, rested_at: Instant::now(), tired_until: None }
    }

    /// A frame has come.
    pub fn heard(&mut self) {
        self.heard_at(Instant::now());
    }

    fn heard_at(&mut self, now: Instant) {
        if self.price.is_zero() {
            return;
        }
        self.rested_at = self.rested_at.max(now) + self.price;
        let saved = Duration::from_secs(BURST.into());
        self.tired_until = self.rested_at.checked_sub(saved).filter(|until| *until > now);
    }

    /// Until when nothing more is to be read.
    pub fn tired_until(&mut self) -> Option<Instant> {
        self.tired_until = self.tired_until.filter(|until| *until > Instant::now());
        self.tired_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_heard_at_once_and_what_comes_after_it_at_its_pace() {
        let (mut pace, start) = (Pace::new(100), Instant::now());
        for _ in 0..200 {
            pace.heard_at(start);
            assert_eq!(pace.tired_until, None);
        }
        pace.heard_at(start);
        let until = pace.tired_until.expect("a pause");
        assert!(until > start && until <= start + Duration::from_millis(20), "{:?}", until - start);
        pace.heard_at(start + Duration::from_secs(10));
        assert_eq!(pace.tired_until, None, "it has rested");
    }

    #[test]
    fn zero_means_no_limit() {
        let mut pace = Pace::new(0);
        (0..10_000).for_each(|_| pace.heard());
        assert_eq!(pace.tired_until(), None);
    }
}
