//! Finds candidates for a list of messages by index, so that a query never scans messages that the viewer may
//! not see. It merges sorted streams of message ids: one for each readable channel (its unrestricted messages),
//! one for each location of the viewer, and one for the viewer's own restricted messages. A candidate may still
//! be hidden from the viewer; the conditions in `visible` decide.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};

use super::connection::{Db, MultiBackend, map_error};
use super::group_range::{IdRange, in_group, in_group_as_sql};
use super::message_filter::unrestricted_as_sql;
use super::schema::{channels, locations, message_locations, messages};
use super::time_limit::with_time_limit;
use super::visibility;
use crate::error::Result;
use crate::model::{MessageFilter, Rights};

/// Number of ids read from a stream at once.
const READ_AHEAD: usize = 32;

/// Sorted ids of messages that the viewer can possibly see.
pub struct Candidates {
    range: IdRange,
    filter: MessageFilter,
    streams: Vec<IdStream>,
    /// The next id of each stream and the index of that stream. In descending order, ids are negated.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    /// The id that was returned last; used to skip duplicates.
    last: Option<i64>,
}

struct IdStream {
    source: StreamSource,
    /// Ids that were read from the database and not yet returned.
    read: VecDeque<i64>,
}

/// A row of a query that selects only ids.
#[derive(QueryableByName)]
struct FoundId {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[derive(Clone, Copy)]
enum StreamSource {
    /// Unrestricted messages of this channel.
    Channel(i64),
    /// Restricted messages of this author.
    Author(i64),
    /// Restricted messages for this location.
    Location(i64),
}

impl Candidates {
    /// Starts the merge. `wanted` is the number of messages that the list needs. No more channels than that can
    /// contribute, so only the channels whose first messages come first are merged.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
    pub fn new(db: &mut Db, rights: &Rights, filter: &MessageFilter, range: IdRange, wanted: usize) -> Result<Self> {
        let mut streams = Vec::new();
        let mut firsts = channels_with_first(db, rights, filter, range)?;
        firsts.sort_unstable_by_key(|(_, first)| range.key(*first));
        firsts.truncate(wanted);
        streams.extend(firsts.into_iter().map(|(channel, first)| (StreamSource::Channel(channel), first)));
        if let Some(user) = rights.user {
            let own_restricted = StreamSource::Author(user.0).read(db, filter, range, 1)?;
            streams.extend(own_restricted.into_iter().map(|first| (StreamSource::Author(user.0), first)));
            let firsts = locations_with_first(db, rights, range)?;
            streams.extend(firsts.into_iter().map(|(location, first)| (StreamSource::Location(location), first)));
        }
        let next = streams.iter().enumerate().map(|(at, (_, first))| Reverse((range.key(*first), at))).collect();
        let streams = streams.into_iter().map(|(source, _)| IdStream { source, read: VecDeque::new() }).collect();
        Ok(Self { range, filter: filter.clone(), streams, next, last: None })
    }

    /// Returns the next ids, at most `limit` of them; an empty list at the end.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
    pub fn next(&mut self, db: &mut Db, limit: usize) -> Result<Vec<i64>> {
        let mut ids = Vec::new();
        while ids.len() < limit {
            let Some(Reverse((key, at))) = self.next.pop() else { break };
            let id = self.range.id(key);
            let stream = &mut self.streams[at];
            if stream.read.is_empty() {
                stream.read = stream.source.read(db, &self.filter, self.range.after(id), READ_AHEAD)?.into();
            }
            if let Some(following) = stream.read.pop_front() {
                self.next.push(Reverse((self.range.key(following), at)));
            }
            // A message for several locations comes from several streams, but is returned once.
            if self.last.replace(id) != Some(id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }
}

impl StreamSource {
    fn read(self, db: &mut Db, filter: &MessageFilter, range: IdRange, limit: usize) -> Result<Vec<i64>> {
        let ids = match self {
            Self::Channel(channel) => {
                let query = unrestricted_as_sql(db, filter, &channel.to_string(), range, limit);
                diesel::sql_query(query).load(db).map(|rows| rows.into_iter().map(|FoundId { id }| id).collect())
            }
            Self::Author(author) => {
                let query = messages::table.select(messages::id).into_boxed::<MultiBackend>();
                // The SQL text `restricted` is the condition of the partial index. With a bound parameter, the
                // database would not use that index.
                let query = query.filter(sql::<Bool>("restricted"));
                in_group!(query, messages::author_id, author, messages::id, range, limit).load(db)
            }
            Self::Location(location) => {
                let query = message_locations::table.select(message_locations::message_id).into_boxed::<MultiBackend>();
                let (group, id) = (message_locations::location_id, message_locations::message_id);
                in_group!(query, group, location, id, range, limit).load(db)
            }
        };
        ids.map_err(map_error)
    }
}

/// Each channel that the viewer may read, with its first unrestricted message in the range. Channels without one
/// are left out.
fn channels_with_first(
    db: &mut Db,
    rights: &Rights,
    filter: &MessageFilter,
    range: IdRange,
) -> Result<Vec<(i64, i64)>> {
    let first = format!("({})", unrestricted_as_sql(db, filter, "channels.id", range, 1));
    let query = channels::table
        .select((channels::id, sql::<Nullable<BigInt>>(&first)))
        .filter(channels::deleted_at.is_null())
        .filter(visibility::channel(rights.into()))
        .into_boxed::<MultiBackend>();
    let query = match filter.channel {
        Some(channel) => query.filter(channels::id.eq(channel.0)),
        None => query,
    };
    let rows: Vec<(i64, Option<i64>)> = with_time_limit!(db, query, channels::id).load(db).map_err(map_error)?;
    Ok(rows.into_iter().filter_map(|(channel, first)| Some((channel, first?))).collect())
}

/// Each location of the viewer, with the first message for it in the range. Locations without one are left out.
fn locations_with_first(db: &mut Db, rights: &Rights, range: IdRange) -> Result<Vec<(i64, i64)>> {
    if rights.locations.is_empty() {
        return Ok(Vec::new());
    }
    let first = format!(
        "(SELECT ml.message_id FROM message_locations ml WHERE {} LIMIT 1)",
        in_group_as_sql(db, &[("ml.location_id", "locations.id")], "ml.message_id", &range.into())
    );
    let ids: Vec<i64> = rights.locations.iter().map(|id| id.0).collect();
    let rows: Vec<(i64, Option<i64>)> = locations::table
        .select((locations::id, sql::<Nullable<BigInt>>(&first)))
        .filter(locations::id.eq_any(ids))
        .load(db)
        .map_err(map_error)?;
    Ok(rows.into_iter().filter_map(|(location, first)| Some((location, first?))).collect())
}
