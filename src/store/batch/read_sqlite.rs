//! Reads the rows of a batch from SQLite, with one prepared statement for each row. There is no round trip to save.

use std::collections::BTreeSet;

use super::needs::Needs;
use super::state::BatchRows;
use crate::error::{Error, Result};
use crate::model::{ChannelId, Cursor, MessageId, NotificationId, OrganizationId, Seq, Tag, UserId};
use crate::store::connection::Db;
use crate::store::idempotency::{self, CreatedObject};
use crate::store::{
    app_events, channels, comments, members, messages, metrics, notifications, organizations, outbox, read_markers,
    users,
};

/// Reads the rows. The lookups are left out.
pub fn read(db: &mut Db, needs: &Needs) -> Result<BatchRows> {
    let mut rows = BatchRows::default();
    read_content(db, needs, &mut rows)?;
    read_users(db, needs, &mut rows)?;
    read_notifications(db, needs, &mut rows)?;
    for (actor, key) in &needs.event_keys {
        if let Some(event) = app_events::find_by_key(db, *actor, key)? {
            rows.event_keys.insert((*actor, key.clone()), event);
        }
    }
    for (channel, (seq, tag)) in &needs.positions {
        let cursor = Cursor { seq: Seq(*seq), tag: Tag(*tag) };
        rows.positions.insert((*channel, cursor), expired_or(read_markers::newest_at(db, *channel, cursor))?);
    }
    rows.outbox = outbox::existing(db, &needs.outbox)?;
    if !needs.metrics.is_empty() {
        rows.metric_count = metrics::count(db)?;
        for name in &needs.metrics {
            if metrics::is_known(db, name)? {
                rows.metrics.insert(name.clone());
            }
        }
    }
    Ok(rows)
}

/// Reads idempotency keys, comments, messages and channels, each of which can refer to the next.
fn read_content(db: &mut Db, needs: &Needs, rows: &mut BatchRows) -> Result<()> {
    let (mut comment_ids, mut message_ids) = (needs.comments.clone(), needs.messages.clone());
    for (author, key) in &needs.keys {
        if let Some((object, digest)) = idempotency::find(db, *author, key)? {
            match object {
                CreatedObject::Message(id) => drop(message_ids.insert(id)),
                CreatedObject::Comment(id) => drop(comment_ids.insert(id)),
                // `Lookup::CreatedUsers` reads it.
                CreatedObject::User(_) => {}
            }
            rows.keys.insert((*author, key.clone()), (object, digest));
        }
    }
    for id in comment_ids {
        if let Some(comment) = comments::find(db, id)? {
            message_ids.insert(comment.message_id);
            rows.comments.insert(id, comment);
        }
    }
    let mut channel_ids = needs.channels.clone();
    for id in message_ids {
        if let Some(message) = messages::find_any(db, id)? {
            channel_ids.insert(message.channel_id);
            rows.messages.insert(id, message);
        }
    }
    for id in channel_ids {
        if let Some(channel) = channels::find_any(db, id)? {
            rows.channels.insert(id, channel);
        }
    }
    Ok(())
}

/// Reads users, the locations that they belong to, and their memberships in the channels that were read.
fn read_users(db: &mut Db, needs: &Needs, rows: &mut BatchRows) -> Result<()> {
    let people = needs.people.iter().filter_map(|id| rows.messages.get(id));
    let people = people.flat_map(|message| {
        [Some(message.author_id), message.ticket.and_then(|ticket| ticket.assignee_id)].into_iter().flatten()
    });
    let ids: BTreeSet<UserId> = needs.users.iter().copied().chain(people).collect();
    if !ids.is_empty() {
        rows.users = users::by_ids(db, &Vec::from_iter(ids))?;
    }
    if !needs.usernames.is_empty() {
        rows.users.extend(users::by_names(db, &needs.usernames)?.into_iter().map(|user| (user.id, user)));
    }
    if !needs.locations.is_empty() {
        let known = organizations::locations_by_ids(db, &needs.locations.iter().copied().collect::<Vec<_>>())?;
        rows.locations.extend(known.into_values().map(|location| (location.id, location.organization_id)));
    }
    let organizations: BTreeSet<OrganizationId> = rows.users.values().filter_map(|user| user.organization_id).collect();
    if !organizations.is_empty() {
        let known = organizations::locations_of(db, &Vec::from_iter(organizations))?;
        let known = known.into_values().flatten();
        rows.locations.extend(known.map(|location| (location.id, location.organization_id)));
    }
    if !rows.users.is_empty() {
        let users: Vec<UserId> = rows.users.keys().copied().collect();
        let channels: Vec<ChannelId> = rows.channels.keys().copied().collect();
        for channel in channels {
            let found = members::members_among(db, channel, &users)?;
            rows.members.extend(found.into_iter().map(|user| (channel, user)));
        }
    }
    Ok(())
}

fn read_notifications(db: &mut Db, needs: &Needs, rows: &mut BatchRows) -> Result<()> {
    if needs.notifications.is_empty() {
        return Ok(());
    }
    let ids: Vec<NotificationId> = needs.notifications.iter().map(|(id, _)| *id).collect();
    rows.notifications = notifications::by_ids(db, &ids)?;
    for (id, reader) in &needs.notifications {
        let is_announcement = rows.notifications.get(id).is_some_and(|found| found.user_id.is_none());
        if is_announcement && notifications::announcements_read(db, *reader, &[*id])?.contains_key(id) {
            rows.read_announcements.insert((*id, *reader));
        }
    }
    Ok(())
}

/// Keeps the error of an expired cursor as a value for the command. Other errors fail the batch.
fn expired_or(found: Result<Option<MessageId>>) -> Result<Result<Option<MessageId>>> {
    match found {
        Err(expired @ Error::CursorExpired { .. }) => Ok(Err(expired)),
        found => found.map(Ok),
    }
}
