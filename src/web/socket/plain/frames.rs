//! What is said to clients in plain JSON. The shapes are written down for them in
//! `docs/json-socket.schema.json`; a test holds every frame against it.

use serde::Serialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::said::Subject;
use crate::error::Error;
use crate::hub::LiveEvent;
use crate::model::{Body, Comment, Cursor, EventKind, Message, Metric, Notification};

/// `high`, `in_progress`: the words of the lists in lower case.
fn word(value: impl Serialize) -> Value {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word.to_lowercase().into(),
        _ => Value::Null,
    }
}

/// A frame with what it is about.
fn about(kind: &str, subject: Subject) -> Value {
    let channel = |name: &str| json!({ "type": kind, "channel": name });
    match subject {
        Subject::Notifications => channel("notifications"),
        Subject::Dashboard => channel("dashboard_updates"),
        Subject::Tickets => channel("tickets"),
        Subject::Ticket(id) => json!({ "type": kind, "ticket_id": id.to_string() }),
    }
}

/// You follow this now.
pub fn subscribed(subject: Subject) -> Utf8Bytes {
    text(about("subscribed", subject))
}

/// You follow this no longer.
pub fn unsubscribed(subject: Subject) -> Utf8Bytes {
    text(about("unsubscribed", subject))
}

/// You are in the room.
pub fn joined(room: &str) -> Utf8Bytes {
    text(json!({ "type": "joined", "room": room }))
}

/// You are no longer in the room.
pub fn left(room: &str) -> Utf8Bytes {
    text(json!({ "type": "left", "room": room }))
}

/// Your message is on disk.
pub fn sent(key: Option<&str>, message: &Message) -> Utf8Bytes {
    text(json!({
        "type": "sent", "key": key, "id": message.id.to_string(), "cursor": message.cursor,
    }))
}

/// Up to here every subscription has been served.
pub fn pong(cursor: Cursor) -> Utf8Bytes {
    text(json!({ "type": "pong", "cursor": cursor }))
}

/// What an error is about, for the client to find its own frame again.
#[derive(Debug, Clone, Default)]
pub struct Context(pub Vec<(&'static str, String)>);

impl Context {
    /// About a room.
    pub fn room(room: &str) -> Self {
        Self(vec![("room", room.to_owned())])
    }

    /// About a subscription.
    pub fn subject(subject: Subject) -> Self {
        let about = about("error", subject);
        let named = ["channel", "ticket_id"].into_iter();
        Self(named.filter_map(|name| Some((name, about.get(name)?.as_str()?.to_owned()))).collect())
    }
}

/// Something did not work; the socket stays open.
pub fn error(error: &Error, context: &Context) -> Utf8Bytes {
    let shown = crate::graphql::to_json(error);
    let mut frame = json!({ "type": "error", "code": error.code(), "message": shown["message"] });
    for (name, value) in &context.0 {
        frame[*name] = value.as_str().into();
    }
    let known = [("field", "field"), ("oldest", "oldest"), ("id", "id"), ("retryAfterMs", "retry_after_ms")];
    for (name, as_shown) in known {
        if let Some(value) = shown["extensions"].get(name) {
            // The board knows these by other names.
            frame[as_shown] = match value.as_str() {
                Some("content") => "text".into(),
                Some("idempotencyKey") => "key".into(),
                Some("name") => "room".into(),
                _ => value.clone(),
            };
        }
    }
    text(frame)
}

/// A metric has this value.
pub fn metric(metric: &Metric) -> Utf8Bytes {
    // Whole numbers are shown as such.
    let is_whole = metric.value.fract() == 0.0 && metric.value.abs() < 9e15;
    let value = if is_whole { json!(metric.value as i64) } else { json!(metric.value) };
    text(json!({ "type": "update", "metric": metric.name, "value": value }))
}

/// A notification.
pub fn notification(notification: &Notification) -> Utf8Bytes {
    text(json!({
        "type": "notification",
        "id": notification.id.to_string(),
        "title": notification.title,
        "message": notification.message,
        "priority": word(notification.priority),
        "created_at": notification.created_at,
        "cursor": notification.cursor,
    }))
}

/// An event of a room; `None` if it has nothing to show. Who is not signed in reads no names.
pub fn of_room(event: &LiveEvent, room: &str, username: Option<&str>) -> Option<Utf8Bytes> {
    let frame = match (event.kind, event.body()?) {
        (kind, Body::Message(message)) => {
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
            // The data stays as it came: a `Value` would change large numbers and the order of keys.
            let (data, cursor) = (event.payload.as_deref()?, event.cursor);
            let room = Value::from(room);
            let frame = format!(r#"{{"type":"update","room":{room},"data":{data},"cursor":"{cursor}"}}"#);
            return Some(frame.into());
        }
        _ => return None,
    };
    Some(text(frame))
}

/// An event of a ticket; `None` if it has nothing to show.
pub fn of_ticket(event: &LiveEvent) -> Option<Utf8Bytes> {
    let cursor = event.cursor;
    let frame = match (event.kind, event.body()?) {
        (EventKind::MessageAdded, Body::Message(message)) => {
            json!({ "type": "ticket_created", "ticket": ticket(&message)?, "cursor": cursor })
        }
        (_, Body::Message(message)) => {
            json!({ "type": "ticket_updated", "ticket": ticket(&message)?, "cursor": cursor })
        }
        (EventKind::MessageDeleted, _) => {
            json!({ "type": "ticket_deleted", "ticket_id": event.object.to_string(), "cursor": cursor })
        }
        (EventKind::CommentAdded, Body::Comment(written)) => json!({
            "type": "comment_added",
            "ticket_id": written.message_id.to_string(),
            "comment": comment(&written),
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
        "status": word(ticket.status),
        "priority": word(ticket.priority),
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
