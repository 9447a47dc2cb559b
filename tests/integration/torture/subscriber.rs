//! A subscriber that reconnects with its last cursor whenever its connection is lost.

use chrono::{DateTime, Utc};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{THE_END, a_moment, any, code};
use crate::support::{Line, Lost, Program};

const EVENTS: &str = "subscription ($channelId: ID, $after: Cursor) {
    item: events(channelId: $channelId, after: $after) { __typename cursor
        ... on MessageAdded { message { id title } } ... on MessageUpdated { message { id title } }
        ... on MessageDeleted { messageId } ... on CommentAdded { comment { id } } } }";
const ADDED: &str = "subscription ($channelId: ID, $after: Cursor) {
    item: messageAdded(channelId: $channelId, after: $after) { cursor id title } }";
/// The close codes after which clients reconnect.
const COME_BACK: [u16; 3] = [1006, 1012, 1013];
/// The probability, per event, that a subscriber disconnects by itself.
const WHIM: f64 = 0.002;
/// The same probability for subscribers that then stay disconnected for long.
const RARE_WHIM: f64 = 0.000_2;
// How many mutations such a subscriber misses before its first connection, and after each later one. Both exceed what
// the server keeps in memory (the first messages are long), so the log must serve them.
const AWAY_FIRST: usize = 1_500;
const AWAY: usize = tidings::hub::WINDOW + 1_000;

/// What a subscriber follows, and how it disconnects.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Follows `messageAdded` instead of `events`.
    pub added: bool,
    pub channel: Option<String>,
    /// Stays disconnected until the server no longer holds the next event in memory.
    pub often_away: bool,
}

/// Everything that a subscriber received, over all its connections.
#[derive(Debug, Default)]
pub struct Seen {
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
enum End {
    Lost(Lost),
    /// The server sent something that it must not send.
    Wrong(String),
}

impl From<Lost> for End {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

/// A subscriber of the torture test.
pub struct Subscriber<'p> {
    programs: &'p [Program],
    wish: Wish,
    token: Option<String>,
    after: String,
    ends: usize,
    seen: Seen,
    random: StdRng,
    acknowledged: watch::Receiver<usize>,
}

impl<'p> Subscriber<'p> {
    pub fn new(
        programs: &'p [Program],
        wish: Wish,
        token: Option<String>,
        after: String,
        random: StdRng,
        acknowledged: watch::Receiver<usize>,
    ) -> Self {
        Self { programs, wish, token, after, ends: 0, seen: Seen::default(), random, acknowledged }
    }

    /// Follows until the last message of `ends` channels was received.
    pub async fn follow(mut self, ends: usize, deadline: Instant) -> Result<(Wish, Seen), String> {
        match timeout_at(deadline, self.come_back_for_ever(ends)).await {
            Ok(Ok(())) => Ok((self.wish, self.seen)),
            Ok(Err(wrong)) => Err(format!("({:?}) after {}: {wrong}", self.wish, self.after)),
            Err(_) => Err(format!(
                "({:?}) did not catch up; it is at {} after {} items and {} connections",
                self.wish,
                self.after,
                self.seen.items.len(),
                self.seen.connections
            )),
        }
    }

    async fn come_back_for_ever(&mut self, ends: usize) -> Result<(), String> {
        if self.wish.often_away {
            self.stay_away(AWAY_FIRST).await;
        }
        while self.ends < ends {
            match self.connection(ends).await {
                Ok(()) if self.wish.often_away => self.stay_away(AWAY).await,
                Ok(()) => {}
                Err(End::Lost(Lost(code))) if COME_BACK.contains(&code) => a_moment(&mut self.random).await,
                Err(End::Lost(Lost(code))) => return Err(format!("closed with {code}")),
                Err(End::Wrong(what)) => return Err(what),
            }
        }
        Ok(())
    }

    async fn stay_away(&mut self, missing: usize) {
        let until = self.acknowledged.borrow().saturating_add(missing);
        // The channel is closed when all writers have finished. Then there is nothing more to wait for.
        drop(self.acknowledged.wait_for(|acknowledged| *acknowledged >= until).await);
    }

    /// Runs one connection until it is lost or the subscriber disconnects.
    async fn connection(&mut self, ends: usize) -> Result<(), End> {
        let query = if self.wish.added { ADDED } else { EVENTS };
        let variables = json!({"channelId": self.wish.channel, "after": self.after});
        let address = any(self.programs, &mut self.random).address();
        let whim = if self.wish.often_away { RARE_WHIM } else { WHIM };
        let mut line = Line::open(address, self.token.as_deref(), query, &variables).await?;
        self.seen.connections += 1;
        loop {
            let frame = line.hear().await?;
            match frame["type"].as_str() {
                Some("next") if code(&frame["payload"]).is_none() => {
                    self.keep(&frame["payload"]["data"]["item"]).map_err(End::Wrong)?;
                    if self.ends >= ends || self.random.random_bool(whim) {
                        return Ok(());
                    }
                }
                // The server reports a temporary failure: reconnect as after a lost connection.
                Some("error") if frame["payload"][0]["extensions"]["code"] == "UNAVAILABLE" => {
                    return Err(Lost(1013).into());
                }
                _ => return Err(End::Wrong(format!("got {frame}"))),
            }
        }
    }

    fn keep(&mut self, item: &Value) -> Result<(), String> {
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| format!("got {item}"));
        let (kind, object) = match item["__typename"].as_str() {
            None => ("MessageAdded", text(&item["id"])?),
            Some(kind @ ("MessageAdded" | "MessageUpdated")) => (kind, text(&item["message"]["id"])?),
            Some("MessageDeleted") => ("MessageDeleted", text(&item["messageId"])?),
            Some("CommentAdded") => ("CommentAdded", text(&item["comment"]["id"])?),
            Some("Checkpoint") => ("Checkpoint", String::new()),
            Some(_) => return Err(format!("got {item}")),
        };
        self.ends += usize::from(item["message"]["title"] == THE_END || item["title"] == THE_END);
        self.after = text(&item["cursor"])?;
        self.seen.items.push(Item { cursor: self.after.clone(), kind: kind.into(), object, at: Utc::now() });
        Ok(())
    }
}
