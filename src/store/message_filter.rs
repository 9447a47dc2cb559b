//! Which messages a list contains, as conditions of a query.

use diesel::internal::table_macro::{BoxedSelectStatement, FromClause};
use diesel::prelude::*;

use super::connection::MultiBackend;
use super::schema::messages;
use crate::model::{ChannelId, TicketStatus, UserId};

/// Conditions on the messages of a list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// If set, only messages of this channel match.
    pub channel: Option<ChannelId>,
    /// Whether only messages that are tickets match.
    pub tickets_only: bool,
    /// If set, only tickets with this status match.
    pub status: Option<TicketStatus>,
    /// If set, only tickets with this assignee match.
    pub assignee: Option<UserId>,
}

impl Filter {
    /// Adds the ticket conditions (all but the channel) to a query.
    pub(super) fn with_ticket_conditions<'a, S>(&self, query: BoxedQuery<'a, S>) -> BoxedQuery<'a, S> {
        let mut query = query;
        if self.tickets_only {
            query = query.filter(messages::ticket_status.is_not_null());
        }
        if let Some(status) = self.status {
            query = query.filter(messages::ticket_status.eq(status.code()));
        }
        if let Some(assignee) = self.assignee {
            query = query.filter(messages::assignee_id.eq(assignee.0));
        }
        query
    }

    /// The ticket conditions as SQL text, each preceded by `AND`.
    pub(super) fn as_sql(&self, table: &str) -> String {
        let tickets = if self.tickets_only { format!(" AND {table}.ticket_status IS NOT NULL") } else { String::new() };
        let status = self.status.map(|status| format!(" AND {table}.ticket_status = {}", status.code()));
        let assignee = self.assignee.map(|user| format!(" AND {table}.assignee_id = {}", user.0));
        [Some(tickets), status, assignee].into_iter().flatten().collect()
    }

    /// Adds only the condition on the channel to a query.
    pub(super) fn in_channel<'a, S>(&self, query: BoxedQuery<'a, S>) -> BoxedQuery<'a, S> {
        match self.channel {
            Some(channel) => query.filter(messages::channel_id.eq(channel.0)),
            None => query,
        }
    }

    pub(super) fn is_for_tickets(&self) -> bool {
        self.tickets_only || self.status.is_some() || self.assignee.is_some()
    }
}

/// A boxed query on `messages`.
pub(super) type BoxedQuery<'a, S> = BoxedSelectStatement<'a, S, FromClause<messages::table>, MultiBackend>;
