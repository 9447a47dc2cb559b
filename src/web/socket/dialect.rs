//! The two sub-protocols: one state machine, two vocabularies.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::outbox::Outbox;
use crate::graphql::{Refusal, Request, SMALL, Text, Unreadable};
use crate::model::{Cursor, repaired};

/// The longest id of an operation, in bytes: it is kept, and sent with each item.
const MAX_ID: usize = 1_000;

/// Which words are spoken on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `graphql-transport-ws`.
    Modern,
    /// `graphql-ws`, of subscriptions-transport-ws.
    Legacy,
}

/// What a client says.
#[derive(Debug)]
pub enum Said {
    /// Begin, with these parameters.
    Init(Map<String, Value>),
    /// Run an operation, or say why it cannot be read.
    Start(String, Result<Box<Request>, Refusal>),
    /// Stop an operation.
    Stop(String),
    /// Are you there?
    Ping,
    /// Yes, I am here.
    Pong,
    /// Goodbye.
    Terminate,
}

impl Dialect {
    /// The dialect of a sub-protocol.
    pub fn of(protocol: &str) -> Option<Self> {
        match protocol {
            "graphql-transport-ws" => Some(Self::Modern),
            "graphql-ws" => Some(Self::Legacy),
            _ => None,
        }
    }

    /// The sub-protocol's name.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Modern => "graphql-transport-ws",
            Self::Legacy => "graphql-ws",
        }
    }

    /// What a frame says; the error is for the client to read. A value inside an operation that cannot be read fails
    /// that operation alone.
    pub fn parse(self, text: &str) -> Result<Said, String> {
        let frame = Frame::parse(&repaired(text))?;
        let said = match (self, frame.required::<String>("type")?.as_str()) {
            (_, "connection_init") => Said::Init(frame.parameters()?),
            (Self::Modern, "subscribe") | (Self::Legacy, "start") => Said::Start(frame.id()?, frame.operation(self)?),
            (Self::Modern, "complete") | (Self::Legacy, "stop") => Said::Stop(frame.required("id")?),
            (Self::Modern, "ping") => frame.parameters().map(|_| Said::Ping)?,
            (Self::Modern, "pong") => frame.parameters().map(|_| Said::Pong)?,
            (Self::Legacy, "connection_terminate") => Said::Terminate,
            (_, unknown) => return Err(format!("Invalid message: there is no type {:?}", shortened(unknown))),
        };
        Ok(said)
    }

    /// You are in; up to here you have been served.
    pub fn acknowledge(self, cursor: Cursor) -> String {
        format!(r#"{{"type":"connection_ack","payload":{{"cursor":"{cursor}"}}}}"#)
    }

    /// Are you there? Up to here you have been served. The legacy protocol has no ping, and a
    /// keep-alive that nobody answers.
    pub fn ping(self, cursor: Cursor) -> String {
        let kind = match self {
            Self::Modern => "ping",
            Self::Legacy => "ka",
        };
        format!(r#"{{"type":"{kind}","payload":{{"cursor":"{cursor}"}}}}"#)
    }

    /// Yes, I am here.
    pub fn pong(self) -> String {
        r#"{"type":"pong"}"#.into()
    }

    /// An item of an operation; the id comes as JSON.
    pub fn next(self, id: &str, payload: &Text, outbox: &mut Outbox) {
        let kind = match self {
            Self::Modern => "next",
            Self::Legacy => "data",
        };
        if payload.len() > SMALL {
            let before = [r#"{"id":"#, id, r#","type":""#, kind, r#"","payload":"#];
            return outbox.push_around(&before, Bytes::from_owner(payload.clone()), "}");
        }
        outbox.push(&[r#"{"id":"#, id, r#","type":""#, kind, r#"","payload":"#, payload, "}"]);
    }

    /// An operation failed, and is over.
    pub fn error(self, id: &str, errors: &Value) -> String {
        // The legacy protocol has one error, the other a list.
        let payload = match self {
            Self::Modern => errors,
            Self::Legacy => errors.get(0).unwrap_or(errors),
        };
        format!(r#"{{"id":{id},"type":"error","payload":{payload}}}"#)
    }

    /// An operation is over.
    pub fn complete(self, id: &str) -> String {
        format!(r#"{{"id":{id},"type":"complete"}}"#)
    }

    /// You may not come in; only the legacy protocol has words for it.
    pub fn refuse(self, message: &str) -> Option<String> {
        let payload = serde_json::json!({ "type": "connection_error", "payload": { "message": message } });
        (self == Self::Legacy).then(|| payload.to_string())
    }
}

/// The fields of a frame, not looked into yet. Of a field that is there twice, the last one counts, as for JSON.parse.
struct Frame(BTreeMap<String, Box<RawValue>>);

impl Frame {
    fn parse(text: &str) -> Result<Self, String> {
        // serde would take a list with the fields in their order, too.
        if !text.trim_start().starts_with('{') {
            return Err("Invalid message: it is no JSON object".into());
        }
        serde_json::from_str(text).map(Self).map_err(|error| format!("Invalid message: {error}"))
    }

    /// A field that is there and not null.
    fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.get()).filter(|value| *value != "null")
    }

    fn required<T: DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        let value = self.field(name).ok_or_else(|| format!("Invalid message: {name} is missing"))?;
        serde_json::from_str(value).map_err(|error| format!("Invalid message: {name} is wrong: {error}"))
    }

    fn id(&self) -> Result<String, String> {
        match self.required::<String>("id")? {
            id if id.is_empty() => Err("Invalid message: an operation needs an id".into()),
            id if id.len() > MAX_ID => {
                Err(format!("Invalid message: the id of an operation has at most {MAX_ID} bytes"))
            }
            id => Ok(id),
        }
    }

    /// The payload of everything but operations.
    fn parameters(&self) -> Result<Map<String, Value>, String> {
        if self.field("payload").is_none() { Ok(Map::new()) } else { self.required("payload") }
    }

    /// What an operation asks for. `graphql-transport-ws` wants a close if a parameter is of another type than it
    /// names; the legacy protocol has no rule, so there it is an error of the operation.
    fn operation(&self, dialect: Dialect) -> Result<Result<Box<Request>, Refusal>, String> {
        let payload = self.field("payload").filter(|payload| payload.starts_with('{'));
        let payload = payload.ok_or("Invalid message: payload must be an object")?;
        match Request::from_json(payload) {
            Ok(request) => Ok(Ok(Box::new(request))),
            Err(Unreadable::Form(message)) if dialect == Dialect::Modern => Err(format!("Invalid message: {message}")),
            Err(unreadable) => Ok(Err(unreadable.refusal())),
        }
    }
}

/// The beginning of what may be long.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}
