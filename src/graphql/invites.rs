//! The GraphQL type of invitations.

use juniper::{ID, graphql_object};

use super::context::Ctx;
use super::enums::Role;
use super::scalars::{DateTime, to_id};
use crate::error::Result;
use crate::model;

/// An invitation as a GraphQL object.
pub struct Invite(pub model::Invite);

/// An invitation to register. It also works while registration is closed.
#[graphql_object(context = Ctx)]
impl Invite {
    /// The id of the invitation.
    fn id(&self) -> ID {
        to_id(self.0.id)
    }

    /// The address of the page where a user registers with the invitation.
    fn url(&self, ctx: &Ctx) -> String {
        ctx.board().invites.url(&self.0)
    }

    /// The text for the field `invite` of `register`.
    fn code(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.code)
    }

    /// The role of the new users.
    fn role(&self) -> Role {
        self.0.role.into()
    }

    /// The ids of the channels that the new users become members of.
    fn channel_ids(&self) -> Vec<ID> {
        self.0.channels.iter().map(to_id).collect()
    }

    /// The id of the organization of the new users.
    fn organization_id(&self) -> Option<ID> {
        self.0.organization_id.map(to_id)
    }

    /// The id of the location of the new users.
    fn location_id(&self) -> Option<ID> {
        self.0.location_id.map(to_id)
    }

    /// How many users may register with the invitation. `null` for any number.
    fn max_uses(&self) -> Option<i32> {
        self.0.max_uses.map(|uses| i32::try_from(uses).unwrap_or(i32::MAX))
    }

    /// How many users have registered with the invitation.
    fn uses(&self) -> i32 {
        i32::try_from(self.0.uses).unwrap_or(i32::MAX)
    }

    /// When the invitation was created.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// The invitation is not valid from this time on. `null` for no end.
    fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime)
    }

    /// When an admin revoked the invitation. `null` if none has.
    fn revoked_at(&self) -> Option<DateTime> {
        self.0.revoked_at.map(DateTime)
    }
}
