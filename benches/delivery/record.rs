//! The measurements of one server: of each round, and of its memory.

use std::time::Duration;

/// The measurements of one implementation in one round of the benchmark, in µs of CPU unless stated otherwise.
pub struct Turn {
    /// Per delivery with several mutations in flight: all CPU of the server divided by the deliveries.
    pub streamed: f64,
    /// The same, less the cost of these mutations without subscribers.
    pub streamed_net: f64,
    /// Deliveries per second in this measurement, by the wall clock.
    pub rate: f64,
    /// CPU time per delivery when the publisher sends the next message only after the last one was delivered.
    pub sequential: f64,
    pub sequential_net: f64,
    /// From sending a single mutation until the last subscriber has the message.
    pub delays: Vec<Duration>,
    /// Per `messages(first: 20)`.
    pub query: f64,
    /// Per `createMessage` without subscribers: over 16 connections, then as in the two measurements above.
    pub mutation: f64,
    pub streamed_mutation: f64,
    pub sequential_mutation: f64,
}

impl Turn {
    pub fn line(&self) -> String {
        format!(
            "{:.2} µs per delivery in flight, {:.2} one at a time, query {:.1}, mutation {:.1}",
            self.streamed, self.sequential, self.query, self.mutation
        )
    }
}

/// Resident memory: of the empty server in MiB, then in KiB for each additional subscribed connection.
pub struct Memory {
    pub empty: f64,
    pub idle: f64,
    pub burst: f64,
}

impl Memory {
    pub fn line(&self) -> String {
        format!("{:.1} KiB per connection idle, {:.1} after a burst", self.idle, self.burst)
    }
}
