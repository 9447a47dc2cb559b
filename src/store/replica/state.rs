//! Whether reads go to the replica, and why not. Each change is one line of the log.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::Cursor;

/// How often the replica is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a successful check counts. The check of a replica that hangs does not end.
const CHECK_LIFETIME: Duration = Duration::from_secs(3);
/// Maximum delay before reads go to the replica again. It is for a replica that fails again and again.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// A replica that served for this time before it failed is tried again after [`CHECK_INTERVAL`].
const STABLE_TIME: Duration = Duration::from_secs(60);

/// Why reads go to the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FallbackReason {
    /// The replica cannot be reached or read.
    Unusable(String),
    /// The replica does not answer.
    Unresponsive,
    /// The server is not a standby.
    NotStandby,
    /// The replica lacks events, or changes without an event. Its head, if it is known.
    Behind { events: i64, head: Option<Cursor> },
    /// The replica has events that this instance did not read from the primary in time. Its head.
    Ahead(Cursor),
    /// The log of the replica is not a part of the log of the primary.
    OtherHistory,
    /// No event was committed since this instance has connected to the primary.
    Unproven,
}

impl fmt::Display for FallbackReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(reason) => write!(f, "it cannot be used: {reason}"),
            Self::Unresponsive => f.write_str("it does not answer"),
            Self::NotStandby => f.write_str("it is not a standby: it was promoted, or the URL names a primary"),
            Self::Behind { events: 0, .. } => f.write_str("it lags behind the primary"),
            Self::Behind { events, .. } => write!(f, "it lags behind the primary by {events} events"),
            Self::Ahead(_) => f.write_str("this instance has not read the events that the replica has"),
            Self::OtherHistory => f.write_str(
                "its log is not a part of the primary's log: it follows another primary, or belongs to another \
                 installation",
            ),
            Self::Unproven => f.write_str("no event was committed since this instance has connected to the primary"),
        }
    }
}

impl FallbackReason {
    /// Whether the next attempt of the same read may succeed.
    pub fn is_brief(&self) -> bool {
        matches!(self, Self::Unusable(_) | Self::Behind { .. } | Self::Ahead(_))
    }
}

/// The state of the replica, which reads and the periodic check share.
pub struct ReplicaState(Mutex<State>);

struct State {
    route: Route,
    /// Delay before the replica is checked again after it has failed.
    backoff: Duration,
}

enum Route {
    Replica {
        since: Instant,
        checked_at: Instant,
    },
    /// `None` before the first check.
    Primary(Option<FallbackReason>),
}

impl Default for ReplicaState {
    fn default() -> Self {
        Self(Mutex::new(State { route: Route::Primary(None), backoff: CHECK_INTERVAL }))
    }
}

impl ReplicaState {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether reads go to the replica.
    pub fn is_serving(&self) -> bool {
        self.is_serving_at(Instant::now())
    }

    fn is_serving_at(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let Route::Replica { checked_at, .. } = state.route else { return false };
        if now.saturating_duration_since(checked_at) <= CHECK_LIFETIME {
            return true;
        }
        state.fall_back(FallbackReason::Unresponsive, now);
        false
    }

    /// Records a successful check: reads go to the replica.
    pub fn serve(&self) {
        self.serve_at(Instant::now());
    }

    fn serve_at(&self, now: Instant) {
        let mut state = self.lock();
        let since = if let Route::Replica { since, .. } = state.route { since } else { now };
        if matches!(state.route, Route::Primary(_)) {
            tracing::info!("reads go to the read replica");
        }
        state.route = Route::Replica { since, checked_at: now };
    }

    /// Records that the replica cannot serve: reads go to the primary until a check succeeds.
    pub fn fall_back(&self, reason: FallbackReason) {
        self.lock().fall_back(reason, Instant::now());
    }

    /// When to check the replica again.
    pub fn next_check(&self) -> Duration {
        let state = self.lock();
        match &state.route {
            Route::Replica { .. } | Route::Primary(Some(FallbackReason::Unproven)) => CHECK_INTERVAL,
            Route::Primary(_) => state.backoff,
        }
    }
}

impl State {
    fn fall_back(&mut self, reason: FallbackReason, now: Instant) {
        let is_known = match &self.route {
            Route::Primary(Some(known)) => std::mem::discriminant(known) == std::mem::discriminant(&reason),
            Route::Primary(None) | Route::Replica { .. } => false,
        };
        if !is_known && reason == FallbackReason::Unproven {
            tracing::info!(%reason, "reads go to the primary until the read replica can serve them");
        } else if !is_known {
            tracing::warn!(%reason, "reads go to the primary until the read replica can serve them");
        }
        if let Route::Replica { since, .. } = self.route {
            let is_stable = now.saturating_duration_since(since) >= STABLE_TIME;
            self.backoff = if is_stable { CHECK_INTERVAL } else { (2 * self.backoff).min(MAX_BACKOFF) };
        }
        self.route = Route::Primary(Some(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEHIND: FallbackReason = FallbackReason::Behind { events: 1, head: None };

    #[test]
    fn reads_go_to_the_primary_until_a_check_succeeds() {
        let state = ReplicaState::default();
        assert!(!state.is_serving());
        state.serve();
        assert!(state.is_serving());
        state.fall_back(BEHIND);
        assert!(!state.is_serving());
        state.serve();
        assert!(state.is_serving());
    }

    #[test]
    fn a_check_that_does_not_end_sends_reads_to_the_primary() {
        let (state, now) = (ReplicaState::default(), Instant::now());
        state.serve_at(now);
        assert!(state.is_serving_at(now + CHECK_LIFETIME));
        assert!(!state.is_serving_at(now + CHECK_LIFETIME + Duration::from_millis(1)));
        assert!(matches!(state.lock().route, Route::Primary(Some(FallbackReason::Unresponsive))));
    }

    #[test]
    fn a_replica_that_fails_again_and_again_is_tried_less_often() {
        let (state, now) = (ReplicaState::default(), Instant::now());
        let mut delays = Vec::new();
        for _ in 0..7 {
            state.serve_at(now);
            state.lock().fall_back(BEHIND, now);
            delays.push(state.next_check().as_secs());
        }
        assert_eq!(delays, [2, 4, 8, 16, 30, 30, 30]);
        state.serve_at(now);
        assert_eq!(state.next_check(), CHECK_INTERVAL, "a replica that serves is checked every second");
        state.lock().fall_back(BEHIND, now + STABLE_TIME);
        assert_eq!(state.next_check(), CHECK_INTERVAL);
    }
}
