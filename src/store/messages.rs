//! Messages and their audiences.

use std::collections::HashMap;

use diesel::dsl::{AsSelect, IntoBoxed, Select};
use diesel::prelude::*;
use serde::Deserialize;

use super::connection::{Db, MultiBackend, map_error, with_backend};
use super::group_range::{IdRange, InGroup};
use super::message_candidates::Candidates;
use super::message_filter::{in_filtered_range, with_ticket_conditions};
use super::paging::page;
use super::schema::{comments, message_locations, messages};
use super::time_limit::with_time_limit;
use super::visibility;
use crate::error::{Error, Result};
use crate::model::{
    Audience, ChannelId, Cursor, LocationId, Message, MessageFilter, MessageId, Page, PageRequest, Priority, Rights,
    Seq, Tag, Ticket, TicketStatus, Timestamp, UserId,
};

/// A list checks up to this many nearby messages one by one for each message that it needs, before it searches
/// by index. Finding the end of that stretch costs one index step for each message in it.
const NEAREST_FACTOR: i64 = 3;

/// A row of `messages`.
#[derive(Queryable, Selectable, Deserialize)]
#[diesel(table_name = messages)]
pub struct MessageRow {
    id: i64,
    channel_id: i64,
    title: Option<String>,
    content: String,
    author_id: i64,
    restricted: bool,
    ticket_status: Option<i16>,
    ticket_priority: Option<i16>,
    assignee_id: Option<i64>,
    created_at: i64,
    updated_at: i64,
    seq: i64,
    tag: i64,
}

impl MessageRow {
    pub(super) fn id(&self) -> i64 {
        self.id
    }

    pub(super) fn message(self, audience: Audience) -> Result<Message> {
        let ticket = self
            .ticket_status
            .map(|status| {
                Ok::<_, Error>(Ticket {
                    status: TicketStatus::from_code(status).ok_or_else(|| Error::internal("unknown ticket status"))?,
                    priority: self
                        .ticket_priority
                        .and_then(Priority::from_code)
                        .ok_or_else(|| Error::internal("unknown ticket priority"))?,
                    assignee_id: self.assignee_id.map(UserId),
                })
            })
            .transpose()?;
        Ok(Message {
            id: MessageId(self.id),
            channel_id: ChannelId(self.channel_id),
            title: self.title,
            content: self.content,
            author_id: UserId(self.author_id),
            audience,
            ticket,
            created_at: Timestamp(self.created_at),
            updated_at: Timestamp(self.updated_at),
            cursor: Cursor { seq: Seq(self.seq), tag: Tag(self.tag) },
        })
    }
}

/// A query of message rows.
type MessageQuery<'a> = IntoBoxed<'a, Select<messages::table, AsSelect<MessageRow, MultiBackend>>, MultiBackend>;

/// Selects the messages that the viewer may read.
fn visible_messages<'a>(rights: &Rights) -> MessageQuery<'a> {
    let all = messages::table.select(MessageRow::as_select()).into_boxed::<MultiBackend>();
    if rights.admin { all.filter(visibility::is_not_deleted()) } else { all.filter(visibility::message(rights.into())) }
}

/// The messages that the viewer may see and that match a filter, but for the conditions of [`in_filtered_range`].
fn among_visible<'a>(filter: &MessageFilter, rights: &Rights) -> MessageQuery<'a> {
    with_ticket_conditions(filter, visible_messages(rights))
}

/// A page of the messages that the viewer may see, newest first.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn list(
    db: &mut Db,
    rights: &Rights,
    filter: &MessageFilter,
    window: &PageRequest<MessageId>,
) -> Result<Page<Message>> {
    let window = window.map(|id| id.0);
    let (range, wanted) = (IdRange::newest_first(&window), window.limit.saturating_add(1));
    let rows = if rights.admin {
        let query = with_time_limit!(db, among_visible(filter, rights), messages::id);
        in_filtered_range(filter, range, wanted, query).load::<MessageRow>(db).map_err(map_error)?
    } else {
        find_visible(db, rights, filter, range, wanted)?
    };
    let page = page(rows, &window);
    Ok(Page { items: with_audiences(db, page.items)?, more: page.more })
}

/// The first messages of a range that the viewer may see. Usually the viewer may see the nearest ones, so one
/// statement reads as many of those as are wanted. If that is not enough, some more messages are checked one by
/// one, and the rest are found by index (`candidates`).
fn find_visible(
    db: &mut Db,
    rights: &Rights,
    filter: &MessageFilter,
    range: IdRange,
    wanted: usize,
) -> Result<Vec<MessageRow>> {
    let (mut rows, range) = if filter.is_for_tickets() {
        (Vec::new(), range)
    } else {
        let nearest = load_nearest(db, rights, filter, range, wanted)?;
        let end = nearest.last().map(|(row, _)| row.id);
        let is_exhausted = nearest.len() < wanted;
        let visible: Vec<MessageRow> =
            nearest.into_iter().filter_map(|(row, is_visible)| is_visible.then_some(row)).collect();
        match end {
            Some(end) if !is_exhausted && visible.len() < wanted => (visible, range.after(end)),
            _ => return Ok(visible),
        }
    };
    let near = messages::table.select(messages::id).into_boxed::<MultiBackend>();
    let any_ticket = MessageFilter { channel: filter.channel, ..MessageFilter::default() };
    let edge_offset = NEAREST_FACTOR * i64::try_from(wanted).unwrap_or(i64::MAX / NEAREST_FACTOR) - 1;
    let edge: Option<i64> =
        in_filtered_range(&any_ticket, range, 1, near).offset(edge_offset).first(db).optional().map_err(map_error)?;
    let within = edge.map_or(range, |edge| range.up_to(edge));
    let missing = wanted - rows.len();
    let found = in_filtered_range(filter, within, missing, among_visible(filter, rights));
    rows.extend(found.load::<MessageRow>(db).map_err(map_error)?);
    let Some(edge) = edge.filter(|_| rows.len() < wanted) else { return Ok(rows) };
    let beyond = range.after(edge);
    let mut candidates = Candidates::new(db, rights, filter, beyond, wanted)?;
    while rows.len() < wanted {
        let ids = candidates.next(db, wanted - rows.len())?;
        if ids.is_empty() {
            break;
        }
        let query = among_visible(filter, rights).filter(messages::id.eq_any(ids));
        let query = with_time_limit!(db, query, messages::id);
        rows.extend(in_filtered_range(filter, beyond, wanted, query).load::<MessageRow>(db).map_err(map_error)?);
    }
    Ok(rows)
}

/// The nearest messages of a range, each with whether the viewer may see it. Most queries of lists end here. So each form
/// of this statement has a type of its own, by which diesel finds the prepared statement without writing its SQL.
fn load_nearest(
    db: &mut Db,
    rights: &Rights,
    filter: &MessageFilter,
    range: IdRange,
    wanted: usize,
) -> Result<Vec<(MessageRow, bool)>> {
    let limit = i64::try_from(wanted).unwrap_or(i64::MAX);
    with_backend!(db, connection => {
        let all = messages::table.select((MessageRow::as_select(), visibility::message(rights.into())));
        let all = all.limit(limit);
        let in_range = || all.filter(messages::id.gt(range.above)).filter(messages::id.lt(range.below));
        let in_channel = |id: ChannelId| all.filter(InGroup::new(messages::channel_id, id.0, messages::id, range));
        match (filter.channel, range.is_descending) {
            (None, true) => in_range().order(messages::id.desc()).load(connection),
            (None, false) => in_range().order(messages::id.asc()).load(connection),
            (Some(id), true) => in_channel(id).order((messages::channel_id.desc(), messages::id.desc())).load(connection),
            (Some(id), false) => in_channel(id).order((messages::channel_id.asc(), messages::id.asc())).load(connection),
        }
    })
    .map_err(map_error)
}

/// The message with this id, if the viewer may see it.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn find(db: &mut Db, rights: &Rights, id: MessageId) -> Result<Option<Message>> {
    let row =
        visible_messages(rights).filter(messages::id.eq(id.0)).first::<MessageRow>(db).optional().map_err(map_error)?;
    Ok(with_audiences(db, row.into_iter().collect())?.pop())
}

/// Messages by id, without a permission check. Missing and deleted ones are left out.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn by_ids(db: &mut Db, ids: &[MessageId]) -> Result<HashMap<MessageId, Message>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let existing = messages::table.filter(messages::id.eq_any(ids)).filter(visibility::is_not_deleted());
    let rows = existing.select(MessageRow::as_select()).load::<MessageRow>(db).map_err(map_error)?;
    Ok(with_audiences(db, rows)?.into_iter().map(|message| (message.id, message)).collect())
}

/// The number of comments of each message. Messages without comments are left out.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn comment_counts(db: &mut Db, ids: &[MessageId]) -> Result<HashMap<MessageId, i64>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let counts: Vec<(i64, i64)> = comments::table
        .filter(comments::message_id.eq_any(ids))
        .group_by(comments::message_id)
        .select((comments::message_id, diesel::dsl::count_star()))
        .load(db)
        .map_err(map_error)?;
    Ok(counts.into_iter().map(|(id, count)| (MessageId(id), count)).collect())
}

/// The message with this id, without a permission check. It is left out if it is marked as deleted itself.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn find_any(db: &mut Db, id: MessageId) -> Result<Option<Message>> {
    let found = messages::table.filter(messages::id.eq(id.0)).filter(messages::deleted_at.is_null());
    let row = with_backend!(db, connection => found.select(MessageRow::as_select()).first(connection));
    Ok(with_audiences(db, row.optional().map_err(map_error)?.into_iter().collect())?.pop())
}

/// Inserts a message and its audience. Returns its id; the id in `message` is ignored.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert(connection: &mut SqliteConnection, message: &Message) -> Result<i64> {
    let id: i64 = diesel::insert_into(messages::table)
        .values((
            messages::channel_id.eq(message.channel_id.0),
            messages::title.eq(message.title.as_deref()),
            messages::content.eq(&message.content),
            messages::author_id.eq(message.author_id.0),
            messages::restricted.eq(!message.audience.is_unrestricted()),
            messages::ticket_status.eq(message.ticket.map(|ticket| ticket.status.code())),
            messages::ticket_priority.eq(message.ticket.map(|ticket| ticket.priority.code())),
            messages::assignee_id.eq(message.ticket.and_then(|ticket| ticket.assignee_id).map(|id| id.0)),
            messages::created_at.eq(message.created_at.0),
            messages::updated_at.eq(message.updated_at.0),
            messages::seq.eq(message.cursor.seq.0),
            messages::tag.eq(message.cursor.tag.0),
        ))
        .returning(messages::id)
        .get_result(connection)
        .map_err(map_error)?;
    for location in message.audience.0.iter() {
        diesel::insert_into(message_locations::table)
            .values((message_locations::message_id.eq(id), message_locations::location_id.eq(location.0)))
            .execute(connection)
            .map_err(map_error)?;
    }
    Ok(id)
}

/// Updates the fields of a message that can change: title, text, ticket, time and cursor.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn update(connection: &mut SqliteConnection, message: &Message) -> Result<()> {
    diesel::update(messages::table.filter(messages::id.eq(message.id.0)))
        .set((
            messages::title.eq(message.title.as_deref()),
            messages::content.eq(&message.content),
            messages::ticket_status.eq(message.ticket.map(|ticket| ticket.status.code())),
            messages::ticket_priority.eq(message.ticket.map(|ticket| ticket.priority.code())),
            messages::assignee_id.eq(message.ticket.and_then(|ticket| ticket.assignee_id).map(|id| id.0)),
            messages::updated_at.eq(message.updated_at.0),
            messages::seq.eq(message.cursor.seq.0),
            messages::tag.eq(message.cursor.tag.0),
        ))
        .execute(connection)
        .map_err(map_error)?;
    Ok(())
}

/// Marks a message as deleted, which hides it. `removal` removes its rows later.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn mark_deleted(connection: &mut SqliteConnection, id: MessageId, now: Timestamp) -> Result<()> {
    let marked = diesel::update(messages::table.filter(messages::id.eq(id.0))).set(messages::deleted_at.eq(now.0));
    marked.execute(connection).map(drop).map_err(map_error)
}

/// Adds the audiences to the rows. Most messages are unrestricted, and only restricted ones need a second
/// statement.
fn with_audiences(db: &mut Db, rows: Vec<MessageRow>) -> Result<Vec<Message>> {
    let restricted: Vec<i64> = rows.iter().filter(|row| row.restricted).map(|row| row.id).collect();
    let mut audiences: HashMap<i64, Vec<LocationId>> = HashMap::new();
    if !restricted.is_empty() {
        let pairs: Vec<(i64, i64)> = message_locations::table
            .filter(message_locations::message_id.eq_any(restricted))
            .select((message_locations::message_id, message_locations::location_id))
            .load(db)
            .map_err(map_error)?;
        for (message, location) in pairs {
            audiences.entry(message).or_default().push(LocationId(location));
        }
    }
    rows.into_iter()
        .map(|row| {
            let audience = audiences.remove(&row.id).map(Audience::new).unwrap_or_default();
            row.message(audience)
        })
        .collect()
}
