//! Checks that every message reaches every subscriber, once, in one order.
//!
//! It records the deliveries of each subscriber. The first delivery at a position is parsed completely. The others must
//! have the same bytes, or the same content when parsed. So the check is complete, and still cheaper than the `recv`
//! call.

use std::{cell::RefCell, time::Instant};

use tokio::sync::Notify;

use crate::{
    Outcome,
    documents::{FIELDS, number_in},
};

/// Shared by all subscribers and publishers of one server; everything runs on one thread.
#[derive(Default)]
pub struct Ledger {
    state: RefCell<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// The number of the message that shows whether all subscriptions are live; older ones are ignored.
    warming: Option<u64>,
    /// Message n is published on connection `n % publishers`, after `n - publishers` was answered.
    publishers: u64,
    /// The next expected number of each publisher.
    next: Vec<u64>,
    events: Vec<Event>,
    /// How many events each subscriber has received.
    positions: Vec<usize>,
    /// How many events all subscribers have received.
    complete: usize,
    failure: Option<String>,
}

struct Event {
    number: u64,
    /// The first received frame; emptied when all subscribers have it.
    payload: Vec<u8>,
    reached: usize,
    completed: Instant,
}

impl Ledger {
    /// Starts over for `subscribers`, with messages numbered from 0 and published on `publishers` connections.
    pub fn expect(&self, subscribers: usize, publishers: u64) {
        *self.state.borrow_mut() =
            State { publishers, next: (0..publishers).collect(), positions: vec![0; subscribers], ..State::default() };
    }

    /// Starts over for a message that subscribers may miss because their subscription is not live yet.
    pub fn expect_warming(&self, subscribers: usize, number: u64) {
        self.expect(subscribers, 1);
        let mut state = self.state.borrow_mut();
        state.warming = Some(number);
        state.next = vec![number];
    }

    /// Records that `subscriber` received `payload`.
    ///
    /// # Errors
    /// If the frame is malformed, or a message is lost, repeated or out of order.
    pub fn received(&self, subscriber: usize, payload: &[u8]) -> Outcome<()> {
        let mut state = self.state.borrow_mut();
        state.receive(subscriber, payload)?;
        let count = state.positions.len();
        let before = state.complete;
        while state.events.get(state.complete).is_some_and(|event| event.reached == count) {
            let complete = state.complete;
            let event = &mut state.events[complete];
            event.completed = Instant::now();
            event.payload = Vec::new();
            state.complete += 1;
        }
        if state.complete > before {
            self.changed.notify_waiters();
        }
        Ok(())
    }

    /// Ends the run: every waiting caller gets `why` as its error.
    pub fn fail(&self, why: String) {
        self.state.borrow_mut().failure.get_or_insert(why);
        self.changed.notify_waiters();
    }

    /// Waits until all subscribers have the first `count` messages.
    pub async fn all_have(&self, count: u64) -> Outcome<()> {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state.borrow();
                if let Some(why) = &state.failure {
                    return Err(why.clone());
                }
                if state.complete as u64 >= count {
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    /// When the last subscriber received message `number`, which must be complete.
    pub fn completed(&self, number: u64) -> Instant {
        let state = self.state.borrow();
        state
            .events
            .iter()
            .rev()
            .find(|event| event.number == number)
            .map_or_else(Instant::now, |event| event.completed)
    }

    /// A summary of the missing deliveries, for the error of a timeout.
    pub fn missing(&self) -> String {
        let state = self.state.borrow();
        let known = state.events.len();
        let behind = state.positions.iter().filter(|position| **position < known).count();
        format!(
            "{} messages at all {} subscribers, {known} seen by some, {behind} subscribers behind",
            state.complete,
            state.positions.len()
        )
    }
}

impl State {
    fn receive(&mut self, subscriber: usize, payload: &[u8]) -> Outcome<()> {
        if let Some(awaited) = self.warming
            && number_of(payload)? < awaited
        {
            return Ok(());
        }
        let position = *self.positions.get(subscriber).ok_or("a delivery before anything was published")?;
        match self.events.get_mut(position) {
            Some(event) => {
                if event.payload != payload && number_of(payload)? != event.number {
                    return Err(format!(
                        "message {} where the others had {}: lost, repeated or out of order",
                        number_of(payload)?,
                        event.number
                    ));
                }
                event.reached += 1;
            }
            None => {
                let number = number_of(payload)?;
                self.accept_next(number)?;
                self.events.push(Event { number, payload: payload.to_vec(), reached: 1, completed: Instant::now() });
            }
        }
        self.positions[subscriber] += 1;
        Ok(())
    }

    /// Accepts a message that no subscriber had before: it must be the next one of the connection that published it.
    fn accept_next(&mut self, number: u64) -> Outcome<()> {
        let publisher = usize::try_from(number % self.publishers).map_err(|error| error.to_string())?;
        if self.next[publisher] != number {
            return Err(format!("message {number} before {}: lost, repeated or out of order", self.next[publisher]));
        }
        self.next[publisher] += self.publishers;
        Ok(())
    }
}

/// Parses a delivery completely; returns the number of its message.
fn number_of(payload: &[u8]) -> Outcome<u64> {
    let wrong = || format!("not a delivery: {}", String::from_utf8_lossy(payload));
    let frame: serde_json::Value = serde_json::from_slice(payload).map_err(|_| wrong())?;
    let message = &frame["payload"]["data"]["messageAdded"];
    let whole = frame["type"] == "next"
        && frame["id"] == "1"
        && frame["payload"]["errors"].is_null()
        && FIELDS.iter().all(|field| message[*field].is_string());
    whole.then(|| message["content"].as_str().and_then(number_in)).flatten().ok_or_else(wrong)
}
