//! Users, organizations and their locations as GraphQL types: thin wrappers around model values.

use std::sync::Arc;

use juniper::{Executor, ID, ScalarValue, graphql_object};

use super::context::Ctx;
use super::enums::Role;
use super::list::List;
use super::paging::{PageArgs, connection};
use super::scalars::{DateTime, out};
use crate::error::{Error, Result};
use crate::model;
use crate::store;

/// Somebody who signs in.
#[derive(Clone)]
pub struct User(pub Arc<model::User>);

impl User {
    /// Wraps a user and says what may be asked of it next.
    pub fn new(ctx: &Ctx, user: Arc<model::User>) -> Self {
        user.organization_id.iter().for_each(|id| ctx.organizations.want(*id));
        user.location_id.iter().for_each(|id| ctx.locations.want(*id));
        Self(user)
    }

    /// The user with this id.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`; those of the database.
    pub fn load(ctx: &Ctx, id: model::UserId) -> Result<Option<Self>> {
        ctx.signed_in()?;
        Ok(ctx.user(id)?.map(|user| Self::new(ctx, user)))
    }

    /// A user who is there as long as what they wrote is.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`; those of the database.
    pub fn must_load(ctx: &Ctx, id: model::UserId) -> Result<Self> {
        Self::load(ctx, id)?.ok_or_else(|| Error::internal(format!("user {id} is missing")))
    }
}

/// Somebody who signs in.
#[graphql_object(context = Ctx)]
impl User {
    /// The id.
    fn id(&self) -> ID {
        out(self.0.id)
    }

    /// What they sign in with, and are mentioned by.
    fn username(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.username)
    }

    /// What others read.
    fn display_name(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.display_name)
    }

    /// What they may do in general.
    fn role(&self) -> Role {
        self.0.role.into()
    }

    /// May not sign in.
    fn disabled(&self) -> bool {
        self.0.disabled
    }

    /// The id of the organization they belong to.
    fn organization_id(&self) -> Option<ID> {
        self.0.organization_id.map(out)
    }

    /// The organization they belong to.
    fn organization(&self, ctx: &Ctx) -> Result<Option<Organization>> {
        let Some(id) = self.0.organization_id else { return Ok(None) };
        Ok(ctx.organization(id)?.map(|organization| Organization::new(ctx, organization)))
    }

    /// The id of the location they belong to.
    fn location_id(&self) -> Option<ID> {
        self.0.location_id.map(out)
    }

    /// The location they belong to.
    fn location(&self, ctx: &Ctx) -> Result<Option<Location>> {
        let Some(id) = self.0.location_id else { return Ok(None) };
        Ok(ctx.location(id)?.map(|location| Location::new(ctx, location)))
    }

    /// When they registered.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

connection!(UserConnection, UserEdge, User, "UserConnection", "UserEdge", "users by username");

impl UserConnection {
    /// A page of users by username.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `BAD_USER_INPUT`; those of the database.
    pub fn search(ctx: &Ctx, text: Option<&str>, args: &PageArgs) -> Result<Self> {
        ctx.signed_in()?;
        Self::load(ctx, args, |db, window| store::users::list(db, text, window))
    }

    /// The members of a channel by username.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `BAD_USER_INPUT`; those of the database.
    pub fn members(ctx: &Ctx, channel: model::ChannelId, args: &PageArgs) -> Result<Self> {
        ctx.signed_in()?;
        Self::load(ctx, args, |db, window| store::channels::members(db, channel, window))
    }

    fn load(
        ctx: &Ctx,
        args: &PageArgs,
        list: impl Fn(&mut store::Db, &model::Window<String>) -> Result<model::Page<model::User>>,
    ) -> Result<Self> {
        let window = args.window("users by username")?;
        let key = |user: &model::User| user.username.clone();
        let page = ctx.page(&window, ctx.largest().user, key, list)?;
        Ok(Self::new(page, &window, key, |user| User::new(ctx, Arc::new(user))))
    }
}

/// An organization, which has locations.
#[derive(Clone)]
pub struct Organization(Arc<model::Organization>);

impl Organization {
    /// Wraps an organization.
    pub fn new(ctx: &Ctx, organization: Arc<model::Organization>) -> Self {
        ctx.locations_of.want(organization.id);
        Self(organization)
    }
}

/// An organization, which has locations.
#[graphql_object(context = Ctx, scalar = S: ScalarValue)]
impl Organization {
    /// The id.
    fn id(&self) -> ID {
        out(self.0.id)
    }

    /// The name.
    fn name(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.name)
    }

    /// Its locations, by name.
    fn locations<S: ScalarValue>(&self, ctx: &Ctx, executor: &Executor<'_, '_, Ctx, S>) -> Result<List<Location>> {
        let locations = ctx.locations_of(self.0.id)?;
        ctx.show_items(locations.len(), executor)?;
        Ok(locations.iter().map(|location| Location::new(ctx, Arc::new(location.clone()))).collect())
    }
}

/// A location of an organization.
#[derive(Clone)]
pub struct Location(Arc<model::Location>);

impl Location {
    /// Wraps a location.
    pub fn new(ctx: &Ctx, location: Arc<model::Location>) -> Self {
        ctx.organizations.want(location.organization_id);
        Self(location)
    }
}

/// A location of an organization.
#[graphql_object(context = Ctx)]
impl Location {
    /// The id.
    fn id(&self) -> ID {
        out(self.0.id)
    }

    /// The name.
    fn name(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.name)
    }

    /// The id of its organization.
    fn organization_id(&self) -> ID {
        out(self.0.organization_id)
    }

    /// Its organization.
    fn organization(&self, ctx: &Ctx) -> Result<Organization> {
        let found = ctx.organization(self.0.organization_id)?;
        found.map(|found| Organization::new(ctx, found)).ok_or_else(|| Error::internal("an organization is missing"))
    }
}
