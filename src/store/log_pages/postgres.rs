//! Reads a page of the log from PostgreSQL, with one statement that returns it as JSON.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::Text;
use serde::Deserialize;

use super::page::{LogPage, MAX_PAGE_ROWS, MAX_PAGE_SPAN, PAGE_BYTES, ShownObjects};
use crate::error::{Error, Result};
use crate::model::{
    Audience, Channel, Comment, Cursor, Event, EventKind, KindSet, LocationId, Notification, Seq, Tag, Topic,
};
use crate::store::channels::ChannelRow;
use crate::store::comments::CommentRow;
use crate::store::connection::map_error;
use crate::store::log::EventRow;
use crate::store::messages::MessageRow;
use crate::store::notifications::NotificationRow;
use crate::store::sql_template::{Parameter, TemplateStatement};
use crate::store::templates::TemplateRow;

/// The result of the statement. A list without rows is NULL.
#[derive(Deserialize)]
struct FoundPage {
    head: (i64, i64),
    after_tag: Option<i64>,
    end: Option<(i64, i64)>,
    events: Option<Vec<EventRow>>,
    messages: Option<Vec<MessageRow>>,
    audiences: Option<Vec<(i64, i64)>>,
    comments: Option<Vec<CommentRow>>,
    channels: Option<Vec<ChannelRow>>,
    templates: Option<Vec<TemplateRow>>,
    template_audiences: Option<Vec<(i64, i64)>>,
    notifications: Option<Vec<NotificationRow>>,
}

/// Reads the next page of a topic, after `after` and up to `up_to`. `None` if the log cannot be read from `after`.
pub(super) fn page(
    connection: &mut PgConnection,
    topic: Topic,
    kinds: KindSet,
    after: Cursor,
    up_to: Seq,
) -> Result<Option<LogPage>> {
    let statement = TemplateStatement::<(Text,)>::new(
        include_str!("postgres.sql"),
        |part| is_needed(topic, kinds, part),
        |name| parameter(topic, kinds, after.seq, up_to, name),
    )?;
    let (json,): (String,) = statement.get_result(connection).map_err(map_error)?;
    let found: FoundPage = serde_json::from_str(&json).map_err(Error::internal)?;
    if found.after_tag != Some(after.tag.0) {
        return Ok(None);
    }
    let cursor = |(seq, tag): (i64, i64)| Cursor { seq: Seq(seq), tag: Tag(tag) };
    let end = found.end.map(cursor).filter(|end| end.seq > after.seq).unwrap_or(after);
    let head = cursor(found.head);
    let (events, objects, has_unknown) = found.contents()?;
    Ok(Some(LogPage { events: objects.add_to(events), end, head, has_unknown }))
}

/// The kinds of events to read; `None` for all kinds.
fn wanted_kinds(topic: Topic, kinds: KindSet) -> Option<Vec<i64>> {
    use EventKind as Kind;
    let of_topic = match topic {
        Topic::Templates => KindSet::of(&[Kind::TemplateAdded, Kind::TemplateDeleted]),
        Topic::Notifications(_) => KindSet::of(&[Kind::NotificationAdded]),
        _ => KindSet::all(),
    };
    let wanted = kinds.iter().filter(|kind| of_topic.contains(*kind)).map(|kind| i64::from(kind.code()));
    (kinds != KindSet::all() || of_topic != KindSet::all()).then(|| wanted.collect())
}

/// Whether the statement needs this part.
fn is_needed(topic: Topic, kinds: KindSet, part: &str) -> bool {
    match part {
        "kinds" => wanted_kinds(topic, kinds).is_some(),
        "channel" => matches!(topic, Topic::Channel(_)),
        "message" => matches!(topic, Topic::Message(..)),
        "user" => matches!(topic, Topic::User(_)),
        "user_or_all" => matches!(topic, Topic::Notifications(Some(_))),
        "all" => matches!(topic, Topic::Notifications(None)),
        _ => false,
    }
}

/// A parameter of the statement.
fn parameter(topic: Topic, kinds: KindSet, after: Seq, up_to: Seq, name: &str) -> Result<Parameter> {
    let size = |bytes: usize| Parameter::Number(i64::try_from(bytes).unwrap_or(i64::MAX));
    Ok(match (name, topic) {
        ("after", _) => Parameter::Number(after.0),
        ("limit", _) => Parameter::Number(up_to.0.min(after.0 + MAX_PAGE_SPAN)),
        ("rows", _) => Parameter::Number(MAX_PAGE_ROWS),
        ("event_bytes", _) => size(size_of::<Event>()),
        ("page_bytes", _) => size(PAGE_BYTES),
        ("kinds", _) => Parameter::Numbers(wanted_kinds(topic, kinds).unwrap_or_default()),
        ("wide", _) => {
            let wide = EventKind::ALL.iter().filter(|kind| kind.is_channel_wide());
            Parameter::Numbers(wide.map(|kind| i64::from(kind.code())).collect())
        }
        ("channel", Topic::Channel(channel) | Topic::Message(channel, _)) => Parameter::Number(channel.0),
        ("message", Topic::Message(_, message)) => Parameter::Number(message.0),
        ("user", Topic::User(user) | Topic::Notifications(Some(user))) => Parameter::Number(user.0),
        _ => return Err(Error::internal(format!("the statement has an unknown parameter {name}"))),
    })
}

impl FoundPage {
    /// The events, the objects that they show, and whether some events are of kinds that this version does not know.
    fn contents(self) -> Result<(Vec<Event>, ShownObjects, bool)> {
        let rows = self.events.unwrap_or_default();
        let count = rows.len();
        let events: Vec<Event> = rows.into_iter().filter_map(EventRow::event).collect();
        let has_unknown = events.len() < count;
        let mut audiences = by_owner(self.audiences);
        let message = |row: MessageRow| {
            let audience = audiences.remove(&row.id()).unwrap_or_default();
            row.message(audience)
        };
        let mut template_audiences = by_owner(self.template_audiences);
        let template = |row: TemplateRow| {
            let audience = template_audiences.remove(&row.id()).unwrap_or_default();
            Ok(row.template(audience))
        };
        let objects = ShownObjects {
            messages: shown(self.messages, message, |message| message.id)?,
            comments: shown(self.comments, |row| Ok(Comment::from(row)), |comment| comment.id)?,
            channels: shown(self.channels, Channel::try_from, |channel| channel.id)?,
            templates: shown(self.templates, template, |template| template.id)?,
            notifications: shown(self.notifications, Notification::try_from, |notification| notification.id)?,
        };
        Ok((events, objects, has_unknown))
    }
}

/// Converts rows to shared objects by id.
fn shown<R, T, I: Eq + Hash>(
    rows: Option<Vec<R>>,
    object: impl FnMut(R) -> Result<T>,
    id: impl Fn(&T) -> I,
) -> Result<HashMap<I, Arc<T>>> {
    let objects = rows.unwrap_or_default().into_iter().map(object);
    objects.map(|object| object.map(|object| (id(&object), Arc::new(object)))).collect()
}

/// The audiences of objects, by the ids of the objects.
fn by_owner(pairs: Option<Vec<(i64, i64)>>) -> HashMap<i64, Audience> {
    let mut locations: HashMap<i64, Vec<LocationId>> = HashMap::new();
    for (owner, location) in pairs.unwrap_or_default() {
        locations.entry(owner).or_default().push(LocationId(location));
    }
    locations.into_iter().map(|(owner, locations)| (owner, Audience::new(locations))).collect()
}
