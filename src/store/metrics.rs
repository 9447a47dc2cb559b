//! Metrics: the latest value of each named number.

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::schema::{channels, messages, metrics};
use crate::error::Result;
use crate::model::{Metric, TicketStatus, Timestamp, Visibility};

/// All published metrics, ordered by name.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn all(db: &mut Db) -> Result<Vec<Metric>> {
    let rows: Vec<(String, f64, i64)> = metrics::table
        .select((metrics::name, metrics::value, metrics::updated_at))
        .order(metrics::name.asc())
        .load(db)
        .map_err(map_error)?;
    Ok(rows.into_iter().map(|(name, value, at)| Metric { name, value, updated_at: Timestamp(at) }).collect())
}

/// Whether there is a metric with this name.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn is_known(db: &mut Db, name: &str) -> Result<bool> {
    let found = metrics::table.filter(metrics::name.eq(name)).select(metrics::name);
    Ok(found.first::<String>(db).optional().map_err(map_error)?.is_some())
}

/// Number of metrics.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn count(db: &mut Db) -> Result<i64> {
    metrics::table.count().get_result(db).map_err(map_error)
}

/// Stores the new value of a metric.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn put(connection: &mut SqliteConnection, metric: &Metric) -> Result<()> {
    let (value, at) = (metrics::value.eq(metric.value), metrics::updated_at.eq(metric.updated_at.0));
    let updated =
        diesel::update(metrics::table.filter(metrics::name.eq(&metric.name))).set((value, at)).execute(connection);
    if updated.map_err(map_error)? == 0 {
        diesel::insert_into(metrics::table)
            .values((metrics::name.eq(&metric.name), value, at))
            .execute(connection)
            .map_err(map_error)?;
    }
    Ok(())
}

/// Number of open tickets that every user can see: unrestricted tickets in public channels.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn open_tickets(db: &mut Db) -> Result<i64> {
    let public = channels::table
        .filter(channels::id.eq(messages::channel_id))
        .filter(channels::visibility.eq(Visibility::Public.code()))
        .filter(channels::deleted_at.is_null())
        .select(channels::id);
    messages::table
        .filter(messages::ticket_status.eq(TicketStatus::Open.code()))
        .filter(messages::restricted.eq(false))
        .filter(messages::deleted_at.is_null())
        .filter(diesel::dsl::exists(public))
        .count()
        .get_result(db)
        .map_err(map_error)
}
