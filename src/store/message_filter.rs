//! The conditions of a [`MessageFilter`] in queries.

use diesel::internal::table_macro::{BoxedSelectStatement, FromClause};
use diesel::prelude::*;

use super::connection::MultiBackend;
use super::schema::messages;
use crate::model::MessageFilter;

/// A boxed query on `messages`.
pub(super) type BoxedQuery<'a, S> = BoxedSelectStatement<'a, S, FromClause<messages::table>, MultiBackend>;

/// Adds the ticket conditions of a filter (all but the channel) to a query.
pub(super) fn with_ticket_conditions<'a, S>(filter: &MessageFilter, query: BoxedQuery<'a, S>) -> BoxedQuery<'a, S> {
    let mut query = query;
    if filter.tickets_only {
        query = query.filter(messages::ticket_status.is_not_null());
    }
    if let Some(status) = filter.status {
        query = query.filter(messages::ticket_status.eq(status.code()));
    }
    if let Some(assignee) = filter.assignee {
        query = query.filter(messages::assignee_id.eq(assignee.0));
    }
    query
}

/// The ticket conditions of a filter as SQL text, each preceded by `AND`.
pub(super) fn ticket_conditions_as_sql(filter: &MessageFilter, table: &str) -> String {
    let tickets = if filter.tickets_only { format!(" AND {table}.ticket_status IS NOT NULL") } else { String::new() };
    let status = filter.status.map(|status| format!(" AND {table}.ticket_status = {}", status.code()));
    let assignee = filter.assignee.map(|user| format!(" AND {table}.assignee_id = {}", user.0));
    [Some(tickets), status, assignee].into_iter().flatten().collect()
}

/// Adds only the condition of a filter on the channel to a query.
pub(super) fn in_channel<'a, S>(filter: &MessageFilter, query: BoxedQuery<'a, S>) -> BoxedQuery<'a, S> {
    match filter.channel {
        Some(channel) => query.filter(messages::channel_id.eq(channel.0)),
        None => query,
    }
}
