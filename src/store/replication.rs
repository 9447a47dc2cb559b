//! How far a PostgreSQL server is: the position of its log of events, and of its write-ahead log (WAL).

use diesel::dsl::sql;
use diesel::pg::data_types::PgLsn;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, PgLsn as WalPosition};

use super::connection::Db;
use super::schema::{events, log_head};
use crate::model::{Cursor, Seq, Tag};

diesel::define_sql_function! {
    /// Whether the server is a standby.
    fn pg_is_in_recovery() -> Bool;
}

/// A server in one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerPosition {
    /// Whether the server is a standby.
    pub is_standby: bool,
    /// The head of the log of events.
    pub head: Cursor,
}

/// The position of a PostgreSQL server. It is one statement, because every read from a replica begins with it.
///
/// # Errors
/// The error of the database; `NotFound` if the log has no row at its head.
pub fn position(db: &mut Db) -> QueryResult<ServerPosition> {
    let tag = events::table.filter(events::seq.eq(log_head::head)).select(events::tag).single_value();
    let position = log_head::table.select((pg_is_in_recovery(), log_head::head, tag));
    let (is_standby, head, tag): (bool, i64, Option<i64>) = position.first(postgres(db)?)?;
    let tag = tag.ok_or(diesel::result::Error::NotFound)?;
    Ok(ServerPosition { is_standby, head: Cursor { seq: Seq(head), tag: Tag(tag) } })
}

/// Up to where a primary has flushed its WAL, in bytes. Every acknowledged commit is below.
///
/// # Errors
/// The error of the database.
pub fn flushed(db: &mut Db) -> QueryResult<u64> {
    let position = diesel::select(sql::<WalPosition>("pg_current_wal_flush_lsn()"));
    position.get_result(postgres(db)?).map(|PgLsn(position)| position)
}

/// Up to where a standby has replayed the WAL, in bytes; 0 for a server that is no standby. A snapshot that begins
/// afterwards contains every commit up to there.
///
/// # Errors
/// The error of the database.
pub fn replayed(db: &mut Db) -> QueryResult<u64> {
    let position = diesel::select(sql::<Nullable<WalPosition>>("pg_last_wal_replay_lsn()"));
    let position: Option<PgLsn> = position.get_result(postgres(db)?)?;
    Ok(position.map_or(0, |PgLsn(position)| position))
}

fn postgres(db: &mut Db) -> QueryResult<&mut PgConnection> {
    match db {
        Db::Postgres(connection) => Ok(connection),
        Db::Sqlite(_) => Err(diesel::result::Error::NotFound),
    }
}
