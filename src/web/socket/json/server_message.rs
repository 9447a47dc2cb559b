//! Formats the server's messages of the plain JSON protocol. `docs/json-socket.schema.json` specifies them, and a test
//! validates every message against it.

use serde::Serialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::client_message::{RoomEvents, Subject};
use crate::error::Error;
use crate::hub::LiveEvent;
use crate::model::{AppEvent, Comment, Cursor, EventBody, EventKind, Message, Metric, Notification, Signal};

/// An enum value in lower case, such as `high` or `in_progress`.
fn lower_case(value: impl Serialize) -> Value {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name.to_lowercase().into(),
        _ => Value::Null,
    }
}

/// A message with the fields that name the target of a subscription.
fn about(kind: &str, subject: Subject) -> Value {
    let channel = |name: &str| json!({ "type": kind, "channel": name });
    match subject {
        Subject::Notifications => channel("notifications"),
        Subject::Dashboard => channel("dashboard_updates"),
        Subject::Tickets => channel("tickets"),
        Subject::Ticket(id) => json!({ "type": kind, "ticket_id": id.to_string() }),
    }
}

/// The confirmation of a subscription.
pub fn subscribed(subject: Subject) -> Utf8Bytes {
    text(about("subscribed", subject))
}

/// The confirmation that a subscription has ended.
pub fn unsubscribed(subject: Subject) -> Utf8Bytes {
    text(about("unsubscribed", subject))
}

/// The confirmation that the client receives the events of a room.
pub fn joined(room: &str) -> Utf8Bytes {
    text(json!({ "type": "joined", "room": room }))
}

/// The confirmation that the subscription to a room has ended.
pub fn left(room: &str) -> Utf8Bytes {
    text(json!({ "type": "left", "room": room }))
}

/// The confirmation that the client receives the application events of a room.
pub fn following(wanted: &RoomEvents) -> Utf8Bytes {
    text(json!({ "type": "subscribed", "room": wanted.room, "events": wanted.events }))
}

/// The confirmation that the subscription to the application events of a room has ended.
pub fn unfollowed(room: &str) -> Utf8Bytes {
    text(json!({ "type": "unsubscribed", "room": room }))
}

/// The confirmation that the client's event was committed.
pub fn published(key: Option<&str>, cursor: Cursor) -> Utf8Bytes {
    text(json!({ "type": "published", "key": key, "cursor": cursor }))
}

/// The confirmation that the client's message was committed.
pub fn sent(key: Option<&str>, message: &Message) -> Utf8Bytes {
    text(json!({
        "type": "sent", "key": key, "id": message.id.to_string(), "cursor": message.cursor,
    }))
}

/// The response to a ping: all subscriptions have been served up to `cursor`.
pub fn pong(cursor: Cursor) -> Utf8Bytes {
    text(json!({ "type": "pong", "cursor": cursor }))
}

/// The fields that name what an error is about, so that the client can match the error to its own message.
#[derive(Debug, Clone, Default)]
pub struct ErrorContext(pub Vec<(&'static str, String)>);

impl ErrorContext {
    /// The context of an error about a room.
    pub fn room(room: &str) -> Self {
        Self(vec![("room", room.to_owned())])
    }

    /// The context of an error about a subscription.
    pub fn subject(subject: Subject) -> Self {
        let about = about("error", subject);
        let fields = ["channel", "ticket_id"].into_iter();
        Self(fields.filter_map(|name| Some((name, about.get(name)?.as_str()?.to_owned()))).collect())
    }
}

/// An error message. The connection stays open.
pub fn error(error: &Error, context: &ErrorContext) -> Utf8Bytes {
    let json = crate::graphql::to_json(error);
    let mut frame = json!({ "type": "error", "code": error.code(), "message": json["message"] });
    for (name, value) in &context.0 {
        frame[*name] = value.as_str().into();
    }
    let fields = [("field", "field"), ("oldest", "oldest"), ("id", "id"), ("retryAfterMs", "retry_after_ms")];
    for (name, frame_name) in fields {
        if let Some(value) = json["extensions"].get(name) {
            // In this protocol these fields have other names than in GraphQL.
            frame[frame_name] = match value.as_str() {
                Some("content") => "text".into(),
                Some("idempotencyKey") => "key".into(),
                Some("name") => "room".into(),
                _ => value.clone(),
            };
        }
    }
    text(frame)
}

/// The current value of a metric.
pub fn metric(metric: &Metric) -> Utf8Bytes {
    // Whole numbers are written without a fraction, as far as `f64` represents them exactly.
    let is_whole = metric.value.fract() == 0.0 && metric.value.abs() < 9e15;
    let value = if is_whole { json!(metric.value as i64) } else { json!(metric.value) };
    text(json!({ "type": "update", "metric": metric.name, "value": value }))
}

/// A notification of the viewer.
pub fn notification(notification: &Notification) -> Utf8Bytes {
    text(json!({
        "type": "notification",
        "id": notification.id.to_string(),
        "title": notification.title,
        "message": notification.message,
        "priority": lower_case(notification.priority),
        "created_at": notification.created_at,
        "cursor": notification.cursor,
    }))
}

/// An event of a room; `None` if the protocol has no message for it. Anonymous clients get no usernames.
pub fn of_room(event: &LiveEvent, room: &str, username: Option<&str>) -> Option<Utf8Bytes> {
    let frame = match (event.kind, event.body()?) {
        (kind, EventBody::Message(message)) => {
            let mut frame = json!({
                "type": "message",
                "room": room,
                "id": message.id.to_string(),
                "text": message.content,
                "user": { "id": message.author_id.to_string(), "username": username },
                "created_at": message.created_at,
                "cursor": event.cursor,
            });
            if kind == EventKind::MessageUpdated {
                frame["type"] = "message_updated".into();
                frame["updated_at"] = json!(message.updated_at);
            }
            frame
        }
        (EventKind::MessageDeleted, _) => json!({
            "type": "message_deleted", "room": room, "id": event.object.to_string(), "cursor": event.cursor,
        }),
        (EventKind::RoomBroadcast, _) => {
            // Copied as is: parsing into a `Value` would change large numbers and the order of keys.
            let (data, cursor) = (event.payload.as_deref()?, event.cursor);
            let room = Value::from(room);
            let frame = format!(r#"{{"type":"update","room":{room},"data":{data},"cursor":"{cursor}"}}"#);
            return Some(frame.into());
        }
        _ => return None,
    };
    Some(text(frame))
}

/// A signal to those who are in a room. Anonymous clients get no usernames.
pub fn signal(signal: &Signal, room: &str, username: Option<&str>) -> Utf8Bytes {
    let (room, kind) = (Value::from(room), Value::from(&*signal.signal_type));
    let user = json!({ "id": signal.user.to_string(), "username": username });
    // The data is copied as is.
    let data = signal.data.as_deref().unwrap_or("null");
    format!(r#"{{"type":"signal","room":{room},"signal":{kind},"data":{data},"user":{user}}}"#).into()
}

/// An application event of a room; `None` for another kind of event.
pub fn of_app_event(event: &LiveEvent, room: &str) -> Option<Utf8Bytes> {
    // The event must still exist.
    event.body()?;
    let event = AppEvent::of(event)?;
    // The data is copied as is: parsing into a `Value` would change large numbers and the order of keys.
    let (room, app_type, cursor) = (Value::from(room), Value::from(&*event.app_type), event.cursor);
    let (data, created_at) = (&event.data, event.at.rfc3339());
    let frame = format!(
        r#"{{"type":"event","room":{room},"event":{app_type},"data":{data},"created_at":"{created_at}","cursor":"{cursor}"}}"#
    );
    Some(frame.into())
}

/// An event of a ticket; `None` if the protocol has no message for it.
pub fn of_ticket(event: &LiveEvent) -> Option<Utf8Bytes> {
    let cursor = event.cursor;
    let frame = match (event.kind, event.body()?) {
        (EventKind::MessageAdded, EventBody::Message(message)) => {
            json!({ "type": "ticket_created", "ticket": ticket(&message)?, "cursor": cursor })
        }
        (_, EventBody::Message(message)) => {
            json!({ "type": "ticket_updated", "ticket": ticket(&message)?, "cursor": cursor })
        }
        (EventKind::MessageDeleted, _) => {
            json!({ "type": "ticket_deleted", "ticket_id": event.object.to_string(), "cursor": cursor })
        }
        (EventKind::CommentAdded, EventBody::Comment(added)) => json!({
            "type": "comment_added",
            "ticket_id": added.message_id.to_string(),
            "comment": comment(&added),
            "cursor": cursor,
        }),
        _ => return None,
    };
    Some(text(frame))
}

fn ticket(message: &Message) -> Option<Value> {
    let ticket = message.ticket?;
    Some(json!({
        "id": message.id.to_string(),
        "title": message.title,
        "content": message.content,
        "status": lower_case(ticket.status),
        "priority": lower_case(ticket.priority),
        "assignee_id": ticket.assignee_id.map(|id| id.to_string()),
        "author_id": message.author_id.to_string(),
        "channel_id": message.channel_id.to_string(),
        "created_at": message.created_at,
        "updated_at": message.updated_at,
    }))
}

fn comment(comment: &Comment) -> Value {
    json!({
        "id": comment.id.to_string(),
        "content": comment.content,
        "author_id": comment.author_id.to_string(),
        "created_at": comment.created_at,
    })
}

fn text(frame: Value) -> Utf8Bytes {
    frame.to_string().into()
}
