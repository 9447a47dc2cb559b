//! The event log: all events in one order without gaps. The writer appends to it at the end of each batch.
//! Readers read it in pages; each page checks its cursor in the snapshot that it reads.

use diesel::prelude::*;
use serde::Serialize;

use super::connection::{Db, MultiBackend, map_error, with_backend};
use super::row_summary::RowSummary;
use super::schema::{events, log_head};
use super::sizes::{self, ObjectSizes, nullable_octets, octets};
use super::{channels, comments, messages, notifications, templates};
use crate::error::{Error, Result};
use crate::model::{
    Audience, ChannelId, CommentId, Cursor, Event, EventBody, EventKind, KindSet, LocationId, LoggedEvent, MessageId,
    NotificationId, Seq, Tag, TemplateId, Timestamp, Topic, UserId,
};
use std::collections::HashMap;
use std::sync::Arc;

/// Format version of a row. Rows with another version were written by a newer release.
const FORMAT: i16 = 1;
/// Maximum number of events in a page.
pub const MAX_PAGE_ROWS: i64 = 256;
/// Maximum number of bytes in a page, unless its first event alone is larger.
pub const PAGE_BYTES: usize = 1 << 20;
/// Maximum number of log positions that one page covers. It bounds the duration of the snapshot.
const MAX_PAGE_SPAN: i64 = 8192;

/// A row of `events`.
#[derive(Queryable, Selectable, Insertable, Serialize)]
// `treat_none_as_default_value = false` writes NULL explicitly. Without it, each combination of empty columns would
// be a different statement that has to be prepared.
#[diesel(table_name = events, treat_none_as_default_value = false)]
pub(super) struct EventRow {
    seq: i64,
    tag: i64,
    format: i16,
    kind: i16,
    object_id: i64,
    channel_id: Option<i64>,
    message_id: Option<i64>,
    user_id: Option<i64>,
    owner_id: Option<i64>,
    actor_id: Option<i64>,
    ticket: bool,
    audience: String,
    payload: Option<String>,
    at: i64,
}

impl EventRow {
    pub(super) fn new(event: &Event) -> Self {
        let audience: Vec<String> = event.audience.0.iter().map(ToString::to_string).collect();
        Self {
            seq: event.cursor.seq.0,
            tag: event.cursor.tag.0,
            format: FORMAT,
            kind: event.kind.code(),
            object_id: event.object,
            channel_id: event.channel.map(|id| id.0),
            message_id: event.message.map(|id| id.0),
            user_id: event.user.map(|id| id.0),
            owner_id: event.owner.map(|id| id.0),
            actor_id: event.actor.map(|id| id.0),
            ticket: event.ticket,
            audience: audience.join(","),
            payload: event.payload.as_deref().map(str::to_owned),
            at: event.at.0,
        }
    }

    /// `None` if a newer release wrote the row. Readers skip it.
    fn event(self) -> Option<Event> {
        let kind = EventKind::from_code(self.kind).filter(|_| self.format == FORMAT)?;
        let locations = self.audience.split(',').filter(|id| !id.is_empty()).filter_map(|id| id.parse().ok());
        Some(Event {
            cursor: Cursor { seq: Seq(self.seq), tag: Tag(self.tag) },
            kind,
            object: self.object_id,
            channel: self.channel_id.map(ChannelId),
            message: self.message_id.map(MessageId),
            user: self.user_id.map(UserId),
            owner: self.owner_id.map(UserId),
            audience: Audience::new(locations.map(LocationId).collect()),
            actor: self.actor_id.map(UserId),
            ticket: self.ticket,
            payload: self.payload.map(Arc::from),
            at: Timestamp(self.at),
        })
    }
}

/// A page of the log.
#[derive(Debug, Clone)]
pub struct LogPage {
    /// The events of the topic, each with its object as it is now. Events whose object no longer exists are left
    /// out.
    pub events: Vec<LoggedEvent>,
    /// The page covers all events of the topic up to this position.
    pub end: Cursor,
    /// The log head in the snapshot of the page.
    pub head: Cursor,
    /// Whether the page skipped events of kinds that this version does not know.
    pub has_unknown: bool,
}

impl LogPage {
    /// Approximate memory of the events, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.events.iter().map(LoggedEvent::weight).sum()
    }
}

/// Inserts event 0 (`Genesis`) if the log is empty.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert_genesis(db: &mut Db) -> Result<()> {
    let now = Timestamp::now().0;
    let genesis = EventRow {
        seq: 0,
        tag: rand::random(),
        format: FORMAT,
        kind: EventKind::Genesis.code(),
        object_id: 0,
        channel_id: None,
        message_id: None,
        user_id: None,
        owner_id: None,
        actor_id: None,
        ticket: false,
        audience: String::new(),
        payload: None,
        at: now,
    };
    let lowest: Option<i64> = events::table.select(diesel::dsl::min(events::seq)).first(db).map_err(map_error)?;
    if lowest.is_some() {
        return Ok(());
    }
    match diesel::insert_into(events::table).values(genesis).execute(db) {
        // A unique violation means that another process inserted the row at the same time.
        Ok(_) | Err(diesel::result::Error::DatabaseError(diesel::result::DatabaseErrorKind::UniqueViolation, _)) => {
            Ok(())
        }
        Err(error) => Err(map_error(error)),
    }
}

/// The log head, as a batch of the writer reads it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// Cursor of the last event.
    pub cursor: Cursor,
    /// Time of the last event.
    pub at: Timestamp,
    /// Position of the last permission change.
    pub access: Seq,
    /// The tag at the position that this instance has applied; `None` if the log has no such row.
    pub applied_tag: Option<Tag>,
}

/// The log head, and the tag at position `applied`, in one statement.
///
/// # Errors
/// The error of the database; `NotFound` if the log has no row at its head.
pub(super) fn head_with_tag_at(db: &mut Db, applied: Seq) -> QueryResult<Head> {
    let applied_tag = events::table.filter(events::seq.eq(applied.0)).select(events::tag).single_value();
    let at_head = || events::table.filter(events::seq.eq(log_head::head));
    let heads = log_head::table.select((
        log_head::head,
        log_head::access_head,
        at_head().select(events::tag).single_value(),
        at_head().select(events::at).single_value(),
        applied_tag,
    ));
    let found: (i64, i64, Option<i64>, Option<i64>, Option<i64>) =
        with_backend!(db, connection => heads.first(connection))?;
    let (head, access, Some(tag), Some(at), applied_tag) = found else { return Err(diesel::result::Error::NotFound) };
    let cursor = Cursor { seq: Seq(head), tag: Tag(tag) };
    Ok(Head { cursor, at: Timestamp(at), access: Seq(access), applied_tag: applied_tag.map(Tag) })
}

/// The events with this tag above a position, in log order: number, kind, object and time.
///
/// # Errors
/// The error of the database.
pub(super) fn with_tag(db: &mut Db, tag: Tag, above: Seq) -> QueryResult<Vec<(i64, i16, i64, i64)>> {
    events::table
        .filter(events::seq.gt(above.0))
        .filter(events::tag.eq(tag.0))
        .order(events::seq.asc())
        .select((events::seq, events::kind, events::object_id, events::at))
        .load(db)
}

/// Writes the log head without changing it. It tests whether the database accepts writes: it fails as any write
/// would.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn rewrite_head(db: &mut Db) -> Result<()> {
    let same = log_head::head.eq(log_head::head);
    diesel::update(log_head::table).set(same).execute(db).map_err(map_error).map(drop)
}

/// Appends the events of a batch, the last of which is at `head`, and updates the log head. `access_head` is the last
/// event of the batch that changes permissions.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn append(
    connection: &mut SqliteConnection,
    head: Seq,
    access_head: Option<Seq>,
    batch: &[LoggedEvent],
) -> Result<()> {
    // One by one: for several rows, diesel would begin a transaction of its own.
    for logged in batch {
        let row = EventRow::new(&logged.event);
        diesel::insert_into(events::table).values(row).execute(connection).map_err(map_error)?;
    }
    let heads = diesel::update(log_head::table);
    let updated = match access_head {
        Some(access) => heads.set((log_head::head.eq(head.0), log_head::access_head.eq(access.0))).execute(connection),
        None => heads.set(log_head::head.eq(head.0)).execute(connection),
    };
    updated.map(drop).map_err(map_error)
}

/// The log head in this snapshot.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn head(db: &mut Db) -> Result<Cursor> {
    let head: i64 = log_head::table.select(log_head::head).first(db).map_err(map_error)?;
    at(db, Seq(head))?.ok_or_else(|| Error::internal("the log has no row at its head"))
}

/// The cursor at a position; `None` if the log has no row there.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn at(db: &mut Db, seq: Seq) -> Result<Option<Cursor>> {
    let tag: Option<i64> =
        events::table.filter(events::seq.eq(seq.0)).select(events::tag).first(db).optional().map_err(map_error)?;
    Ok(tag.map(|tag| Cursor { seq, tag: Tag(tag) }))
}

/// The oldest cursor from which the log can be read.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn oldest(db: &mut Db) -> Result<Cursor> {
    let (seq, tag): (i64, i64) =
        events::table.order(events::seq.asc()).select((events::seq, events::tag)).first(db).map_err(map_error)?;
    Ok(Cursor { seq: Seq(seq), tag: Tag(tag) })
}

/// Checks that the log can be read from this cursor: its row exists and has the same tag.
///
/// # Errors
/// `CURSOR_EXPIRED` if the log cannot be read from there; `UNAVAILABLE` or `INTERNAL_SERVER_ERROR` if the
/// database fails.
pub fn check(db: &mut Db, cursor: Cursor) -> Result<()> {
    if holds(db, cursor)? {
        return Ok(());
    }
    Err(Error::CursorExpired { oldest: oldest(db)? })
}

/// Whether the log contains this cursor: the row exists and has the same tag. If not, the row was pruned, or the
/// cursor belongs to another history of the log.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn holds(db: &mut Db, cursor: Cursor) -> Result<bool> {
    Ok(at(db, cursor.seq)? == Some(cursor))
}

/// Reads the next page of a topic, after `after` and up to `up_to`. Each event has its object as it is now;
/// events whose object no longer exists are left out.
///
/// # Errors
/// `CURSOR_EXPIRED` if the log cannot be read from `after`; `UNAVAILABLE` or `INTERNAL_SERVER_ERROR` if the
/// database fails.
pub fn page(db: &mut Db, topic: Topic, kinds: KindSet, after: Cursor, up_to: Seq) -> Result<LogPage> {
    let mut page = page_rows(db, topic, kinds, after, up_to)?;
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
pub fn read(db: &mut Db, after: Cursor) -> Result<(Vec<Event>, Cursor)> {
    let mut page = page_rows(db, Topic::Everything, KindSet::all(), after, Seq(i64::MAX))?;
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
    }
}

/// Selects the rows of the next page, and checks the cursor.
fn page_rows(db: &mut Db, topic: Topic, kinds: KindSet, after: Cursor, up_to: Seq) -> Result<PageRows> {
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
    let messages = load(ids(&[Kind::MessageAdded, Kind::MessageUpdated]), MessageId, |ids| messages::by_ids(db, ids))?;
    let comments = load(ids(&[Kind::CommentAdded, Kind::CommentUpdated]), CommentId, |ids| comments::by_ids(db, ids))?;
    let channel_kinds = [Kind::ChannelAdded, Kind::ChannelUpdated, Kind::RoomBroadcast];
    let channels = load(ids(&channel_kinds), ChannelId, |ids| channels::by_ids(db, ids))?;
    let templates = load(ids(&[Kind::TemplateAdded]), TemplateId, |ids| templates::by_ids(db, ids))?;
    let notifications = load(ids(&[Kind::NotificationAdded]), NotificationId, |ids| notifications::by_ids(db, ids))?;
    let body = |event: &Event| match event.kind {
        Kind::MessageAdded | Kind::MessageUpdated => {
            messages.get(&MessageId(event.object)).cloned().map(EventBody::Message)
        }
        Kind::CommentAdded | Kind::CommentUpdated => {
            comments.get(&CommentId(event.object)).cloned().map(EventBody::Comment)
        }
        Kind::ChannelAdded | Kind::ChannelUpdated => {
            channels.get(&ChannelId(event.object)).cloned().map(EventBody::Channel)
        }
        Kind::TemplateAdded => templates.get(&TemplateId(event.object)).cloned().map(EventBody::Template),
        Kind::NotificationAdded => {
            notifications.get(&NotificationId(event.object)).cloned().map(EventBody::Notification)
        }
        Kind::RoomBroadcast => channels.contains_key(&ChannelId(event.object)).then_some(EventBody::None),
        _ => Some(EventBody::None),
    };
    Ok(events.into_iter().filter_map(|event| body(&event).map(|body| LoggedEvent { event, body })).collect())
}

/// Loads the objects with these ids, each in an `Arc`. Runs no query if `ids` is empty.
fn load<I: Copy + Eq + std::hash::Hash, T>(
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

/// Finds an event of this kind about this object, at a position above `after`.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn find(db: &mut Db, kind: EventKind, object: i64, after: Seq) -> Result<Option<Event>> {
    let mut query = events::table
        .select(EventRow::as_select())
        .filter(events::seq.gt(after.0))
        .filter(events::kind.eq(kind.code()))
        .filter(events::object_id.eq(object))
        .into_boxed::<MultiBackend>();
    if kind == EventKind::MessageDeleted {
        query = query.filter(events::message_id.eq(object));
    }
    let row: Option<EventRow> = query.first(db).optional().map_err(map_error)?;
    Ok(row.and_then(EventRow::event))
}

/// The last position for which all events up to it are older than `time`, in log order. `None` if there is none
/// above `above`. An event that follows a newer event counts as newer, even if a wrong clock gave it an earlier
/// time.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn last_older_than(db: &mut Db, time: Timestamp, above: Seq, up_to: Seq) -> Result<Option<Seq>> {
    let youngest: Option<i64> = events::table
        .filter(events::seq.gt(above.0))
        .filter(events::seq.le(up_to.0))
        .filter(events::at.ge(time.0))
        .select(diesel::dsl::min(events::seq))
        .first(db)
        .map_err(map_error)?;
    let last = youngest.map_or(up_to, |youngest| Seq(youngest - 1));
    Ok((last > above).then_some(last))
}

/// Records `now` as the time of the last pruning, unless a pruning was recorded after `unless_since`. Returns
/// whether it was recorded, so that one instance prunes at a time. A recorded time too far in the future comes
/// from a wrong clock and is ignored.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn claim_pruning(db: &mut Db, now: Timestamp, unless_since: Timestamp) -> Result<bool> {
    let ahead = now.after(unless_since.until(now));
    let is_due = log_head::pruned_at.le(unless_since.0).or(log_head::pruned_at.gt(ahead.0));
    let due = log_head::table.filter(is_due);
    let updated = diesel::update(due).set(log_head::pruned_at.eq(now.0)).execute(db).map_err(map_error)?;
    Ok(updated == 1)
}

/// Deletes the events below `floor`. The row at `floor` stays, as the oldest usable cursor. Objects that only
/// deleted events referred to are removed later, by `removal`.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn prune(db: &mut Db, floor: Seq) -> Result<()> {
    diesel::delete(events::table.filter(events::seq.lt(floor.0))).execute(db).map_err(map_error)?;
    Ok(())
}

/// Removes the events after a position from a SQLite file, as a failover to a standby that lags behind would.
#[cfg(test)]
pub(crate) fn undo(file: &std::path::Path, after: Seq) {
    use diesel::connection::SimpleConnection as _;
    let mut file = SqliteConnection::establish(file.to_str().expect("text")).expect("a connection");
    let sql = format!("DELETE FROM events WHERE seq > {0}; UPDATE log_head SET head = {0}, access_head = 0;", after.0);
    file.batch_execute(&format!("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE; {sql} COMMIT;")).expect("undone");
}
