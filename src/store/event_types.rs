//! The types of application events that admins have defined.

use std::collections::HashMap;

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::schema::event_types;
use crate::error::Result;
use crate::model::{EventType, Timestamp};

/// The most types.
pub const MAX_EVENT_TYPES: usize = 1_000;

/// A row of `event_types`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = event_types)]
struct EventTypeRow {
    name: String,
    description: Option<String>,
    schema: String,
    updated_at: i64,
}

impl From<EventTypeRow> for EventType {
    fn from(row: EventTypeRow) -> Self {
        let EventTypeRow { name, description, schema, updated_at } = row;
        Self { name: name.into(), description, schema: schema.into(), updated_at: Timestamp(updated_at) }
    }
}

/// All types, in the order of their names.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn all(db: &mut Db) -> Result<Vec<EventType>> {
    let rows = event_types::table.select(EventTypeRow::as_select()).load(db).map_err(map_error)?;
    let mut types: Vec<EventType> = rows.into_iter().map(Into::into).collect();
    // Not by the database: its collation may differ.
    types.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(types)
}

/// The lengths of the schemas of all types, in bytes, by the names of the types.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn lengths(db: &mut Db) -> Result<HashMap<String, usize>> {
    Ok(all(db)?.into_iter().map(|found| (found.name.to_string(), found.schema.len())).collect())
}

/// Inserts a type, or replaces the one with the same name.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn set(db: &mut Db, new: &EventType) -> Result<()> {
    delete(db, &new.name)?;
    let values = (
        event_types::name.eq(&*new.name),
        event_types::description.eq(&new.description),
        event_types::schema.eq(&*new.schema),
        event_types::updated_at.eq(new.updated_at.0),
    );
    diesel::insert_into(event_types::table).values(values).execute(db).map(drop).map_err(map_error)
}

/// Deletes a type.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn delete(db: &mut Db, name: &str) -> Result<()> {
    diesel::delete(event_types::table.filter(event_types::name.eq(name))).execute(db).map(drop).map_err(map_error)
}
