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

use super::client_state::ClientState;
use super::fixture::{APP_EVENT, CHANNEL, COMMENT, Fixture, Kind, LogPosition as _, MESSAGE};
use crate::support::text;

/// How long to wait for an expected frame; normally it comes far earlier.
const TIMEOUT: Duration = Duration::from_secs(15);
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
    /// `appEvent`.
    Published,
    /// `events` of one channel.
    Channel,
}

impl Document {
    /// Whether the subscription delivers events of all kinds, and checkpoints.
    fn has_checkpoints(self) -> bool {
        !matches!(self, Self::Added | Self::Published)
    }
}

/// An event as a subscriber received it.
#[derive(Debug, Clone)]
pub struct ReceivedEvent {
    pub cursor: Cursor,
    /// The GraphQL type of the event.
    pub name: String,
    pub object: Kind,
    pub id: String,
    /// The object that the event showed; `None` for a deletion.
    pub value: Option<Value>,
    /// The content of the message that was shown with a comment.
    pub comment_parent: Option<Value>,
    /// The `seq` of the log's head when this connection was made.
    pub known: i64,
}

/// A subscriber, over all its connections.
pub struct Subscriber {
    pub document: Document,
    /// The events that it received.
    pub seen: Vec<ReceivedEvent>,
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
    connection: Option<Connection>,
    last: Cursor,
    state: ClientState,
}

/// An open connection.
struct Connection {
    stream: WebSocketStream<TcpStream>,
    known: i64,
    /// The cursor of the checkpoint that ended the replay.
    live: Option<Cursor>,
    /// The number of pings since the first item of the subscription.
    pings: Option<u32>,
}

/// A frame from the server.
enum Received {
    Item(Value),
    Ping(Cursor),
    Complete,
    Closed(u16),
}

impl Subscriber {
    pub fn new(document: Document, fixture: &Fixture) -> Self {
        Self {
            document,
            seen: Vec::new(),
            reading: false,
            up_to_date: Vec::new(),
            since: None,
            ended: false,
            token: (document == Document::Nested).then(|| fixture.writer.token.clone()),
            channel: fixture.first_channel.clone(),
            connection: None,
            last: fixture.start,
            state: ClientState::default(),
        }
    }

    /// The last `seq` that it received.
    pub fn position(&self) -> i64 {
        self.last.seq.0
    }

    fn query(&self) -> String {
        let (comment_parent, author) = match self.document {
            Document::Nested => ("message { content }", "author { username }"),
            _ => ("", ""),
        };
        match self.document {
            Document::Added => {
                format!("subscription ($after: Cursor) {{ it: messageAdded(after: $after) {{ cursor {MESSAGE} }} }}")
            }
            Document::Published => {
                format!("subscription ($after: Cursor) {{ it: appEvent(after: $after) {{ cursor {APP_EVENT} }} }}")
            }
            _ => format!(
                "subscription ($channelId: ID, $after: Cursor) {{ it: events(channelId: $channelId, after: $after) {{
                    __typename cursor
                    ... on ChannelAdded {{ channel {{ {CHANNEL} }} }} ... on ChannelUpdated {{ channel {{ {CHANNEL} }} }}
                    ... on ChannelDeleted {{ channelId }}
                    ... on MessageAdded {{ message {{ {MESSAGE} {author} }} }}
                    ... on MessageUpdated {{ message {{ {MESSAGE} {author} }} }} ... on MessageDeleted {{ messageId }}
                    ... on CommentAdded {{ comment {{ {COMMENT} {author} {comment_parent} }} }}
                    ... on CommentUpdated {{ comment {{ {COMMENT} {author} {comment_parent} }} }}
                    ... on CommentDeleted {{ commentId }} ... on AppEvent {{ {APP_EVENT} }} }} }}"
            ),
        }
    }

    /// Whether its subscription includes this event.
    pub fn follows(&self, event: &tidings::model::Event) -> bool {
        match self.document {
            Document::Added => event.kind == EventKind::MessageAdded,
            Document::Published => event.kind == EventKind::AppEvent,
            Document::Channel => event.channel.is_some_and(|channel| channel.to_string() == self.channel),
            Document::Events | Document::Nested => true,
        }
    }

    /// Connects and subscribes at its last cursor, unless it is connected; reads no items yet.
    pub async fn connect(&mut self, fixture: &Fixture) -> Result<(), String> {
        if self.connection.is_some() || self.ended {
            return Ok(());
        }
        if self.since.is_none() {
            (self.state, self.last) = ClientState::query(fixture, self.document).await;
            self.since = Some(self.last);
            if self.document == Document::Channel && self.state == ClientState::default() {
                self.ended = true;
                return Ok(());
            }
        }
        let mut stream = open_stream(fixture).await.map_err(|error| error.to_string())?;
        let payload = self.token.as_ref().map(|token| json!({"token": token}));
        send(&mut stream, json!({"type": "connection_init", "payload": payload})).await;
        let ack = tokio::time::timeout(TIMEOUT, stream.next()).await.map_err(|_| "no acknowledgement")?;
        match &ack {
            Some(Ok(Message::Text(frame))) if frame.contains("connection_ack") => {}
            other => return Err(format!("{other:?} instead of an acknowledgement")),
        }
        let channel = (self.document == Document::Channel).then_some(&self.channel);
        let variables = json!({"after": self.last, "channelId": channel});
        let payload = json!({"query": self.query(), "variables": variables});
        send(&mut stream, json!({"type": "subscribe", "id": "1", "payload": payload})).await;
        self.connection = Some(Connection { stream, known: fixture.head(), live: None, pings: None });
        Ok(())
    }

    /// Drops the connection; unread frames are lost.
    pub fn disconnect(&mut self) {
        self.connection = None;
        self.reading = false;
    }

    /// If it reads: reads up to the end of the log. An event may be omitted if its object has been deleted; all others
    /// must arrive.
    pub async fn read_to_head(&mut self, fixture: &Fixture) -> Result<(), String> {
        if !self.reading || self.connection.is_none() {
            return Ok(());
        }
        let target = self.target(fixture);
        while let Some(connection) = &self.connection
            && (self.position() < target || (self.document.has_checkpoints() && connection.live.is_none()))
        {
            self.read_one().await.map_err(|wrong| format!("{wrong}; {:?} waits for seq {target}", self.document))?;
        }
        self.up_to_date.push(fixture.head());
        Ok(())
    }

    /// If it does not read: reads up to `frames` frames, unless it has received everything.
    pub async fn read_frames(&mut self, fixture: &Fixture, frames: u8) -> Result<(), String> {
        let target = self.target(fixture);
        for _ in 0..frames {
            if self.reading || self.connection.is_none() || self.position() >= target {
                break;
            }
            self.read_one().await?;
        }
        Ok(())
    }

    /// The `seq` of the last event that cannot be omitted.
    fn target(&self, fixture: &Fixture) -> i64 {
        let mut wanted = fixture.log.iter().rev().filter(|event| self.follows(event));
        wanted.find(|event| fixture.deletion(event).is_none()).map_or(0, |event| event.seq())
    }

    /// Reads until the server closes the connection at a restart. The close code must be 1012, without a `complete`
    /// before it.
    pub async fn read_until_shutdown(&mut self) -> Result<(), String> {
        while self.connection.is_some() {
            match self.next_frame().await? {
                Received::Item(item) => self.record(item)?,
                Received::Ping(cursor) => self.advance_to_ping(cursor),
                Received::Complete if self.ended => self.disconnect(),
                Received::Complete => return Err("a complete before the close".into()),
                Received::Closed(1012) => self.disconnect(),
                Received::Closed(code) => return Err(format!("closed with {code} at a restart")),
            }
        }
        Ok(())
    }

    /// Reconnects for the last time and reads to the end of the log.
    pub async fn catch_up(&mut self, fixture: &Fixture) -> Result<(), String> {
        self.disconnect();
        self.connect(fixture).await?;
        self.reading = true;
        self.read_to_head(fixture).await
    }

    /// Checks that its state equals a fresh query.
    pub async fn compare(&self, fixture: &Fixture) -> Result<(), String> {
        let (fresh, cursor) = ClientState::query(fixture, self.document).await;
        let live = self.connection.as_ref().and_then(|connection| connection.live);
        if !self.document.has_checkpoints() {
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

    async fn read_one(&mut self) -> Result<(), String> {
        match self.next_frame().await? {
            Received::Item(item) => self.record(item)?,
            Received::Ping(cursor) => self.advance_to_ping(cursor),
            Received::Complete => return Err("a complete".into()),
            Received::Closed(code) => return Err(format!("closed with {code}")),
        }
        // The followed channel was deleted: `complete` must follow, without another item.
        while self.ended && self.connection.is_some() {
            match self.next_frame().await? {
                Received::Complete => self.disconnect(),
                Received::Ping(cursor) => self.advance_to_ping(cursor),
                Received::Item(item) => return Err(format!("{item} after the end")),
                Received::Closed(code) => return Err(format!("closed with {code} after the end")),
            }
        }
        Ok(())
    }

    async fn next_frame(&mut self) -> Result<Received, String> {
        let connection = self.connection.as_mut().ok_or("not connected")?;
        loop {
            let message = tokio::time::timeout(TIMEOUT, connection.stream.next()).await;
            let frame: Value = match message.map_err(|_| "no frame came in time")? {
                Some(Ok(Message::Text(frame))) => serde_json::from_str(&frame).map_err(|error| error.to_string())?,
                Some(Ok(Message::Close(Some(frame)))) => return Ok(Received::Closed(frame.code.into())),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Ok(Received::Closed(1006)),
                Some(Ok(_)) => continue,
            };
            return match frame["type"].as_str() {
                Some("next") if frame["payload"].get("errors").is_none() => {
                    Ok(Received::Item(frame["payload"]["data"]["it"].clone()))
                }
                Some("ping") => {
                    send(&mut connection.stream, json!({"type": "pong"})).await;
                    Ok(Received::Ping(cursor(&frame["payload"])?))
                }
                Some("complete") => Ok(Received::Complete),
                _ => Err(format!("{frame}")),
            };
        }
    }

    /// A ping carries the cursor up to which the server has delivered. It covers the subscription only if the previous
    /// ping came after the subscription's first item.
    fn advance_to_ping(&mut self, cursor: Cursor) {
        let Some(Connection { pings: Some(pings), .. }) = &mut self.connection else { return };
        *pings += 1;
        if *pings > 1 && cursor.seq > self.last.seq {
            self.last = cursor;
        }
    }

    fn record(&mut self, item: Value) -> Result<(), String> {
        let connection = self.connection.as_mut().ok_or("not connected")?;
        let cursor = cursor(&item)?;
        let checkpoint = item["__typename"] == "Checkpoint";
        let in_order = cursor.seq > self.last.seq || (checkpoint && cursor == self.last);
        if !in_order {
            return Err(format!("{item} comes after {}", self.last));
        }
        self.last = cursor;
        connection.pings.get_or_insert(0);
        if checkpoint {
            connection.live.get_or_insert(cursor);
            return Ok(());
        }
        let seen = seen(item, cursor, connection.known)?;
        if self.document.has_checkpoints() {
            self.state.apply(&seen)?;
        }
        self.ended = self.document == Document::Channel && seen.name == "ChannelDeleted";
        self.seen.push(seen);
        Ok(())
    }
}

/// Parses an item.
fn seen(mut item: Value, cursor: Cursor, known: i64) -> Result<ReceivedEvent, String> {
    let fields = item.as_object_mut().ok_or("an item that is no object")?;
    fields.remove("cursor");
    let name = fields.remove("__typename");
    if fields.contains_key("data") {
        let id = cursor.seq.0.to_string();
        fields.insert("id".into(), json!(id));
        let (name, object, value) = ("AppEvent".into(), Kind::AppEvent, Some(item));
        return Ok(ReceivedEvent { cursor, name, object, id, value, comment_parent: None, known });
    }
    let Some(name) = name else {
        // `messageAdded` delivers the message itself, without an event type.
        let id = text(&fields["id"]);
        let name = "MessageAdded".into();
        return Ok(ReceivedEvent {
            cursor,
            name,
            object: Kind::Message,
            id,
            value: Some(item),
            comment_parent: None,
            known,
        });
    };
    let (field, value) = fields.iter_mut().next().ok_or("an item without a field")?;
    let object = match field.as_str() {
        "channel" | "channelId" => Kind::Channel,
        "message" | "messageId" => Kind::Message,
        _ => Kind::Comment,
    };
    let name = text(&name);
    if value.is_string() {
        return Ok(ReceivedEvent { cursor, name, object, id: text(value), value: None, comment_parent: None, known });
    }
    let fields = value.as_object_mut().ok_or("the object is not a JSON object")?;
    if fields.remove("author").is_some_and(|author| author["username"] != "ann") {
        return Err("the author is not the writer".into());
    }
    let comment_parent = fields.remove("message").map(|mut message| message["content"].take());
    Ok(ReceivedEvent { cursor, name, object, id: text(&value["id"]), value: Some(value.take()), comment_parent, known })
}

fn cursor(value: &Value) -> Result<Cursor, String> {
    value["cursor"].as_str().and_then(|cursor| cursor.parse().ok()).ok_or_else(|| format!("{value} has no cursor"))
}

async fn open_stream(fixture: &Fixture) -> Result<WebSocketStream<TcpStream>, Box<dyn std::error::Error>> {
    let address = fixture.server.address();
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    let mut request = format!("ws://{address}/graphql").into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
    let stream = tokio::time::timeout(TIMEOUT, socket.connect(address)).await??;
    let (stream, _) = tokio::time::timeout(TIMEOUT, tokio_tungstenite::client_async(request, stream)).await??;
    Ok(stream)
}

async fn send(stream: &mut WebSocketStream<TcpStream>, frame: Value) {
    // A broken connection is noticed by the next read.
    drop(tokio::time::timeout(TIMEOUT, stream.send(Message::text(frame.to_string()))).await);
}
