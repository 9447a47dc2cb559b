//! A reader with subscriptions, and the checks of what it receives.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tidings::model::Cursor;

use super::audit;
use super::model::{Key, Kind, Model, Reader, Things};
use super::stage::{Happened, Stage, What};
use crate::support::{Session, Socket, text};

const FIELDS: &str = "__typename cursor
    ... on ChannelAdded { channel { id text: name } } ... on ChannelUpdated { channel { id text: name } }
    ... on ChannelDeleted { channelId }
    ... on MessageAdded { message { id text: content } } ... on MessageUpdated { message { id text: content } }
    ... on MessageDeleted { messageId }
    ... on CommentAdded { comment { id text: content } } ... on CommentUpdated { comment { id text: content } }
    ... on CommentDeleted { commentId }
    ... on TemplateAdded { template { id text: name } } ... on TemplateDeleted { templateId }
    ... on AccessChanged { about: changedChannelId }";
// The ids of the subscription to all events and of the one to a single channel.
const ALL: &str = "all";
const ONE: &str = "one";

/// A reader, connected unless a step has disconnected it.
pub struct Viewer {
    pub reader: Reader,
    pub session: Option<Session>,
    socket: Option<Socket>,
    last: Cursor,
    /// The client's state: from its query, and folded from each event.
    state: Things,
    /// The `seq` up to which the query covers the log.
    queried: i64,
    /// The channel of the second subscription.
    channel: Option<String>,
    // Frames of each subscription that were received and not yet checked.
    all: VecDeque<Value>,
    one: VecDeque<Value>,
}

impl Viewer {
    pub fn new(reader: Reader, stage: &Stage) -> Self {
        Self {
            reader,
            session: reader.map(|user| stage.sessions[user].clone()),
            socket: None,
            last: stage.start,
            state: Things::new(),
            queried: stage.start.seq.0,
            channel: None,
            all: VecDeque::new(),
            one: VecDeque::new(),
        }
    }

    /// Drops the connection.
    pub fn cut(&mut self) {
        self.socket = None;
        self.channel = None;
        self.all.clear();
        self.one.clear();
    }

    /// Reconnects with the last cursor, unless connected. The replay must contain the missed events that the reader may
    /// see now.
    pub async fn back(&mut self, stage: &Stage) -> Result<(), String> {
        if self.socket.is_some() {
            return Ok(());
        }
        let mut socket = stage.server.socket(self.session.as_ref()).await;
        socket.subscribe(ALL, &query("events(after: $after)"), json!({"after": self.last})).await;
        self.socket = Some(socket);
        let missed: Vec<&Happened> =
            stage.log.iter().filter(|happened| happened.event.cursor.seq > self.last.seq).collect();
        for happened in expected(self.reader, &stage.model, &missed) {
            let item = self.hear(ALL).await;
            self.check(&happened, item, stage).await?;
        }
        live(self.hear(ALL).await)?;
        self.told(stage)
    }

    /// Checks that new events arrive at once, as far as the reader may see them now.
    pub async fn see(&mut self, stage: &Stage, happened: &[Happened]) -> Result<(), String> {
        if self.socket.is_none() {
            return Ok(());
        }
        let happened: Vec<&Happened> = happened.iter().collect();
        for happened in expected(self.reader, &stage.model, &happened) {
            let item = self.hear(ALL).await;
            self.check(&happened, item, stage).await?;
        }
        self.told(stage)?;
        self.see_channel(stage, &happened).await
    }

    /// The same check for the subscription to one channel.
    async fn see_channel(&mut self, stage: &Stage, happened: &[&Happened]) -> Result<(), String> {
        let Some(channel) = self.channel.clone() else { return Ok(()) };
        let key = (Kind::Channel, channel.clone());
        let inside = |happened: &&&Happened| happened.what.channel(&stage.model).as_ref() == Some(&channel);
        let inside: Vec<&Happened> = happened.iter().filter(inside).copied().collect();
        let wrong = |item: &Value, what: &str| Err(format!("channel {channel}: {item}, but {what}"));
        if !stage.model.sees(self.reader, &key) {
            // An `AccessChanged` event may come before the error.
            let mut item = self.hear(ONE).await;
            if item["payload"]["data"]["it"]["__typename"] == "AccessChanged" {
                item = self.hear(ONE).await;
            }
            self.channel = None;
            let code = &item["payload"][0]["extensions"]["code"];
            return if code == "FORBIDDEN" { Ok(()) } else { wrong(&item, "the reader may no longer see the channel") };
        }
        for happened in expected(self.reader, &stage.model, &inside) {
            let item = self.hear(ONE).await;
            shown(&happened, &item, &stage.model)?;
        }
        if stage.model.objects[&key].is_gone {
            let item = self.hear(ONE).await;
            self.channel = None;
            return if item["type"] == "complete" { Ok(()) } else { wrong(&item, "the channel was deleted") };
        }
        match self.one.front() {
            Some(item) => wrong(item, "no further event is expected"),
            None => Ok(()),
        }
    }

    /// Subscribes to a channel. If the channel does not exist for the reader, the answer must be `NOT_FOUND`.
    pub async fn follow(&mut self, stage: &Stage, channel: String) -> Result<(), String> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        if self.channel.is_some() {
            return Ok(());
        }
        let variables = json!({"after": self.last, "channel": channel});
        socket.subscribe(ONE, &query("events(channelId: $channel, after: $after)"), variables).await;
        let key = (Kind::Channel, channel.clone());
        let is_there = !stage.model.objects[&key].is_gone && stage.model.sees(self.reader, &key);
        if !is_there {
            let item = self.hear(ONE).await;
            let code = &item["payload"][0]["extensions"]["code"];
            let wrong =
                || format!("channel {channel} does not exist for {:?}, but the server answers {item}", self.reader);
            return if code == "NOT_FOUND" { Ok(()) } else { Err(wrong()) };
        }
        let inside = |happened: &&Happened| {
            happened.event.cursor.seq > self.last.seq && happened.what.channel(&stage.model).as_ref() == Some(&channel)
        };
        let inside: Vec<&Happened> = stage.log.iter().filter(inside).collect();
        for happened in expected(self.reader, &stage.model, &inside) {
            let item = self.hear(ONE).await;
            shown(&happened, &item, &stage.model)?;
        }
        live(self.hear(ONE).await)?;
        self.channel = Some(channel);
        Ok(())
    }

    /// The next frame of one of the subscriptions.
    async fn hear(&mut self, id: &str) -> Value {
        loop {
            let waiting = if id == ALL { &mut self.all } else { &mut self.one };
            if let Some(frame) = waiting.pop_front() {
                return frame;
            }
            let frame = self.socket.as_mut().expect("a line").frame().await;
            let waiting = if frame["id"] == ALL { &mut self.all } else { &mut self.one };
            waiting.push_back(frame);
        }
    }

    /// Checks an item against the expected event; then folds it into the state.
    async fn check(&mut self, happened: &Happened, item: Value, stage: &Stage) -> Result<(), String> {
        let value = shown(happened, &item, &stage.model).map_err(|wrong| format!("{:?}: {wrong}", self.reader))?;
        self.last = happened.event.cursor;
        if self.last.seq.0 <= self.queried {
            return Ok(());
        }
        match &happened.what {
            What::Access(..) | What::Visibility(_) => self.query(stage).await,
            What::Notified(_) => {}
            What::Changed(_, key) => fold(&mut self.state, key, value, &stage.model),
        }
        Ok(())
    }

    async fn query(&mut self, stage: &Stage) {
        let (things, cursor) = audit::query(stage, self.session.as_ref()).await;
        (self.state, self.queried) = (things, cursor.seq.0);
    }

    /// Checks that the state equals what the model shows to this reader.
    fn told(&self, stage: &Stage) -> Result<(), String> {
        let visible = stage.model.visible(self.reader);
        if self.state == visible {
            return Ok(());
        }
        Err(format!("{:?} has {:?}, but the model has {visible:?}", self.reader, self.state))
    }
}

/// The events that the reader must receive now, in order.
pub fn expected(reader: Reader, model: &Model, happened: &[&Happened]) -> Vec<Happened> {
    let seen = happened.iter().filter(|happened| happened.what.is_for(reader, model) && !happened.what.is_void(model));
    seen.map(|happened| (*happened).clone()).collect()
}

/// Checks that the item describes the expected event; returns the text that it shows.
pub fn shown(happened: &Happened, item: &Value, model: &Model) -> Result<Option<String>, String> {
    let wrong = || format!("{happened:?} is expected, but the server sends {item}");
    let data = &item["payload"]["data"]["it"];
    if position(item)? != happened.event.cursor || data["__typename"] != happened.what.name() {
        return Err(wrong());
    }
    let What::Changed(_, key) = &happened.what else { return Ok(None) };
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
pub fn fold(state: &mut Things, key: &Key, value: Option<String>, model: &Model) {
    match value {
        Some(text) => drop(state.insert(key.clone(), text)),
        None => state.retain(|other, _| !model.is_in(other, key)),
    }
}

/// Checks that the item is a checkpoint: the replay is complete.
pub fn live(item: Value) -> Result<(), String> {
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
