//! Use cases of organizations and locations: create them, and assign users to them.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use super::commands::{Commands, ViewerCommand};
use super::permissions::UserState;
use super::policy::{MAX_LOCATIONS, Policy};
use super::records::record_access_changed;
use super::{Viewer, validate};
use crate::error::{Error, Result};
use crate::model::{Location, LocationId, Organization, OrganizationId, Role, User, UserId};
use crate::store::{BatchState, Effects, Needs, SingleWrite};
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
        self.commands.run(viewer, CreateOrganization(name)).await
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
        self.commands.actor(viewer)?;
        let name = validate::name("name", name, self.policy.max_title)?;
        self.commands.run_access(viewer, CreateLocation { organization, name }).await
    }

    /// Sets a user's organization, location and role. Only admins may do this.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` if the organization or the location does not exist.
    /// `FORBIDDEN` if the viewer is not an admin. `NOT_FOUND` if the user does not exist. `RATE_LIMITED` if the
    /// viewer's budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn assign_user(&self, viewer: &Viewer, assignment: Assignment) -> Result<User> {
        self.commands.actor(viewer)?;
        self.commands.run_access(viewer, AssignUser(assignment)).await
    }
}

struct CreateOrganization(String);

impl ViewerCommand for CreateOrganization {
    type Output = Organization;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.similar_organization(&self.0);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Organization, Effects)> {
        actor.check_admin()?;
        if state.organization_count() >= MAX_ORGANIZATIONS {
            return Err(Error::input("name", format!("there are {MAX_ORGANIZATIONS} organizations already")));
        }
        if let Some(other) = state.similar_name(&self.0)? {
            return Err(name_conflict("organization", &self.0, other));
        }
        let organization = Organization { id: OrganizationId(-1), name: self.0.clone() };
        let mut effects = state.effects();
        effects.write(SingleWrite::AddOrganization(organization.clone()));
        Ok((organization, effects))
    }
}

struct CreateLocation {
    organization: OrganizationId,
    name: String,
}

impl ViewerCommand for CreateLocation {
    type Output = Location;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.organization_with_users(self.organization);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Location, Effects)> {
        actor.check_admin()?;
        let known = state.organization(self.organization).ok_or(Error::NotFound("organization"))?;
        if known.locations.len() >= MAX_LOCATIONS {
            let why = format!("the organization has {MAX_LOCATIONS} locations already");
            return Err(Error::input("organizationId", why));
        }
        let likeness = NameForms::of(&self.name);
        if let Some(other) = known.locations.iter().find(|location| likeness.is_confusable_with(&location.name)) {
            return Err(name_conflict("location of this organization", &self.name, &other.name));
        }
        let location = Location { id: LocationId(-1), organization_id: self.organization, name: self.name.clone() };
        let mut effects = state.effects();
        effects.write(SingleWrite::AddLocation(location.clone()));
        for user in &known.users {
            record_access_changed(&mut effects, *user, None, Some(actor.user.id));
        }
        Ok((location, effects))
    }
}

struct AssignUser(Assignment);

impl ViewerCommand for AssignUser {
    type Output = User;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.lock_head();
        needs.user(self.0.user);
        self.0.organization.flatten().iter().for_each(|id| needs.organization(*id));
        self.0.location.flatten().iter().for_each(|id| needs.location(*id));
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(User, Effects)> {
        actor.check_admin()?;
        let (assignment, mut user) = (self.0, state.user(self.0.user)?.clone());
        if assignment.organization.flatten().is_some_and(|id| state.organization(id).is_none()) {
            return Err(Error::input("organizationId", "no such organization"));
        }
        if assignment.location.flatten().is_some_and(|id| !state.has_location(id)) {
            return Err(Error::input("locationId", "no such location"));
        }
        user.organization_id = assignment.organization.unwrap_or(user.organization_id);
        user.location_id = assignment.location.unwrap_or(user.location_id);
        user.role = assignment.role.unwrap_or(user.role);
        let mut effects = state.effects();
        effects.write(SingleWrite::UpdateUser(user.clone()));
        record_access_changed(&mut effects, user.id, None, Some(actor.user.id));
        Ok((user, effects))
    }
}

fn name_conflict(what: &str, name: &str, other: &str) -> Error {
    Error::Conflict(if unicode::is_same(name, other) {
        format!("there is the {what} {other:?} already")
    } else {
        format!("the name {name:?} looks like that of the {what} {other:?}")
    })
}
