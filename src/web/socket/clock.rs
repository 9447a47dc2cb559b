//! The clock of a connection: one timer for all that is due at some time.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::close::Close;
use crate::config::Sockets;
use crate::model::Timestamp;

/// The legacy protocol's keep-alive: its clients expect one at least every 20 s or so.
const KEEP_ALIVE: Duration = Duration::from_secs(12);

const SOON: Duration = Duration::from_millis(100);

/// A timer does not fire so late, unless this process stood still.
const LATE: Duration = Duration::from_millis(500);

/// When what is due.
pub struct Clock {
    timer: Pin<Box<Sleep>>,
    armed: Instant,
    /// The timer knows whom to wake.
    is_set: bool,
    init_deadline: Option<Instant>,
    /// By the wall clock, as the token says it.
    session_end: Option<Timestamp>,
    next_ping: Instant,
    next_keep_alive: Option<Instant>,
    heard: Instant,
    blocked_since: Option<Instant>,
    /// This process stood still since something was heard.
    is_pardoned: bool,
}

/// What is due now.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// The socket is to be closed.
    Close(Close),
    /// A ping.
    Ping,
    /// A legacy keep-alive.
    KeepAlive,
}

impl Clock {
    /// For a connection that begins now.
    pub fn start(limits: &Sockets, keeps_alive: bool) -> Self {
        let now = Instant::now();
        let init_deadline = now + limits.init_timeout;
        Self {
            timer: Box::pin(tokio::time::sleep_until(init_deadline.into())),
            armed: init_deadline,
            is_set: false,
            init_deadline: Some(init_deadline),
            session_end: None,
            next_ping: now + limits.ping_interval,
            next_keep_alive: keeps_alive.then(|| now + KEEP_ALIVE),
            heard: now,
            blocked_since: None,
            is_pardoned: false,
        }
    }

    /// Something was heard of the client.
    pub fn heard(&mut self) {
        self.heard = Instant::now();
        self.is_pardoned = false;
    }

    /// The client has said who it is: from now on it waits for us.
    pub fn asked_in(&mut self, limits: &Sockets) {
        self.init_deadline = Some(Instant::now() + limits.init_timeout);
    }

    /// The client has come in; its session ends then.
    pub fn entered(&mut self, until: Option<Timestamp>) {
        self.init_deadline = None;
        self.session_ends(until);
    }

    /// The session ends then.
    pub fn session_ends(&mut self, until: Option<Timestamp>) {
        self.session_end = until;
    }

    /// Whether the client takes what is sent.
    pub fn blocked(&mut self, is_blocked: bool) {
        match (is_blocked, self.blocked_since) {
            (true, None) => self.blocked_since = Some(Instant::now()),
            (false, Some(_)) => self.blocked_since = None,
            _ => {}
        }
    }

    /// Whether the client took nothing when it was last tried.
    pub fn is_blocked(&self) -> bool {
        self.blocked_since.is_some()
    }

    /// What is due now, by both clocks, if anything; call until there is nothing more.
    pub fn due(&mut self, now: Instant, wall: Timestamp, limits: &Sockets) -> Option<Due> {
        if self.is_set && now > self.armed + LATE && !self.is_pardoned {
            self.stood_still(now, limits);
        }
        let past = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if self.session_end.is_some_and(|end| end <= wall) {
            return Some(Due::Close(Close::Forbidden("the session has ended: sign in again".into())));
        }
        if past(self.init_deadline) {
            return Some(Due::Close(Close::InitTimeout));
        }
        if past(self.blocked_since.map(|since| since + limits.send_timeout))
            || past(Some(self.heard + limits.silence_limit))
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

    /// What the client said and took meanwhile is still to be seen: there is a moment left for that, once.
    fn stood_still(&mut self, now: Instant, limits: &Sockets) {
        self.is_pardoned = true;
        let soon = now + SOON;
        let last = |since: Instant, limit: Duration| since.max(soon.checked_sub(limit).unwrap_or(since));
        self.init_deadline = self.init_deadline.map(|deadline| deadline.max(soon));
        self.heard = last(self.heard, limits.silence_limit);
        self.blocked_since = self.blocked_since.map(|since| last(since, limits.send_timeout));
    }

    /// A ping must wait a little: a subscription is being opened, and where it stands is not known.
    pub fn ping_soon(&mut self) {
        self.next_ping = Instant::now() + SOON;
    }

    /// The same for a keep-alive.
    pub fn keep_alive_soon(&mut self) {
        self.next_keep_alive = Some(Instant::now() + SOON);
    }

    /// Wakes the task, always the same one, when the next thing is due, `other` included. Ready: look again.
    pub fn poll(
        &mut self,
        now: Instant,
        wall: Timestamp,
        context: &mut Context<'_>,
        limits: &Sockets,
        other: Option<Instant>,
    ) -> Poll<()> {
        let deadlines = [
            self.init_deadline,
            self.session_end.map(|end| now + end.next_look(wall)),
            self.next_keep_alive,
            self.blocked_since.map(|since| since + limits.send_timeout),
            other,
        ];
        let always = self.next_ping.min(self.heard + limits.silence_limit);
        let next = deadlines.into_iter().flatten().fold(always, Instant::min);
        // What moved to later is noticed when the timer fires; so most polls do not even look at the timer.
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
    async fn there_is_a_moment_left_when_the_process_stood_still_and_no_second_one() {
        let limits = Sockets::default();
        let mut clock = Clock::start(&limits, false);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let wall = Timestamp::now();
        assert!(clock.poll(Instant::now(), wall, &mut context, &limits, None).is_pending());
        let late = Instant::now() + limits.init_timeout + 2 * LATE;
        assert_eq!(clock.due(late, wall, &limits), None);
        assert!(clock.poll(late, wall, &mut context, &limits, None).is_pending());
        let later = late + SOON + 2 * LATE;
        assert_eq!(clock.due(later, wall, &limits), Some(Due::Close(Close::InitTimeout)));
    }

    #[tokio::test]
    async fn a_session_ends_by_the_wall_clock_and_is_looked_at_before_its_timer() {
        let limits = Sockets { ping_interval: Duration::from_secs(3600), ..Sockets::default() };
        let mut clock = Clock::start(&limits, false);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let (now, wall) = (Instant::now(), Timestamp::now());
        let hours = Duration::from_secs(12 * 3600);
        clock.entered(Some(wall.after(hours)));
        clock.heard();
        assert_eq!(clock.due(now, wall, &limits), None);
        assert!(clock.poll(now, wall, &mut context, &limits, None).is_pending());
        assert!(clock.armed <= now + Duration::from_secs(5), "the wall clock is not looked at in between");
        // The machine slept: the timers did not move.
        let due = clock.due(now, wall.after(hours), &limits);
        assert!(matches!(due, Some(Due::Close(Close::Forbidden(_)))), "{due:?}");
        // The clock was set back meanwhile: the token holds again, as it does for a request.
        assert_eq!(clock.due(now, wall, &limits), None);
    }
}
