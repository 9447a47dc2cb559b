//! Writes the effects of a batch to SQLite, with one prepared statement for each row.

use diesel::SqliteConnection;

use super::effects::{CommentChange, Effects, MessageChange};
use super::numbers::{Numbers, Settle};
use crate::error::Result;
use crate::model::{Seq, Timestamp};
use crate::store::{comments, idempotency, log, messages, metrics, notifications, outbox, read_markers};

/// Writes the effects, and adds the numbers of the new objects to `numbers`. The effects are settled afterwards.
pub fn write(
    connection: &mut SqliteConnection,
    effects: &mut Effects,
    numbers: &mut Numbers,
    now: Timestamp,
) -> Result<()> {
    let base = numbers.base.unwrap_or_default();
    effects.settle(numbers);
    for message in &effects.messages {
        numbers.messages.push(messages::insert(connection, message)?);
    }
    for (id, change) in &effects.message_changes {
        match change {
            MessageChange::Update(message) => messages::update(connection, message)?,
            MessageChange::Delete => messages::mark_deleted(connection, *id, now)?,
        }
    }
    for comment in &effects.comments {
        numbers.comments.push(comments::insert(connection, comment)?);
    }
    for (id, change) in &effects.comment_changes {
        match change {
            CommentChange::Update(comment) => comments::update(connection, comment)?,
            CommentChange::Delete => comments::delete(connection, *id)?,
        }
    }
    effects.settle(numbers);
    for added in &effects.notifications {
        numbers.notifications.push(notifications::insert(connection, &added.notification, added.actor)?);
    }
    effects.settle(numbers);
    for (id, _) in &effects.read_notifications {
        notifications::mark_read(connection, *id, now)?;
    }
    for (id, reader) in &effects.read_announcements {
        notifications::mark_announcement_read(connection, *id, *reader, now)?;
    }
    for used in &effects.keys {
        idempotency::keep(connection, used.author, &used.key, &used.digest, used.object)?;
    }
    for ((user, channel), up_to) in &effects.read_markers {
        read_markers::mark(connection, *user, *channel, *up_to)?;
    }
    for metric in effects.metrics.values() {
        metrics::put(connection, metric)?;
    }
    for rejection in &effects.rejections {
        outbox::reject(connection, rejection, now)?;
    }
    for id in &effects.outbox {
        outbox::delete(connection, *id)?;
    }
    if effects.events.is_empty() {
        return Ok(());
    }
    let (end, offset) = (effects.counts().events, effects.access_offset());
    let access = (offset > 0).then_some(Seq(base + offset));
    log::append(connection, Seq(base + end), access, &effects.events)
}
