//! Sizes of texts, computed by the database without loading the texts.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Integer, Nullable, Text};

use super::connection::{Db, map_error};
use super::row_summary::RowSummary;
use super::schema::{channels, comments, messages, notifications, templates};
use crate::error::Result;
use crate::model::EventKind;

diesel::define_sql_function! {
    /// Length of a text in bytes.
    #[sql_name = "octet_length"]
    fn octets(text: Text) -> Integer;
}

diesel::define_sql_function! {
    /// Length of a nullable text in bytes.
    #[sql_name = "octet_length"]
    fn nullable_octets(text: Nullable<Text>) -> Nullable<Integer>;
}

/// Sizes of objects in bytes, by event kind and object id. An object that several events show is counted once,
/// for the first of them.
pub(super) type ObjectSizes = HashMap<(i16, i64), usize>;

/// The kinds of events that show an object of each table.
const MESSAGES: [EventKind; 2] = [EventKind::MessageAdded, EventKind::MessageUpdated];
const COMMENTS: [EventKind; 2] = [EventKind::CommentAdded, EventKind::CommentUpdated];
const CHANNELS: [EventKind; 4] =
    [EventKind::ChannelAdded, EventKind::ChannelUpdated, EventKind::RoomBroadcast, EventKind::AppEvent];
const TEMPLATES: [EventKind; 1] = [EventKind::TemplateAdded];
const NOTIFICATIONS: [EventKind; 1] = [EventKind::NotificationAdded];

/// Adds the sizes of the objects of one table that the events in `$rows` show.
macro_rules! sizes {
    ($db:expr, $rows:expr, $sizes:expr, $kinds:expr, $table:ident, $long:ident, $short:expr) => {{
        let is_shown = |row: &&RowSummary| $kinds.iter().any(|kind| kind.code() == row.kind);
        let ids: Vec<i64> = $rows.iter().filter(is_shown).map(|row| row.object_id).collect();
        if !ids.is_empty() {
            let found: Vec<(i64, i32, Option<i32>)> = $table::table
                .filter($table::id.eq_any(ids))
                .select(($table::id, octets($table::$long), $short))
                .load($db)
                .map_err(map_error)?;
            for (id, long, short) in found {
                let bytes = usize::try_from(long + short.unwrap_or(0)).unwrap_or(0);
                // Count the object for the first event that shows it.
                let first = $rows.iter().filter(is_shown).find(|row| row.object_id == id);
                $sizes.extend(first.map(|row| ((row.kind, id), bytes)));
            }
        }
    }};
}

/// The sizes of the objects that these events show. Empty for a single event, which a page always includes.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn of_objects(db: &mut Db, rows: &[RowSummary]) -> Result<ObjectSizes> {
    let mut sizes = ObjectSizes::new();
    if rows.len() < 2 {
        return Ok(sizes);
    }
    sizes!(db, rows, sizes, MESSAGES, messages, content, nullable_octets(messages::title));
    sizes!(db, rows, sizes, COMMENTS, comments, content, None::<i32>.into_sql::<Nullable<Integer>>());
    sizes!(db, rows, sizes, CHANNELS, channels, name, nullable_octets(channels::description));
    sizes!(db, rows, sizes, TEMPLATES, templates, content, octets(templates::name).nullable());
    sizes!(db, rows, sizes, NOTIFICATIONS, notifications, message, octets(notifications::title).nullable());
    Ok(sizes)
}
