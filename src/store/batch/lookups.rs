//! The reads of a batch that have a statement of their own.

use std::sync::Arc;

use super::needs::{Lookup, Needs};
use super::state::{BatchRows, OrganizationRows};
use crate::error::Result;
use crate::model::OrganizationId;
use crate::store::connection::Db;
use crate::store::{
    api_keys, channels, event_types, identities, invites, organizations, password_resets, sessions, templates, users,
};

/// Runs the lookups of a batch and adds what they find to its rows.
pub fn read(db: &mut Db, needs: &Needs, rows: &mut BatchRows) -> Result<()> {
    needs.lookups.iter().try_for_each(|lookup| read_one(db, lookup, rows))
}

fn read_one(db: &mut Db, lookup: &Lookup, rows: &mut BatchRows) -> Result<()> {
    match lookup {
        Lookup::Room(rights, name) => {
            rows.rooms.push((Arc::clone(rights), name.clone(), channels::find_by_name(db, rights, name)?));
        }
        Lookup::SimilarChannel(rights, name) => {
            rows.similar_names.insert(name.clone(), channels::find_similar_name(db, rights, name, None)?);
        }
        Lookup::SimilarToChannel(rights, id, name) => {
            let name = name.clone().or_else(|| rows.channels.get(id).map(|channel| channel.name.clone()));
            if let Some(name) = name {
                let found = channels::find_similar_name(db, rights, &name, Some(*id))?;
                rows.similar_names.insert(name, found);
            }
        }
        Lookup::SimilarUsers(names, but) => {
            rows.similar_names.extend(users::find_similar_names(db, names, *but)?);
        }
        Lookup::CreatedUsers => {
            let created: Vec<_> = rows.keys.values().filter_map(|(object, _)| object.user()).collect();
            rows.users.extend(users::by_ids(db, &created)?);
        }
        Lookup::Identities(wanted) => {
            rows.identities.extend(identities::users_of(db, wanted)?);
            rows.deleted_identities.extend(identities::deleted_at(db, wanted)?);
        }
        Lookup::KnownOrganizations(ids) => {
            rows.known_organizations.extend(organizations::by_ids(db, ids)?.into_keys());
        }
        Lookup::Users => rows.has_users = Some(users::exist(db)?),
        Lookup::SessionsOf(user) => {
            rows.sessions.insert(*user, sessions::of_user(db, *user)?);
        }
        Lookup::SessionOfFamily(family) => {
            if let Some(session) = sessions::by_family(db, family)? {
                rows.users.extend(users::find(db, session.user_id)?.map(|user| (user.id, user)));
                rows.session_families.insert(family.clone(), session);
            }
        }
        Lookup::PasswordReset(digest) => {
            if let Some((user, expires_at)) = password_resets::find(db, digest)? {
                rows.users.extend(users::find(db, user)?.map(|user| (user.id, user)));
                rows.password_resets.insert(digest.clone(), (user, expires_at));
            }
        }
        Lookup::InviteCount => rows.invite_count = Some(invites::count(db)?),
        Lookup::Invite(id) => rows.invites.extend(invites::find(db, *id)?.map(|invite| (*id, invite))),
        Lookup::InviteWithCode(code) => {
            if let Some(invite) = invites::find_by_code(db, code)? {
                rows.channels.extend(channels::by_ids(db, &invite.channels)?);
                rows.invites.insert(invite.id, invite);
            }
        }
        Lookup::SimilarOrganization(name) => {
            rows.organization_count = organizations::count(db)?;
            rows.similar_names.insert(name.clone(), organizations::find_similar_name(db, name)?);
        }
        Lookup::Organization(id) => read_organization(db, *id, false, rows)?,
        Lookup::OrganizationWithUsers(id) => read_organization(db, *id, true, rows)?,
        Lookup::Template(rights, id) => {
            rows.templates.extend(templates::find(db, rights, *id)?.map(|template| (*id, template)));
        }
        Lookup::ApiKey(id) => rows.api_keys.extend(api_keys::find(db, *id)?.map(|key| (*id, key))),
        Lookup::ProfileTime(identity) => {
            rows.profile_times.insert(identity.clone(), identities::profile_at(db, identity)?);
        }
        Lookup::EventTypes => rows.event_types = Some(event_types::lengths(db)?),
        Lookup::ApiKeyCount => rows.api_key_count = Some(api_keys::count(db)?),
    }
    Ok(())
}

fn read_organization(db: &mut Db, id: OrganizationId, with_users: bool, rows: &mut BatchRows) -> Result<()> {
    if organizations::by_ids(db, &[id])?.contains_key(&id) {
        let locations = organizations::locations_of(db, &[id])?.remove(&id).unwrap_or_default();
        let users = if with_users { organizations::user_ids(db, id)? } else { Vec::new() };
        rows.organizations.insert(id, OrganizationRows { locations, users });
    }
    Ok(())
}
