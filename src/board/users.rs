//! Users: admins create and change them, and users change their own profiles.

mod new_account;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::new_account::AccountInput;
use self::new_account::{CheckedAccount, check_distinct};
use super::accounts::{check_lookalike_display_name, check_lookalike_username};
use super::commands::{Commands, ViewerCommand};
use super::permissions::UserState;
use super::policy::MAX_USERNAME;
use super::records::{record_access_changed, record_user_updated};
use super::{Viewer, validate};
use crate::auth::Passwords;
use crate::error::{Error, Result};
use crate::model::{LocationId, OrganizationId, Role, User, UserId};
use crate::store::{BatchState, Effects, Needs, SingleWrite};

/// The most users that one call creates.
const MAX_NEW_USERS: usize = 1_000;
/// The most users with a password that one call creates. A hash takes about 20 ms of a core.
const MAX_NEW_PASSWORDS: usize = 100;

/// Changes of a user. Fields that are `None` stay as they are.
#[derive(Debug, Clone)]
pub struct UserEdit {
    /// The user to change.
    pub id: UserId,
    /// The new name for signing in.
    pub username: Option<String>,
    /// The new name that other users see.
    pub display_name: Option<String>,
    /// The new email address; `Some(None)` removes it.
    pub email: Option<Option<String>>,
    /// The new role.
    pub role: Option<Role>,
    /// The new organization; `Some(None)` removes the user from the organization.
    pub organization: Option<Option<OrganizationId>>,
    /// The new location; `Some(None)` removes the user from the location.
    pub location: Option<Option<LocationId>>,
}

/// The use cases of users.
pub struct UserManagement {
    pub(super) commands: Arc<Commands>,
    pub(super) passwords: Passwords,
}

impl UserManagement {
    /// Creates users, all of them or none, in one commit. Only admins may do this. A user whose idempotency key was used
    /// before is returned, and not created again. A `list` names the position of a wrong user in its errors.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `FORBIDDEN` if the viewer is not an admin. `BAD_USER_INPUT` for an
    /// invalid field, or too many users. `CONFLICT` if a name is taken, or looks like another one, if an identity
    /// belongs to another user, or if a key was used with another input. `NOT_FOUND` if a channel does not exist.
    /// `RATE_LIMITED` if the viewer's budget of mutations is used up. `UNAVAILABLE` if the server is busy or the
    /// database cannot be reached.
    pub async fn create(&self, viewer: &Viewer, mut new: Vec<AccountInput>, is_list: bool) -> Result<Vec<User>> {
        let actor = self.commands.actor(viewer)?;
        actor.check_admin()?;
        if new.len() > MAX_NEW_USERS {
            return Err(Error::input("inputs", format!("at most {MAX_NEW_USERS} users can be created at once")));
        }
        let passwords: Vec<_> = new.iter_mut().map(|account| account.password.take()).collect();
        if passwords.iter().flatten().count() > MAX_NEW_PASSWORDS {
            let why = format!("at most {MAX_NEW_PASSWORDS} users with a password can be created at once");
            return Err(Error::input("inputs", why));
        }
        let place = |index| is_list.then_some(index);
        let checked = new.iter().zip(&passwords).enumerate();
        let checked = checked
            .map(|(index, (new, password))| CheckedAccount::new(actor.user.id, new, password.as_deref(), place(index)));
        let mut accounts = checked.collect::<Result<Vec<_>>>()?;
        check_distinct(&accounts)?;
        for (account, password) in accounts.iter_mut().zip(passwords) {
            let Some(password) = password else { continue };
            let turn = self.passwords.turn(viewer.party()).await?;
            account.password_hash = self.passwords.hash(turn, password).await?.0;
        }
        let _turn = self.commands.slot(viewer.party()).await?;
        self.commands.run(viewer, CreateUsers(accounts)).await
    }

    /// Changes a user. Only admins may do this.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `FORBIDDEN` if the viewer is not an admin. `BAD_USER_INPUT` for an
    /// invalid field. `NOT_FOUND` if there is no such user. `CONFLICT` if a name is taken, or looks like another one.
    /// `RATE_LIMITED` if the viewer's budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn update(&self, viewer: &Viewer, edit: UserEdit) -> Result<User> {
        self.commands.actor(viewer)?;
        self.commands.run_access(viewer, UpdateUser(checked(edit)?)).await
    }

    /// Changes the display name and the email address of the viewer.
    ///
    /// # Errors
    /// As [`Self::update`], but `FORBIDDEN` for an API key, and for a token of another issuer, whose claims are the profile.
    pub async fn update_profile(
        &self,
        viewer: &Viewer,
        display_name: Option<String>,
        email: Option<Option<String>>,
    ) -> Result<User> {
        self.commands.actor(viewer)?;
        let id = viewer.own_session_state()?.user.id;
        let (username, role, organization, location) = (None, None, None, None);
        let edit = UserEdit { id, username, display_name, email, role, organization, location };
        self.commands.run_access(viewer, UpdateProfile(checked(edit)?)).await
    }
}

/// The edit with its texts in the form in which they are stored.
fn checked(edit: UserEdit) -> Result<UserEdit> {
    let username = edit.username.map(|name| validate::username("username", &name, MAX_USERNAME)).transpose()?;
    let display_name = edit.display_name.map(|name| validate::name("displayName", &name, MAX_USERNAME * 2));
    let email = edit.email.map(|email| email.map(|email| validate::email("email", &email)).transpose()).transpose()?;
    Ok(UserEdit { username, display_name: display_name.transpose()?, email, ..edit })
}

/// Creates users.
struct CreateUsers(Vec<CheckedAccount>);

impl ViewerCommand for CreateUsers {
    type Output = Vec<User>;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        let names = self.0.iter().flat_map(|account| [&account.username, &account.display_name]);
        needs.similar_users(names.cloned().collect(), None);
        needs.identities(self.0.iter().filter_map(|account| account.identity.clone()).collect());
        needs.known_organizations(self.0.iter().filter_map(|account| account.organization).collect());
        for account in &self.0 {
            account.location.iter().for_each(|id| needs.location(*id));
            account.channels.iter().for_each(|id| needs.channel(*id));
            account.key.iter().for_each(|key| key.user_needs(needs));
        }
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Vec<User>, Effects)> {
        actor.check_admin()?;
        let mut effects = state.effects();
        let (mut rows, mut members, mut users) = (Vec::new(), Vec::new(), Vec::new());
        let since = effects.end();
        for account in &self.0 {
            if let Some(user) = account.created_before(state)? {
                users.push(user.clone());
                continue;
            }
            account.check(actor, state)?;
            let row = account.row(rows.len(), state.now());
            members.extend(account.channels.iter().map(|channel| (*channel, row.user.id, since)));
            account.store_key(&mut effects, row.user.id);
            users.push(row.user.clone());
            rows.push(row);
        }
        if !rows.is_empty() {
            effects.write(SingleWrite::AddUsers(rows));
        }
        if !members.is_empty() {
            effects.write(SingleWrite::AddMembers(members));
        }
        Ok((users, effects))
    }
}

/// An admin changes a user.
struct UpdateUser(UserEdit);

impl ViewerCommand for UpdateUser {
    type Output = User;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        self.0.needs(needs);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(User, Effects)> {
        actor.check_admin()?;
        self.0.change(actor.user.id, state)
    }
}

/// A user changes their own profile.
struct UpdateProfile(UserEdit);

impl ViewerCommand for UpdateProfile {
    type Output = User;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        self.0.needs(needs);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(User, Effects)> {
        actor.check_session()?;
        self.0.change(actor.user.id, state)
    }
}

impl UserEdit {
    fn needs(&self, needs: &mut Needs) {
        needs.lock_head();
        needs.user(self.id);
        let names: Vec<String> = [&self.username, &self.display_name].into_iter().flatten().cloned().collect();
        needs.similar_users(names, Some(self.id));
        needs.known_organizations(self.organization.flatten().into_iter().collect());
        self.location.flatten().iter().for_each(|id| needs.location(*id));
    }

    fn change(&self, actor: UserId, state: &BatchState) -> Result<(User, Effects)> {
        let known = state.user(self.id)?;
        self.check(state)?;
        let user = User {
            username: self.username.clone().unwrap_or_else(|| known.username.clone()),
            display_name: self.display_name.clone().unwrap_or_else(|| known.display_name.clone()),
            email: self.email.clone().unwrap_or_else(|| known.email.clone()),
            role: self.role.unwrap_or(known.role),
            organization_id: self.organization.unwrap_or(known.organization_id),
            location_id: self.location.unwrap_or(known.location_id),
            ..known.clone()
        };
        let mut effects = state.effects();
        if user == *known {
            return Ok((user, effects));
        }
        effects.write(SingleWrite::UpdateUser(user.clone()));
        let rights = |user: &User| (user.role, user.organization_id, user.location_id);
        if rights(&user) != rights(known) {
            record_access_changed(&mut effects, user.id, None, Some(actor));
        }
        let profile = |user: &User| (user.username.clone(), user.display_name.clone(), user.email.clone());
        if profile(&user) != profile(known) {
            record_user_updated(&mut effects, user.id, Some(actor));
        }
        Ok((user, effects))
    }

    fn check(&self, state: &BatchState) -> Result<()> {
        if let Some(username) = &self.username {
            check_lookalike_username(state, username)?;
        }
        if let Some(display_name) = &self.display_name {
            check_lookalike_display_name(state, display_name)?;
        }
        if self.organization.flatten().is_some_and(|id| !state.has_organization(id)) {
            return Err(Error::input("organizationId", "no such organization"));
        }
        if self.location.flatten().is_some_and(|id| !state.has_location(id)) {
            return Err(Error::input("locationId", "no such location"));
        }
        Ok(())
    }
}
