//! The rare writes of a batch, each with statements of its own.

use super::effects::SingleWrite;
use crate::error::Result;
use crate::model::Timestamp;
use crate::store::connection::Db;
use crate::store::{api_keys, channels, organizations, templates, users};

impl SingleWrite {
    /// Runs the write. Returns the id of the object that it has created.
    pub(super) fn run(&self, db: &mut Db, now: Timestamp) -> Result<Option<i64>> {
        match self {
            Self::AddChannel(channel) => return channels::insert(db, channel).map(|id| Some(id.0)),
            Self::UpdateChannel(channel, is_name_new) => {
                channels::update(db, channel)?;
                if *is_name_new {
                    channels::set_name_visible_since(db, channel.id, channel.cursor.seq)?;
                }
            }
            Self::DeleteChannel(id, cursor) => channels::delete(db, *id, now, *cursor)?,
            Self::AddMember(channel, user, since) => channels::add_member(db, *channel, *user, *since)?,
            Self::RemoveMember(channel, user) => channels::remove_member(db, *channel, *user)?,
            Self::AddTemplate(template) => return templates::insert(db, template).map(|id| Some(id.0)),
            Self::DeleteTemplate(id) => templates::delete(db, *id)?,
            Self::AddUser(user, hash) => return users::insert(db, user, hash).map(|id| Some(id.0)),
            Self::UpdateUser(user) => users::update(db, user)?,
            Self::SetPasswordHash(id, hash) => users::set_password_hash(db, *id, hash)?,
            Self::AddApiKey(key, digest) => return api_keys::insert(db, key, digest).map(|id| Some(id.0)),
            Self::RevokeApiKey(id) => api_keys::revoke(db, *id, now)?,
            Self::AddOrganization(organization) => {
                return organizations::insert(db, organization).map(|id| Some(id.0));
            }
            Self::AddLocation(location) => return organizations::insert_location(db, location).map(|id| Some(id.0)),
        }
        Ok(None)
    }
}
