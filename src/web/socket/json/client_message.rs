//! Parses messages of the plain JSON protocol. Parsing is strict, and errors name the field. Unknown fields are
//! ignored, because later versions of clients may send more.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::graphql::OperationType;
use crate::model::{Cursor, JsonText, MessageId, TypeFilter, replace_lone_surrogates};

/// The longest room name and the longest idempotency key, in bytes.
const MAX_NAME: usize = 1_000;

/// A message from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonRequest {
    /// Subscribes, from the cursor if there is one.
    Subscribe(Subject, Option<Cursor>),
    /// Ends a subscription.
    Unsubscribe(Subject),
    /// Subscribes to a room and creates the room if needed.
    Join(String, Option<Cursor>),
    /// Ends the subscription to a room.
    Leave(String),
    /// Subscribes to the application events of an existing room.
    Follow(RoomEvents, Option<Cursor>),
    /// Ends the subscription to the application events of a room.
    Unfollow(String),
    /// Publishes an application event in a room.
    Publish(NewRoomEvent),
    /// Sends a signal to those who are in a room.
    Signal(NewRoomSignal),
    /// Posts a message to a room.
    Message(NewRoomMessage),
    /// Asks for the cursor up to which all subscriptions have been served.
    Ping,
}

/// The target of a subscription other than a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The viewer's notifications.
    Notifications,
    /// Metrics.
    Dashboard,
    /// All tickets.
    Tickets,
    /// One ticket.
    Ticket(MessageId),
}

/// A new message for a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRoomMessage {
    /// The name of the room.
    pub room: String,
    /// The content of the message.
    pub text: String,
    /// The idempotency key: a second message with the same key is not posted again.
    pub key: Option<String>,
}

/// The application events of a room that a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomEvents {
    /// The name of the room.
    pub room: String,
    /// The types, as the client sent them.
    pub events: Vec<String>,
    /// The types; `None` for all.
    pub types: Option<TypeFilter>,
}

/// A new signal for a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRoomSignal {
    /// The name of the room.
    pub room: String,
    /// The type of the signal.
    pub signal: String,
    /// The data, as the client sent it.
    pub data: Option<JsonText>,
}

/// A new application event for a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRoomEvent {
    /// The name of the room.
    pub room: String,
    /// The type of the event.
    pub event: String,
    /// The data, as the client sent it.
    pub data: JsonText,
    /// The idempotency key: a second event with the same key is not published.
    pub key: Option<String>,
}

/// An invalid message, with the fields by which the client can match the error to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidJsonRequest {
    /// `BAD_USER_INPUT` with the name of the invalid field.
    pub error: Error,
    /// The fields of [`IDENTIFYING`] that the message contains and that can be returned.
    pub fields: Vec<(&'static str, String)>,
}

/// The fields of a message that are returned with an error.
const IDENTIFYING: [&str; 4] = ["room", "channel", "ticket_id", "key"];

impl JsonRequest {
    /// Parses a message.
    ///
    /// # Errors
    /// [`InvalidJsonRequest`] if the text is not one JSON object, or a field is missing or invalid.
    pub fn parse(text: &str) -> Result<Self, InvalidJsonRequest> {
        let text = replace_lone_surrogates(text);
        match serde_json::from_str(&text) {
            Ok(Value::Object(frame)) => Self::from_frame(&frame, &text)
                .map_err(|error| InvalidJsonRequest { error, fields: identifying(&frame) }),
            _ => Err(InvalidJsonRequest {
                error: Error::input("type", "a message is one JSON object"),
                fields: Vec::new(),
            }),
        }
    }

    /// The name and the kind of the operation that the message starts; `None` if it starts none.
    pub fn operation(&self) -> Option<(&'static str, OperationType)> {
        match self {
            Self::Subscribe(..) => Some(("subscribe", OperationType::Subscription)),
            Self::Join(..) => Some(("join_room", OperationType::Subscription)),
            Self::Follow(..) => Some(("subscribe", OperationType::Subscription)),
            Self::Message(_) => Some(("message", OperationType::Mutation)),
            Self::Publish(_) => Some(("publish", OperationType::Mutation)),
            Self::Signal(_) => Some(("signal", OperationType::Mutation)),
            Self::Unsubscribe(_) | Self::Unfollow(_) | Self::Leave(_) | Self::Ping => None,
        }
    }

    /// The message in a frame, whose text is needed for JSON that must not change.
    fn from_frame(frame: &Map<String, Value>, text: &str) -> Result<Self> {
        match required(frame, "type")? {
            "subscribe" if names_room(frame) => Ok(Self::Follow(room_events(frame)?, after(frame)?)),
            "unsubscribe" if names_room(frame) => Ok(Self::Unfollow(room(frame)?)),
            "signal" => Ok(Self::Signal(NewRoomSignal {
                room: room(frame)?,
                signal: required(frame, "signal")?.to_owned(),
                data: data(text)?,
            })),
            "publish" => Ok(Self::Publish(NewRoomEvent {
                room: room(frame)?,
                event: required(frame, "event")?.to_owned(),
                data: data(text)?.ok_or_else(|| Error::input("data", "data is missing or null"))?,
                key: key(frame)?,
            })),
            "subscribe" => Ok(Self::Subscribe(subject(frame)?, after(frame)?)),
            "unsubscribe" => Ok(Self::Unsubscribe(subject(frame)?)),
            "join_room" => Ok(Self::Join(room(frame)?, after(frame)?)),
            "leave_room" => Ok(Self::Leave(room(frame)?)),
            "message" => Ok(Self::Message(NewRoomMessage {
                room: room(frame)?,
                text: required(frame, "text")?.to_owned(),
                key: key(frame)?,
            })),
            "ping" => Ok(Self::Ping),
            unknown => Err(Error::input("type", format!("there is no type {:?}", shortened(unknown)))),
        }
    }
}

/// The identifying fields that can be returned: valid ids, and texts within the length limit without NUL characters.
fn identifying(frame: &Map<String, Value>) -> Vec<(&'static str, String)> {
    let value_of = |field: &'static str| match (field, frame.get(field)?) {
        ("ticket_id", id) => ticket_id(id).ok().filter(|id| id.0 >= 0).map(|id| id.0.to_string()),
        (_, Value::String(text)) => Some(text.clone()).filter(|text| text.len() <= MAX_NAME && !text.contains('\0')),
        _ => None,
    };
    IDENTIFYING.into_iter().filter_map(|field| Some((field, value_of(field)?))).collect()
}

fn room(frame: &Map<String, Value>) -> Result<String> {
    limited("room", required(frame, "room")?)
}

fn key(frame: &Map<String, Value>) -> Result<Option<String>> {
    optional(frame, "key")?.map(|key| limited("key", key)).transpose()
}

/// Whether a subscription is to the events of a room. A frame that also names a channel or a ticket is about that.
fn names_room(frame: &Map<String, Value>) -> bool {
    frame.contains_key("room") && !frame.contains_key("channel") && !frame.contains_key("ticket_id")
}

/// The room and the types of a subscription to application events.
fn room_events(frame: &Map<String, Value>) -> Result<RoomEvents> {
    let room = room(frame)?;
    let invalid = || Error::input("events", "events must be a list of types");
    let pattern = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(invalid);
    let events = match frame.get("events") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list.iter().map(pattern).collect::<Result<_>>()?,
        Some(_) => return Err(invalid()),
    };
    let types = TypeFilter::parse(&events).map_err(|why| Error::input("events", why))?;
    Ok(RoomEvents { room, events, types })
}

/// The field `data` of a frame. It is read from the text, because a `Value` changes large numbers and the order of keys.
fn data(text: &str) -> Result<Option<JsonText>> {
    #[derive(Deserialize)]
    struct WithData<'a> {
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }
    let frame: Option<WithData<'_>> = serde_json::from_str(text).ok();
    let data = frame.and_then(|frame| frame.data).map(|data| JsonText::parse(data.get()));
    data.transpose().map_err(|why| Error::input("data", why))
}

/// A text within the length limit. The limit holds for texts that are stored or returned.
fn limited(field: &'static str, text: &str) -> Result<String> {
    if text.len() > MAX_NAME {
        return Err(Error::input(field, format!("{field} has at most {MAX_NAME} bytes")));
    }
    Ok(text.to_owned())
}

fn subject(frame: &Map<String, Value>) -> Result<Subject> {
    match (frame.get("ticket_id").filter(|id| !id.is_null()), optional(frame, "channel")?) {
        (Some(id), None) => Ok(Subject::Ticket(ticket_id(id)?)),
        (None, Some("notifications")) => Ok(Subject::Notifications),
        (None, Some("dashboard_updates")) => Ok(Subject::Dashboard),
        (None, Some("tickets")) => Ok(Subject::Tickets),
        (None, Some(unknown)) => Err(Error::input(
            "channel",
            format!("there is no channel {:?}: use notifications, dashboard_updates or tickets", shortened(unknown)),
        )),
        (None, None) => Err(Error::input("channel", "channel or ticket_id is missing")),
        (Some(_), Some(_)) => Err(Error::input("ticket_id", "use either channel or ticket_id")),
    }
}

/// Parses a ticket id, which may be a number or a string of digits.
fn ticket_id(value: &Value) -> Result<MessageId> {
    let id = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok().filter(|number: &i64| number.to_string() == *text),
        _ => None,
    };
    id.map(MessageId).ok_or_else(|| Error::input("ticket_id", "ticket_id must be a whole number, as ids are given out"))
}

fn after(frame: &Map<String, Value>) -> Result<Option<Cursor>> {
    optional(frame, "after")?.map(cursor).transpose()
}

/// Parses a cursor.
///
/// # Errors
/// `BAD_USER_INPUT` for the field `after`.
pub fn cursor(text: &str) -> Result<Cursor> {
    text.parse().map_err(|_| Error::input("after", "not a cursor of the log"))
}

fn required<'f>(frame: &'f Map<String, Value>, field: &'static str) -> Result<&'f str> {
    optional(frame, field)?.ok_or_else(|| Error::input(field, format!("{field} is missing")))
}

fn optional<'f>(frame: &'f Map<String, Value>, field: &'static str) -> Result<Option<&'f str>> {
    match frame.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.contains('\0') => {
            Err(Error::input(field, format!("{field} must not contain a NUL character")))
        }
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::input(field, format!("{field} must be a string"))),
    }
}

/// The first 40 characters of a text that may be long, for error messages.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_invalid_field() {
        for (frame, expected) in [
            ("", "type"),
            ("[]", "type"),
            ("{}", "type"),
            (r#"{"type":5}"#, "type"),
            (r#"{"type":"dance"}"#, "type"),
            (r#"{"type":"subscribe"}"#, "channel"),
            (r#"{"type":"subscribe","channel":"weather"}"#, "channel"),
            (r#"{"type":"subscribe","channel":"tickets","after":"yesterday"}"#, "after"),
            (r#"{"type":"subscribe","ticket_id":"01"}"#, "ticket_id"),
            (r#"{"type":"subscribe","ticket_id":1,"channel":"tickets"}"#, "ticket_id"),
            (r#"{"type":"join_room"}"#, "room"),
            (r#"{"type":"message","room":"r"}"#, "text"),
            (r#"{"type":"message","room":"r","text":"t","key":1}"#, "key"),
            (r#"{"type":"join_room","room":"a\u0000b"}"#, "room"),
            (r#"{"type":"leave_room","room":"\u0000"}"#, "room"),
            (r#"{"type":"publish","event":"e","data":1}"#, "room"),
            (r#"{"type":"publish","room":"r","data":1}"#, "event"),
            (r#"{"type":"publish","room":"r","event":"e"}"#, "data"),
            (r#"{"type":"publish","room":"r","event":"e","data":null}"#, "data"),
            (r#"{"type":"publish","room":"r","event":"e","data":1,"key":2}"#, "key"),
            (r#"{"type":"subscribe","room":"r","events":"order.*"}"#, "events"),
            (r#"{"type":"subscribe","room":"r","events":[1]}"#, "events"),
            (r#"{"type":"subscribe","room":"r","events":["*"]}"#, "events"),
            (r#"{"type":"subscribe","room":"r","events":[],"after":"yesterday"}"#, "after"),
            (r#"{"type":"unsubscribe","room":7}"#, "room"),
            (r#"{"type":"message","room":"r","text":"t\u0000"}"#, "text"),
            (r#"{"type":"message","room":"r","text":"t","key":"\u0000"}"#, "key"),
            (r#"{"type":"subscribe","channel":"tickets\u0000"}"#, "channel"),
            (r#"{"type":"ping\u0000"}"#, "type"),
        ] {
            let refusal = JsonRequest::parse(frame).map_err(|unreadable| unreadable.error);
            let Err(Error::BadInput { field, .. }) = refusal else { panic!("{frame} was accepted") };
            assert_eq!(field, expected, "{frame}");
        }
    }

    #[test]
    fn errors_return_the_identifying_fields_of_the_message() {
        let long = "n".repeat(MAX_NAME + 1);
        for (frame, fields) in [
            (r#"{"type":"message","room":"r","text":"t\u0000","key":"k"}"#, &[("room", "r"), ("key", "k")][..]),
            (r#"{"type":"message","room":"r","text":5,"key":"k"}"#, &[("room", "r"), ("key", "k")]),
            (r#"{"type":"message","room":"r","key":"k"}"#, &[("room", "r"), ("key", "k")]),
            (r#"{"type":"message","room":7,"text":"t","key":"k"}"#, &[("key", "k")]),
            (r#"{"type":"message","room":"r","text":"t","key":"\u0000"}"#, &[("room", "r")]),
            (r#"{"type":"message","room":"r\u0000","text":"t","key":"k"}"#, &[("key", "k")]),
            (r#"{"type":"join_room","room":"r","after":"yesterday"}"#, &[("room", "r")]),
            (r#"{"type":"subscribe","channel":"tickets","after":5}"#, &[("channel", "tickets")]),
            (r#"{"type":"subscribe","ticket_id":12,"after":"yesterday"}"#, &[("ticket_id", "12")]),
            (r#"{"type":"subscribe","ticket_id":"12","after":"yesterday"}"#, &[("ticket_id", "12")]),
            (r#"{"type":"subscribe","ticket_id":-1,"after":"yesterday"}"#, &[]),
            (
                r#"{"type":"subscribe","ticket_id":1,"channel":"tickets"}"#,
                &[("channel", "tickets"), ("ticket_id", "1")],
            ),
            (r#"{"type":"dance","room":"r"}"#, &[("room", "r")]),
            (r#"{"type":"message","room":"r","text":"t","key":"k""#, &[]),
            (&format!(r#"{{"type":"message","room":"{long}","text":"t","key":"k"}}"#), &[("key", "k")]),
            (&format!(r#"{{"type":"message","room":"r","text":"t","key":"{long}"}}"#), &[("room", "r")]),
        ] {
            let unreadable = JsonRequest::parse(frame).expect_err(frame);
            let found: Vec<_> = unreadable.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(found, fields, "{frame}");
        }
    }

    #[test]
    fn ticket_ids_may_be_numbers_or_strings() {
        for id in ["1", "\"1\""] {
            let message =
                JsonRequest::parse(&format!(r#"{{"type":"subscribe","ticket_id":{id},"later":true}}"#)).unwrap();
            assert_eq!(message, JsonRequest::Subscribe(Subject::Ticket(MessageId(1)), None));
        }
    }
}
