//! A reader with subscriptions, and the checks of what it receives.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tidings::model::Cursor;

use super::audit;
use super::fixture::{Change, Fixture, LoggedChange};
use super::model::{Key, Kind, Model, Reader, VisibleObjects};
use crate::support::{Session, Socket, text};

const FIELDS: &str = "__typename cursor
    ... on ChannelAdded { channel { id text: name } } ... on ChannelUpdated { channel { id text: name } }
    ... on ChannelDeleted { channelId }
    ... on MessageAdded { message { id text: content } } ... on MessageUpdated { message { id text: content } }
    ... on MessageDeleted { messageId }
    ... on CommentAdded { comment { id text: content } } ... on CommentUpdated { comment { id text: content } }
    ... on CommentDeleted { commentId }
    ... on TemplateAdded { template { id text: name } } ... on TemplateDeleted { templateId }
    ... on AppEvent { data }
    ... on AccessChanged { about: changedChannelId }";
// The ids of the subscription to all events and of the one to a single channel.
const ALL: &str = "all";
const ONE: &str = "one";

/// A reader, connected unless a step has disconnected it.
pub struct TestReader {
    pub reader: Reader,
    pub session: Option<Session>,
    socket: Option<Socket>,
    last: Cursor,
    /// The client's state: from its query, and folded from each event.
    state: VisibleObjects,
    /// The `seq` up to which the query covers the log.
    queried: i64,
    /// The channel of the second subscription.
    channel: Option<String>,
    // Frames of each subscription that were received and not yet checked.
    all: VecDeque<Value>,
    one: VecDeque<Value>,
}

impl TestReader {
    pub fn new(reader: Reader, fixture: &Fixture) -> Self {
        Self {
            reader,
            session: reader.map(|user| fixture.sessions[user].clone()),
            socket: None,
            last: fixture.start,
            state: VisibleObjects::new(),
            queried: fixture.start.seq.0,
            channel: None,
            all: VecDeque::new(),
            one: VecDeque::new(),
        }
    }

    /// Drops the connection.
    pub fn disconnect(&mut self) {
        self.socket = None;
        self.channel = None;
        self.all.clear();
        self.one.clear();
    }

    /// Reconnects with the last cursor, unless connected. The replay must contain the missed events that the reader may
    /// see now.
    pub async fn reconnect(&mut self, fixture: &Fixture) -> Result<(), String> {
        if self.socket.is_some() {
            return Ok(());
        }
        let mut socket = fixture.server.socket(self.session.as_ref()).await;
        socket.subscribe(ALL, &query("events(after: $after)"), json!({"after": self.last})).await;
        self.socket = Some(socket);
        let missed: Vec<&LoggedChange> =
            fixture.log.iter().filter(|logged| logged.event.cursor.seq > self.last.seq).collect();
        for logged in expected(self.reader, &fixture.model, &missed) {
            let item = self.next_frame(ALL).await;
            self.check(&logged, item, fixture).await?;
        }
        expect_checkpoint(self.next_frame(ALL).await)?;
        self.check_state(fixture)
    }

    /// Checks that new events arrive at once, as far as the reader may see them now.
    pub async fn receive(&mut self, fixture: &Fixture, logged: &[LoggedChange]) -> Result<(), String> {
        if self.socket.is_none() {
            return Ok(());
        }
        let logged: Vec<&LoggedChange> = logged.iter().collect();
        for logged in expected(self.reader, &fixture.model, &logged) {
            let item = self.next_frame(ALL).await;
            self.check(&logged, item, fixture).await?;
        }
        self.check_state(fixture)?;
        self.receive_in_channel(fixture, &logged).await
    }

    /// The same check for the subscription to one channel.
    async fn receive_in_channel(&mut self, fixture: &Fixture, logged: &[&LoggedChange]) -> Result<(), String> {
        let Some(channel) = self.channel.clone() else { return Ok(()) };
        let key = (Kind::Channel, channel.clone());
        let inside = |logged: &&&LoggedChange| logged.what.channel(&fixture.model).as_ref() == Some(&channel);
        let inside: Vec<&LoggedChange> = logged.iter().filter(inside).copied().collect();
        let wrong = |item: &Value, what: &str| Err(format!("channel {channel}: {item}, but {what}"));
        if !fixture.model.can_see(self.reader, &key) {
            // An `AccessChanged` event may come before the error.
            let mut item = self.next_frame(ONE).await;
            if item["payload"]["data"]["it"]["__typename"] == "AccessChanged" {
                item = self.next_frame(ONE).await;
            }
            self.channel = None;
            let code = &item["payload"][0]["extensions"]["code"];
            return if code == "FORBIDDEN" { Ok(()) } else { wrong(&item, "the reader may no longer see the channel") };
        }
        for logged in expected(self.reader, &fixture.model, &inside) {
            let item = self.next_frame(ONE).await;
            check_item(&logged, &item, &fixture.model)?;
        }
        if fixture.model.objects[&key].is_deleted {
            let item = self.next_frame(ONE).await;
            self.channel = None;
            return if item["type"] == "complete" { Ok(()) } else { wrong(&item, "the channel was deleted") };
        }
        match self.one.front() {
            Some(item) => wrong(item, "no further event is expected"),
            None => Ok(()),
        }
    }

    /// Subscribes to a channel. If the channel does not exist for the reader, the answer must be `NOT_FOUND`.
    pub async fn follow(&mut self, fixture: &Fixture, channel: String) -> Result<(), String> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        if self.channel.is_some() {
            return Ok(());
        }
        let variables = json!({"after": self.last, "channel": channel});
        socket.subscribe(ONE, &query("events(channelId: $channel, after: $after)"), variables).await;
        let key = (Kind::Channel, channel.clone());
        let is_there = !fixture.model.objects[&key].is_deleted && fixture.model.can_see(self.reader, &key);
        if !is_there {
            let item = self.next_frame(ONE).await;
            let code = &item["payload"][0]["extensions"]["code"];
            let wrong =
                || format!("channel {channel} does not exist for {:?}, but the server answers {item}", self.reader);
            return if code == "NOT_FOUND" { Ok(()) } else { Err(wrong()) };
        }
        let inside = |logged: &&LoggedChange| {
            logged.event.cursor.seq > self.last.seq && logged.what.channel(&fixture.model).as_ref() == Some(&channel)
        };
        let inside: Vec<&LoggedChange> = fixture.log.iter().filter(inside).collect();
        for logged in expected(self.reader, &fixture.model, &inside) {
            let item = self.next_frame(ONE).await;
            check_item(&logged, &item, &fixture.model)?;
        }
        expect_checkpoint(self.next_frame(ONE).await)?;
        self.channel = Some(channel);
        Ok(())
    }

    /// The next frame of one of the subscriptions.
    async fn next_frame(&mut self, id: &str) -> Value {
        loop {
            let waiting = if id == ALL { &mut self.all } else { &mut self.one };
            if let Some(frame) = waiting.pop_front() {
                return frame;
            }
            let frame = self.socket.as_mut().expect("a connection").frame().await;
            let waiting = if frame["id"] == ALL { &mut self.all } else { &mut self.one };
            waiting.push_back(frame);
        }
    }

    /// Checks an item against the expected event; then folds it into the state.
    async fn check(&mut self, logged: &LoggedChange, item: Value, fixture: &Fixture) -> Result<(), String> {
        let value = check_item(logged, &item, &fixture.model).map_err(|wrong| format!("{:?}: {wrong}", self.reader))?;
        self.last = logged.event.cursor;
        if self.last.seq.0 <= self.queried {
            return Ok(());
        }
        match &logged.what {
            Change::Access(..) | Change::Visibility(_) => self.query(fixture).await,
            Change::Notified(_) | Change::Published(_) => {}
            Change::Object(_, key) => apply(&mut self.state, key, value, &fixture.model),
        }
        Ok(())
    }

    async fn query(&mut self, fixture: &Fixture) {
        let (objects, cursor) = audit::query(fixture, self.session.as_ref()).await;
        (self.state, self.queried) = (objects, cursor.seq.0);
    }

    /// Checks that the state equals what the model shows to this reader.
    fn check_state(&self, fixture: &Fixture) -> Result<(), String> {
        let visible = fixture.model.visible(self.reader);
        if self.state == visible {
            return Ok(());
        }
        Err(format!("{:?} has {:?}, but the model has {visible:?}", self.reader, self.state))
    }
}

/// The events that the reader must receive now, in order.
pub fn expected(reader: Reader, model: &Model, logged: &[&LoggedChange]) -> Vec<LoggedChange> {
    let seen =
        logged.iter().filter(|logged| logged.what.is_visible_to(reader, model) && !logged.what.is_omitted(model));
    seen.map(|logged| (*logged).clone()).collect()
}

/// Checks that the item describes the expected event; returns the text that it shows.
pub fn check_item(logged: &LoggedChange, item: &Value, model: &Model) -> Result<Option<String>, String> {
    let wrong = || format!("{logged:?} is expected, but the server sends {item}");
    let data = &item["payload"]["data"]["it"];
    if position(item)? != logged.event.cursor || data["__typename"] != logged.what.name() {
        return Err(wrong());
    }
    if let Change::Published(shown) = &logged.what {
        return if data["data"] == json!(shown) { Ok(None) } else { Err(wrong()) };
    }
    let Change::Object(_, key) = &logged.what else { return Ok(None) };
    let field = format!("{:?}", key.0).to_lowercase();
    let object = &data[&field];
    if object.is_null() {
        return if data[format!("{field}Id")] == json!(key.1) { Ok(None) } else { Err(wrong()) };
    }
    let text = text(&object["text"]);
    if object["id"] != json!(key.1) || text != model.objects[key].text {
        return Err(wrong());
    }
    Ok(Some(text))
}

/// Folds an event into a client's state.
pub fn apply(state: &mut VisibleObjects, key: &Key, value: Option<String>, model: &Model) {
    match value {
        Some(text) => drop(state.insert(key.clone(), text)),
        None => state.retain(|other, _| !model.is_in(other, key)),
    }
}

/// Checks that the item is a checkpoint: the replay is complete.
pub fn expect_checkpoint(item: Value) -> Result<(), String> {
    let data = &item["payload"]["data"]["it"];
    if data["__typename"] == "Checkpoint" {
        Ok(())
    } else {
        Err(format!("a checkpoint is expected, but the server sends {item}"))
    }
}

fn position(item: &Value) -> Result<Cursor, String> {
    let cursor = item["payload"]["data"]["it"]["cursor"].as_str();
    cursor.and_then(|cursor| cursor.parse().ok()).ok_or_else(|| format!("got {item}"))
}

pub fn query(field: &str) -> String {
    let channel = if field.contains("$channel") { "$channel: ID!, " } else { "" };
    format!("subscription ({channel}$after: Cursor) {{ it: {field} {{ {FIELDS} }} }}")
}
