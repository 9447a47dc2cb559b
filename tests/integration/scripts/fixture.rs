//! The server of one case, its writers, and the acknowledged writes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tidings::board::{MessageEdit, NewUser};
use tidings::model::{Cursor, Event, EventKind, MessageId, Role};

use super::{Op, Settings};
use crate::support::{PASSWORD, Server, Session, text, with_timeout};

// The fields that are read of each object, in queries and subscriptions.
pub const CHANNEL: &str = "id name description";
pub const MESSAGE: &str = "id channelId content ticket { status priority }";
pub const COMMENT: &str = "id messageId content";
pub const APP_EVENT: &str = "channelId data";

/// The number of edits in a rush: they take several pages of the log.
const REPEATED_EDITS: usize = 300;
/// The number of four-byte characters in a heavy edit: more than the server's window of recent events holds.
const HEAVY_TITLE: usize = 4_300_000;

/// The kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Channel,
    Message,
    Comment,
    /// An application event. Its id is its position in the log.
    AppEvent,
}

/// The kind and id of an object.
pub type Key = (Kind, String);

/// The server of one case.
pub struct Fixture {
    pub server: Server,
    pub writer: Session,
    /// The channel that [`Document::Channel`] subscribers follow.
    pub first_channel: String,
    /// The cursor at the start of the case.
    pub start: Cursor,
    /// The log since `start`.
    pub log: Vec<Event>,
    settings: Settings,
    texts: AtomicU64,
    known: Mutex<AcknowledgedWrites>,
}

/// The acknowledged writes.
#[derive(Default)]
pub struct AcknowledgedWrites {
    /// Each object as it was after each event, by `seq`.
    pub revisions: HashMap<Key, BTreeMap<i64, Value>>,
    pub deletions: Vec<Key>,
    /// The objects that still exist, newest last, each with the object that contains it.
    objects: Vec<(Key, Option<Key>)>,
    deleted: HashSet<Key>,
}

impl AcknowledgedWrites {
    fn pick(&self, kind: Kind, number: u8) -> Option<String> {
        let all: Vec<&String> =
            self.objects.iter().rev().filter(|((of, _), _)| *of == kind).map(|((_, id), _)| id).collect();
        (!all.is_empty()).then(|| all[usize::from(number) % all.len()].clone())
    }

    fn keep(&mut self, kind: Kind, mut value: Value) -> Result<(), String> {
        let position: Cursor = text(&value["cursor"]).parse().map_err(|_| format!("{value} has no cursor"))?;
        value.as_object_mut().expect("an object").remove("cursor");
        if kind == Kind::AppEvent {
            value["id"] = json!(position.seq.0.to_string());
        }
        let key = (kind, text(&value["id"]));
        let place = match kind {
            Kind::Channel => None,
            Kind::Message | Kind::AppEvent => Some((Kind::Channel, text(&value["channelId"]))),
            Kind::Comment => Some((Kind::Message, text(&value["messageId"]))),
        };
        let fresh = !self.revisions.contains_key(&key);
        if fresh && !place.as_ref().is_some_and(|place| self.deleted.contains(place)) {
            self.objects.push((key.clone(), place));
        }
        match self.revisions.entry(key).or_default().insert(position.seq.0, value) {
            None => Ok(()),
            Some(other) => Err(format!("two changes at {position}, the other one is {other}")),
        }
    }

    fn forget(&mut self, key: Key) {
        let inside: Vec<Key> =
            self.objects.iter().filter(|(_, place)| *place == Some(key.clone())).map(|(key, _)| key.clone()).collect();
        inside.into_iter().for_each(|key| self.forget(key));
        self.objects.retain(|(other, _)| *other != key);
        self.deleted.insert(key);
    }
}

impl Fixture {
    pub async fn new(settings: Settings) -> Self {
        let server = Server::start_with(|config| {
            config.listen = (unused_loopback_address(), 0).into();
            config.limits.max_title = HEAVY_TITLE;
            config.limits.max_content = 200_000;
            config.limits.max_cost = usize::MAX;
            config.readers = 2;
            if settings.pings {
                config.sockets.ping_interval = Duration::from_millis(15);
            }
        })
        .await;
        let user = NewUser { username: "ann".into(), display_name: "Ann".into(), role: Role::Admin };
        server.board().accounts.add(user, PASSWORD.into()).await.expect("an admin");
        let session = server.board().accounts.token_for("ann").expect("a token");
        let writer = Session { id: session.user.id.to_string(), username: "ann".into(), token: session.token };
        let start = server.board().log.head();
        let mut fixture = Self {
            server,
            writer,
            first_channel: String::new(),
            start,
            log: Vec::new(),
            settings,
            texts: AtomicU64::new(0),
            known: Mutex::default(),
        };
        for _ in 0..2 {
            fixture.write(Op::MakeChannel, false).await.expect("a channel");
        }
        let first = fixture.known().pick(Kind::Channel, 1);
        fixture.first_channel = first.expect("a channel");
        fixture
    }

    pub fn known(&self) -> MutexGuard<'_, AcknowledgedWrites> {
        self.known.lock().expect("no writer fails")
    }

    /// A unique text.
    fn text(&self) -> String {
        let number = self.texts.fetch_add(1, Ordering::Relaxed);
        format!("text {number}{}", ".".repeat(self.settings.padding))
    }

    /// Executes one mutation and records its result. `contended`: another writer may have deleted the object meanwhile.
    pub async fn write(&self, op: Op, contended: bool) -> Result<(), String> {
        let pick = |kind, number| self.known().pick(kind, number);
        let (kind, field, input) = match op {
            Op::MakeChannel => {
                let name = format!("channel {}", self.texts.fetch_add(1, Ordering::Relaxed));
                (Kind::Channel, "createChannel", Some(json!({"name": name})))
            }
            Op::EditChannel(number) => {
                let text = format!("text {}", self.texts.fetch_add(1, Ordering::Relaxed));
                let input = pick(Kind::Channel, number).map(|id| json!({"id": id, "description": text}));
                (Kind::Channel, "updateChannel", input)
            }
            Op::Post { channel, ticket } => {
                let ticket = ticket.then(|| json!({"priority": "HIGH"}));
                let input = pick(Kind::Channel, channel)
                    .map(|id| json!({"channelId": id, "content": self.text(), "ticket": ticket}));
                (Kind::Message, "createMessage", input)
            }
            Op::Edit(number) => {
                let input = pick(Kind::Message, number).map(|id| json!({"id": id, "content": self.text()}));
                (Kind::Message, "updateMessage", input)
            }
            Op::Move(number) => {
                let status = ["OPEN", "IN_PROGRESS", "RESOLVED", "CLOSED"][usize::from(number) % 4];
                let input = pick(Kind::Message, number / 4).map(|id| json!({"id": id, "ticket": {"status": status}}));
                (Kind::Message, "updateMessage", input)
            }
            Op::Comment(number) => {
                let input = pick(Kind::Message, number).map(|id| json!({"messageId": id, "content": self.text()}));
                (Kind::Comment, "createComment", input)
            }
            Op::EditComment(number) => {
                let input = pick(Kind::Comment, number).map(|id| json!({"id": id, "content": self.text()}));
                (Kind::Comment, "updateComment", input)
            }
            Op::Publish(number) => {
                let text = format!("text {}", self.texts.fetch_add(1, Ordering::Relaxed));
                let input = pick(Kind::Channel, number).map(|id| json!({"channelId": id, "type": "t", "data": text}));
                (Kind::AppEvent, "publish", input)
            }
            Op::DeleteChannel(number) => return self.delete(Kind::Channel, "deleteChannel", number, contended).await,
            Op::Delete(number) => return self.delete(Kind::Message, "deleteMessage", number, contended).await,
            Op::DeleteComment(number) => return self.delete(Kind::Comment, "deleteComment", number, contended).await,
        };
        let Some(input) = input else { return Ok(()) };
        let type_name = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
        let shown = match kind {
            Kind::Channel => CHANNEL,
            Kind::Message => MESSAGE,
            Kind::Comment => COMMENT,
            Kind::AppEvent => APP_EVENT,
        };
        let query = format!("mutation ($input: {type_name}!) {{ {field}(input: $input) {{ cursor {shown} }} }}");
        match self.ask(&query, json!({"input": input}), contended).await? {
            Some(mut data) => self.known().keep(kind, data[field].take()),
            None => Ok(()),
        }
    }

    async fn delete(&self, kind: Kind, field: &str, number: u8, contended: bool) -> Result<(), String> {
        let Some(id) = self.known().pick(kind, number) else { return Ok(()) };
        let query = format!("mutation ($id: ID!) {{ {field}(id: $id) }}");
        if self.ask(&query, json!({"id": id}), contended).await?.is_some() {
            let mut known = self.known();
            known.deletions.push((kind, id.clone()));
            known.forget((kind, id));
        }
        Ok(())
    }

    async fn ask(&self, query: &str, variables: Value, contended: bool) -> Result<Option<Value>, String> {
        let mut answer = self.server.execute(Some(&self.writer), query, variables).await;
        if answer.get("errors").is_none() {
            return Ok(Some(answer["data"].take()));
        }
        let deleted = answer["errors"][0]["extensions"]["code"] == "NOT_FOUND";
        if deleted && contended { Ok(None) } else { Err(format!("{query}: {answer}")) }
    }

    /// Edits one message [`REPEATED_EDITS`] times.
    pub async fn edit_repeatedly(&self, message: u8) -> Result<(), String> {
        if self.settings.padding == 0 {
            let edits =
                stream::iter((0..REPEATED_EDITS).map(|_| self.write(Op::Edit(message), false))).buffer_unordered(16);
            edits.try_collect::<()>().await?;
        }
        Ok(())
    }

    /// Gives one message a title so long that the server drops all older events from its window; then removes the
    /// title.
    pub async fn evict_window(&self, message: u8) -> Result<(), String> {
        let Some(id) = self.known().pick(Kind::Message, message) else { return Ok(()) };
        let wrong = |error: tidings::error::Error| error.to_string();
        let (viewer, _) = self.server.board().accounts.authenticate(&self.writer.token).await.map_err(wrong)?;
        for title in [Some("\u{1f980}".repeat(HEAVY_TITLE)), None] {
            let edit = MessageEdit {
                id: MessageId(id.parse().expect("a number")),
                title: Some(title),
                content: None,
                ticket: None,
                if_cursor: None,
            };
            let created = self.server.board().messages.update(&viewer, edit).await.map_err(wrong)?;
            let mut known = self.known();
            let key = (Kind::Message, id.clone());
            // The title is not among the fields that subscribers read, so the shown object stays the same.
            let revisions = known.revisions.get_mut(&key).expect("the message has revisions");
            let last = revisions.values().next_back().expect("the message has revisions").clone();
            revisions.insert(created.cursor.seq.0, last);
        }
        Ok(())
    }

    /// Reads the new events of the log, and waits until the server has published them to its subscribers.
    pub async fn settle(&mut self) {
        loop {
            let after = self.log.last().map_or(self.start, |event| event.cursor);
            let (events, _) = self.server.board().log.events_after(Some(after)).expect("the log");
            if events.is_empty() {
                break;
            }
            self.log.extend(events);
        }
        let served = async {
            while self.server.board().log.head().seq.0 < self.head() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        with_timeout("the head", served).await;
    }

    /// The `seq` of the log's head.
    pub fn head(&self) -> i64 {
        self.log.last().map_or(self.start.seq.0, |event| event.cursor.seq.0)
    }

    /// The `seq` of the later event that deleted this event's object or its container; `None` for events without an
    /// object.
    pub fn deletion(&self, event: &Event) -> Option<i64> {
        let index = event.cursor.seq.0 - self.start.seq.0;
        let later = self.log.iter().skip(usize::try_from(index).expect("the event is in the log"));
        let is_deleted = |later: &&Event| match later.kind {
            EventKind::ChannelDeleted => later.channel == event.channel,
            EventKind::MessageDeleted => event.message.is_some() && later.message == event.message,
            EventKind::CommentDeleted => event.object == later.object && kind(event) == Kind::Comment,
            _ => false,
        };
        if event.kind.shows_object() {
            later.filter(|later| later.seq() > event.seq()).find(is_deleted).map(LogPosition::seq)
        } else {
            None
        }
    }
}

/// A loopback address that no other test uses: another test could take the port while a server restarts.
pub fn unused_loopback_address() -> Ipv4Addr {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let [high, low] = COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    // Other systems route only 127.0.0.1 to this host.
    if cfg!(target_os = "linux") { Ipv4Addr::new(127, 77, high, low) } else { Ipv4Addr::LOCALHOST }
}

/// The position of an event in the log.
pub trait LogPosition {
    fn seq(&self) -> i64;
}

impl LogPosition for Event {
    fn seq(&self) -> i64 {
        self.cursor.seq.0
    }
}

/// The kind of object that an event is about.
pub fn kind(event: &Event) -> Kind {
    match event.kind {
        EventKind::ChannelAdded | EventKind::ChannelUpdated | EventKind::ChannelDeleted => Kind::Channel,
        EventKind::CommentAdded | EventKind::CommentUpdated | EventKind::CommentDeleted => Kind::Comment,
        EventKind::AppEvent => Kind::AppEvent,
        _ => Kind::Message,
    }
}
