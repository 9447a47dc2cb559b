//! The event log: all events in one order without gaps. The writer appends to it at the end of each batch.
//! Readers read it in pages; each page checks its cursor in the snapshot that it reads.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use super::connection::{Db, MultiBackend, map_error, with_backend};
use super::schema::{events, log_head};
use crate::error::{Error, Result};
use crate::model::{
    Audience, ChannelId, Cursor, Event, EventKey, EventKind, LocationId, LoggedEvent, MessageId, Seq, Tag, Timestamp,
    UserId,
};
use std::sync::Arc;

/// Format version of a row. Rows with another version were written by a newer release.
const FORMAT: i16 = 1;
/// A row of `events`.
#[derive(Queryable, Selectable, Insertable, Serialize, Deserialize)]
// `treat_none_as_default_value = false` writes NULL explicitly. Without it, each combination of empty columns would
// be a different statement that has to be prepared.
#[diesel(table_name = events, treat_none_as_default_value = false)]
pub(super) struct EventRow {
    pub seq: i64,
    pub tag: i64,
    pub format: i16,
    pub kind: i16,
    pub object_id: i64,
    pub channel_id: Option<i64>,
    pub message_id: Option<i64>,
    pub user_id: Option<i64>,
    pub owner_id: Option<i64>,
    pub actor_id: Option<i64>,
    pub ticket: bool,
    pub audience: String,
    pub payload: Option<String>,
    pub at: i64,
    pub app_type: Option<String>,
    pub key: Option<String>,
    pub key_digest: Option<String>,
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
            app_type: event.app_type.as_deref().map(str::to_owned),
            key: event.key.as_ref().map(|key| key.name.clone()),
            key_digest: event.key.as_ref().map(|key| key.digest.clone()),
        }
    }

    /// `None` if a newer release wrote the row. Readers skip it.
    pub(super) fn event(self) -> Option<Event> {
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
            app_type: self.app_type.map(Arc::from),
            key: self.key.zip(self.key_digest).map(|(name, digest)| Arc::new(EventKey { name, digest })),
            at: Timestamp(self.at),
        })
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
        app_type: None,
        key: None,
        key_digest: None,
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
    /// How many lost batches instances have given up. 0 on SQLite.
    pub fence: i64,
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
    Ok(Head { cursor, at: Timestamp(at), access: Seq(access), fence: 0, applied_tag: applied_tag.map(Tag) })
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
