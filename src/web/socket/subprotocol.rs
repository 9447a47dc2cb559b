//! The messages of the two GraphQL sub-protocols: parsing and formatting. The state machine is the same for both.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::write_buffer::WriteBuffer;
use crate::graphql::{Rejection, Request, ResponseText, SMALL, Unreadable};
use crate::model::{Cursor, replace_lone_surrogates};

/// The longest id of an operation, in bytes. The id is stored, and sent with each item.
const MAX_ID: usize = 1_000;

/// The GraphQL sub-protocol of a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subprotocol {
    /// `graphql-transport-ws`, of the npm package graphql-ws.
    TransportWs,
    /// `graphql-ws`, of the npm package subscriptions-transport-ws (legacy).
    LegacyWs,
}

/// A message from a client.
#[derive(Debug)]
pub enum ClientMessage {
    /// `connection_init` with its payload.
    Init(Map<String, Value>),
    /// `subscribe` or `start`: runs an operation under this id. The error rejects that operation alone.
    Start(String, Result<Box<Request>, Rejection>),
    /// `complete` or `stop`: ends the operation with this id.
    Stop(String),
    /// `ping`: checks that the server is alive.
    Ping,
    /// `pong`: the response to a ping of the server.
    Pong,
    /// `connection_terminate`: the client ends the connection.
    Terminate,
}

impl Subprotocol {
    /// The sub-protocol with this name, as in `Sec-WebSocket-Protocol`.
    pub fn from_name(protocol: &str) -> Option<Self> {
        match protocol {
            "graphql-transport-ws" => Some(Self::TransportWs),
            "graphql-ws" => Some(Self::LegacyWs),
            _ => None,
        }
    }

    /// The name of the sub-protocol, as in `Sec-WebSocket-Protocol`.
    pub fn name(self) -> &'static str {
        match self {
            Self::TransportWs => "graphql-transport-ws",
            Self::LegacyWs => "graphql-ws",
        }
    }

    /// Parses a message. The error is a reason for the client, to be sent with close code 4400. An operation with an
    /// unreadable value fails alone: the result contains its rejection.
    pub fn parse(self, text: &str) -> Result<ClientMessage, String> {
        let frame = Frame::parse(&replace_lone_surrogates(text))?;
        let message = match (self, frame.required::<String>("type")?.as_str()) {
            (_, "connection_init") => ClientMessage::Init(frame.parameters()?),
            (Self::TransportWs, "subscribe") | (Self::LegacyWs, "start") => {
                ClientMessage::Start(frame.id()?, frame.operation(self)?)
            }
            (Self::TransportWs, "complete") | (Self::LegacyWs, "stop") => ClientMessage::Stop(frame.required("id")?),
            (Self::TransportWs, "ping") => frame.parameters().map(|_| ClientMessage::Ping)?,
            (Self::TransportWs, "pong") => frame.parameters().map(|_| ClientMessage::Pong)?,
            (Self::LegacyWs, "connection_terminate") => ClientMessage::Terminate,
            (_, unknown) => return Err(format!("Invalid message: unknown type {:?}", shortened(unknown))),
        };
        Ok(message)
    }

    /// The acknowledgement of `connection_init`. `cursor` is where the client can resume.
    pub fn acknowledge(self, cursor: Cursor) -> String {
        format!(r#"{{"type":"connection_ack","payload":{{"cursor":"{cursor}"}}}}"#)
    }

    /// A check that the client is alive. All subscriptions have been served up to `cursor`. The legacy protocol has no
    /// ping; its keep-alive gets no response.
    pub fn ping(self, cursor: Cursor) -> String {
        let kind = match self {
            Self::TransportWs => "ping",
            Self::LegacyWs => "ka",
        };
        format!(r#"{{"type":"{kind}","payload":{{"cursor":"{cursor}"}}}}"#)
    }

    /// The response to a ping.
    pub fn pong(self) -> String {
        r#"{"type":"pong"}"#.into()
    }

    /// Writes an item or a response of an operation. `id` is already encoded as JSON.
    pub fn next(self, id: &str, payload: &ResponseText, write_buffer: &mut WriteBuffer) {
        let kind = match self {
            Self::TransportWs => "next",
            Self::LegacyWs => "data",
        };
        if payload.len() > SMALL {
            let before = [r#"{"id":"#, id, r#","type":""#, kind, r#"","payload":"#];
            return write_buffer.push_around(&before, Bytes::from_owner(payload.clone()), "}");
        }
        write_buffer.push(&[r#"{"id":"#, id, r#","type":""#, kind, r#"","payload":"#, payload, "}"]);
    }

    /// The message that an operation failed. It ends the operation.
    pub fn error(self, id: &str, errors: &Value) -> String {
        // The payload is one error in the legacy protocol, and a list in the other.
        let payload = match self {
            Self::TransportWs => errors,
            Self::LegacyWs => errors.get(0).unwrap_or(errors),
        };
        format!(r#"{{"id":{id},"type":"error","payload":{payload}}}"#)
    }

    /// The message that an operation is complete.
    pub fn complete(self, id: &str) -> String {
        format!(r#"{{"id":{id},"type":"complete"}}"#)
    }

    /// The message that rejects `connection_init`. Only the legacy protocol has one; the other only closes.
    pub fn reject(self, message: &str) -> Option<String> {
        let payload = serde_json::json!({ "type": "connection_error", "payload": { "message": message } });
        (self == Self::LegacyWs).then(|| payload.to_string())
    }
}

/// The unparsed fields of a message. Of a repeated field the last value counts, as in JavaScript's `JSON.parse`.
struct Frame(BTreeMap<String, Box<RawValue>>);

impl Frame {
    fn parse(text: &str) -> Result<Self, String> {
        // Only objects are accepted. serde would also accept an array that has the fields in order.
        if !text.trim_start().starts_with('{') {
            return Err("Invalid message: not a JSON object".into());
        }
        serde_json::from_str(text).map(Self).map_err(|error| format!("Invalid message: {error}"))
    }

    /// A field that is present and not null.
    fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.get()).filter(|value| *value != "null")
    }

    fn required<T: DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        let value = self.field(name).ok_or_else(|| format!("Invalid message: {name} is missing"))?;
        serde_json::from_str(value).map_err(|error| format!("Invalid message: {name} is invalid: {error}"))
    }

    fn id(&self) -> Result<String, String> {
        match self.required::<String>("id")? {
            id if id.is_empty() => Err("Invalid message: the id of an operation must not be empty".into()),
            id if id.len() > MAX_ID => {
                Err(format!("Invalid message: the id of an operation has at most {MAX_ID} bytes"))
            }
            id => Ok(id),
        }
    }

    /// The payload of a message that is no operation; empty if absent.
    fn parameters(&self) -> Result<Map<String, Value>, String> {
        if self.field("payload").is_none() { Ok(Map::new()) } else { self.required("payload") }
    }

    /// The request in the payload of an operation. For a parameter of a wrong type, `graphql-transport-ws` demands a
    /// close. The legacy protocol has no such rule, so there only the operation fails.
    fn operation(&self, subprotocol: Subprotocol) -> Result<Result<Box<Request>, Rejection>, String> {
        let payload = self.field("payload").filter(|payload| payload.starts_with('{'));
        let payload = payload.ok_or("Invalid message: payload must be an object")?;
        match Request::from_json(payload) {
            Ok(request) => Ok(Ok(Box::new(request))),
            Err(Unreadable::Form(message)) if subprotocol == Subprotocol::TransportWs => {
                Err(format!("Invalid message: {message}"))
            }
            Err(unreadable) => Ok(Err(unreadable.refusal())),
        }
    }
}

/// The first 40 characters of a text that may be long, for error messages.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}
