//! Application events of a channel, read from the log by index, and the events that have an idempotency key.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer, Nullable, Text};

use super::connection::{Db, MultiBackend, map_error, with_backend};
use super::group_range::{IdRange, in_group};
use super::log::EventRow;
use super::paging::page;
use super::schema::events;
use super::time_limit::with_time_limit;
use crate::error::{Error, Result};
use crate::model::{
    AppEvent, Audience, ChannelId, Cursor, LocationId, Page, PageRequest, Rights, Seq, Tag, Timestamp, TypeFilter,
    TypePattern, UserId,
};

/// How many rows one statement reads to find the events of a page.
const CANDIDATES: usize = 256;

/// How many statements a page takes at most. A page needs several if most events are for other locations.
const MAX_STATEMENTS: usize = 400;

diesel::define_sql_function! {
    /// A part of a text: `count` characters from number `start`, which is counted from 1.
    fn substr(text: Nullable<Text>, start: Integer, count: Integer) -> Nullable<Text>;
}

/// A condition on `events`.
type Condition = Box<dyn BoxableExpression<events::table, MultiBackend, SqlType = Nullable<Bool>>>;

/// An event that was recorded with an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedEvent {
    /// The position of the event. It is provisional if a command of the same batch has recorded the event.
    pub cursor: Cursor,
    /// The time of the event.
    pub at: Timestamp,
    /// The id of the object of the event. It is provisional in the same case.
    pub object: i64,
    /// The hash of the input that was sent with the key.
    pub digest: String,
}

/// A page of the application events of a channel that the viewer may see, in the order of the log. The caller has checked
/// that the viewer may read the channel.
///
/// # Errors
/// `QUERY_TOO_COMPLEX` if too many events are for other locations than the viewer's. `UNAVAILABLE` if the database is
/// unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn list(
    db: &mut Db,
    rights: &Rights,
    channel: ChannelId,
    types: Option<&TypeFilter>,
    window: &PageRequest<Seq>,
) -> Result<Page<AppEvent>> {
    let window = window.map(|seq| seq.0);
    let wanted = window.limit.saturating_add(1);
    let (mut seqs, mut range) = (Vec::new(), IdRange::oldest_first(&window));
    for statement in 1.. {
        let found = candidates(db, rights, channel, types, range)?;
        let is_last = found.len() < CANDIDATES;
        range = found.last().map_or(range, |(seq, ..)| range.after(*seq));
        let visible = found.into_iter().filter(|(_, owner, audience)| is_visible(rights, *owner, audience));
        seqs.extend(visible.map(|(seq, ..)| seq).take(wanted - seqs.len()));
        if is_last || seqs.len() == wanted {
            break;
        }
        if statement == MAX_STATEMENTS {
            let why = "too many events of this channel are for other locations: ask for fewer events";
            return Err(Error::TooComplex(why.into()));
        }
    }
    let page = page(seqs, &window);
    Ok(Page { items: by_seqs(db, &page.items)?, more: page.more })
}

/// A position in the log, and the owner and the audience of its event.
type Candidate = (i64, Option<i64>, String);

/// The next events of these types in the range. Of those for other locations than the viewer's, only some are left out.
fn candidates(
    db: &mut Db,
    rights: &Rights,
    channel: ChannelId,
    types: Option<&TypeFilter>,
    range: IdRange,
) -> Result<Vec<Candidate>> {
    let mut query = events::table
        .select((events::seq, events::owner_id, events::audience))
        .filter(events::app_type.is_not_null())
        .into_boxed::<MultiBackend>();
    if let Some(types) = types {
        query = query.filter(is_of_types(types));
    }
    if !rights.admin && rights.locations.is_empty() {
        let user = rights.user.map_or(-1, |user| user.0);
        query = query.filter(events::audience.eq("").or(events::owner_id.eq(user)));
    }
    let query = with_time_limit!(db, query, events::seq);
    in_group!(query, events::channel_id, channel.0, events::seq, range, CANDIDATES).load(db).map_err(map_error)
}

/// Condition: the type of the event matches one of the patterns.
fn is_of_types(types: &TypeFilter) -> Condition {
    let exact = types.patterns().iter().filter_map(|pattern| match pattern {
        TypePattern::Exact(name) => Some(name.clone()),
        TypePattern::Prefix(_) => None,
    });
    let mut condition: Condition = Box::new(events::app_type.eq_any(exact.collect::<Vec<String>>()));
    for pattern in types.patterns() {
        // No `LIKE`, which gives `_` a meaning, and no comparison by the database's collation.
        if let TypePattern::Prefix(prefix) = pattern {
            let count = i32::try_from(prefix.len()).unwrap_or(i32::MAX);
            condition = Box::new(condition.or(substr(events::app_type, 1, count).eq(prefix.clone())));
        }
    }
    condition
}

fn is_visible(rights: &Rights, owner: Option<i64>, audience: &str) -> bool {
    let locations = audience.split(',').filter_map(|id| id.parse().ok()).map(LocationId);
    rights.in_audience(&Audience::new(locations.collect()), owner.map(UserId))
}

/// The application events at these positions, in this order.
fn by_seqs(db: &mut Db, seqs: &[i64]) -> Result<Vec<AppEvent>> {
    if seqs.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<EventRow> = events::table
        .filter(events::seq.eq_any(seqs.to_vec()))
        .select(EventRow::as_select())
        .load(db)
        .map_err(map_error)?;
    let found = rows.into_iter().filter_map(|row| AppEvent::of(&row.event()?));
    let mut found: HashMap<i64, AppEvent> = found.map(|event| (event.cursor.seq.0, event)).collect();
    Ok(seqs.iter().filter_map(|seq| found.remove(seq)).collect())
}

/// The event that an actor, or the server, recorded with this idempotency key.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn find_by_key(db: &mut Db, actor: Option<UserId>, key: &str) -> Result<Option<KeyedEvent>> {
    type Row = (i64, i64, i64, i64, Option<String>);
    let columns = (events::seq, events::tag, events::at, events::object_id, events::key_digest);
    let row: QueryResult<Row> = match actor {
        Some(actor) => {
            let found = events::table.filter(events::actor_id.eq(actor.0)).filter(events::key.eq(key)).select(columns);
            with_backend!(db, connection => found.first(connection))
        }
        None => {
            let found = events::table.filter(events::actor_id.is_null()).filter(events::key.eq(key)).select(columns);
            with_backend!(db, connection => found.first(connection))
        }
    };
    Ok(row.optional().map_err(map_error)?.map(|(seq, tag, at, object, digest)| KeyedEvent {
        cursor: Cursor { seq: Seq(seq), tag: Tag(tag) },
        at: Timestamp(at),
        object,
        digest: digest.unwrap_or_default(),
    }))
}
