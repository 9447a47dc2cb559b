//! Invitations to register.

use std::collections::HashMap;

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::schema::{invite_channels, invites};
use crate::error::{Error, Result};
use crate::model::{ChannelId, Invite, InviteId, LocationId, OrganizationId, Role, Timestamp};

/// A row of `invites`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = invites)]
struct InviteRow {
    id: i64,
    code: String,
    role: i16,
    organization_id: Option<i64>,
    location_id: Option<i64>,
    max_uses: Option<i64>,
    uses: i64,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl InviteRow {
    fn invite(self, channels: Vec<ChannelId>) -> Result<Invite> {
        Ok(Invite {
            id: InviteId(self.id),
            code: self.code,
            role: Role::from_code(self.role).ok_or_else(|| Error::internal("unknown role"))?,
            channels,
            organization_id: self.organization_id.map(OrganizationId),
            location_id: self.location_id.map(LocationId),
            max_uses: self.max_uses,
            uses: self.uses,
            created_at: Timestamp(self.created_at),
            expires_at: self.expires_at.map(Timestamp),
            revoked_at: self.revoked_at.map(Timestamp),
        })
    }
}

/// All invitations, newest first.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn all(db: &mut Db) -> Result<Vec<Invite>> {
    let rows: Vec<InviteRow> =
        invites::table.select(InviteRow::as_select()).order(invites::id.desc()).load(db).map_err(map_error)?;
    let mut channels = channels_of(db, &rows.iter().map(|row| row.id).collect::<Vec<_>>())?;
    rows.into_iter()
        .map(|row| {
            let channels = channels.remove(&row.id).unwrap_or_default();
            row.invite(channels)
        })
        .collect()
}

/// The invitation with this id.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn find(db: &mut Db, id: InviteId) -> Result<Option<Invite>> {
    let row = invites::table.filter(invites::id.eq(id.0)).select(InviteRow::as_select()).first(db);
    with_channels(db, row.optional().map_err(map_error)?)
}

/// The invitation with this code.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn find_by_code(db: &mut Db, code: &str) -> Result<Option<Invite>> {
    let row = invites::table.filter(invites::code.eq(code)).select(InviteRow::as_select()).first(db);
    with_channels(db, row.optional().map_err(map_error)?)
}

fn with_channels(db: &mut Db, row: Option<InviteRow>) -> Result<Option<Invite>> {
    let Some(row) = row else { return Ok(None) };
    let channels = channels_of(db, &[row.id])?.remove(&row.id).unwrap_or_default();
    row.invite(channels).map(Some)
}

fn channels_of(db: &mut Db, ids: &[i64]) -> Result<HashMap<i64, Vec<ChannelId>>> {
    let rows: Vec<(i64, i64)> = invite_channels::table
        .filter(invite_channels::invite_id.eq_any(ids))
        .select((invite_channels::invite_id, invite_channels::channel_id))
        .order(invite_channels::channel_id.asc())
        .load(db)
        .map_err(map_error)?;
    let mut channels: HashMap<i64, Vec<ChannelId>> = HashMap::new();
    for (invite, channel) in rows {
        channels.entry(invite).or_default().push(ChannelId(channel));
    }
    Ok(channels)
}

/// The number of invitations.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn count(db: &mut Db) -> Result<i64> {
    invites::table.count().get_result(db).map_err(map_error)
}

/// Inserts an invitation. Returns its id; the id in `invite` is ignored.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn insert(db: &mut Db, invite: &Invite) -> Result<InviteId> {
    let id: i64 = diesel::insert_into(invites::table)
        .values((
            invites::code.eq(&invite.code),
            invites::role.eq(invite.role.code()),
            invites::organization_id.eq(invite.organization_id.map(|id| id.0)),
            invites::location_id.eq(invite.location_id.map(|id| id.0)),
            invites::max_uses.eq(invite.max_uses),
            invites::uses.eq(invite.uses),
            invites::created_at.eq(invite.created_at.0),
            invites::expires_at.eq(invite.expires_at.map(|at| at.0)),
            invites::revoked_at.eq(invite.revoked_at.map(|at| at.0)),
        ))
        .returning(invites::id)
        .get_result(db)
        .map_err(map_error)?;
    for channel in &invite.channels {
        diesel::insert_into(invite_channels::table)
            .values((invite_channels::invite_id.eq(id), invite_channels::channel_id.eq(channel.0)))
            .execute(db)
            .map_err(map_error)?;
    }
    Ok(InviteId(id))
}

/// Updates what changes of an invitation: its uses, and when it was revoked.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub(super) fn update(db: &mut Db, invite: &Invite) -> Result<()> {
    diesel::update(invites::table.filter(invites::id.eq(invite.id.0)))
        .set((invites::uses.eq(invite.uses), invites::revoked_at.eq(invite.revoked_at.map(|at| at.0))))
        .execute(db)
        .map_err(map_error)?;
    Ok(())
}

/// Deletes invitations that expired or were revoked before this time.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn delete_ended(db: &mut Db, before: Timestamp) -> Result<()> {
    let is_ended = invites::expires_at.lt(before.0).or(invites::revoked_at.lt(before.0));
    diesel::delete(invites::table.filter(is_ended)).execute(db).map_err(map_error)?;
    Ok(())
}
