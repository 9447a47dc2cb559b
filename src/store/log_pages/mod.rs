//! Reading the log in pages. Each page checks its cursor in the snapshot that it reads.

mod page;
mod postgres;
mod rows;

pub use page::{LogPage, MAX_PAGE_ROWS, PAGE_BYTES};

use super::connection::Db;
use super::log;
use crate::error::{Error, Result};
use crate::model::{Cursor, Event, KindSet, Seq, Topic};

/// Reads the next page of a topic, after `after` and up to `up_to`. Each event has its object as it is now;
/// events whose object no longer exists are left out.
///
/// # Errors
/// `CURSOR_EXPIRED` if the log cannot be read from `after`; `UNAVAILABLE` or `INTERNAL_SERVER_ERROR` if the
/// database fails.
pub fn page(db: &mut Db, topic: Topic, kinds: KindSet, after: Cursor, up_to: Seq) -> Result<LogPage> {
    match db {
        Db::Sqlite(_) => rows::page(db, topic, kinds, after, up_to),
        Db::Postgres(connection) => match postgres::page(connection, topic, kinds, after, up_to)? {
            Some(page) => Ok(page),
            None => Err(Error::CursorExpired { oldest: log::oldest(db)? }),
        },
    }
}

/// Reads the next events of all topics after `after`, without their objects. Also returns the cursor at the end
/// of the page.
///
/// # Errors
/// `CURSOR_EXPIRED` if the log cannot be read from `after`; `UNAVAILABLE` or `INTERNAL_SERVER_ERROR` if the
/// database fails.
pub fn read(db: &mut Db, after: Cursor) -> Result<(Vec<Event>, Cursor)> {
    rows::read(db, after)
}
