//! Invitations: with one, a user registers also while registration is closed.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::commands::{Commands, ViewerCommand};
use super::permissions::UserState;
use super::{Policy, Viewer};
use crate::auth::generate_one_time_token;
use crate::error::{Error, Result};
use crate::model::{ChannelId, Invite, InviteId, LocationId, OrganizationId, Role, Timestamp};
use crate::store::{BatchState, Effects, Needs, SingleWrite, WriteCommand};

/// The most invitations that are stored. Those that have ended are deleted after [`KEPT`].
const MAX_INVITES: i64 = 1_000;
/// The most channels of an invitation.
const MAX_CHANNELS: usize = 100;
/// How long an invitation is listed after its end.
pub(super) const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// The input for a new invitation.
#[derive(Debug, Clone)]
pub struct NewInvite {
    /// The role of the new users.
    pub role: Role,
    /// The channels that the new users become members of.
    pub channels: Vec<ChannelId>,
    /// The organization of the new users.
    pub organization: Option<OrganizationId>,
    /// The location of the new users.
    pub location: Option<LocationId>,
    /// How many users may register with it; `None` for any number.
    pub max_uses: Option<i64>,
    /// When it expires; `None` for never.
    pub expires_at: Option<Timestamp>,
}

/// The use cases of invitations.
pub struct Invites {
    pub(super) commands: Arc<Commands>,
    pub(super) policy: Arc<Policy>,
}

impl Invites {
    /// Creates an invitation. Only admins may do this.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `FORBIDDEN` if the viewer is not an admin. `BAD_USER_INPUT` for an
    /// invalid field, or if there are too many invitations. `NOT_FOUND` if a channel does not exist. `RATE_LIMITED` if
    /// the viewer's budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn create(&self, viewer: &Viewer, new: NewInvite) -> Result<Invite> {
        self.commands.actor(viewer)?;
        self.commands.run(viewer, CreateInvite::new(new)?).await
    }

    /// The same for the operator.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if there are too many invitations. `UNAVAILABLE` if the database cannot be reached.
    pub async fn create_for_operator(&self, new: NewInvite) -> Result<Invite> {
        self.commands.write_access(CreateInvite::new(new)?).await
    }

    /// Revokes an invitation: no further user can register with it. Only admins may do this.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `FORBIDDEN` if the viewer is not an admin. `NOT_FOUND` if there is no
    /// such invitation. `RATE_LIMITED` if the viewer's budget of mutations is used up. `UNAVAILABLE` if the database
    /// cannot be reached.
    pub async fn revoke(&self, viewer: &Viewer, id: InviteId) -> Result<Invite> {
        self.commands.actor(viewer)?;
        self.commands.run(viewer, RevokeInvite(id)).await
    }

    /// The address of the page where a user registers with this invitation.
    #[must_use]
    pub fn url(&self, invite: &Invite) -> String {
        format!("{}/#/invite/{}", self.policy.public_url, invite.code)
    }
}

struct CreateInvite {
    new: NewInvite,
    code: String,
}

impl CreateInvite {
    fn new(mut new: NewInvite) -> Result<Self> {
        new.channels.sort_unstable();
        new.channels.dedup();
        if new.channels.len() > MAX_CHANNELS {
            return Err(Error::input("channelIds", format!("at most {MAX_CHANNELS} channels are allowed")));
        }
        if new.max_uses.is_some_and(|uses| uses < 1) {
            return Err(Error::input("maxUses", "maxUses must be at least 1"));
        }
        Ok(Self { new, code: generate_one_time_token() })
    }

    fn create(&self, state: &BatchState) -> Result<(Invite, Effects)> {
        let new = &self.new;
        if state.invite_count()? >= MAX_INVITES {
            return Err(Error::input("maxUses", format!("there are {MAX_INVITES} invitations: revoke some of them")));
        }
        if new.organization.is_some_and(|id| !state.has_organization(id)) {
            return Err(Error::input("organizationId", "no such organization"));
        }
        if new.location.is_some_and(|id| !state.has_location(id)) {
            return Err(Error::input("locationId", "no such location"));
        }
        if new.channels.iter().any(|id| !state.has_channel(*id)) {
            return Err(Error::NotFound("channel"));
        }
        if new.expires_at.is_some_and(|end| end <= state.now()) {
            return Err(Error::input("expiresAt", "expiresAt must be in the future"));
        }
        let invite = Invite {
            id: InviteId(-1),
            code: self.code.clone(),
            role: new.role,
            channels: new.channels.clone(),
            organization_id: new.organization,
            location_id: new.location,
            max_uses: new.max_uses,
            uses: 0,
            created_at: state.now(),
            expires_at: new.expires_at,
            revoked_at: None,
        };
        let mut effects = state.effects();
        effects.write(SingleWrite::AddInvite(invite.clone()));
        Ok((invite, effects))
    }
}

/// The operator's command.
impl WriteCommand for CreateInvite {
    type Output = Invite;

    fn needs(&self, needs: &mut Needs) {
        needs.invite_count();
        needs.known_organizations(self.new.organization.into_iter().collect());
        self.new.location.iter().for_each(|id| needs.location(*id));
        self.new.channels.iter().for_each(|id| needs.channel(*id));
    }

    fn decide(&self, state: &BatchState) -> Result<(Invite, Effects)> {
        self.create(state)
    }
}

/// An admin's command.
impl ViewerCommand for CreateInvite {
    type Output = Invite;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        WriteCommand::needs(self, needs);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Invite, Effects)> {
        actor.check_admin()?;
        self.new.channels.iter().try_for_each(|id| state.channel(&actor.rights, *id).map(drop))?;
        self.create(state)
    }
}

struct RevokeInvite(InviteId);

impl ViewerCommand for RevokeInvite {
    type Output = Invite;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.invite(self.0);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Invite, Effects)> {
        actor.check_admin()?;
        let known = state.invite(self.0).ok_or(Error::NotFound("invitation"))?;
        let mut effects = state.effects();
        if known.revoked_at.is_some() {
            return Ok((known.clone(), effects));
        }
        let revoked = Invite { revoked_at: Some(state.now()), ..known.clone() };
        effects.write(SingleWrite::UpdateInvite(revoked.clone()));
        Ok((revoked, effects))
    }
}
