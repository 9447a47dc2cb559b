//! Events that several use cases record, and the check of `ifCursor`.

use crate::error::{Error, Result};
use crate::model::{ChannelId, Cursor, EventBody, EventKind, UserId};
use crate::store::{Effects, NewEvent};

/// Rejects a change with `CONFLICT` if the client made it for another version of the object than the current one.
pub fn check_if_cursor(now: Cursor, expected: Option<Cursor>) -> Result<()> {
    match expected {
        Some(expected) if expected != now => {
            Err(Error::Conflict("the object was changed meanwhile: read its current state and decide again".into()))
        }
        _ => Ok(()),
    }
}

/// Records an event that informs one user's subscriptions that the user's permissions have changed.
pub fn record_access_changed(effects: &mut Effects, user: UserId, channel: Option<ChannelId>, actor: Option<UserId>) {
    let change = NewEvent::new(EventKind::AccessChanged, user.0, actor).for_user(user);
    let change = channel.into_iter().fold(change, NewEvent::in_channel);
    effects.record(change, EventBody::None);
}

/// Records an event that the profile of a user has changed.
pub fn record_user_updated(effects: &mut Effects, user: UserId, actor: Option<UserId>) {
    effects.record(NewEvent::new(EventKind::UserUpdated, user.0, actor), EventBody::None);
}

/// Records an event that a user was deleted together with all texts.
pub fn record_user_erased(effects: &mut Effects, user: UserId, actor: Option<UserId>) {
    effects.record(NewEvent::new(EventKind::UserErased, user.0, actor), EventBody::None);
}

/// Records an event that some sessions of a user ended.
pub fn record_sessions_ended(effects: &mut Effects, user: UserId, actor: Option<UserId>) {
    effects.record(NewEvent::new(EventKind::SessionsEnded, user.0, actor).for_user(user), EventBody::None);
}

/// Records an event that a channel became public or private, for all users who gain or lose access by that.
pub fn record_visibility_changed(effects: &mut Effects, channel: ChannelId, actor: UserId) {
    effects
        .record(NewEvent::new(EventKind::AccessChanged, channel.0, Some(actor)).in_channel(channel), EventBody::None);
}
