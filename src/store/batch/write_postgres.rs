//! Writes the effects of a batch to PostgreSQL, with one statement.

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, BigInt};
use serde::Serialize;

use super::effects::{AddedNotification, CommentChange, Effects, KeyUse, MessageChange};
use super::numbers::Numbers;
use super::state::{MessageVersion, Versions};
use crate::error::Error;
use crate::model::{
    ChannelId, Comment, CommentId, Cursor, LoggedEvent, Message, MessageId, NotificationId, Tag, Timestamp, UserId,
};
use crate::store::idempotency::CreatedObject;
use crate::store::log::{EventRow, Head};
use crate::store::outbox;
use crate::store::sql_template::{Parameter, TemplateStatement};

/// The log head before the batch, the time of its events, and the ids of new messages, comments and notifications.
type WrittenColumns = (BigInt, BigInt, Array<BigInt>, Array<BigInt>, Array<BigInt>);

/// What a batch was decided on.
pub struct Basis<'a> {
    pub head: &'a Head,
    pub versions: &'a Versions,
    pub tag: Tag,
    pub now: Timestamp,
}

/// Writes the effects. Returns `None` if a row or a permission that commands have decided on has changed since it was
/// read, or an instance has given up a lost batch: then nothing was written.
pub fn write(connection: &mut PgConnection, effects: &Effects, basis: &Basis<'_>) -> QueryResult<Option<Numbers>> {
    let statement = TemplateStatement::<WrittenColumns>::new(
        include_str!("write_postgres.sql"),
        |part| is_needed(effects, basis.versions, part),
        |name| parameter(effects, basis, name),
    );
    let statement = statement.map_err(|error| DieselError::SerializationError(Box::new(error)))?;
    let written = statement.get_result(connection).optional();
    let numbers = |(base, at, messages, comments, notifications)| Numbers {
        base: Some(base),
        at,
        messages,
        comments,
        notifications,
        single: None,
        users: Vec::new(),
    };
    match written {
        Err(error) if is_conflict(&error) => Ok(None),
        written => Ok(written?.map(numbers)),
    }
}

/// Whether the error means that another batch was faster. It has changed a row that this batch has decided on
/// (`end_if_changed` in the statement), or used the same idempotency key.
fn is_conflict(error: &DieselError) -> bool {
    matches!(error, DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
}

/// Whether the statement needs this part.
fn is_needed(effects: &Effects, versions: &Versions, part: &str) -> bool {
    !match part {
        "message_versions" => versions.messages.is_empty(),
        "comment_versions" => versions.comments.is_empty(),
        "new_messages" => effects.messages.is_empty(),
        "changed_messages" => effects.message_changes.is_empty(),
        "new_comments" => effects.comments.is_empty(),
        "changed_comments" => effects.comment_changes.is_empty(),
        "new_notifications" => effects.notifications.is_empty(),
        "read_notifications" => effects.read_notifications.is_empty() && effects.read_announcements.is_empty(),
        "keys" => effects.keys.is_empty(),
        "read_markers" => effects.read_markers.is_empty(),
        "metrics" => effects.metrics.is_empty(),
        "outbox" => effects.outbox.is_empty(),
        "rejections" => effects.rejections.is_empty(),
        "new_events" => effects.events.is_empty(),
        _ => true,
    }
}

/// A parameter of the statement.
fn parameter(effects: &Effects, basis: &Basis<'_>, name: &str) -> Result<Parameter, Error> {
    let Basis { head, versions, tag, now } = basis;
    let count = |length: usize| Parameter::Number(i64::try_from(length).unwrap_or(i64::MAX));
    Ok(match name {
        "tag" => Parameter::Number(tag.0),
        "now" => Parameter::Number(now.0),
        "events" => Parameter::Number(effects.counts().events),
        "access_offset" => Parameter::Number(effects.access_offset()),
        "at" => Parameter::Number(head.at.max(*now).0),
        "access_head" => Parameter::Number(head.access.0),
        "fence" => Parameter::Number(head.fence),
        "message_versions" => json(versions.messages.iter().map(MessageVersionJson::of))?,
        "comment_versions" => json(versions.comments.iter().map(CommentVersionJson::of))?,
        "message_version_count" => count(versions.messages.len()),
        "comment_version_count" => count(versions.comments.len()),
        "new_messages" => json(effects.messages.iter().map(MessageJson::of))?,
        "audiences" => json(effects.messages.iter().flat_map(AudienceJson::of))?,
        "updated_messages" => json(effects.message_changes.values().filter_map(MessageJson::of_change))?,
        "deleted_messages" => {
            let deleted = effects.message_changes.iter().filter(|(_, change)| matches!(change, MessageChange::Delete));
            Parameter::Numbers(deleted.map(|(id, _)| id.0).collect())
        }
        "new_comments" => json(effects.comments.iter().map(CommentJson::of))?,
        "updated_comments" => json(effects.comment_changes.values().filter_map(CommentJson::of_change))?,
        "deleted_comments" => {
            let deleted = effects.comment_changes.iter().filter(|(_, change)| matches!(change, CommentChange::Delete));
            Parameter::Numbers(deleted.map(|(id, _)| id.0).collect())
        }
        "new_notifications" => json(effects.notifications.iter().map(NotificationJson::of))?,
        "read_notifications" => Parameter::Numbers(effects.read_notifications.iter().map(|(id, _)| id.0).collect()),
        "read_announcements" => json(effects.read_announcements.iter().map(ReadJson::of))?,
        "keys" => json(effects.keys.iter().map(KeyJson::of))?,
        "read_markers" => json(effects.read_markers.iter().map(MarkerJson::of))?,
        "metrics" => {
            json(effects.metrics.values().map(|metric| MetricJson { name: &metric.name, value: metric.value }))?
        }
        "outbox" => Parameter::Numbers(effects.outbox.clone()),
        "outbox_count" => count(effects.outbox.len()),
        "rejections" => json(effects.rejections.iter())?,
        "kept_data" => Parameter::Number(outbox::kept_data()),
        "new_events" => json(effects.events.iter().map(|LoggedEvent { event, .. }| EventRow::new(event)))?,
        _ => return Err(Error::internal(format!("the statement has an unknown parameter {name}"))),
    })
}

/// A JSON list of rows.
fn json<R: Serialize>(rows: impl Iterator<Item = R>) -> Result<Parameter, Error> {
    let rows: Vec<R> = rows.collect();
    serde_json::to_string(&rows).map(Parameter::Text).map_err(Error::internal)
}

#[derive(Serialize)]
struct MessageVersionJson {
    id: i64,
    seq: Option<i64>,
    tag: Option<i64>,
    is_ticket: bool,
    assignee_id: Option<i64>,
}

impl MessageVersionJson {
    fn of((id, version): (&MessageId, &MessageVersion)) -> Self {
        Self {
            id: id.0,
            seq: version.cursor.map(|cursor| cursor.seq.0),
            tag: version.cursor.map(|cursor| cursor.tag.0),
            is_ticket: version.is_ticket,
            assignee_id: version.assignee.map(|id| id.0),
        }
    }
}

#[derive(Serialize)]
struct CommentVersionJson {
    id: i64,
    seq: i64,
    tag: i64,
}

impl CommentVersionJson {
    fn of((id, cursor): (&CommentId, &Cursor)) -> Self {
        Self { id: id.0, seq: cursor.seq.0, tag: cursor.tag.0 }
    }
}

#[derive(Serialize)]
struct MessageJson<'a> {
    number: i64,
    channel_id: i64,
    title: Option<&'a str>,
    content: &'a str,
    author_id: i64,
    restricted: bool,
    ticket_status: Option<i16>,
    ticket_priority: Option<i16>,
    assignee_id: Option<i64>,
    seq: i64,
}

impl<'a> MessageJson<'a> {
    fn of(message: &'a Message) -> Self {
        Self {
            number: message.id.0,
            channel_id: message.channel_id.0,
            title: message.title.as_deref(),
            content: &message.content,
            author_id: message.author_id.0,
            restricted: !message.audience.is_unrestricted(),
            ticket_status: message.ticket.map(|ticket| ticket.status.code()),
            ticket_priority: message.ticket.map(|ticket| ticket.priority.code()),
            assignee_id: message.ticket.and_then(|ticket| ticket.assignee_id).map(|id| id.0),
            seq: message.cursor.seq.0,
        }
    }

    fn of_change(change: &'a MessageChange) -> Option<Self> {
        match change {
            MessageChange::Update(message) => Some(Self::of(message)),
            MessageChange::Delete => None,
        }
    }
}

#[derive(Serialize)]
struct AudienceJson {
    number: i64,
    location_id: i64,
}

impl AudienceJson {
    fn of(message: &Message) -> impl Iterator<Item = Self> {
        message.audience.0.iter().map(|location| Self { number: message.id.0, location_id: location.0 })
    }
}

#[derive(Serialize)]
struct CommentJson<'a> {
    number: i64,
    message_id: i64,
    content: &'a str,
    author_id: i64,
    seq: i64,
}

impl<'a> CommentJson<'a> {
    fn of(comment: &'a Comment) -> Self {
        Self {
            number: comment.id.0,
            message_id: comment.message_id.0,
            content: &comment.content,
            author_id: comment.author_id.0,
            seq: comment.cursor.seq.0,
        }
    }

    fn of_change(change: &'a CommentChange) -> Option<Self> {
        match change {
            CommentChange::Update(comment) => Some(Self::of(comment)),
            CommentChange::Delete => None,
        }
    }
}

#[derive(Serialize)]
struct NotificationJson<'a> {
    number: i64,
    user_id: Option<i64>,
    title: &'a str,
    before: &'a str,
    after: Option<&'a str>,
    priority: i16,
    message_id: Option<i64>,
    seq: i64,
    actor_id: i64,
}

impl<'a> NotificationJson<'a> {
    fn of(added: &'a AddedNotification) -> Self {
        let AddedNotification { notification, actor, around_id } = added;
        let (before, after) = match around_id {
            Some([before, after]) => (before.as_str(), Some(after.as_str())),
            None => (notification.message.as_str(), None),
        };
        Self {
            number: notification.id.0,
            user_id: notification.user_id.map(|id| id.0),
            title: &notification.title,
            before,
            after,
            priority: notification.priority.code(),
            message_id: notification.message_id.map(|id| id.0),
            seq: notification.cursor.seq.0,
            actor_id: actor.0,
        }
    }
}

#[derive(Serialize)]
struct ReadJson {
    notification_id: i64,
    user_id: i64,
}

impl ReadJson {
    fn of((notification, user): &(NotificationId, UserId)) -> Self {
        Self { notification_id: notification.0, user_id: user.0 }
    }
}

#[derive(Serialize)]
struct KeyJson<'a> {
    author_id: i64,
    key: &'a str,
    digest: &'a str,
    message_number: Option<i64>,
    comment_number: Option<i64>,
    created_user_id: Option<i64>,
}

impl<'a> KeyJson<'a> {
    fn of(used: &'a KeyUse) -> Self {
        let (message_number, comment_number, created_user_id) = match used.object {
            CreatedObject::Message(id) => (Some(id.0), None, None),
            CreatedObject::Comment(id) => (None, Some(id.0), None),
            CreatedObject::User(id) => (None, None, Some(id.0)),
        };
        let (author_id, key, digest) = (used.author.0, &*used.key, &*used.digest);
        Self { author_id, key, digest, message_number, comment_number, created_user_id }
    }
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "these are the names of columns")]
struct MarkerJson {
    user_id: i64,
    channel_id: i64,
    message_id: i64,
}

impl MarkerJson {
    fn of(((user, channel), message): (&(UserId, ChannelId), &MessageId)) -> Self {
        Self { user_id: user.0, channel_id: channel.0, message_id: message.0 }
    }
}

#[derive(Serialize)]
struct MetricJson<'a> {
    name: &'a str,
    value: f64,
}
