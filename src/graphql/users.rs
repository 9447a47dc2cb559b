//! The GraphQL types of users, organizations and locations: thin wrappers around model values.

use std::sync::Arc;

use juniper::{Executor, ID, ScalarValue, graphql_object};

use super::context::Ctx;
use super::enums::{Role, UserKind};
use super::indexed_list::List;
use super::paging::{PageArgs, connection};
use super::scalars::{DateTime, to_id};
use crate::board::View;
use crate::error::{Error, Result};
use crate::model;

/// A user as a GraphQL object.
#[derive(Clone)]
pub struct User(pub Arc<model::User>);

impl User {
    /// Wraps a user and registers the keys that its fields may load.
    pub fn new(ctx: &Ctx, user: Arc<model::User>) -> Self {
        user.organization_id.iter().for_each(|id| ctx.organizations.prefetch(*id));
        user.location_id.iter().for_each(|id| ctx.locations.prefetch(*id));
        Self(user)
    }

    /// Loads a user by id; `None` if there is no such user.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the viewer is not signed in, `QUERY_TOO_COMPLEX` if the response becomes too large or the
    /// query too slow, `UNAVAILABLE` if the database or memory is not available.
    pub fn load(ctx: &Ctx, id: model::UserId) -> Result<Option<Self>> {
        Ok(ctx.user(id)?.map(|user| Self::new(ctx, user)))
    }

    /// Loads a user who must exist, for example the author of a message.
    ///
    /// # Errors
    /// Like [`Self::load`], and `INTERNAL_SERVER_ERROR` if there is no such user.
    pub fn must_load(ctx: &Ctx, id: model::UserId) -> Result<Self> {
        Self::load(ctx, id)?.ok_or_else(|| Error::internal(format!("user {id} is missing")))
    }
}

/// A person or a program with a username.
#[graphql_object(context = Ctx)]
impl User {
    /// The id of the user.
    fn id(&self) -> ID {
        to_id(self.0.id)
    }

    /// The name that the user signs in with. A text mentions the user with `@` and this name.
    fn username(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.username)
    }

    /// The name that other users see.
    fn display_name(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.display_name)
    }

    /// The role of the user.
    fn role(&self) -> Role {
        self.0.role.into()
    }

    /// Whether a person or a program uses the account.
    fn kind(&self) -> UserKind {
        self.0.kind.into()
    }

    /// The email address. Only the user and admins may see it; for other viewers it is `null`.
    fn email(&self, ctx: &Ctx) -> Result<Option<&str>> {
        if self.0.email.is_none() {
            return Ok(None);
        }
        let viewer = ctx.viewer().user_state()?;
        let is_visible = viewer.rights.admin || viewer.user.id == self.0.id;
        ctx.show_some(self.0.email.as_deref().filter(|_| is_visible))
    }

    /// Whether the user is disabled. A disabled user cannot sign in.
    fn disabled(&self) -> bool {
        self.0.disabled
    }

    /// The id of the user's organization.
    fn organization_id(&self) -> Option<ID> {
        self.0.organization_id.map(to_id)
    }

    /// The organization of the user.
    fn organization(&self, ctx: &Ctx) -> Result<Option<Organization>> {
        let Some(id) = self.0.organization_id else { return Ok(None) };
        Ok(ctx.organization(id)?.map(|organization| Organization::new(ctx, organization)))
    }

    /// The id of the user's location.
    fn location_id(&self) -> Option<ID> {
        self.0.location_id.map(to_id)
    }

    /// The location of the user.
    fn location(&self, ctx: &Ctx) -> Result<Option<Location>> {
        let Some(id) = self.0.location_id else { return Ok(None) };
        Ok(ctx.location(id)?.map(|location| Location::new(ctx, location)))
    }

    /// When the user registered.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

connection!(UserConnection, UserEdge, User, "UserConnection", "UserEdge", "users by username");

impl UserConnection {
    /// Loads a page of users, ordered by username. `text` is a part of the username or the display name.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the viewer is not signed in, `BAD_USER_INPUT` for a wrong page argument,
    /// `QUERY_TOO_COMPLEX` if the response becomes too large or the query too slow, `UNAVAILABLE` if the database or
    /// memory is not available.
    pub fn search(ctx: &Ctx, text: Option<&str>, args: &PageArgs) -> Result<Self> {
        Self::load(ctx, args, |view, window| view.search_users(text, window))
    }

    /// Loads a page of the members of a channel, ordered by username.
    ///
    /// # Errors
    /// Like [`Self::search`].
    pub fn members(ctx: &Ctx, channel: model::ChannelId, args: &PageArgs) -> Result<Self> {
        Self::load(ctx, args, |view, window| view.members(channel, window))
    }

    fn load(
        ctx: &Ctx,
        args: &PageArgs,
        list: impl Fn(&mut View<'_>, &model::PageRequest<String>) -> Result<model::Page<model::User>>,
    ) -> Result<Self> {
        let window = args.window("users by username")?;
        let key = |user: &model::User| user.username.clone();
        let page = ctx.page(&window, ctx.largest().user, key, list)?;
        Ok(Self::new(page, &window, key, |user| User::new(ctx, Arc::new(user))))
    }
}

/// An organization as a GraphQL object.
#[derive(Clone)]
pub struct Organization(Arc<model::Organization>);

impl Organization {
    /// Wraps an organization and registers the keys that its fields may load.
    pub fn new(ctx: &Ctx, organization: Arc<model::Organization>) -> Self {
        ctx.locations_of.prefetch(organization.id);
        Self(organization)
    }
}

/// An organization with its locations.
#[graphql_object(context = Ctx, scalar = S: ScalarValue)]
impl Organization {
    /// The id of the organization.
    fn id(&self) -> ID {
        to_id(self.0.id)
    }

    /// The name of the organization.
    fn name(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.name)
    }

    /// The locations of the organization, ordered by name.
    fn locations<S: ScalarValue>(&self, ctx: &Ctx, executor: &Executor<'_, '_, Ctx, S>) -> Result<List<Location>> {
        let locations = ctx.locations_of(self.0.id)?;
        ctx.show_items(locations.len(), executor)?;
        Ok(locations.iter().map(|location| Location::new(ctx, Arc::new(location.clone()))).collect())
    }
}

/// A location as a GraphQL object.
#[derive(Clone)]
pub struct Location(Arc<model::Location>);

impl Location {
    /// Wraps a location and registers the keys that its fields may load.
    pub fn new(ctx: &Ctx, location: Arc<model::Location>) -> Self {
        ctx.organizations.prefetch(location.organization_id);
        Self(location)
    }
}

/// A location of an organization.
#[graphql_object(context = Ctx)]
impl Location {
    /// The id of the location.
    fn id(&self) -> ID {
        to_id(self.0.id)
    }

    /// The name of the location.
    fn name(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.name)
    }

    /// The id of the location's organization.
    fn organization_id(&self) -> ID {
        to_id(self.0.organization_id)
    }

    /// The organization of the location.
    fn organization(&self, ctx: &Ctx) -> Result<Organization> {
        let found = ctx.organization(self.0.organization_id)?;
        found.map(|found| Organization::new(ctx, found)).ok_or_else(|| Error::internal("an organization is missing"))
    }
}
