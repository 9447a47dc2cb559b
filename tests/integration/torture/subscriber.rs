//! Who follows, and comes back with the last cursor seen whenever the line is lost.

use chrono::{DateTime, Utc};
use futures_util::{SinkExt as _, StreamExt as _};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{THE_END, a_moment, code};
use crate::support::Program;

const EVENTS: &str = "subscription ($channelId: ID, $after: Cursor) {
    item: events(channelId: $channelId, after: $after) { __typename cursor
        ... on MessageAdded { message { id title } } ... on MessageUpdated { message { id title } }
        ... on MessageDeleted { messageId } ... on CommentAdded { comment { id } } } }";
const ADDED: &str = "subscription ($channelId: ID, $after: Cursor) {
    item: messageAdded(channelId: $channelId, after: $after) { cursor id title } }";
/// The close codes after which clients come back.
const COME_BACK: [u16; 2] = [1012, 1013];
/// How often a subscriber leaves of its own accord, per event.
const WHIM: f64 = 0.002;

type Line = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What a subscriber follows.
#[derive(Debug, Clone)]
pub struct Wish {
    /// `messageAdded` and not `events`.
    pub added: bool,
    pub channel: Option<String>,
}

/// What a subscriber saw, over all its connections.
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
    /// The id of its object; a checkpoint has none.
    pub object: String,
    pub at: DateTime<Utc>,
}

/// Why a connection came to its end.
enum Lost {
    /// As they do: come back.
    Line,
    /// As they must not.
    Wrong(String),
}

impl From<Error> for Lost {
    fn from(_: Error) -> Self {
        Self::Line
    }
}

/// Who follows.
pub struct Subscriber<'p> {
    program: &'p Program,
    wish: Wish,
    token: Option<String>,
    after: String,
    ends: usize,
    seen: Seen,
    random: StdRng,
}

impl<'p> Subscriber<'p> {
    pub fn new(program: &'p Program, wish: Wish, token: Option<String>, after: String, random: StdRng) -> Self {
        Self { program, wish, token, after, ends: 0, seen: Seen::default(), random }
    }

    /// Follows until so many last messages were seen.
    pub async fn follow(mut self, ends: usize, deadline: Instant) -> Result<(Wish, Seen), String> {
        match timeout_at(deadline, self.come_back_for_ever(ends)).await {
            Ok(Ok(())) => Ok((self.wish, self.seen)),
            Ok(Err(wrong)) => Err(format!("({:?}) after {}: {wrong}", self.wish, self.after)),
            Err(_) => Err(format!(
                "({:?}) has not caught up: it is at {} after {} items and {} connections",
                self.wish,
                self.after,
                self.seen.items.len(),
                self.seen.connections
            )),
        }
    }

    async fn come_back_for_ever(&mut self, ends: usize) -> Result<(), String> {
        while self.ends < ends {
            match self.connection(ends).await {
                Ok(()) => {}
                Err(Lost::Line) => a_moment(&mut self.random).await,
                Err(Lost::Wrong(what)) => return Err(what),
            }
        }
        Ok(())
    }

    /// One connection, until it is lost or left.
    async fn connection(&mut self, ends: usize) -> Result<(), Lost> {
        let mut request = format!("ws://{}/graphql", self.program.address()).into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
        let (mut line, _) = connect_async(request).await?;
        let payload = self.token.as_ref().map(|token| json!({"authorization": format!("Bearer {token}")}));
        say(&mut line, &json!({"type": "connection_init", "payload": payload})).await?;
        let query = if self.wish.added { ADDED } else { EVENTS };
        loop {
            let frame = hear(&mut line).await?;
            match frame["type"].as_str() {
                Some("connection_ack") => {
                    let variables = json!({"channelId": self.wish.channel, "after": self.after});
                    let payload = json!({"query": query, "variables": variables});
                    say(&mut line, &json!({"type": "subscribe", "id": "1", "payload": payload})).await?;
                    self.seen.connections += 1;
                }
                Some("ping") => say(&mut line, &json!({"type": "pong"})).await?,
                Some("next") if code(&frame["payload"]).is_none() => {
                    self.keep(&frame["payload"]["data"]["item"]).map_err(Lost::Wrong)?;
                    if self.ends >= ends || self.random.random_bool(WHIM) {
                        return Ok(());
                    }
                }
                Some("error") if frame["payload"][0]["extensions"]["code"] == "UNAVAILABLE" => return Err(Lost::Line),
                _ => return Err(Lost::Wrong(format!("got {frame}"))),
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

async fn say(line: &mut Line, frame: &Value) -> Result<(), Lost> {
    Ok(line.send(Message::text(frame.to_string())).await?)
}

async fn hear(line: &mut Line) -> Result<Value, Lost> {
    loop {
        match line.next().await {
            None => return Err(Lost::Line),
            Some(Ok(Message::Text(text))) => {
                return serde_json::from_str(&text).map_err(|error| Lost::Wrong(format!("{error} in {text}")));
            }
            Some(Ok(Message::Close(Some(frame)))) if !COME_BACK.contains(&frame.code.into()) => {
                return Err(Lost::Wrong(format!("closed with {frame}")));
            }
            Some(Ok(Message::Close(_)) | Err(_)) => return Err(Lost::Line),
            Some(Ok(_)) => {}
        }
    }
}
