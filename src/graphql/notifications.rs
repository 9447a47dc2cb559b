//! The GraphQL types of notifications.

use std::sync::Arc;

use juniper::{ID, graphql_object};

use super::context::Ctx;
use super::enums::Priority;
use super::paging::{PageArgs, connection};
use super::scalars::{Cursor, DateTime, to_id};
use crate::board::View;
use crate::error::Result;
use crate::model;

/// A notification as a GraphQL object.
#[derive(Clone)]
pub struct Notification(Arc<model::Notification>);

impl Notification {
    /// Wraps a notification and registers the keys that its fields may load.
    pub fn new(ctx: &Ctx, notification: Arc<model::Notification>) -> Self {
        if notification.user_id.is_none() {
            ctx.announcements_read.prefetch(notification.id);
        }
        Self(notification)
    }
}

/// A notification for one user, or an announcement to all users.
#[graphql_object(context = Ctx)]
impl Notification {
    /// The id of the notification.
    fn id(&self) -> ID {
        to_id(self.0.id)
    }

    /// The id of the user who receives the notification. `null` for an announcement to all users.
    fn user_id(&self) -> Option<ID> {
        self.0.user_id.map(to_id)
    }

    /// The title of the notification.
    fn title(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.title)
    }

    /// The text of the notification.
    fn message(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.message)
    }

    /// The priority of the notification.
    fn priority(&self) -> Priority {
        self.0.priority.into()
    }

    /// The id of the message that caused the notification. `null` if there is none, or if the message was deleted.
    fn message_id(&self) -> Option<ID> {
        self.0.message_id.map(to_id)
    }

    /// When the notification was created.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When the viewer marked the notification as read. `null` if the viewer has not.
    fn read_at(&self, ctx: &Ctx) -> Result<Option<DateTime>> {
        let read_at = match self.0.user_id {
            Some(_) => self.0.read_at,
            None => ctx.announcement_read(self.0.id)?,
        };
        Ok(read_at.map(DateTime))
    }

    /// The position of the notification's event in the log.
    fn cursor(&self) -> Cursor {
        self.0.cursor.into()
    }
}

connection!(
    NotificationConnection,
    NotificationEdge,
    Notification,
    "NotificationConnection",
    "NotificationEdge",
    "notifications, newest first"
);

impl NotificationConnection {
    /// Loads a page of the viewer's notifications and the announcements, newest first.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the viewer is not signed in, `BAD_USER_INPUT` for a wrong page argument,
    /// `QUERY_TOO_COMPLEX` if the response becomes too large or the query too slow, `UNAVAILABLE` if the database or
    /// memory is not available.
    pub fn load(ctx: &Ctx, unread_only: bool, args: &PageArgs) -> Result<Self> {
        let window = args.window("notifications, newest first")?;
        let key = |notification: &model::Notification| notification.id;
        let read = |view: &mut View<'_>, part: &_| view.notifications(unread_only, part);
        let page = ctx.page(&window, ctx.largest().notification, key, read)?;
        Ok(Self::new(page, &window, key, |notification| Notification::new(ctx, Arc::new(notification))))
    }
}
