//! Use cases of organizations and locations: create them, and assign users to them.

use std::sync::Arc;

use super::commands::Commands;
use super::policy::{MAX_LOCATIONS, Policy};
use super::records::record_access_changed;
use super::{Viewer, validate};
use crate::error::{Error, Result};
use crate::model::{Location, LocationId, Organization, OrganizationId, Role, User, UserId};
use crate::store::{organizations, users};
use crate::unicode::{self, NameForms};

/// The largest number of organizations of an installation.
const MAX_ORGANIZATIONS: i64 = 10_000;

/// A user's organization, location and role. Fields that are `None` stay as they are.
#[derive(Debug, Clone, Copy)]
pub struct Assignment {
    /// The user to change.
    pub user: UserId,
    /// The new organization; `Some(None)` removes the user from the organization.
    pub organization: Option<Option<OrganizationId>>,
    /// The new location; `Some(None)` removes the user from the location.
    pub location: Option<Option<LocationId>>,
    /// The new role.
    pub role: Option<Role>,
}

/// The use cases of organizations and locations.
pub struct Organizations {
    pub(super) commands: Arc<Commands>,
    pub(super) policy: Arc<Policy>,
}

impl Organizations {
    /// Creates an organization. Only admins may do this.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` if the name is not acceptable, or there are too many
    /// organizations. `FORBIDDEN` if the viewer is not an admin. `CONFLICT` if the name equals or looks like another
    /// organization's. `RATE_LIMITED` if the viewer's budget of mutations is used up. `UNAVAILABLE` if the database
    /// cannot be reached.
    pub async fn create(&self, viewer: &Viewer, name: &str) -> Result<Organization> {
        self.commands.actor(viewer)?;
        let name = validate::name("name", name, self.policy.max_title)?;
        let viewer = viewer.clone();
        self.commands
            .write(move |tx| {
                viewer.admin()?;
                if organizations::count(tx.read())? >= MAX_ORGANIZATIONS {
                    return Err(Error::input("name", format!("there are {MAX_ORGANIZATIONS} organizations already")));
                }
                if let Some(other) = organizations::find_similar_name(tx.read(), &name)? {
                    return Err(name_conflict("organization", &name, &other));
                }
                organizations::insert(tx.write(), &name)
            })
            .await
    }

    /// Creates a location of an organization. The organization's users may see texts for this location from now on.
    /// Only admins may do this.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` if the name is not acceptable, or the organization
    /// has too many locations. `FORBIDDEN` if the viewer is not an admin. `NOT_FOUND` if the organization does not
    /// exist. `CONFLICT` if the name equals or looks like another location's of the organization. `RATE_LIMITED` if the
    /// viewer's budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn create_location(&self, viewer: &Viewer, organization: OrganizationId, name: &str) -> Result<Location> {
        let actor = self.commands.actor(viewer)?.user.id;
        let name = validate::name("name", name, self.policy.max_title)?;
        let viewer = viewer.clone();
        self.commands
            .write_access(move |tx| {
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
                let likeness = NameForms::of(&name);
                if let Some(other) = locations.iter().find(|location| likeness.is_confusable_with(&location.name)) {
                    return Err(name_conflict("location of this organization", &name, &other.name));
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

    /// Sets a user's organization, location and role. Only admins may do this.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` if the organization or the location does not exist.
    /// `FORBIDDEN` if the viewer is not an admin. `NOT_FOUND` if the user does not exist. `RATE_LIMITED` if the
    /// viewer's budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn assign_user(&self, viewer: &Viewer, assignment: Assignment) -> Result<User> {
        let actor = self.commands.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        self.commands
            .write_access(move |tx| {
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

fn name_conflict(what: &str, name: &str, other: &str) -> Error {
    Error::Conflict(if unicode::is_same(name, other) {
        format!("there is the {what} {other:?} already")
    } else {
        format!("the name {name:?} looks like that of the {what} {other:?}")
    })
}
