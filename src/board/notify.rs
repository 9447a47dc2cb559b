//! Inserts notifications in the transaction of a change.

use std::sync::Arc;

use crate::error::Result;
use crate::model::{EventBody, EventKind, Notification, UserId};
use crate::store::{NewEvent, Tx, notifications};

/// Inserts a notification and records its event.
pub fn notify(tx: &mut Tx<'_>, new: notifications::NewNotificationRow, actor: UserId) -> Result<Notification> {
    let (now, cursor) = (tx.now(), tx.next_cursor());
    let notification = notifications::insert(tx.write(), new, now, cursor)?;
    let change = NewEvent::new(EventKind::NotificationAdded, notification.id.0, Some(actor));
    let change = notification.user_id.into_iter().fold(change, NewEvent::for_user);
    tx.record(change, EventBody::Notification(Arc::new(notification.clone())));
    Ok(notification)
}

/// Inserts several notifications with a constant number of statements, and records an event for each.
pub fn notify_all(tx: &mut Tx<'_>, new: Vec<notifications::NewNotificationRow>, actor: UserId) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let (now, first) = (tx.now(), tx.next_cursor());
    for notification in notifications::insert_all(tx.write(), new, now, first)? {
        let change = NewEvent::new(EventKind::NotificationAdded, notification.id.0, Some(actor));
        let change = notification.user_id.into_iter().fold(change, NewEvent::for_user);
        tx.record(change, EventBody::Notification(Arc::new(notification)));
    }
    Ok(())
}
