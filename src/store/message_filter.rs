//! The conditions of a [`MessageFilter`] in queries, and the order of the rows by which an index finds them.

use diesel::internal::table_macro::{BoxedSelectStatement, FromClause};
use diesel::prelude::*;

use super::connection::{Db, MultiBackend};
use super::group_range::{IdRange, SqlRange, in_group, in_group_as_sql, in_range};
use super::schema::messages;
use crate::model::MessageFilter;

/// A boxed query on `messages`.
pub(super) type BoxedQuery<'a, S> = BoxedSelectStatement<'a, S, FromClause<messages::table>, MultiBackend>;

/// Adds the conditions of a filter on the ticket to a query, but not the one on its assignee.
pub(super) fn with_ticket_conditions<'a, S>(filter: &MessageFilter, query: BoxedQuery<'a, S>) -> BoxedQuery<'a, S> {
    let mut query = query;
    if filter.tickets_only {
        query = query.filter(messages::ticket_status.is_not_null());
    }
    if let Some(status) = filter.status {
        query = query.filter(messages::ticket_status.eq(status.code()));
    }
    query
}

/// Adds the conditions of a filter on the assignee and the channel to a query, and the bounds, the order and the limit of a
/// range.
pub(super) fn in_filtered_range<'a, S>(
    filter: &MessageFilter,
    range: IdRange,
    limit: usize,
    query: BoxedQuery<'a, S>,
) -> BoxedQuery<'a, S> {
    match (filter.assignee, filter.channel) {
        (Some(assignee), channel) => {
            let query = match channel {
                Some(channel) => query.filter(messages::channel_id.eq(channel.0)),
                None => query,
            };
            // The condition of the index.
            let query = query.filter(messages::assignee_id.is_not_null());
            in_group!(query, messages::assignee_id, assignee.0, messages::id, range, limit)
        }
        (None, Some(channel)) => in_group!(query, messages::channel_id, channel.0, messages::id, range, limit),
        (None, None) => in_range!(query, messages::id, range, limit),
    }
}

/// A query of the ids of unrestricted messages of a channel that match a filter, as SQL text. `channel` is SQL, too.
pub(super) fn unrestricted_as_sql(
    db: &Db,
    filter: &MessageFilter,
    channel: &str,
    range: IdRange,
    limit: usize,
) -> String {
    let range = SqlRange::from(range);
    let in_channel = [("m.channel_id", channel), ("m.restricted", "FALSE")];
    let status = filter.status.map(|status| status.code().to_string());
    let (conditions, range) = match (filter.assignee, &status) {
        (Some(assignee), status) => {
            let assignee = assignee.0.to_string();
            let group = [&[("m.assignee_id", &*assignee)], &in_channel[..]].concat();
            let status = status.as_ref().map_or(String::new(), |status| format!(" AND m.ticket_status = {status}"));
            (format!("m.assignee_id IS NOT NULL{status}"), in_group_as_sql(db, &group, "m.id", &range))
        }
        (None, Some(status)) => {
            let group = [&in_channel[..], &[("m.ticket_status", status)]].concat();
            ("m.ticket_status IS NOT NULL".into(), in_group_as_sql(db, &group, "m.id", &range))
        }
        (None, None) => {
            let condition = if filter.tickets_only { "m.ticket_status IS NOT NULL" } else { "TRUE" };
            (condition.into(), in_group_as_sql(db, &in_channel, "m.id", &range))
        }
    };
    let within_time = match db {
        Db::Sqlite(_) => " AND within_time(m.id)",
        Db::Postgres(_) => "",
    };
    format!(
        "SELECT m.id FROM messages m WHERE m.deleted_at IS NULL{within_time} AND {conditions} AND {range} LIMIT {limit}"
    )
}
