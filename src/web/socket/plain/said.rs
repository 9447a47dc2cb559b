//! What clients say in plain JSON, read strictly: whatever is wrong is named by its field. Fields
//! that are not known are left alone, as clients of later versions may send some.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::model::{Cursor, MessageId, repaired};

/// The longest name of a room, and the longest key, in bytes.
const MAX_NAME: usize = 1_000;

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Follow something, from a cursor if one is named.
    Subscribe(Subject, Option<Cursor>),
    /// No longer.
    Unsubscribe(Subject),
    /// Follow a room.
    Join(String, Option<Cursor>),
    /// No longer.
    Leave(String),
    /// Post a message.
    Message(NewText),
    /// How far have I been served?
    Ping,
}

/// What can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// What the viewer is notified of.
    Notifications,
    /// Metrics.
    Dashboard,
    /// All tickets.
    Tickets,
    /// One ticket.
    Ticket(MessageId),
}

/// A message for a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewText {
    /// The room's name.
    pub room: String,
    /// The text.
    pub text: String,
    /// The same key again is the same message.
    pub key: Option<String>,
}

/// Why a frame cannot be read, and by which of its fields the client finds that frame again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// `BAD_USER_INPUT` naming the field.
    pub error: Error,
    /// Those fields of [`IDENTIFYING`] that are in the frame and can be sent back.
    pub fields: Vec<(&'static str, String)>,
}

/// The fields that say which frame an error is about.
const IDENTIFYING: [&str; 4] = ["room", "channel", "ticket_id", "key"];

impl Said {
    /// What a frame says.
    ///
    /// # Errors
    /// [`Unreadable`] if the text is not one JSON object, or a field of it is missing or bad.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        match serde_json::from_str(&repaired(text)) {
            Ok(Value::Object(frame)) => {
                Self::of(&frame).map_err(|error| Unreadable { error, fields: identifying(&frame) })
            }
            _ => Err(Unreadable { error: Error::input("type", "a frame is one JSON object"), fields: Vec::new() }),
        }
    }

    fn of(frame: &Map<String, Value>) -> Result<Self> {
        match required(frame, "type")? {
            "subscribe" => Ok(Self::Subscribe(subject(frame)?, after(frame)?)),
            "unsubscribe" => Ok(Self::Unsubscribe(subject(frame)?)),
            "join_room" => Ok(Self::Join(room(frame)?, after(frame)?)),
            "leave_room" => Ok(Self::Leave(room(frame)?)),
            "message" => Ok(Self::Message(NewText {
                room: room(frame)?,
                text: required(frame, "text")?.to_owned(),
                key: optional(frame, "key")?.map(|key| short("key", key)).transpose()?,
            })),
            "ping" => Ok(Self::Ping),
            unknown => Err(Error::input("type", format!("there is no type {:?}", shortened(unknown)))),
        }
    }
}

/// What can be sent back of the fields that identify a frame: an id that can be one, a text that is neither long nor bad.
fn identifying(frame: &Map<String, Value>) -> Vec<(&'static str, String)> {
    let shown = |field: &'static str| match (field, frame.get(field)?) {
        ("ticket_id", id) => ticket_id(id).ok().filter(|id| id.0 >= 0).map(|id| id.0.to_string()),
        (_, Value::String(text)) => Some(text.clone()).filter(|text| text.len() <= MAX_NAME && !text.contains('\0')),
        _ => None,
    };
    IDENTIFYING.into_iter().filter_map(|field| Some((field, shown(field)?))).collect()
}

fn room(frame: &Map<String, Value>) -> Result<String> {
    short("room", required(frame, "room")?)
}

/// What is kept, or sent back, is no longer than this.
fn short(field: &'static str, text: &str) -> Result<String> {
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

/// A number, or a string of one.
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

/// A cursor as clients send it.
///
/// # Errors
/// `BAD_USER_INPUT` naming `after`.
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

/// The beginning of what may be long.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        for (frame, wrong) in [
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
            (r#"{"type":"message","room":"r","text":"t\u0000"}"#, "text"),
            (r#"{"type":"message","room":"r","text":"t","key":"\u0000"}"#, "key"),
            (r#"{"type":"subscribe","channel":"tickets\u0000"}"#, "channel"),
            (r#"{"type":"ping\u0000"}"#, "type"),
        ] {
            let refusal = Said::parse(frame).map_err(|unreadable| unreadable.error);
            let Err(Error::BadInput { field, .. }) = refusal else { panic!("{frame} was taken") };
            assert_eq!(field, wrong, "{frame}");
        }
    }

    #[test]
    fn a_frame_that_cannot_be_read_is_found_again_by_what_it_names() {
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
            let unreadable = Said::parse(frame).expect_err(frame);
            let found: Vec<_> = unreadable.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(found, fields, "{frame}");
        }
    }

    #[test]
    fn ids_are_numbers_or_strings() {
        for id in ["1", "\"1\""] {
            let said = Said::parse(&format!(r#"{{"type":"subscribe","ticket_id":{id},"later":true}}"#)).unwrap();
            assert_eq!(said, Said::Subscribe(Subject::Ticket(MessageId(1)), None));
        }
    }
}
