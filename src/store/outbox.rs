//! The outbox: application events that other programs publish in transactions of their own. A batch of the writer moves
//! its rows into the log, or to the table of rejected rows.

use std::collections::{BTreeSet, HashSet};

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, Text};
use serde::Serialize;

use super::connection::{Db, map_error, with_backend};
use super::schema::{outbox, outbox_rejected};
use crate::error::{Error, Result};
use crate::model::Timestamp;

/// The longest data that is read, in bytes. JSON that is valid for an event is shorter, with white space between all its
/// parts, too.
pub const MAX_DATA: usize = 128 << 10;

/// The longest data that is kept of a rejected row, in characters.
const KEPT_DATA: i32 = 1 << 20;

/// How many rejected rows one step deletes.
const STEP: i64 = 1_000;

/// The beginning of the outbox: ids and lengths. On SQLite, a column may have text that is not UTF-8.
const LENGTHS: &str = "SELECT id, octet_length(data) AS bytes FROM outbox ORDER BY id LIMIT ";
const SQLITE_ROWS: &str = "SELECT id, CAST(substr(channel, 1, 1000) AS BLOB) AS channel, \
    CAST(substr(type, 1, 1000) AS BLOB) AS type, CAST(substr(key, 1, 1000) AS BLOB) AS key, \
    CASE WHEN octet_length(data) <= ? THEN CAST(data AS BLOB) END AS data \
    FROM outbox WHERE id <= ? ORDER BY id";
const POSTGRES_ROWS: &str = "SELECT id, substr(channel, 1, 1000) AS channel, substr(type, 1, 1000) AS type, \
    substr(key, 1, 1000) AS key, CASE WHEN octet_length(data) <= $1 THEN data END AS data \
    FROM unnest($2) AS wanted (wanted_id), LATERAL (SELECT * FROM outbox WHERE id = wanted_id OFFSET 0) AS found ORDER BY id";

/// A row of the outbox. Texts that are too long for an event are cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// The id of the row.
    pub id: i64,
    /// The id or the name of the channel.
    pub channel: String,
    /// The type of the event.
    pub app_type: String,
    /// The data, as JSON text; `None` if it is longer than [`MAX_DATA`].
    pub data: Option<String>,
    /// The idempotency key.
    pub key: Option<String>,
    /// Whether all texts are valid. If not, invalid parts are replaced by U+FFFD.
    pub is_text: bool,
}

/// Why a row of the outbox is not published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectedRow {
    /// The id of the row.
    pub id: i64,
    /// The label of the reason.
    pub reason: &'static str,
    /// A sentence for the operator.
    pub detail: String,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

#[derive(QueryableByName)]
struct LengthRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Integer)]
    bytes: i32,
}

#[derive(QueryableByName)]
struct SqliteRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Binary)]
    channel: Vec<u8>,
    #[diesel(sql_type = Binary, column_name = "type")]
    app_type: Vec<u8>,
    #[diesel(sql_type = Nullable<Binary>)]
    key: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    data: Option<Vec<u8>>,
}

#[derive(QueryableByName)]
struct PostgresRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    channel: String,
    #[diesel(sql_type = Text, column_name = "type")]
    app_type: String,
    #[diesel(sql_type = Nullable<Text>)]
    key: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    data: Option<String>,
}

impl From<SqliteRow> for OutboxRow {
    fn from(row: SqliteRow) -> Self {
        let mut is_text = true;
        let mut text = |bytes: Vec<u8>| {
            String::from_utf8(bytes).unwrap_or_else(|invalid| {
                is_text = false;
                String::from_utf8_lossy(invalid.as_bytes()).into_owned()
            })
        };
        let (channel, app_type) = (text(row.channel), text(row.app_type));
        let (data, key) = (row.data.map(&mut text), row.key.map(&mut text));
        Self { id: row.id, channel, app_type, data, key, is_text }
    }
}

impl From<PostgresRow> for OutboxRow {
    fn from(PostgresRow { id, channel, app_type, key, data }: PostgresRow) -> Self {
        Self { id, channel, app_type, data, key, is_text: true }
    }
}

/// Fails at once if another program has locked the whole table. Else a look would occupy a read thread until it times out.
fn check_lock(db: &mut Db) -> Result<()> {
    let Db::Postgres(connection) = db else { return Ok(()) };
    let locked = connection.batch_execute("LOCK TABLE outbox, outbox_rejected IN ACCESS SHARE MODE NOWAIT");
    locked.map_err(|error| match error {
        DieselError::DatabaseError(_, information) if information.message().starts_with("could not obtain lock") => {
            Error::Unavailable("another program has locked the outbox".into())
        }
        error => map_error(error),
    })
}

/// The first committed rows in the order of their ids: at most `rows`, with at most `bytes` of data together, but at least
/// one. The rows in `held` are left out. On SQLite, no other program can lock single rows.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn first_rows(db: &mut Db, held: &BTreeSet<i64>, rows: usize, bytes: usize) -> Result<Vec<OutboxRow>> {
    check_lock(db)?;
    let query = diesel::sql_query(format!("{LENGTHS}{}", rows + held.len()));
    let lengths: Vec<LengthRow> = query.load(db).map_err(map_error)?;
    let mut total = 0;
    let free = lengths.iter().filter(|row| !held.contains(&row.id)).take(rows);
    let fitting = free.take_while(|row| {
        let length = usize::try_from(row.bytes).unwrap_or(usize::MAX);
        // The data of longer rows is not read.
        let is_first = total == 0;
        total += if length <= MAX_DATA { length.max(1) } else { 1 };
        is_first || total <= bytes
    });
    let ids: Vec<i64> = fitting.map(|row| row.id).collect();
    let Some(last) = ids.last() else { return Ok(Vec::new()) };
    let limit = i64::try_from(MAX_DATA).unwrap_or(i64::MAX);
    match db {
        Db::Sqlite(connection) => {
            let query = diesel::sql_query(SQLITE_ROWS).bind::<BigInt, _>(limit);
            let found: Vec<SqliteRow> = query.bind::<BigInt, _>(last).load(connection).map_err(map_error)?;
            Ok(found.into_iter().map(OutboxRow::from).collect())
        }
        Db::Postgres(connection) => {
            let query = diesel::sql_query(POSTGRES_ROWS).bind::<BigInt, _>(limit);
            let query = query.bind::<Array<BigInt>, _>(&ids);
            let found: Vec<PostgresRow> = query.load(connection).map_err(map_error)?;
            Ok(found.into_iter().map(OutboxRow::from).collect())
        }
    }
}

/// The ids of the first committed rows.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn first_ids(db: &mut Db, count: usize) -> Result<Vec<i64>> {
    check_lock(db)?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    outbox::table.order(outbox::id.asc()).select(outbox::id).limit(count).load(db).map_err(map_error)
}

/// The number of waiting rows and of rejected rows. Each is counted up to `most`.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn counts(db: &mut Db, most: i64) -> Result<(i64, i64)> {
    check_lock(db)?;
    let mut count = |table: &str| {
        let query = format!("SELECT count(*) AS rows FROM (SELECT id FROM {table} LIMIT {most}) AS first_rows");
        diesel::sql_query(query).get_result::<CountRow>(db).map(|row| row.rows).map_err(map_error)
    };
    Ok((count("outbox")?, count("outbox_rejected")?))
}

/// Which of these rows exist. On SQLite, within the transaction that also moves them.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn existing(db: &mut Db, ids: &BTreeSet<i64>) -> Result<HashSet<i64>> {
    let mut found = HashSet::new();
    for id in ids {
        let row = outbox::table.filter(outbox::id.eq(*id)).select(outbox::id);
        let row: QueryResult<i64> = with_backend!(db, connection => row.first(connection));
        found.extend(row.optional().map_err(map_error)?);
    }
    Ok(found)
}

/// Deletes a row that was moved.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn delete(connection: &mut SqliteConnection, id: i64) -> Result<()> {
    diesel::delete(outbox::table.filter(outbox::id.eq(id))).execute(connection).map(drop).map_err(map_error)
}

/// Copies a row to the rejected rows. It replaces one with the same id: other programs may choose ids themselves.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn reject(connection: &mut SqliteConnection, rejection: &RejectedRow, now: Timestamp) -> Result<()> {
    diesel::sql_query(
        "INSERT OR REPLACE INTO outbox_rejected (id, channel, type, data, key, reason, detail, rejected_at) \
         SELECT id, channel, type, substr(data, 1, ?), key, ?, ?, ? FROM outbox WHERE id = ?",
    )
    .bind::<Integer, _>(KEPT_DATA)
    .bind::<Text, _>(rejection.reason)
    .bind::<Text, _>(&rejection.detail)
    .bind::<BigInt, _>(now.0)
    .bind::<BigInt, _>(rejection.id)
    .execute(connection)
    .map(drop)
    .map_err(map_error)
}

/// Deletes some rejected rows: those from before a time, and the oldest ones if there are more than `most`. Returns
/// whether more may be left.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn delete_rejected(db: &mut Db, before: Timestamp, most: i64) -> Result<bool> {
    let by_age = outbox_rejected::table.order(outbox_rejected::rejected_at.asc()).select(outbox_rejected::id);
    let old = by_age.filter(outbox_rejected::rejected_at.lt(before.0)).limit(STEP);
    let mut ids: Vec<i64> = old.load(db).map_err(map_error)?;
    if ids.is_empty() {
        let newest = outbox_rejected::table.order(outbox_rejected::rejected_at.desc()).select(outbox_rejected::id);
        ids = newest.offset(most).limit(STEP).load(db).map_err(map_error)?;
    }
    let deleted = diesel::delete(outbox_rejected::table.filter(outbox_rejected::id.eq_any(&ids))).execute(db);
    Ok(i64::try_from(deleted.map_err(map_error)?) == Ok(STEP))
}

/// The longest data that is kept of a rejected row, as a parameter of the statement for PostgreSQL.
pub(super) fn kept_data() -> i64 {
    i64::from(KEPT_DATA)
}
