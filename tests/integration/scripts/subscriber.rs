//! A subscriber that disconnects, stops reading, and reconnects with its last cursor.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tidings::model::{Cursor, EventKind};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::fold::State;
use super::world::{CHANNEL, COMMENT, Kind, MESSAGE, Place as _, World};
use crate::support::text;

/// How long to wait for an expected frame; normally it comes far earlier.
const PATIENCE: Duration = Duration::from_secs(15);
/// The receive buffer of a subscriber's socket, in bytes.
const RECEIVE_BUFFER: u32 = 32 << 10;

/// What a subscriber follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// `events`, without a token.
    Events,
    /// `events`, with fields that are loaded from the database for each event.
    Nested,
    /// `messageAdded`.
    Added,
    /// `events` of one channel.
    Channel,
}

/// An event as a subscriber received it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub cursor: Cursor,
    /// The GraphQL type of the event.
    pub name: String,
    pub object: Kind,
    pub id: String,
    /// The object that the event showed; `None` for a deletion.
    pub value: Option<Value>,
    /// The content of the message that was shown with a comment.
    pub beside: Option<Value>,
    /// The `seq` of the log's head when this connection was made.
    pub known: i64,
}

/// A subscriber, over all its connections.
pub struct Subscriber {
    pub document: Document,
    /// The events that it received.
    pub seen: Vec<Seen>,
    /// It reads everything that arrives. Otherwise it is disconnected or leaves frames unread.
    pub reading: bool,
    /// The head of the log at the end of each step in which it read. At these points it had received everything.
    pub up_to_date: Vec<i64>,
    /// The cursor of its first query; `None` before its first connection.
    pub since: Option<Cursor>,
    /// The channel that it followed was deleted.
    pub ended: bool,
    token: Option<String>,
    channel: String,
    line: Option<Line>,
    last: Cursor,
    state: State,
}

/// An open connection.
struct Line {
    stream: WebSocketStream<TcpStream>,
    known: i64,
    /// The cursor of the checkpoint that ended the replay.
    live: Option<Cursor>,
    /// The number of pings since the first item of the subscription.
    pings: Option<u32>,
}

/// A frame from the server.
enum Heard {
    Item(Value),
    Ping(Cursor),
    Complete,
    Closed(u16),
}

impl Subscriber {
    pub fn new(document: Document, world: &World) -> Self {
        Self {
            document,
            seen: Vec::new(),
            reading: false,
            up_to_date: Vec::new(),
            since: None,
            ended: false,
            token: (document == Document::Nested).then(|| world.writer.token.clone()),
            channel: world.first_channel.clone(),
            line: None,
            last: world.start,
            state: State::default(),
        }
    }

    /// The last `seq` that it received.
    pub fn position(&self) -> i64 {
        self.last.seq.0
    }

    fn query(&self) -> String {
        let (beside, author) = match self.document {
            Document::Nested => ("message { content }", "author { username }"),
            _ => ("", ""),
        };
        match self.document {
            Document::Added => {
                format!("subscription ($after: Cursor) {{ it: messageAdded(after: $after) {{ cursor {MESSAGE} }} }}")
            }
            _ => format!(
                "subscription ($channelId: ID, $after: Cursor) {{ it: events(channelId: $channelId, after: $after) {{
                    __typename cursor
                    ... on ChannelAdded {{ channel {{ {CHANNEL} }} }} ... on ChannelUpdated {{ channel {{ {CHANNEL} }} }}
                    ... on ChannelDeleted {{ channelId }}
                    ... on MessageAdded {{ message {{ {MESSAGE} {author} }} }}
                    ... on MessageUpdated {{ message {{ {MESSAGE} {author} }} }} ... on MessageDeleted {{ messageId }}
                    ... on CommentAdded {{ comment {{ {COMMENT} {author} {beside} }} }}
                    ... on CommentUpdated {{ comment {{ {COMMENT} {author} {beside} }} }}
                    ... on CommentDeleted {{ commentId }} }} }}"
            ),
        }
    }

    /// Whether its subscription includes this event.
    pub fn follows(&self, event: &tidings::model::Event) -> bool {
        match self.document {
            Document::Added => event.kind == EventKind::MessageAdded,
            Document::Channel => event.channel.is_some_and(|channel| channel.to_string() == self.channel),
            Document::Events | Document::Nested => true,
        }
    }

    /// Connects and subscribes at its last cursor, unless it is connected; reads no items yet.
    pub async fn come(&mut self, world: &World) -> Result<(), String> {
        if self.line.is_some() || self.ended {
            return Ok(());
        }
        if self.since.is_none() {
            (self.state, self.last) = State::query(world, self.document).await;
            self.since = Some(self.last);
            if self.document == Document::Channel && self.state == State::default() {
                self.ended = true;
                return Ok(());
            }
        }
        let mut stream = connect(world).await.map_err(|error| error.to_string())?;
        let payload = self.token.as_ref().map(|token| json!({"token": token}));
        send(&mut stream, json!({"type": "connection_init", "payload": payload})).await;
        let ack = tokio::time::timeout(PATIENCE, stream.next()).await.map_err(|_| "no acknowledgement")?;
        match &ack {
            Some(Ok(Message::Text(frame))) if frame.contains("connection_ack") => {}
            other => return Err(format!("{other:?} instead of an acknowledgement")),
        }
        let channel = (self.document == Document::Channel).then_some(&self.channel);
        let variables = json!({"after": self.last, "channelId": channel});
        let payload = json!({"query": self.query(), "variables": variables});
        send(&mut stream, json!({"type": "subscribe", "id": "1", "payload": payload})).await;
        self.line = Some(Line { stream, known: world.head(), live: None, pings: None });
        Ok(())
    }

    /// Drops the connection; unread frames are lost.
    pub fn cut(&mut self) {
        self.line = None;
        self.reading = false;
    }

    /// If it reads: reads up to the end of the log. An event may be omitted if its object has been deleted; all others
    /// must arrive.
    pub async fn keep_up(&mut self, world: &World) -> Result<(), String> {
        if !self.reading || self.line.is_none() {
            return Ok(());
        }
        let target = self.target(world);
        while let Some(line) = &self.line
            && (self.position() < target || (self.document != Document::Added && line.live.is_none()))
        {
            self.take().await.map_err(|wrong| format!("{wrong}; {:?} waits for seq {target}", self.document))?;
        }
        self.up_to_date.push(world.head());
        Ok(())
    }

    /// If it does not read: reads up to `frames` frames, unless it has received everything.
    pub async fn peek(&mut self, world: &World, frames: u8) -> Result<(), String> {
        let target = self.target(world);
        for _ in 0..frames {
            if self.reading || self.line.is_none() || self.position() >= target {
                break;
            }
            self.take().await?;
        }
        Ok(())
    }

    /// The `seq` of the last event that cannot be omitted.
    fn target(&self, world: &World) -> i64 {
        let mut wanted = world.log.iter().rev().filter(|event| self.follows(event));
        wanted.find(|event| world.deletion(event).is_none()).map_or(0, |event| event.seq())
    }

    /// Reads until the server closes the connection at a restart. The close code must be 1012, without a `complete`
    /// before it.
    pub async fn hear_goodbye(&mut self) -> Result<(), String> {
        while self.line.is_some() {
            match self.hear().await? {
                Heard::Item(item) => self.keep(item)?,
                Heard::Ping(cursor) => self.served(cursor),
                Heard::Complete if self.ended => self.cut(),
                Heard::Complete => return Err("a complete before the close".into()),
                Heard::Closed(1012) => self.cut(),
                Heard::Closed(code) => return Err(format!("closed with {code} at a restart")),
            }
        }
        Ok(())
    }

    /// Reconnects for the last time and reads to the end of the log.
    pub async fn catch_up(&mut self, world: &World) -> Result<(), String> {
        self.cut();
        self.come(world).await?;
        self.reading = true;
        self.keep_up(world).await
    }

    /// Checks that its state equals a fresh query.
    pub async fn compare(&self, world: &World) -> Result<(), String> {
        let (fresh, cursor) = State::query(world, self.document).await;
        let live = self.line.as_ref().and_then(|line| line.live);
        if self.document == Document::Added {
            return Ok(());
        }
        if !self.ended && live != Some(cursor) {
            return Err(format!("{:?} is live at {live:?}, but the head of the log is {cursor}", self.document));
        }
        let differences = self.state.differences(&fresh);
        if differences.is_empty() {
            return Ok(());
        }
        Err(format!("{:?} folded a state that differs from a query: {differences:#?}", self.document))
    }

    async fn take(&mut self) -> Result<(), String> {
        match self.hear().await? {
            Heard::Item(item) => self.keep(item)?,
            Heard::Ping(cursor) => self.served(cursor),
            Heard::Complete => return Err("a complete".into()),
            Heard::Closed(code) => return Err(format!("closed with {code}")),
        }
        // The followed channel was deleted: `complete` must follow, without another item.
        while self.ended && self.line.is_some() {
            match self.hear().await? {
                Heard::Complete => self.cut(),
                Heard::Ping(cursor) => self.served(cursor),
                Heard::Item(item) => return Err(format!("{item} after the end")),
                Heard::Closed(code) => return Err(format!("closed with {code} after the end")),
            }
        }
        Ok(())
    }

    async fn hear(&mut self) -> Result<Heard, String> {
        let line = self.line.as_mut().ok_or("not connected")?;
        loop {
            let message = tokio::time::timeout(PATIENCE, line.stream.next()).await;
            let frame: Value = match message.map_err(|_| "no frame came in time")? {
                Some(Ok(Message::Text(frame))) => serde_json::from_str(&frame).map_err(|error| error.to_string())?,
                Some(Ok(Message::Close(Some(frame)))) => return Ok(Heard::Closed(frame.code.into())),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Ok(Heard::Closed(1006)),
                Some(Ok(_)) => continue,
            };
            return match frame["type"].as_str() {
                Some("next") if frame["payload"].get("errors").is_none() => {
                    Ok(Heard::Item(frame["payload"]["data"]["it"].clone()))
                }
                Some("ping") => {
                    send(&mut line.stream, json!({"type": "pong"})).await;
                    Ok(Heard::Ping(cursor(&frame["payload"])?))
                }
                Some("complete") => Ok(Heard::Complete),
                _ => Err(format!("{frame}")),
            };
        }
    }

    /// A ping carries the cursor up to which the server has delivered. It covers the subscription only if the previous
    /// ping came after the subscription's first item.
    fn served(&mut self, cursor: Cursor) {
        let Some(Line { pings: Some(pings), .. }) = &mut self.line else { return };
        *pings += 1;
        if *pings > 1 && cursor.seq > self.last.seq {
            self.last = cursor;
        }
    }

    fn keep(&mut self, item: Value) -> Result<(), String> {
        let line = self.line.as_mut().ok_or("not connected")?;
        let cursor = cursor(&item)?;
        let checkpoint = item["__typename"] == "Checkpoint";
        let in_order = cursor.seq > self.last.seq || (checkpoint && cursor == self.last);
        if !in_order {
            return Err(format!("{item} comes after {}", self.last));
        }
        self.last = cursor;
        line.pings.get_or_insert(0);
        if checkpoint {
            line.live.get_or_insert(cursor);
            return Ok(());
        }
        let seen = seen(item, cursor, line.known)?;
        if self.document != Document::Added {
            self.state.apply(&seen)?;
        }
        self.ended = self.document == Document::Channel && seen.name == "ChannelDeleted";
        self.seen.push(seen);
        Ok(())
    }
}

/// Parses an item.
fn seen(mut item: Value, cursor: Cursor, known: i64) -> Result<Seen, String> {
    let fields = item.as_object_mut().ok_or("an item that is no object")?;
    fields.remove("cursor");
    let Some(name) = fields.remove("__typename") else {
        // `messageAdded` delivers the message itself, without an event type.
        let id = text(&fields["id"]);
        let name = "MessageAdded".into();
        return Ok(Seen { cursor, name, object: Kind::Message, id, value: Some(item), beside: None, known });
    };
    let (field, value) = fields.iter_mut().next().ok_or("an item without a field")?;
    let object = match field.as_str() {
        "channel" | "channelId" => Kind::Channel,
        "message" | "messageId" => Kind::Message,
        _ => Kind::Comment,
    };
    let name = text(&name);
    if value.is_string() {
        return Ok(Seen { cursor, name, object, id: text(value), value: None, beside: None, known });
    }
    let fields = value.as_object_mut().ok_or("the object is not a JSON object")?;
    if fields.remove("author").is_some_and(|author| author["username"] != "ann") {
        return Err("the author is not the writer".into());
    }
    let beside = fields.remove("message").map(|mut message| message["content"].take());
    Ok(Seen { cursor, name, object, id: text(&value["id"]), value: Some(value.take()), beside, known })
}

fn cursor(value: &Value) -> Result<Cursor, String> {
    value["cursor"].as_str().and_then(|cursor| cursor.parse().ok()).ok_or_else(|| format!("{value} has no cursor"))
}

async fn connect(world: &World) -> Result<WebSocketStream<TcpStream>, Box<dyn std::error::Error>> {
    let address = world.server.address();
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    let mut request = format!("ws://{address}/graphql").into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
    let stream = tokio::time::timeout(PATIENCE, socket.connect(address)).await??;
    let (stream, _) = tokio::time::timeout(PATIENCE, tokio_tungstenite::client_async(request, stream)).await??;
    Ok(stream)
}

async fn send(stream: &mut WebSocketStream<TcpStream>, frame: Value) {
    // A broken connection is noticed by the next read.
    drop(tokio::time::timeout(PATIENCE, stream.send(Message::text(frame.to_string()))).await);
}
