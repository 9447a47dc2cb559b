//! Notifications: an admin's notes and announcements, and what readers have read.

use std::sync::Arc;

use super::{Board, Viewer, text};
use crate::error::{Error, Result};
use crate::model::{
    Body, Channel, ChannelId, Cursor, EventKind, Lease, Notification, NotificationId, Priority, UserId, Weight as _,
    Window,
};
use crate::store::notifications::{Order, list};
use crate::store::{Change, Tx, channels, notifications, reading, users};

/// How many are held at once, at most.
const PAGE: usize = 100;
/// How many bytes of them, but for the last few that were read together.
const PAGE_BYTES: usize = 256 << 10;
/// How many are read together.
const FEW: usize = 10;

/// A notification to be sent.
#[derive(Debug, Clone)]
pub struct NewNotification {
    /// Whom it is for; `None` is an announcement to all.
    pub user: Option<UserId>,
    /// Its title.
    pub title: String,
    /// Its text.
    pub message: String,
    /// How urgent; medium if not said.
    pub priority: Option<Priority>,
}

impl Board {
    /// Notifies a user, or everybody.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `FORBIDDEN`, `NOT_FOUND` for the user, `RATE_LIMITED`.
    pub async fn notify_user(&self, viewer: &Viewer, new: NewNotification) -> Result<Notification> {
        let actor = self.actor(viewer)?.user.id;
        let title = text::required("title", &new.title, self.rules.max_title)?;
        let message = text::required("message", &new.message, self.rules.max_content)?;
        let viewer = viewer.clone();
        self.store
            .write(move |tx| {
                viewer.admin()?;
                if let Some(user) = new.user {
                    users::find(tx.read(), user)?.ok_or(Error::NotFound("user"))?;
                }
                let note = notifications::NewNotification {
                    user: new.user,
                    title: title.clone(),
                    message: message.clone(),
                    priority: new.priority.unwrap_or(Priority::Medium),
                    about: None,
                };
                notify(tx, note, actor)
            })
            .await
    }

    /// A page of what the viewer has not read, oldest first, behind a notification; whether there is more; and the memory
    /// for it, which is waited for.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`; those of the database.
    pub async fn unread_after(
        &self,
        viewer: &Viewer,
        after: Option<NotificationId>,
    ) -> Result<(Vec<Notification>, bool, Lease)> {
        let user = viewer.standing()?.user.id;
        let mut lease = self.pages.lease(viewer.party());
        lease.wait_for(PAGE_BYTES).await;
        let reading = self.store.read_for(viewer.party(), move |snapshot| {
            let mut items: Vec<Notification> = Vec::new();
            let mut window = Window { after, ..Window::first(FEW) };
            loop {
                let page = list(snapshot.db(), user, true, Order::OldestFirst, &window)?;
                items.extend(page.items);
                if !page.more || items.len() >= PAGE || items.weight() >= PAGE_BYTES {
                    return Ok((items, page.more));
                }
                window.after = items.last().map(|last| last.id);
            }
        });
        let (items, more) = reading.await?;
        lease.set(items.weight());
        Ok((items, more, lease))
    }

    /// Keeps that the viewer has read a notification.
    ///
    /// # Errors
    /// `NOT_FOUND`, `RATE_LIMITED`.
    pub async fn mark_notification_read(&self, viewer: &Viewer, id: NotificationId) -> Result<Notification> {
        let reader = self.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        self.store
            .write(move |tx| {
                viewer.standing()?;
                let missing = || Error::NotFound("notification");
                let mut notification = notifications::find(tx.read(), reader, id)?.ok_or_else(missing)?;
                let before = match notification.user_id {
                    Some(_) => notification.read_at,
                    None => notifications::announcements_read(tx.read(), reader, &[id])?.remove(&id),
                };
                if before.is_none() {
                    let now = tx.now();
                    notifications::mark_read(tx.write(), reader, &notification, now)?;
                    // That of an announcement is not the announcement's.
                    notification.read_at = notification.user_id.map(|_| now);
                }
                Ok(notification)
            })
            .await
    }

    /// Keeps that the viewer has read a channel up to a position.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CURSOR_EXPIRED`, `RATE_LIMITED`.
    pub async fn mark_channel_read(&self, viewer: &Viewer, id: ChannelId, up_to: Cursor) -> Result<Channel> {
        let reader = self.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        self.store
            .write(move |tx| {
                let channel = channels::find(tx.read(), &*viewer.rights()?, id)?.ok_or(Error::NotFound("channel"))?;
                if let Some(newest) = reading::newest_up_to(tx.read(), id, up_to)? {
                    reading::mark(tx.write(), reader, id, newest)?;
                }
                Ok(channel)
            })
            .await
    }
}

/// Writes a notification and records it.
pub(super) fn notify(tx: &mut Tx<'_>, new: notifications::NewNotification, actor: UserId) -> Result<Notification> {
    let (now, cursor) = (tx.now(), tx.next_cursor());
    let notification = notifications::insert(tx.write(), new, now, cursor)?;
    let change = Change::new(EventKind::NotificationAdded, notification.id.0, Some(actor));
    let change = notification.user_id.into_iter().fold(change, Change::for_user);
    tx.record(change, Body::Notification(Arc::new(notification.clone())));
    Ok(notification)
}

/// Writes several notifications with a constant number of statements, and records each.
pub(super) fn notify_all(tx: &mut Tx<'_>, new: Vec<notifications::NewNotification>, actor: UserId) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let (now, first) = (tx.now(), tx.next_cursor());
    for notification in notifications::insert_all(tx.write(), new, now, first)? {
        let change = Change::new(EventKind::NotificationAdded, notification.id.0, Some(actor));
        let change = notification.user_id.into_iter().fold(change, Change::for_user);
        tx.record(change, Body::Notification(Arc::new(notification)));
    }
    Ok(())
}
