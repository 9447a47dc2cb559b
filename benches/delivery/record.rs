//! What is taken down about a server: once in every round, and once about its memory.

use std::time::Duration;

/// What one server used in one turn; µs of CPU unless it says otherwise.
pub struct Turn {
    /// Per delivery, several mutations in flight; everything the server did, divided by the deliveries.
    pub streamed: f64,
    /// The same less what such mutations cost without subscribers.
    pub streamed_net: f64,
    /// Deliveries per second meanwhile, by the clock.
    pub rate: f64,
    /// Per delivery, one message at a time.
    pub lone: f64,
    pub lone_net: f64,
    /// From sending a lone mutation until the last subscriber has the message.
    pub delays: Vec<Duration>,
    /// Per `messages(first: 20)`.
    pub query: f64,
    /// Per `createMessage` at 16 connections, then as in the two parts above, all without subscribers.
    pub mutation: f64,
    pub streamed_mutation: f64,
    pub lone_mutation: f64,
}

impl Turn {
    pub fn line(&self) -> String {
        format!(
            "{:.2} µs per delivery in flight, {:.2} one at a time, query {:.1}, mutation {:.1}",
            self.streamed, self.lone, self.query, self.mutation
        )
    }
}

/// Resident memory: of the empty server in MiB, then KiB more for each subscribed connection.
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
