//! Reads the rows of a batch from PostgreSQL, with one statement that returns them as JSON.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::Text;
use serde::Deserialize;

use super::needs::Needs;
use super::state::{BatchRows, NewestMessage};
use crate::error::{Error, Result};
use crate::model::{
    Audience, Channel, ChannelId, Comment, CommentId, Cursor, LocationId, MessageId, Notification, NotificationId,
    OrganizationId, Seq, Tag, Timestamp, User, UserId,
};
use crate::store::app_events::KeyedEvent;
use crate::store::channels::ChannelRow;
use crate::store::comments::CommentRow;
use crate::store::connection::map_error;
use crate::store::idempotency::CreatedObject;
use crate::store::log::Head;
use crate::store::messages::MessageRow;
use crate::store::notifications::NotificationRow;
use crate::store::sql_template::{Parameter, TemplateStatement};
use crate::store::users::UserRow;
use crate::unicode;

/// The result of the statement. A list without rows is NULL.
#[derive(Deserialize)]
struct Found {
    head: (i64, i64, i64, i64, i64),
    applied_tag: Option<i64>,
    keys: Option<Vec<KeyRow>>,
    event_keys: Option<Vec<EventKeyRow>>,
    system_keys: Option<Vec<EventKeyRow>>,
    comments: Option<Vec<CommentRow>>,
    messages: Option<Vec<MessageRow>>,
    audiences: Option<Vec<(i64, i64)>>,
    channels: Option<Vec<ChannelRow>>,
    users: Option<Vec<UserRow>>,
    locations: Option<Vec<(i64, i64)>>,
    locations_of_users: Option<Vec<(i64, i64)>>,
    members: Option<Vec<(i64, i64)>>,
    notifications: Option<Vec<NotificationRow>>,
    read_announcements: Option<Vec<(i64, i64)>>,
    positions: Option<Vec<PositionRow>>,
    oldest: Option<(i64, i64)>,
    metrics: Option<Vec<String>>,
    metric_count: Option<i64>,
    outbox: Option<Vec<i64>>,
}

/// The actor, the key, then seq, tag, time and object of the event, and the digest of the input.
type EventKeyRow = (Option<i64>, String, i64, i64, i64, i64, String);

#[derive(Deserialize)]
struct KeyRow {
    author_id: i64,
    key: String,
    digest: String,
    message_id: Option<i64>,
    comment_id: Option<i64>,
    created_user_id: Option<i64>,
}

#[derive(Deserialize)]
struct PositionRow {
    channel_id: i64,
    seq: i64,
    tag: i64,
    found_tag: Option<i64>,
    newest: Option<i64>,
}

/// Reads the log head, with the tag at position `applied`, and the rows. The lookups are left out. `is_locked` tells
/// whether this transaction holds the lock on the log head.
pub fn read(connection: &mut PgConnection, needs: &Needs, applied: Seq, is_locked: bool) -> Result<(Head, BatchRows)> {
    let statement = TemplateStatement::<(Text,)>::new(
        include_str!("read_postgres.sql"),
        |part| is_needed(needs, is_locked, part),
        |name| parameter(needs, applied, name),
    )?;
    let (json,): (String,) = statement.get_result(connection).map_err(map_error)?;
    let found: Found = serde_json::from_str(&json).map_err(Error::internal)?;
    let (seq, tag, at, access, fence) = found.head;
    let head = Head {
        cursor: Cursor { seq: Seq(seq), tag: Tag(tag) },
        at: Timestamp(at),
        access: Seq(access),
        fence,
        applied_tag: found.applied_tag.map(Tag),
    };
    Ok((head, found.rows()?))
}

/// Whether the statement needs this part. Keys can refer to comments, and both can refer to messages.
fn is_needed(needs: &Needs, is_locked: bool, part: &str) -> bool {
    let has_comments = !needs.keys.is_empty() || !needs.comments.is_empty();
    match part {
        "keys" => !needs.keys.is_empty(),
        "event_keys" => needs.event_keys.iter().any(|(actor, _)| actor.is_some()),
        "system_keys" => needs.event_keys.iter().any(|(actor, _)| actor.is_none()),
        "outbox" => !needs.outbox.is_empty() && !is_locked,
        "locked_outbox" => !needs.outbox.is_empty() && is_locked,
        "comments" => has_comments,
        "messages" => has_comments || !needs.messages.is_empty(),
        "users" => !needs.users.is_empty() || !needs.people.is_empty() || !needs.usernames.is_empty(),
        "locations" => !needs.locations.is_empty(),
        "notifications" => !needs.notifications.is_empty(),
        "positions" => !needs.positions.is_empty(),
        "metrics" => !needs.metrics.is_empty(),
        _ => false,
    }
}

/// A parameter of the statement.
fn parameter(needs: &Needs, applied: Seq, name: &str) -> Result<Parameter> {
    fn numbers<T>(values: impl IntoIterator<Item = T>, id: impl Fn(T) -> i64) -> Parameter {
        Parameter::Numbers(values.into_iter().map(id).collect())
    }
    let (positions, notifications) = (&needs.positions, &needs.notifications);
    Ok(match name {
        "event_key_actors" => {
            Parameter::Numbers(needs.event_keys.iter().filter_map(|(actor, _)| Some(actor.as_ref()?.0)).collect())
        }
        "event_keys" => texts_of_keys(needs, true),
        "system_keys" => texts_of_keys(needs, false),
        "outbox" => numbers(&needs.outbox, |id| *id),
        "key_authors" => numbers(&needs.keys, |(author, _)| author.0),
        "keys" => Parameter::Texts(needs.keys.iter().map(|(_, key)| key.clone()).collect()),
        "comments" => numbers(&needs.comments, |id| id.0),
        "messages" => numbers(&needs.messages, |id| id.0),
        "channels" => numbers(&needs.channels, |id| id.0),
        "people" => numbers(&needs.people, |id| id.0),
        "users" => numbers(&needs.users, |id| id.0),
        "usernames" => Parameter::Texts(needs.usernames.iter().map(|name| name.to_lowercase()).collect()),
        "skeletons" => {
            let skeletons = needs.usernames.iter().map(|name| unicode::skeleton(name));
            Parameter::Texts(skeletons.filter(|skeleton| !skeleton.is_empty()).collect())
        }
        "locations" => numbers(&needs.locations, |id| id.0),
        "notifications" => numbers(notifications, |(id, _)| id.0),
        "readers" => numbers(notifications, |(_, reader)| reader.0),
        "position_channels" => numbers(positions, |(channel, _)| channel.0),
        "position_seqs" => numbers(positions, |(_, (seq, _))| *seq),
        "position_tags" => numbers(positions, |(_, (_, tag))| *tag),
        "metrics" => Parameter::Texts(needs.metrics.iter().cloned().collect()),
        "applied" => Parameter::Number(applied.0),
        _ => return Err(Error::internal(format!("the statement has an unknown parameter {name}"))),
    })
}

/// The idempotency keys of users, or of the server.
fn texts_of_keys(needs: &Needs, of_users: bool) -> Parameter {
    let keys = needs.event_keys.iter().filter(|(actor, _)| actor.is_some() == of_users);
    Parameter::Texts(keys.map(|(_, key)| key.clone()).collect())
}

impl Found {
    fn rows(self) -> Result<BatchRows> {
        let mut audiences: HashMap<i64, Vec<LocationId>> = HashMap::new();
        for (message, location) in self.audiences.unwrap_or_default() {
            audiences.entry(message).or_default().push(LocationId(location));
        }
        let message = |row: MessageRow| {
            let audience = audiences.remove(&row.id()).map(Audience::new).unwrap_or_default();
            row.message(audience).map(|message| (message.id, message))
        };
        let comment = |row: CommentRow| (CommentId(row.id()), Comment::from(row));
        let positions = self.positions.unwrap_or_default();
        let positions = positions.into_iter().map(|row| row.newest(self.oldest)).collect::<Result<_>>()?;
        let locations = pairs(self.locations, LocationId, OrganizationId);
        let locations = locations.chain(pairs(self.locations_of_users, LocationId, OrganizationId));
        let keyed = |(actor, key, seq, tag, at, object, digest): EventKeyRow| {
            let cursor = Cursor { seq: Seq(seq), tag: Tag(tag) };
            ((actor.map(UserId), key), KeyedEvent { cursor, at: Timestamp(at), object, digest })
        };
        Ok(BatchRows {
            event_keys: [self.event_keys, self.system_keys].into_iter().flatten().flatten().map(keyed).collect(),
            outbox: self.outbox.unwrap_or_default().into_iter().collect(),
            keys: self.keys.unwrap_or_default().into_iter().filter_map(KeyRow::used).collect(),
            messages: self.messages.unwrap_or_default().into_iter().map(message).collect::<Result<_>>()?,
            comments: self.comments.unwrap_or_default().into_iter().map(comment).collect(),
            channels: by_id(self.channels, |channel: &Channel| channel.id)?,
            users: by_id(self.users, |user: &User| user.id)?,
            notifications: by_id(self.notifications, |notification: &Notification| notification.id)?,
            locations: locations.collect(),
            members: pairs(self.members, ChannelId, UserId).collect(),
            read_announcements: pairs(self.read_announcements, NotificationId, UserId).collect(),
            positions,
            metrics: self.metrics.unwrap_or_default().into_iter().collect(),
            metric_count: self.metric_count.unwrap_or_default(),
            ..BatchRows::default()
        })
    }
}

/// Converts rows to objects by id.
fn by_id<R: TryInto<T, Error: Into<Error>>, T, I: Eq + std::hash::Hash>(
    rows: Option<Vec<R>>,
    id: impl Fn(&T) -> I,
) -> Result<HashMap<I, T>> {
    let objects = rows.unwrap_or_default().into_iter().map(TryInto::try_into);
    objects.map(|object| object.map(|object| (id(&object), object)).map_err(Into::into)).collect()
}

fn pairs<A, B>(
    rows: Option<Vec<(i64, i64)>>,
    first: impl Fn(i64) -> A,
    second: impl Fn(i64) -> B,
) -> impl Iterator<Item = (A, B)> {
    rows.unwrap_or_default().into_iter().map(move |(one, other)| (first(one), second(other)))
}

impl KeyRow {
    fn used(self) -> Option<((UserId, String), (CreatedObject, String))> {
        let message = self.message_id.map(|id| CreatedObject::Message(MessageId(id)));
        let comment = self.comment_id.map(|id| CreatedObject::Comment(CommentId(id)));
        let object = message.or(comment).or(self.created_user_id.map(|id| CreatedObject::User(UserId(id))))?;
        Some(((UserId(self.author_id), self.key), (object, self.digest)))
    }
}

impl PositionRow {
    fn newest(self, oldest: Option<(i64, i64)>) -> Result<((ChannelId, Cursor), NewestMessage)> {
        let (seq, tag) = oldest.ok_or_else(|| Error::internal("the log is empty"))?;
        let newest = if self.found_tag == Some(self.tag) {
            Ok(self.newest.map(MessageId))
        } else {
            Err(Error::CursorExpired { oldest: Cursor { seq: Seq(seq), tag: Tag(tag) } })
        };
        Ok(((ChannelId(self.channel_id), Cursor { seq: Seq(self.seq), tag: Tag(self.tag) }), newest))
    }
}
