//! What an event must say about its object.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use crate::model::{
    Audience, ChannelId, CommentId, Cursor, Event, EventBody, EventKind, LoggedEvent, Message, MessageId,
    NotificationId, TemplateId,
};
use crate::store::TestTables;

/// Checks the fields of an event that decide which subscribers find and may see it, and the object that it shows.
/// `before` and `after` are the tables around the command.
///
/// # Errors
/// What is wrong.
pub fn check(logged: &LoggedEvent, before: &TestTables, after: &TestTables) -> Result<(), String> {
    use EventKind as Kind;
    let (event, at) = (&logged.event, if logged.event.kind.is_deletion() { before } else { after });
    let id = event.object;
    let (expected, body) = match event.kind {
        Kind::MessageAdded | Kind::MessageUpdated | Kind::MessageDeleted => {
            let message = &at.messages[&MessageId(id)];
            (of_message(event, message), EventBody::Message(Arc::new(message.clone())))
        }
        Kind::CommentAdded | Kind::CommentUpdated | Kind::CommentDeleted => {
            let comment = &at.comments[&CommentId(id)];
            (of_message(event, &at.messages[&comment.message_id]), EventBody::Comment(Arc::new(comment.clone())))
        }
        Kind::ChannelAdded | Kind::ChannelUpdated | Kind::ChannelDeleted => {
            let channel = &at.channels[&ChannelId(id)];
            (Event { channel: Some(channel.id), ..plain(event) }, EventBody::Channel(Arc::new(channel.clone())))
        }
        Kind::RoomBroadcast => {
            let payload = Some(Arc::from("{}"));
            (Event { channel: Some(ChannelId(id)), payload, ..plain(event) }, EventBody::None)
        }
        Kind::AppEvent => {
            let (app_type, payload) = (event.app_type.clone(), event.payload.clone());
            let (owner, key) = (event.actor, event.key.clone());
            let expected = Event { channel: Some(ChannelId(id)), app_type, payload, owner, key, ..plain(event) };
            (expected, EventBody::None)
        }
        Kind::TemplateAdded | Kind::TemplateDeleted => {
            let template = &at.templates[&TemplateId(id)];
            let owner = Some(template.author_id);
            let expected = Event { audience: template.audience.clone(), owner, ..plain(event) };
            (expected, EventBody::Template(Arc::new(template.clone())))
        }
        Kind::NotificationAdded => {
            let notification = &at.notifications[&NotificationId(id)];
            let expected = Event { user: notification.user_id, ..plain(event) };
            (expected, EventBody::Notification(Arc::new(notification.clone())))
        }
        Kind::AccessChanged | Kind::SessionsEnded => {
            let is_about_channel = event.user.is_none();
            let object = event.user.map_or(event.channel.map(|id| id.0), |user| Some(user.0));
            equal("object", &Some(id), &object)?;
            let user = event.user.filter(|_| !is_about_channel);
            (Event { user, channel: event.channel, ..plain(event) }, EventBody::None)
        }
        Kind::UserUpdated | Kind::UserErased | Kind::EventTypeChanged => (plain(event), EventBody::None),
        Kind::MetricPublished => (Event { key: event.key.clone(), ..plain(event) }, EventBody::None),
        Kind::Genesis => return Err("a command records no such event".into()),
    };
    equal("event", event, &expected)?;
    equal("body", &logged.body, &if event.kind.is_deletion() { EventBody::None } else { body })
}

/// The event with nothing that restricts or places it.
fn plain(event: &Event) -> Event {
    Event {
        channel: None,
        message: None,
        user: None,
        owner: None,
        audience: Audience::default(),
        ticket: false,
        payload: None,
        app_type: None,
        key: None,
        ..event.clone()
    }
}

fn of_message(event: &Event, message: &Message) -> Event {
    Event {
        channel: Some(message.channel_id),
        message: Some(message.id),
        owner: Some(message.author_id),
        audience: message.audience.clone(),
        ticket: message.ticket.is_some(),
        ..plain(event)
    }
}

/// Checks that the cursor of each object is that of its newest event.
///
/// # Errors
/// The objects with another cursor.
pub fn check_cursors(tables: &TestTables) -> Result<(), String> {
    use EventKind as Kind;
    let newest = |kinds: &[Kind]| -> BTreeMap<i64, Cursor> {
        let events = tables.log.iter().map(|logged| &logged.event).filter(|event| kinds.contains(&event.kind));
        events.map(|event| (event.object, event.cursor)).collect()
    };
    let check = |kinds: &[Kind], objects: Vec<(i64, Cursor)>| {
        let newest = newest(kinds);
        let mut objects = objects.into_iter();
        objects.try_for_each(|(id, cursor)| equal(&format!("{kinds:?} {id}"), &Some(&cursor), &newest.get(&id)))
    };
    macro_rules! cursors {
        ($objects:expr) => {
            $objects.values().map(|object| (object.id.0, object.cursor)).collect()
        };
    }
    check(&[Kind::MessageAdded, Kind::MessageUpdated], cursors!(tables.messages))?;
    check(&[Kind::CommentAdded, Kind::CommentUpdated], cursors!(tables.comments))?;
    check(&[Kind::ChannelAdded, Kind::ChannelUpdated], cursors!(tables.channels))?;
    check(&[Kind::TemplateAdded], cursors!(tables.templates))?;
    check(&[Kind::NotificationAdded], cursors!(tables.notifications))
}

fn equal<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?} instead of {expected:?}")) }
}
