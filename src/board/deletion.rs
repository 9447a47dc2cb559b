//! The deletion of users. The command makes the account anonymous and ends its sessions at once. The texts and the rows
//! of the user are removed later, in small steps.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::Viewer;
use super::commands::{Commands, ViewerCommand};
use super::permissions::UserState;
use super::records::{record_sessions_ended, record_user_erased, record_user_updated};
use super::removal::Remover;
use crate::error::Result;
use crate::model::{ContentPolicy, Role, User, UserId};
use crate::store::deleted_users::Removal;
use crate::store::{BatchState, Effects, Needs, SingleWrite, WriteCommand};

/// The name that other users see of a deleted user.
const DISPLAY_NAME: &str = "Deleted user";

/// The use case of deleting users.
pub struct Deletion {
    pub(super) commands: Arc<Commands>,
    pub(super) remover: Arc<Remover>,
}

impl Deletion {
    /// Deletes a user. Admins may delete every user, and other users themselves. The account is anonymous and without
    /// sessions when this returns. What else belongs to the user is removed in small steps afterwards.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `FORBIDDEN` if the viewer is not an admin and deletes another user.
    /// `NOT_FOUND` if there is no such user. `RATE_LIMITED` if the viewer's budget of mutations is used up.
    /// `UNAVAILABLE` if the database cannot be reached.
    pub async fn delete(&self, viewer: &Viewer, user: UserId, content: ContentPolicy) -> Result<UserId> {
        self.commands.actor(viewer)?;
        self.commands.run_access(viewer, DeleteUser { user, content }).await?;
        self.remover.wake();
        Ok(user)
    }

    /// Deletes a user for the operator.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such user. `UNAVAILABLE` if the database cannot be reached.
    pub async fn delete_for_operator(&self, user: UserId, content: ContentPolicy) -> Result<()> {
        self.commands.write_access(DeleteUser { user, content }).await?;
        self.remover.wake();
        Ok(())
    }
}

struct DeleteUser {
    user: UserId,
    content: ContentPolicy,
}

impl DeleteUser {
    fn change(&self, actor: Option<UserId>, state: &BatchState) -> Result<((), Effects)> {
        let known = state.user(self.user)?;
        let anonymous = User {
            // No user can choose this name, because of the `#`.
            username: format!("deleted#{}", known.id),
            display_name: DISPLAY_NAME.into(),
            role: Role::Member,
            disabled: true,
            token_version: known.token_version + 1,
            organization_id: None,
            location_id: None,
            email: None,
            deleted_at: Some(state.now()),
            ..known.clone()
        };
        let removal = match self.content {
            ContentPolicy::Keep => Removal::Rows,
            ContentPolicy::Erase => Removal::Texts,
        };
        let mut effects = state.effects();
        effects.write(SingleWrite::DeleteUser(anonymous, removal));
        record_sessions_ended(&mut effects, known.id, actor);
        record_user_updated(&mut effects, known.id, actor);
        if self.content == ContentPolicy::Erase {
            record_user_erased(&mut effects, known.id, actor);
        }
        Ok(((), effects))
    }
}

/// The operator's command.
impl WriteCommand for DeleteUser {
    type Output = ();

    fn needs(&self, needs: &mut Needs) {
        needs.lock_head();
        needs.user(self.user);
    }

    fn decide(&self, state: &BatchState) -> Result<((), Effects)> {
        self.change(None, state)
    }
}

/// The command of a user.
impl ViewerCommand for DeleteUser {
    type Output = ();

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        WriteCommand::needs(self, needs);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<((), Effects)> {
        if actor.user.id == self.user { actor.check_session() } else { actor.check_admin() }?;
        self.change(Some(actor.user.id), state)
    }
}
