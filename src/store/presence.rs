//! Presence of users, as the instances report it to each other through the database.

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::schema::{instances, presence};
use crate::error::Result;
use crate::model::{ChannelId, UserId};

/// A user who is connected (no channel), or present in a channel.
pub type PresenceEntry = (Option<ChannelId>, UserId);

/// The row of an instance that reports presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance {
    /// Random id of the instance.
    pub id: i64,
    /// Heartbeat counter. It increases as long as the instance runs.
    pub beat: i64,
    /// Increases whenever the instance's presence entries change.
    pub version: i64,
}

/// The rows of all instances.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn instances(db: &mut Db) -> Result<Vec<Instance>> {
    let rows: Vec<(i64, i64, i64)> =
        instances::table.select((instances::id, instances::beat, instances::version)).load(db).map_err(map_error)?;
    Ok(rows.into_iter().map(|(id, beat, version)| Instance { id, beat, version }).collect())
}

/// The presence entries of one instance.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn of_instance(db: &mut Db, instance: i64) -> Result<Vec<PresenceEntry>> {
    let rows: Vec<(i64, i64)> = presence::table
        .filter(presence::instance_id.eq(instance))
        .select((presence::channel_id, presence::user_id))
        .load(db)
        .map_err(map_error)?;
    let rows = rows.into_iter();
    Ok(rows.map(|(channel, user)| ((channel != 0).then_some(ChannelId(channel)), UserId(user))).collect())
}

/// The state in which an instance found its own row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatOutcome {
    /// The row is as this instance left it, and was updated.
    AsLeft,
    /// The row did not exist, so its presence entries are gone as well. The row was inserted.
    Missing,
    /// The row does not continue from the last heartbeat of this instance: later writes were lost, for example
    /// in a failover. Nothing was changed.
    Another,
}

/// Writes a heartbeat of an instance. `instance.beat` must be one more than the last heartbeat, or equal to it
/// when one heartbeat is written in several steps. Returns the state in which the row was found.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn beat(db: &mut Db, instance: Instance) -> Result<HeartbeatOutcome> {
    let (beat, version) = (instances::beat.eq(instance.beat), instances::version.eq(instance.version));
    let row_of_instance = instances::table.filter(instances::id.eq(instance.id));
    let found: Option<i64> = row_of_instance.select(instances::beat).first(db).optional().map_err(map_error)?;
    match found {
        Some(last) if last == instance.beat || last + 1 == instance.beat => {
            diesel::update(row_of_instance).set((beat, version)).execute(db).map_err(map_error)?;
            Ok(HeartbeatOutcome::AsLeft)
        }
        Some(_) => Ok(HeartbeatOutcome::Another),
        None => {
            let row = (instances::id.eq(instance.id), beat, version);
            diesel::insert_into(instances::table).values(row).execute(db).map_err(map_error)?;
            Ok(HeartbeatOutcome::Missing)
        }
    }
}

/// Adds the entries `joined` to an instance's presence and removes the entries `left`. The instance must have a
/// row.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn change(db: &mut Db, instance: i64, joined: &[PresenceEntry], left: &[PresenceEntry]) -> Result<()> {
    let channel_code = |channel: Option<ChannelId>| channel.map_or(0, |id| id.0);
    for (channel, user) in left {
        let row = presence::table
            .filter(presence::instance_id.eq(instance))
            .filter(presence::channel_id.eq(channel_code(*channel)))
            .filter(presence::user_id.eq(user.0));
        diesel::delete(row).execute(db).map_err(map_error)?;
    }
    for (channel, user) in joined {
        diesel::insert_into(presence::table)
            .values((
                presence::instance_id.eq(instance),
                presence::channel_id.eq(channel_code(*channel)),
                presence::user_id.eq(user.0),
            ))
            .execute(db)
            .map_err(map_error)?;
    }
    Ok(())
}

/// Removes an instance and its presence entries.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn forget(db: &mut Db, instance: i64) -> Result<()> {
    diesel::delete(instances::table.filter(instances::id.eq(instance))).execute(db).map_err(map_error)?;
    Ok(())
}
