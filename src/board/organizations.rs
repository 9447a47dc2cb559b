//! Organizations, their locations, and who belongs where.

use super::{Board, Viewer, record_access_changed, text};
use crate::error::{Error, Result};
use crate::model::{Location, LocationId, Organization, OrganizationId, Role, User, UserId};
use crate::store::{organizations, users};
use crate::unicode::{self, Likeness};

/// How many organizations there may be.
const MAX_ORGANIZATIONS: i64 = 10_000;
/// How many locations an organization may have, and how many a text may be shared with.
pub const MAX_LOCATIONS: usize = 1_000;

/// Where a user belongs and what they may do; what is `None` stays.
#[derive(Debug, Clone, Copy)]
pub struct Assignment {
    /// Who.
    pub user: UserId,
    /// The organization; `Some(None)` is none.
    pub organization: Option<Option<OrganizationId>>,
    /// The location; `Some(None)` is none.
    pub location: Option<Option<LocationId>>,
    /// What they may do.
    pub role: Option<Role>,
}

impl Board {
    /// Makes an organization.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `FORBIDDEN`, `CONFLICT` if the name is, or looks like, that of another organization.
    pub async fn create_organization(&self, viewer: &Viewer, name: &str) -> Result<Organization> {
        self.actor(viewer)?;
        let name = text::name("name", name, self.rules.max_title)?;
        let viewer = viewer.clone();
        self.store
            .write(move |tx| {
                viewer.admin()?;
                if organizations::count(tx.read())? >= MAX_ORGANIZATIONS {
                    return Err(Error::input("name", format!("there are {MAX_ORGANIZATIONS} organizations already")));
                }
                if let Some(other) = organizations::looks_like(tx.read(), &name)? {
                    return Err(taken("organization", &name, &other));
                }
                organizations::insert(tx.write(), &name)
            })
            .await
    }

    /// Makes a location of an organization, whose users hear what is for it from now on.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `FORBIDDEN`, `NOT_FOUND`, `CONFLICT` if the name is, or looks like, that of another of its locations.
    pub async fn create_location(&self, viewer: &Viewer, organization: OrganizationId, name: &str) -> Result<Location> {
        let actor = self.actor(viewer)?.user.id;
        let name = text::name("name", name, self.rules.max_title)?;
        let viewer = viewer.clone();
        self.write_access(move |tx| {
            viewer.admin()?;
            let locations = organizations::locations_of(tx.read(), &[organization])?.remove(&organization);
            if organizations::by_ids(tx.read(), &[organization])?.is_empty() {
                return Err(Error::NotFound("organization"));
            }
            let locations = locations.unwrap_or_default();
            if locations.len() >= MAX_LOCATIONS {
                let why = format!("the organization has {MAX_LOCATIONS} locations already");
                return Err(Error::input("organizationId", why));
            }
            let likeness = Likeness::of(&name);
            if let Some(other) = locations.iter().find(|location| likeness.is_like(&location.name)) {
                return Err(taken("location of this organization", &name, &other.name));
            }
            let users = organizations::user_ids(tx.read(), organization)?;
            let location = organizations::insert_location(tx.write(), organization, &name)?;
            for user in users {
                record_access_changed(tx, user, None, Some(actor));
            }
            Ok(location)
        })
        .await
    }

    /// Says where a user belongs and what they may do.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `FORBIDDEN`, `NOT_FOUND`.
    pub async fn assign_user(&self, viewer: &Viewer, assignment: Assignment) -> Result<User> {
        let actor = self.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        self.write_access(move |tx| {
            viewer.admin()?;
            let mut user = users::find(tx.read(), assignment.user)?.ok_or(Error::NotFound("user"))?;
            if let Some(Some(id)) = assignment.organization
                && organizations::by_ids(tx.read(), &[id])?.is_empty()
            {
                return Err(Error::input("organizationId", "no such organization"));
            }
            if let Some(Some(id)) = assignment.location
                && organizations::locations_by_ids(tx.read(), &[id])?.is_empty()
            {
                return Err(Error::input("locationId", "no such location"));
            }
            user.organization_id = assignment.organization.unwrap_or(user.organization_id);
            user.location_id = assignment.location.unwrap_or(user.location_id);
            user.role = assignment.role.unwrap_or(user.role);
            users::update(tx.write(), &user)?;
            record_access_changed(tx, user.id, None, Some(actor));
            Ok(user)
        })
        .await
    }
}

fn taken(what: &str, name: &str, other: &str) -> Error {
    Error::Conflict(if unicode::is_same(name, other) {
        format!("there is the {what} {other:?} already")
    } else {
        format!("the name {name:?} looks like that of the {what} {other:?}")
    })
}
