//! Organizations and their locations.

use std::collections::HashMap;

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::schema::{locations, organizations, users};
use crate::error::Result;
use crate::model::{Location, LocationId, Organization, OrganizationId, UserId};
use crate::unicode::NameForms;

type LocationRow = (i64, i64, String);

fn location((id, organization, name): LocationRow) -> Location {
    Location { id: LocationId(id), organization_id: OrganizationId(organization), name }
}

/// All organizations, ordered by name.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn list(db: &mut Db) -> Result<Vec<Organization>> {
    let rows: Vec<(i64, String)> = organizations::table.order(organizations::name.asc()).load(db).map_err(map_error)?;
    Ok(rows.into_iter().map(|(id, name)| Organization { id: OrganizationId(id), name }).collect())
}

/// Organizations by id. Missing ones are left out.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn by_ids(db: &mut Db, ids: &[OrganizationId]) -> Result<HashMap<OrganizationId, Organization>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<(i64, String)> =
        organizations::table.filter(organizations::id.eq_any(ids)).load(db).map_err(map_error)?;
    Ok(rows.into_iter().map(|(id, name)| (OrganizationId(id), Organization { id: OrganizationId(id), name })).collect())
}

/// Locations by id. Missing ones are left out.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn locations_by_ids(db: &mut Db, ids: &[LocationId]) -> Result<HashMap<LocationId, Location>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<LocationRow> = locations::table.filter(locations::id.eq_any(ids)).load(db).map_err(map_error)?;
    Ok(rows.into_iter().map(|row| (LocationId(row.0), location(row))).collect())
}

/// The locations of each organization, ordered by name.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn locations_of(db: &mut Db, ids: &[OrganizationId]) -> Result<HashMap<OrganizationId, Vec<Location>>> {
    let raw: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<LocationRow> = locations::table
        .filter(locations::organization_id.eq_any(raw))
        .order(locations::name.asc())
        .load(db)
        .map_err(map_error)?;
    let mut found: HashMap<_, Vec<_>> = ids.iter().map(|id| (*id, Vec::new())).collect();
    for row in rows {
        found.entry(OrganizationId(row.1)).or_default().push(location(row));
    }
    Ok(found)
}

/// The ids of an organization's locations.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn location_ids(db: &mut Db, organization: OrganizationId) -> Result<Vec<LocationId>> {
    let ids: Vec<i64> = locations::table
        .filter(locations::organization_id.eq(organization.0))
        .select(locations::id)
        .load(db)
        .map_err(map_error)?;
    Ok(ids.into_iter().map(LocationId).collect())
}

/// The ids of the users that belong to an organization, in ascending order. The caller records an event for each
/// of them, and the order of the events must not depend on the database.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn user_ids(db: &mut Db, organization: OrganizationId) -> Result<Vec<UserId>> {
    let members = users::table.filter(users::organization_id.eq(organization.0));
    let ids: Vec<i64> = members.order(users::id).select(users::id).load(db).map_err(map_error)?;
    Ok(ids.into_iter().map(UserId).collect())
}

/// Number of organizations.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn count(db: &mut Db) -> Result<i64> {
    organizations::table.count().get_result(db).map_err(map_error)
}

/// The name of an existing organization that looks like this one. It compares all names: there are a few
/// thousand at most, and only admins create organizations.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn find_similar_name(db: &mut Db, name: &str) -> Result<Option<String>> {
    let names: Vec<String> =
        organizations::table.select(organizations::name).order(organizations::id.asc()).load(db).map_err(map_error)?;
    let likeness = NameForms::of(name);
    Ok(names.into_iter().find(|other| likeness.is_confusable_with(other)))
}

/// Inserts an organization. Returns its id; the id in `organization` is ignored.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert(db: &mut Db, organization: &Organization) -> Result<OrganizationId> {
    let inserting = diesel::insert_into(organizations::table).values(organizations::name.eq(&organization.name));
    inserting.returning(organizations::id).get_result(db).map(OrganizationId).map_err(map_error)
}

/// Inserts a location. Returns its id; the id in `location` is ignored.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert_location(db: &mut Db, location: &Location) -> Result<LocationId> {
    let row = (locations::organization_id.eq(location.organization_id.0), locations::name.eq(&location.name));
    let inserting = diesel::insert_into(locations::table).values(row);
    inserting.returning(locations::id).get_result(db).map(LocationId).map_err(map_error)
}
