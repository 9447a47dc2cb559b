//! Use cases of notifications: notify users, list unread notifications, mark as read.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use super::commands::{Commands, ViewerCommand};
use super::idempotency::IdempotencyKey;
use super::permissions::UserState;
use super::reads::Reads;
use super::{Policy, Viewer, validate};
use crate::error::Result;
use crate::model::{
    Freshness, MemoryBudget, MemoryLease, Notification, NotificationId, PageRequest, Priority, UserId, Weight as _,
};
use crate::store::app_events::KeyedEvent;
use crate::store::{BatchState, Effects, Needs, NewNotificationRow, NotificationText};

/// How many notifications a page of [`Notifications::unread_after`] holds before no more are read.
const PAGE_ROWS: usize = 100;
/// How many bytes of notifications such a page holds before no more are read.
const PAGE_BYTES: usize = 256 << 10;
/// How many notifications one query of such a page reads. A page can exceed its limits by the last query's results.
const ROWS_PER_QUERY: usize = 10;

/// The input for a new notification.
#[derive(Debug, Clone)]
pub struct NewNotification {
    /// The recipient; `None` makes it an announcement to all users.
    pub user: Option<UserId>,
    /// The title; must not be empty.
    pub title: String,
    /// The text; must not be empty.
    pub message: String,
    /// The priority; the default is medium.
    pub priority: Option<Priority>,
    /// The idempotency key: a second call with the same key returns the first result.
    pub key: Option<String>,
}

/// The use cases of notifications.
pub struct Notifications {
    pub(super) commands: Arc<Commands>,
    pub(super) reads: Arc<Reads>,
    pub(super) policy: Arc<Policy>,
    /// The memory budget of pages of the log and of notifications.
    pub(super) page_memory: Arc<MemoryBudget>,
}

impl Notifications {
    /// Notifies one user, or all users. Only admins may do this.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` for an invalid field. `FORBIDDEN` if the viewer is
    /// not an admin. `NOT_FOUND` if the recipient does not exist. `CONFLICT` if the key was used with another input. `RATE_LIMITED` if the viewer's budget of mutations is
    /// used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn send(&self, viewer: &Viewer, new: NewNotification) -> Result<Notification> {
        let author = self.commands.actor(viewer)?.user.id;
        let title = validate::required("title", &new.title, self.policy.max_title)?;
        let message = validate::required("message", &new.message, self.policy.max_content)?;
        let priority = new.priority.unwrap_or(Priority::Medium);
        let key = IdempotencyKey::new(author, new.key.as_deref(), || {
            let (user, priority) = (format!("{:?}", new.user), format!("{priority:?}"));
            vec!["notification".into(), user, title.clone(), message.clone(), priority]
        })?;
        let event_key = key.as_ref().map(IdempotencyKey::to_event_key);
        let text = NotificationText::Plain(message);
        let row = NewNotificationRow { user: new.user, title, text, priority, key: event_key };
        self.commands.run(viewer, SendNotification { row, key }).await
    }

    /// A page of the viewer's unread notifications with ids above `after`, oldest first; whether there are more; and
    /// the memory reserved for the page. Waits until that memory is available.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `UNAVAILABLE` if the database cannot be reached.
    pub async fn unread_after(
        &self,
        viewer: &Viewer,
        after: Option<NotificationId>,
    ) -> Result<(Vec<Notification>, bool, MemoryLease)> {
        viewer.user_state()?;
        let mut lease = self.page_memory.lease(viewer.party());
        lease.wait_for(PAGE_BYTES).await;
        let reading = self.reads.read(Freshness::Known, viewer, move |view| {
            let mut items: Vec<Notification> = Vec::new();
            let mut window = PageRequest { after, ..PageRequest::first(ROWS_PER_QUERY) };
            loop {
                let page = view.unread_notifications(&window)?;
                items.extend(page.items);
                if !page.more || items.len() >= PAGE_ROWS || items.weight() >= PAGE_BYTES {
                    return Ok((items, page.more));
                }
                window.after = items.last().map(|last| last.id);
            }
        });
        let (items, more) = reading.await?;
        lease.set(items.weight());
        Ok((items, more, lease))
    }

    /// Marks a notification as read by the viewer.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the viewer has no such notification. `RATE_LIMITED` if
    /// the user's budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn mark_read(&self, viewer: &Viewer, id: NotificationId) -> Result<Notification> {
        self.commands.actor(viewer)?;
        self.commands.run(viewer, MarkNotificationRead(id)).await
    }
}

struct SendNotification {
    row: NewNotificationRow,
    key: Option<IdempotencyKey>,
}

impl ViewerCommand for SendNotification {
    type Output = Notification;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        self.row.user.iter().for_each(|user| needs.user(*user));
        self.key.iter().for_each(|key| key.needs_event(needs));
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Notification, Effects)> {
        actor.check_admin()?;
        self.row.user.map(|user| state.user(user)).transpose()?;
        let mut effects = state.effects();
        if let Some(first) = self.key.as_ref().map_or(Ok(None), |key| key.find_event(state))? {
            return Ok((self.sent(first), effects));
        }
        let notification = effects.notify(self.row.clone(), actor.user.id);
        Ok((notification, effects))
    }
}

impl SendNotification {
    /// The notification that an earlier call with this key has sent: its input was the same.
    fn sent(&self, first: &KeyedEvent) -> Notification {
        let message = match &self.row.text {
            NotificationText::Plain(text) => text.clone(),
            NotificationText::AboutMessage(..) => String::new(),
        };
        Notification {
            id: NotificationId(first.object),
            user_id: self.row.user,
            title: self.row.title.clone(),
            message,
            priority: self.row.priority,
            message_id: None,
            created_at: first.at,
            read_at: None,
            cursor: first.cursor,
        }
    }
}

struct MarkNotificationRead(NotificationId);

impl ViewerCommand for MarkNotificationRead {
    type Output = Notification;

    fn needs(&self, actor: &UserState, needs: &mut Needs) {
        needs.notification(self.0, actor.user.id);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Notification, Effects)> {
        actor.check_unlimited()?;
        let (notification, is_read) = state.notification(actor.user.id, self.0)?;
        let (mut notification, mut effects) = (notification.clone(), state.effects());
        if !is_read {
            effects.read_notification(&notification, actor.user.id);
            // An announcement has no read time of its own: each user has one.
            notification.read_at = notification.user_id.map(|_| state.now());
        }
        Ok((notification, effects))
    }
}
