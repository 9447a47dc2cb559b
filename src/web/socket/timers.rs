//! The timers of a connection. One tokio timer serves all deadlines.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::close::Close;
use crate::config::SocketSettings;
use crate::model::Timestamp;

/// The interval of the legacy protocol's keep-alive. Its clients expect one at least every 20 s or so.
const KEEP_ALIVE: Duration = Duration::from_secs(12);

/// A short delay: before another attempt, or for catching up after a pause of the process.
const SHORT_DELAY: Duration = Duration::from_millis(100);

/// A timer that fires later than this after its deadline shows that the process was suspended.
const SUSPENSION: Duration = Duration::from_millis(500);

/// All deadlines of a connection.
pub struct Timers {
    timer: Pin<Box<Sleep>>,
    armed: Instant,
    /// Whether the timer has the task's waker.
    is_set: bool,
    init_deadline: Option<Instant>,
    /// When the token expires, in wall-clock time, as the token states it.
    session_end: Option<Timestamp>,
    next_ping: Instant,
    next_keep_alive: Option<Instant>,
    last_received: Instant,
    blocked_since: Option<Instant>,
    /// Whether deadlines were extended after a suspension, and no frame was received since.
    is_extended: bool,
}

/// An expired timer.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// The connection must be closed.
    Close(Close),
    /// A ping must be sent.
    Ping,
    /// A keep-alive of the legacy protocol must be sent.
    KeepAlive,
}

impl Timers {
    /// Starts the timers of a new connection.
    pub fn start(limits: &SocketSettings, has_keep_alive: bool) -> Self {
        let now = Instant::now();
        let init_deadline = now + limits.init_timeout;
        Self {
            timer: Box::pin(tokio::time::sleep_until(init_deadline.into())),
            armed: init_deadline,
            is_set: false,
            init_deadline: Some(init_deadline),
            session_end: None,
            next_ping: now + limits.ping_interval,
            next_keep_alive: has_keep_alive.then(|| now + KEEP_ALIVE),
            last_received: now,
            blocked_since: None,
            is_extended: false,
        }
    }

    /// Records that a frame was received.
    pub fn received(&mut self) {
        self.last_received = Instant::now();
        self.is_extended = false;
    }

    /// Records that the client sent its credentials. From now on the init deadline limits the authentication.
    pub fn authenticating(&mut self, limits: &SocketSettings) {
        self.init_deadline = Some(Instant::now() + limits.init_timeout);
    }

    /// Records that the client is authenticated, until the given time.
    pub fn authenticated(&mut self, expires_at: Option<Timestamp>) {
        self.init_deadline = None;
        self.session_ends(expires_at);
    }

    /// Sets the end of the session.
    pub fn session_ends(&mut self, expires_at: Option<Timestamp>) {
        self.session_end = expires_at;
    }

    /// Records whether the client did not accept all bytes at the last write.
    pub fn blocked(&mut self, is_blocked: bool) {
        match (is_blocked, self.blocked_since) {
            (true, None) => self.blocked_since = Some(Instant::now()),
            (false, Some(_)) => self.blocked_since = None,
            _ => {}
        }
    }

    /// Whether the client did not accept all bytes at the last write.
    pub fn is_blocked(&self) -> bool {
        self.blocked_since.is_some()
    }

    /// The next expired timer, by the monotonic or the wall clock. Call it until it returns `None`.
    pub fn due(&mut self, now: Instant, wall: Timestamp, limits: &SocketSettings) -> Option<Due> {
        if self.is_set && now > self.armed + SUSPENSION && !self.is_extended {
            self.extend_deadlines(now, limits);
        }
        let past = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if self.session_end.is_some_and(|end| end <= wall) {
            return Some(Due::Close(Close::Forbidden("the session has ended: sign in again".into())));
        }
        if past(self.init_deadline) {
            return Some(Due::Close(Close::InitTimeout));
        }
        if past(self.blocked_since.map(|since| since + limits.send_timeout))
            || past(Some(self.last_received + limits.silence_limit))
        {
            return Some(Due::Close(Close::TooSlow));
        }
        if past(Some(self.next_ping)) {
            self.next_ping = now + limits.ping_interval;
            return Some(Due::Ping);
        }
        if past(self.next_keep_alive) {
            self.next_keep_alive = Some(now + KEEP_ALIVE);
            return Some(Due::KeepAlive);
        }
        None
    }

    /// Extends the deadlines once after a suspension of the process. Frames that the client sent, and bytes that it
    /// accepted meanwhile, are then processed first.
    fn extend_deadlines(&mut self, now: Instant, limits: &SocketSettings) {
        self.is_extended = true;
        let extended = now + SHORT_DELAY;
        let last = |since: Instant, limit: Duration| since.max(extended.checked_sub(limit).unwrap_or(since));
        self.init_deadline = self.init_deadline.map(|deadline| deadline.max(extended));
        self.last_received = last(self.last_received, limits.silence_limit);
        self.blocked_since = self.blocked_since.map(|since| last(since, limits.send_timeout));
    }

    /// Postpones a ping for a moment, because a subscription is being opened and its cursor is not known yet.
    pub fn ping_soon(&mut self) {
        self.next_ping = Instant::now() + SHORT_DELAY;
    }

    /// Postpones a keep-alive for a moment, for the same reason as a ping.
    pub fn keep_alive_soon(&mut self) {
        self.next_keep_alive = Some(Instant::now() + SHORT_DELAY);
    }

    /// Wakes the task at the next deadline, `other` included. Ready if a deadline has passed and [`Self::due`] must be
    /// called. Must always be polled by the same task.
    pub fn poll(
        &mut self,
        now: Instant,
        wall: Timestamp,
        context: &mut Context<'_>,
        limits: &SocketSettings,
        other: Option<Instant>,
    ) -> Poll<()> {
        let deadlines = [
            self.init_deadline,
            self.session_end.map(|end| now + end.until_next_check(wall)),
            self.next_keep_alive,
            self.blocked_since.map(|since| since + limits.send_timeout),
            other,
        ];
        let always = self.next_ping.min(self.last_received + limits.silence_limit);
        let next = deadlines.into_iter().flatten().fold(always, Instant::min);
        // A deadline that moved back does not touch the timer: when the timer fires, the new deadline is set. So most
        // polls do not access the timer.
        let is_past = self.armed <= now;
        if next < self.armed || is_past {
            self.armed = next;
            self.timer.as_mut().reset(next.into());
        } else if self.is_set {
            return Poll::Pending;
        }
        self.is_set = true;
        self.timer.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_suspension_extends_deadlines_once() {
        let limits = SocketSettings::default();
        let mut timers = Timers::start(&limits, false);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let wall = Timestamp::now();
        assert!(timers.poll(Instant::now(), wall, &mut context, &limits, None).is_pending());
        let late = Instant::now() + limits.init_timeout + 2 * SUSPENSION;
        assert_eq!(timers.due(late, wall, &limits), None);
        assert!(timers.poll(late, wall, &mut context, &limits, None).is_pending());
        let later = late + SHORT_DELAY + 2 * SUSPENSION;
        assert_eq!(timers.due(later, wall, &limits), Some(Due::Close(Close::InitTimeout)));
    }

    #[tokio::test]
    async fn a_session_ends_by_the_wall_clock_even_if_timers_did_not_advance() {
        let limits = SocketSettings { ping_interval: Duration::from_secs(3600), ..SocketSettings::default() };
        let mut timers = Timers::start(&limits, false);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let (now, wall) = (Instant::now(), Timestamp::now());
        let hours = Duration::from_secs(12 * 3600);
        timers.authenticated(Some(wall.after(hours)));
        timers.received();
        assert_eq!(timers.due(now, wall, &limits), None);
        assert!(timers.poll(now, wall, &mut context, &limits, None).is_pending());
        assert!(timers.armed <= now + Duration::from_secs(5), "the wall clock must be checked at least every 5 s");
        // A suspended machine: the monotonic clock did not advance.
        let due = timers.due(now, wall.after(hours), &limits);
        assert!(matches!(due, Some(Due::Close(Close::Forbidden(_)))), "{due:?}");
        // The wall clock was set back meanwhile. The token is valid again, as it would be for a request.
    }
}
