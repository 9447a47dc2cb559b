//! Reads a page of the log with several statements in one snapshot. On SQLite there is no round trip to save.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use diesel::prelude::*;

use super::page::{LogPage, MAX_PAGE_ROWS, MAX_PAGE_SPAN, PAGE_BYTES, ShownObjects};
use crate::error::{Error, Result};
use crate::model::{
    ChannelId, CommentId, Cursor, Event, EventKind, KindSet, LoggedEvent, MessageId, NotificationId, Seq, TemplateId,
    Topic,
};
use crate::store::connection::{Db, MultiBackend, map_error};
use crate::store::log::{EventRow, at, check, head};
use crate::store::row_summary::RowSummary;
use crate::store::schema::events;
use crate::store::sizes::{self, ObjectSizes, nullable_octets, octets};
use crate::store::{channels, comments, messages, notifications, templates};

/// Reads the next page of a topic. See [`super::page()`].
pub(super) fn page(db: &mut Db, topic: Topic, kinds: KindSet, after: Cursor, up_to: Seq) -> Result<LogPage> {
    let mut page = select_rows(db, topic, kinds, after, up_to)?;
    let sizes = sizes::of_objects(db, &page.rows)?;
    page.truncate_to_page_size(sizes);
    let events = page.events(db)?;
    let has_unknown = events.len() < page.rows.len();
    Ok(LogPage { events: with_bodies(db, events)?, end: page.end, head: page.head, has_unknown })
}

/// Reads the next events of all topics after `after`, without their objects. Also returns the cursor at the end
/// of the page.
///
/// # Errors
/// `CURSOR_EXPIRED` if the log cannot be read from `after`; `UNAVAILABLE` or `INTERNAL_SERVER_ERROR` if the
/// database fails.
pub(super) fn read(db: &mut Db, after: Cursor) -> Result<(Vec<Event>, Cursor)> {
    let mut page = select_rows(db, Topic::Everything, KindSet::all(), after, Seq(i64::MAX))?;
    page.truncate_to_page_size(ObjectSizes::default());
    Ok((page.events(db)?, page.end))
}

/// The rows of a page, without the texts of the events.
struct PageRows {
    rows: Vec<RowSummary>,
    /// The position up to which the page covers the log.
    end: Cursor,
    /// The log head in the snapshot of the page.
    head: Cursor,
}

impl PageRows {
    /// Shortens the page to [`PAGE_BYTES`], but keeps at least one event. `sizes` are the sizes of the objects
    /// shown.
    fn truncate_to_page_size(&mut self, mut sizes: ObjectSizes) {
        let mut bytes = 0;
        let fitting = self.rows.iter().take_while(|row| {
            bytes += row.weight() + sizes.remove(&(row.kind, row.object_id)).unwrap_or(0);
            bytes <= PAGE_BYTES
        });
        let count = fitting.count().max(1);
        if count < self.rows.len() {
            self.rows.truncate(count);
            self.end = self.rows.last().map_or(self.end, RowSummary::cursor);
        }
    }

    /// Loads the texts and converts the rows. Events that this version does not know are left out.
    fn events(&self, db: &mut Db) -> Result<Vec<Event>> {
        let mut texts = HashMap::new();
        let seqs: Vec<i64> = self.rows.iter().filter(|row| row.text_bytes() > 0).map(|row| row.seq).collect();
        if !seqs.is_empty() {
            let found: Vec<(i64, String, Option<String>)> = events::table
                .filter(events::seq.eq_any(seqs))
                .select((events::seq, events::audience, events::payload))
                .load(db)
                .map_err(map_error)?;
            texts.extend(found.into_iter().map(|(seq, audience, payload)| (seq, (audience, payload))));
        }
        let row = |row: &RowSummary| with_texts(row, texts.remove(&row.seq).unwrap_or_default());
        Ok(self.rows.iter().map(row).filter_map(EventRow::event).collect())
    }
}

/// The row of `events` with its texts.
fn with_texts(summary: &RowSummary, (audience, payload): (String, Option<String>)) -> EventRow {
    EventRow {
        seq: summary.seq,
        tag: summary.tag,
        format: summary.format,
        kind: summary.kind,
        object_id: summary.object_id,
        channel_id: summary.channel_id,
        message_id: summary.message_id,
        user_id: summary.user_id,
        owner_id: summary.owner_id,
        actor_id: summary.actor_id,
        ticket: summary.ticket,
        audience,
        payload,
        at: summary.at,
        app_type: summary.app_type.clone(),
        key: summary.key.clone(),
        key_digest: summary.key_digest.clone(),
    }
}

/// Selects the rows of the next page, and checks the cursor.
fn select_rows(db: &mut Db, topic: Topic, kinds: KindSet, after: Cursor, up_to: Seq) -> Result<PageRows> {
    check(db, after)?;
    let head = head(db)?;
    let limit = head.seq.min(up_to).min(Seq(after.seq.0 + MAX_PAGE_SPAN));
    if limit <= after.seq {
        return Ok(PageRows { rows: Vec::new(), end: after, head });
    }
    let rows = rows(db, topic, kinds, after.seq, limit)?;
    let end = match rows.last() {
        Some(last) if i64::try_from(rows.len()) == Ok(MAX_PAGE_ROWS) => last.cursor(),
        _ => at(db, limit)?.ok_or_else(|| Error::internal("the log has a gap"))?,
    };
    Ok(PageRows { rows, end, head })
}

/// Selects the rows of a topic with positions above `after` and up to `limit`, at most [`MAX_PAGE_ROWS`].
fn rows(db: &mut Db, topic: Topic, kinds: KindSet, after: Seq, limit: Seq) -> Result<Vec<RowSummary>> {
    let mut query = events::table
        .select((
            events::seq,
            events::tag,
            events::format,
            events::kind,
            events::object_id,
            events::channel_id,
            events::message_id,
            events::user_id,
            events::owner_id,
            events::actor_id,
            events::ticket,
            octets(events::audience),
            nullable_octets(events::payload),
            events::at,
            events::app_type,
            events::key,
            events::key_digest,
        ))
        .filter(events::seq.gt(after.0))
        .filter(events::seq.le(limit.0))
        .into_boxed::<MultiBackend>();
    if kinds != KindSet::all() {
        query = query.filter(events::kind.eq_any(kinds.iter().map(EventKind::code).collect::<Vec<_>>()));
    }
    query = match topic {
        Topic::Everything => query,
        Topic::Channel(channel) => query.filter(events::channel_id.eq(channel.0)),
        Topic::Message(channel, message) => {
            let wide = EventKind::ALL.iter().filter(|kind| kind.is_channel_wide()).map(|kind| kind.code());
            query.filter(
                events::message_id
                    .eq(message.0)
                    .or(events::channel_id.eq(channel.0).and(events::kind.eq_any(wide.collect::<Vec<_>>()))),
            )
        }
        Topic::User(user) => query.filter(events::user_id.eq(user.0)),
        Topic::Templates => {
            let kinds = [EventKind::TemplateAdded, EventKind::TemplateDeleted].map(EventKind::code);
            query.filter(events::kind.eq_any(kinds))
        }
        Topic::Notifications(user) => {
            let query = query.filter(events::kind.eq(EventKind::NotificationAdded.code()));
            match user {
                Some(user) => query.filter(events::user_id.is_null().or(events::user_id.eq(user.0))),
                None => query.filter(events::user_id.is_null()),
            }
        }
    };
    query.order(events::seq.asc()).limit(MAX_PAGE_ROWS).load(db).map_err(map_error)
}

/// Adds to each event its object as it is now. Events whose object no longer exists are left out.
fn with_bodies(db: &mut Db, events: Vec<Event>) -> Result<Vec<LoggedEvent>> {
    use EventKind as Kind;
    let ids = |kinds: &[Kind]| -> Vec<i64> {
        let mut ids: Vec<i64> =
            events.iter().filter(|event| kinds.contains(&event.kind)).map(|event| event.object).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let channel_kinds = [Kind::ChannelAdded, Kind::ChannelUpdated, Kind::RoomBroadcast, Kind::AppEvent];
    let objects = ShownObjects {
        messages: load(ids(&[Kind::MessageAdded, Kind::MessageUpdated]), MessageId, |ids| messages::by_ids(db, ids))?,
        comments: load(ids(&[Kind::CommentAdded, Kind::CommentUpdated]), CommentId, |ids| comments::by_ids(db, ids))?,
        channels: load(ids(&channel_kinds), ChannelId, |ids| channels::by_ids(db, ids))?,
        templates: load(ids(&[Kind::TemplateAdded]), TemplateId, |ids| templates::by_ids(db, ids))?,
        notifications: load(ids(&[Kind::NotificationAdded]), NotificationId, |ids| notifications::by_ids(db, ids))?,
    };
    Ok(objects.add_to(events))
}

/// Loads the objects with these ids, each in an `Arc`. Runs no query if `ids` is empty.
fn load<I: Copy + Eq + Hash, T>(
    ids: Vec<i64>,
    id: impl Fn(i64) -> I,
    by_ids: impl FnOnce(&[I]) -> Result<HashMap<I, T>>,
) -> Result<HashMap<I, Arc<T>>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<I> = ids.into_iter().map(id).collect();
    Ok(by_ids(&ids)?.into_iter().map(|(id, object)| (id, Arc::new(object))).collect())
}
