//! The rare writes of a batch, each with statements of its own.

use super::effects::SingleWrite;
use super::numbers::Numbers;
use crate::error::Result;
use crate::model::Timestamp;
use crate::store::connection::Db;
use crate::store::{
    api_keys, channels, event_types, identities, invites, organizations, password_resets, sessions, templates, users,
};

impl SingleWrite {
    /// Runs the write, and adds the ids of the objects that it creates to `numbers`.
    pub(super) fn run(&self, db: &mut Db, now: Timestamp, numbers: &mut Numbers) -> Result<()> {
        match self {
            Self::AddChannel(channel) => numbers.single = Some(channels::insert(db, channel)?.0),
            Self::UpdateChannel(channel, is_name_new) => {
                channels::update(db, channel)?;
                if *is_name_new {
                    channels::set_name_visible_since(db, channel.id, channel.cursor.seq)?;
                }
            }
            Self::DeleteChannel(id, cursor) => channels::delete(db, *id, now, *cursor)?,
            Self::AddMember(channel, user, since) => channels::add_member(db, *channel, *user, *since)?,
            Self::AddMembers(members) => channels::add_members(db, members)?,
            Self::RemoveMember(channel, user) => channels::remove_member(db, *channel, *user)?,
            Self::AddTemplate(template) => numbers.single = Some(templates::insert(db, template)?.0),
            Self::DeleteTemplate(id) => templates::delete(db, *id)?,
            Self::AddUsers(rows) => numbers.users = users::insert(db, rows)?,
            Self::UpdateUser(user) => users::update(db, user)?,
            Self::AddApiKey(key, digest) => numbers.single = Some(api_keys::insert(db, key, digest)?.0),
            Self::RevokeApiKey(id) => api_keys::revoke(db, *id, now)?,
            Self::SetProfileTime(identity, at) => identities::set_profile_at(db, identity, *at)?,
            Self::SetEventType(definition) => event_types::set(db, definition)?,
            Self::DeleteEventType(name) => event_types::delete(db, name)?,
            Self::SetPasswordHash(id, hash) => {
                users::set_password_hash(db, *id, hash)?;
                password_resets::delete(db, *id)?;
            }
            Self::SetPasswordReset(user, digest, expires_at) => password_resets::set(db, *user, digest, *expires_at)?,
            Self::DeleteUser(user, removal) => users::delete(db, user, *removal)?,
            Self::StartSession(session) => numbers.single = Some(sessions::insert(db, session)?.0),
            Self::RenewSession(session) => sessions::update(db, session)?,
            Self::EndSession(id) => sessions::delete(db, *id)?,
            Self::EndSessions(user) => sessions::end_all_of_user(db, *user, now)?,
            Self::AddInvite(invite) => numbers.single = Some(invites::insert(db, invite)?.0),
            Self::UpdateInvite(invite) => invites::update(db, invite)?,
            Self::AddOrganization(organization) => {
                numbers.single = Some(organizations::insert(db, organization)?.0);
            }
            Self::AddLocation(location) => numbers.single = Some(organizations::insert_location(db, location)?.0),
        }
        Ok(())
    }
}
