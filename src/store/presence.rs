//! Who is present, as the instances tell each other.

use diesel::prelude::*;

use super::connection::{Db, map_error};
use super::schema::{instances, presence};
use crate::error::Result;
use crate::model::{ChannelId, UserId};

/// Somebody connected (no channel), or present in a channel.
pub type Presence = (Option<ChannelId>, UserId);

/// An instance that has something to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance {
    /// Which.
    pub id: i64,
    /// Moves as long as it lives.
    pub beat: i64,
    /// Moves when what it says does.
    pub version: i64,
}

/// Every instance.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn instances(db: &mut Db) -> Result<Vec<Instance>> {
    let rows: Vec<(i64, i64, i64)> =
        instances::table.select((instances::id, instances::beat, instances::version)).load(db).map_err(map_error)?;
    Ok(rows.into_iter().map(|(id, beat, version)| Instance { id, beat, version }).collect())
}

/// Who is present by one instance.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn of_instance(db: &mut Db, instance: i64) -> Result<Vec<Presence>> {
    let rows: Vec<(i64, i64)> = presence::table
        .filter(presence::instance_id.eq(instance))
        .select((presence::channel_id, presence::user_id))
        .load(db)
        .map_err(map_error)?;
    let rows = rows.into_iter();
    Ok(rows.map(|(channel, user)| ((channel != 0).then_some(ChannelId(channel)), UserId(user))).collect())
}

/// What an instance finds of the row that it wrote last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// As it left it.
    AsLeft,
    /// There was none, and there is one now. Its entries are gone, too.
    Missing,
    /// It is of an earlier beat: what was written since is lost. Nothing was changed.
    Another,
}

/// An instance lives: its next beat, which is one more than its last, or the same within one beat. Answers what it found.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn beat(db: &mut Db, instance: Instance) -> Result<Row> {
    let (beat, version) = (instances::beat.eq(instance.beat), instances::version.eq(instance.version));
    let row_of_instance = instances::table.filter(instances::id.eq(instance.id));
    let found: Option<i64> = row_of_instance.select(instances::beat).first(db).optional().map_err(map_error)?;
    match found {
        Some(last) if last == instance.beat || last + 1 == instance.beat => {
            diesel::update(row_of_instance).set((beat, version)).execute(db).map_err(map_error)?;
            Ok(Row::AsLeft)
        }
        Some(_) => Ok(Row::Another),
        None => {
            let row = (instances::id.eq(instance.id), beat, version);
            diesel::insert_into(instances::table).values(row).execute(db).map_err(map_error)?;
            Ok(Row::Missing)
        }
    }
}

/// Some came and some went, by an instance that has been heard of.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn change(db: &mut Db, instance: i64, joined: &[Presence], left: &[Presence]) -> Result<()> {
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

/// Removes an instance, and all that it said.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable, locked or too slow; `INTERNAL_SERVER_ERROR` for other failures.
pub fn forget(db: &mut Db, instance: i64) -> Result<()> {
    diesel::delete(instances::table.filter(instances::id.eq(instance))).execute(db).map_err(map_error)?;
    Ok(())
}
