//! Notifications: personal ones for one user, and announcements to all users. Whether a user has read an
//! announcement is stored in `announcement_reads`.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use serde::Deserialize;

use super::connection::{Db, MultiBackend, map_error};
use super::group_range::{IdRange, in_group, in_range};
use super::paging::page;
use super::schema::{announcement_reads as reads, messages, notifications};
use super::time_limit::with_time_limit;
use super::visibility;
use crate::error::{Error, Result};
use crate::model::{
    Cursor, MessageId, Notification, NotificationId, Page, PageRequest, Priority, Seq, Tag, Timestamp, UserId,
};

/// A row of `notifications`.
#[derive(Queryable, Selectable, Deserialize)]
#[diesel(table_name = notifications)]
pub struct NotificationRow {
    id: i64,
    user_id: Option<i64>,
    title: String,
    message: String,
    priority: i16,
    message_id: Option<i64>,
    created_at: i64,
    read_at: Option<i64>,
    seq: i64,
    tag: i64,
}

impl TryFrom<NotificationRow> for Notification {
    type Error = Error;

    fn try_from(row: NotificationRow) -> Result<Self> {
        Ok(Self {
            id: NotificationId(row.id),
            user_id: row.user_id.map(UserId),
            title: row.title,
            message: row.message,
            priority: Priority::from_code(row.priority).ok_or_else(|| Error::internal("unknown priority"))?,
            message_id: row.message_id.map(MessageId),
            created_at: Timestamp(row.created_at),
            read_at: row.read_at.map(Timestamp),
            cursor: Cursor { seq: Seq(row.seq), tag: Tag(row.tag) },
        })
    }
}

/// The order of a list of notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Newest notifications first, for display.
    NewestFirst,
    /// Oldest notifications first, in the order of their events.
    OldestFirst,
}

/// A page of a user's notifications, announcements included.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn list(
    db: &mut Db,
    user: UserId,
    unread_only: bool,
    order: Order,
    window: &PageRequest<NotificationId>,
) -> Result<Page<Notification>> {
    let window = window.map(|id| id.0);
    let all = || notifications::table.select(NotificationRow::as_select()).into_boxed::<MultiBackend>();
    // Two queries, each served by an index. A single query would also scan the notifications of other users.
    let mut rows = Vec::new();
    let range = match order {
        Order::NewestFirst => IdRange::newest_first(&window),
        Order::OldestFirst => IdRange::oldest_first(&window),
    };
    let wanted = window.limit.saturating_add(1);
    let own = in_group!(all(), notifications::user_id, user.0, notifications::id, range, wanted);
    let announcements = all().filter(notifications::user_id.is_null());
    let announcements = in_range!(announcements, notifications::user_id, notifications::id, range, wanted);
    for query in [own, announcements] {
        let mut query = with_time_limit!(db, query, notifications::id);
        if unread_only {
            let read = reads::table
                .filter(reads::notification_id.eq(notifications::id))
                .filter(reads::user_id.eq(user.0))
                .select(reads::notification_id);
            query = query.filter(notifications::read_at.is_null()).filter(diesel::dsl::not(diesel::dsl::exists(read)));
        }
        rows.extend(query.load::<NotificationRow>(db).map_err(map_error)?);
    }
    rows.sort_unstable_by_key(|row| range.key(row.id));
    rows.truncate(wanted);
    let page = page(rows, &window);
    let rows = without_deleted(db, page.items)?;
    Ok(Page { items: rows.into_iter().map(Notification::try_from).collect::<Result<_>>()?, more: page.more })
}

/// The notification with this id, if it is for this user or an announcement.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn find(db: &mut Db, user: UserId, id: NotificationId) -> Result<Option<Notification>> {
    let found = by_ids(db, &[id])?.remove(&id);
    Ok(found.filter(|notification| notification.user_id.is_none_or(|owner| owner == user)))
}

/// Notifications by id, without a permission check. Missing ones are left out.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn by_ids(db: &mut Db, ids: &[NotificationId]) -> Result<HashMap<NotificationId, Notification>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = notifications::table.filter(notifications::id.eq_any(ids)).select(NotificationRow::as_select());
    let rows: Vec<NotificationRow> = rows.load(db).map_err(map_error)?;
    let rows = without_deleted(db, rows)?;
    rows.into_iter().map(|row| Ok((NotificationId(row.id), Notification::try_from(row)?))).collect()
}

/// Clears `message_id` where the message is marked as deleted but not removed yet.
fn without_deleted(db: &mut Db, mut rows: Vec<NotificationRow>) -> Result<Vec<NotificationRow>> {
    let about: Vec<i64> = rows.iter().filter_map(|row| row.message_id).collect();
    if about.is_empty() {
        return Ok(rows);
    }
    let existing =
        messages::table.filter(messages::id.eq_any(about)).filter(visibility::is_not_deleted()).select(messages::id);
    let existing: HashSet<i64> = existing.load(db).map_err(map_error)?.into_iter().collect();
    for row in &mut rows {
        row.message_id = row.message_id.filter(|id| existing.contains(id));
    }
    Ok(rows)
}

/// When a user read each of these announcements. Unread ones are left out.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn announcements_read(
    db: &mut Db,
    user: UserId,
    ids: &[NotificationId],
) -> Result<HashMap<NotificationId, Timestamp>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<(i64, i64)> = reads::table
        .filter(reads::user_id.eq(user.0))
        .filter(reads::notification_id.eq_any(ids))
        .select((reads::notification_id, reads::read_at))
        .load(db)
        .map_err(map_error)?;
    Ok(rows.into_iter().map(|(id, at)| (NotificationId(id), Timestamp(at))).collect())
}

/// Inserts a notification. Returns its id; the id in `notification` is ignored.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert(connection: &mut SqliteConnection, notification: &Notification, actor: UserId) -> Result<i64> {
    diesel::insert_into(notifications::table)
        .values((
            notifications::user_id.eq(notification.user_id.map(|id| id.0)),
            notifications::title.eq(&notification.title),
            notifications::message.eq(&notification.message),
            notifications::priority.eq(notification.priority.code()),
            notifications::message_id.eq(notification.message_id.map(|id| id.0)),
            notifications::created_at.eq(notification.created_at.0),
            notifications::seq.eq(notification.cursor.seq.0),
            notifications::tag.eq(notification.cursor.tag.0),
            notifications::actor_id.eq(actor.0),
        ))
        .returning(notifications::id)
        .get_result(connection)
        .map_err(map_error)
}

/// Marks a notification for one user as read, unless it was read before.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn mark_read(connection: &mut SqliteConnection, id: NotificationId, now: Timestamp) -> Result<()> {
    let unread = notifications::table.filter(notifications::id.eq(id.0)).filter(notifications::read_at.is_null());
    let marked = diesel::update(unread).set(notifications::read_at.eq(now.0)).execute(connection);
    marked.map(drop).map_err(map_error)
}

/// Marks an announcement as read by this user, who has not read it before.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn mark_announcement_read(
    connection: &mut SqliteConnection,
    id: NotificationId,
    reader: UserId,
    now: Timestamp,
) -> Result<()> {
    let read = (reads::notification_id.eq(id.0), reads::user_id.eq(reader.0), reads::read_at.eq(now.0));
    diesel::insert_into(reads::table).values(read).execute(connection).map(drop).map_err(map_error)
}
