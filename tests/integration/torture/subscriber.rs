//! A subscriber that reconnects with its last cursor whenever its connection is lost.

use chrono::{DateTime, Utc};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{LAST_TITLE, code, random_program, retry_delay};
use crate::support::{Disconnected, Program, TestSubscription};

const EVENTS: &str = "subscription ($channelId: ID, $after: Cursor) {
    item: events(channelId: $channelId, after: $after) { __typename cursor
        ... on MessageAdded { message { id title } } ... on MessageUpdated { message { id title } }
        ... on MessageDeleted { messageId } ... on CommentAdded { comment { id } } } }";
const ADDED: &str = "subscription ($channelId: ID, $after: Cursor) {
    item: messageAdded(channelId: $channelId, after: $after) { cursor id title } }";
/// The close codes after which clients reconnect.
const RECONNECT_CODES: [u16; 3] = [1006, 1012, 1013];
/// The probability, per event, that a subscriber disconnects by itself.
const LEAVE_PROBABILITY: f64 = 0.002;
/// The same probability for subscribers that then stay disconnected for long.
const RARE_LEAVE_PROBABILITY: f64 = 0.000_2;
// How many mutations such a subscriber misses before its first connection, and after each later one. Both exceed what
// the server keeps in memory (the first messages are long), so the log must serve them.
const MISSED_FIRST: usize = 1_500;
const MISSED: usize = tidings::hub::WINDOW + 1_000;

/// What a subscriber follows, and how it disconnects.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Follows `messageAdded` instead of `events`.
    pub only_added: bool,
    pub channel: Option<String>,
    /// Stays disconnected until the server no longer holds the next event in memory.
    pub long_absences: bool,
}

/// Everything that a subscriber received, over all its connections.
#[derive(Debug, Default)]
pub struct Received {
    pub items: Vec<Item>,
    pub connections: u64,
}

/// One event or checkpoint.
#[derive(Debug)]
pub struct Item {
    pub cursor: String,
    pub kind: String,
    /// The id of the event's object; empty for a checkpoint.
    pub object: String,
    pub at: DateTime<Utc>,
}

/// Why a connection ended.
enum ConnectionEnd {
    Disconnected(Disconnected),
    /// The server sent something that it must not send.
    Unexpected(String),
}

impl From<Disconnected> for ConnectionEnd {
    fn from(disconnected: Disconnected) -> Self {
        Self::Disconnected(disconnected)
    }
}

/// A subscriber of the torture test.
pub struct Subscriber<'p> {
    programs: &'p [Program],
    profile: Profile,
    token: Option<String>,
    after: String,
    ends: usize,
    seen: Received,
    random: StdRng,
    acknowledged: watch::Receiver<usize>,
}

impl<'p> Subscriber<'p> {
    pub fn new(
        programs: &'p [Program],
        profile: Profile,
        token: Option<String>,
        after: String,
        random: StdRng,
        acknowledged: watch::Receiver<usize>,
    ) -> Self {
        Self { programs, profile, token, after, ends: 0, seen: Received::default(), random, acknowledged }
    }

    /// Follows until the last message of `ends` channels was received.
    pub async fn follow(mut self, ends: usize, deadline: Instant) -> Result<(Profile, Received), String> {
        match timeout_at(deadline, self.reconnect_until_done(ends)).await {
            Ok(Ok(())) => Ok((self.profile, self.seen)),
            Ok(Err(unexpected)) => Err(format!("({:?}) after {}: {unexpected}", self.profile, self.after)),
            Err(_) => Err(format!(
                "({:?}) did not catch up; it is at {} after {} items and {} connections",
                self.profile,
                self.after,
                self.seen.items.len(),
                self.seen.connections
            )),
        }
    }

    async fn reconnect_until_done(&mut self, ends: usize) -> Result<(), String> {
        if self.profile.long_absences {
            self.wait_for_missed(MISSED_FIRST).await;
        }
        while self.ends < ends {
            match self.connection(ends).await {
                Ok(()) if self.profile.long_absences => self.wait_for_missed(MISSED).await,
                Ok(()) => {}
                Err(ConnectionEnd::Disconnected(Disconnected(code))) if RECONNECT_CODES.contains(&code) => {
                    retry_delay(&mut self.random).await;
                }
                Err(ConnectionEnd::Disconnected(Disconnected(code))) => return Err(format!("closed with {code}")),
                Err(ConnectionEnd::Unexpected(what)) => return Err(what),
            }
        }
        Ok(())
    }

    async fn wait_for_missed(&mut self, missing: usize) {
        let until = self.acknowledged.borrow().saturating_add(missing);
        // The channel is closed when all writers have finished. Then there is nothing more to wait for.
        drop(self.acknowledged.wait_for(|acknowledged| *acknowledged >= until).await);
    }

    /// Runs one connection until it is lost or the subscriber disconnects.
    async fn connection(&mut self, ends: usize) -> Result<(), ConnectionEnd> {
        let query = if self.profile.only_added { ADDED } else { EVENTS };
        let variables = json!({"channelId": self.profile.channel, "after": self.after});
        let address = random_program(self.programs, &mut self.random).address();
        let leave_probability = if self.profile.long_absences { RARE_LEAVE_PROBABILITY } else { LEAVE_PROBABILITY };
        let mut subscription = TestSubscription::open(address, self.token.as_deref(), query, &variables).await?;
        self.seen.connections += 1;
        loop {
            let frame = subscription.next_frame().await?;
            match frame["type"].as_str() {
                Some("next") if code(&frame["payload"]).is_none() => {
                    self.record(&frame["payload"]["data"]["item"]).map_err(ConnectionEnd::Unexpected)?;
                    if self.ends >= ends || self.random.random_bool(leave_probability) {
                        return Ok(());
                    }
                }
                // The server reports a temporary failure: reconnect as after a lost connection.
                Some("error") if frame["payload"][0]["extensions"]["code"] == "UNAVAILABLE" => {
                    return Err(Disconnected(1013).into());
                }
                _ => return Err(ConnectionEnd::Unexpected(format!("got {frame}"))),
            }
        }
    }

    fn record(&mut self, item: &Value) -> Result<(), String> {
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| format!("got {item}"));
        let (kind, object) = match item["__typename"].as_str() {
            None => ("MessageAdded", text(&item["id"])?),
            Some(kind @ ("MessageAdded" | "MessageUpdated")) => (kind, text(&item["message"]["id"])?),
            Some("MessageDeleted") => ("MessageDeleted", text(&item["messageId"])?),
            Some("CommentAdded") => ("CommentAdded", text(&item["comment"]["id"])?),
            Some("Checkpoint") => ("Checkpoint", String::new()),
            Some(_) => return Err(format!("got {item}")),
        };
        self.ends += usize::from(item["message"]["title"] == LAST_TITLE || item["title"] == LAST_TITLE);
        self.after = text(&item["cursor"])?;
        self.seen.items.push(Item { cursor: self.after.clone(), kind: kind.into(), object, at: Utc::now() });
        Ok(())
    }
}
