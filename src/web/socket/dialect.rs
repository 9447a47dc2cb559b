//! The two sub-protocols: one state machine, two vocabularies.

use juniper_graphql_ws::{graphql_transport_ws as modern, graphql_ws as legacy};

use super::outbox::Outbox;
use crate::graphql::{Request, Variables};
use crate::model::Cursor;

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
    Init(Variables),
    /// Run an operation.
    Start(String, Box<Request>),
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

    /// What a frame says; the error is for the client to read.
    pub fn parse(self, text: &str) -> Result<Said, String> {
        type Scalar = juniper::DefaultScalarValue;
        let wrong = |error: serde_json::Error| format!("Invalid message: {error}");
        let request = |query, operation_name, variables| Box::new(Request { query, operation_name, variables });
        // serde would take a list with the fields in their order, too.
        if !text.trim_start().starts_with('{') {
            return Err("Invalid message: it is no JSON object".into());
        }
        let said = match self {
            Self::Modern => match serde_json::from_str::<modern::ClientMessage<Scalar>>(text).map_err(wrong)? {
                modern::ClientMessage::ConnectionInit { payload } => Said::Init(payload),
                modern::ClientMessage::Subscribe { id, payload } => {
                    Said::Start(id, request(payload.query, payload.operation_name, payload.variables))
                }
                modern::ClientMessage::Complete { id } => Said::Stop(id),
                modern::ClientMessage::Ping { .. } => Said::Ping,
                modern::ClientMessage::Pong { .. } => Said::Pong,
            },
            Self::Legacy => match serde_json::from_str::<legacy::ClientMessage<Scalar>>(text).map_err(wrong)? {
                legacy::ClientMessage::ConnectionInit { payload } => Said::Init(payload),
                legacy::ClientMessage::Start { id, payload } => {
                    Said::Start(id, request(payload.query, payload.operation_name, payload.variables))
                }
                legacy::ClientMessage::Stop { id } => Said::Stop(id),
                legacy::ClientMessage::ConnectionTerminate => Said::Terminate,
            },
        };
        match said {
            Said::Start(id, _) if id.is_empty() => Err("Invalid message: an operation needs an id".into()),
            said => Ok(said),
        }
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
    pub fn next(self, id: &str, payload: &str, outbox: &mut Outbox) {
        let kind = match self {
            Self::Modern => "next",
            Self::Legacy => "data",
        };
        outbox.push(&[r#"{"id":"#, id, r#","type":""#, kind, r#"","payload":"#, payload, "}"]);
    }

    /// An operation failed, and is over.
    pub fn error(self, id: &str, errors: &serde_json::Value) -> String {
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
