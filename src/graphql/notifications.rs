//! Notifications as a GraphQL type.

use std::sync::Arc;

use juniper::{ID, graphql_object};

use super::context::Ctx;
use super::enums::Priority;
use super::paging::{PageArgs, connection};
use super::scalars::{Cursor, DateTime, out};
use crate::error::Result;
use crate::model;
use crate::store::Db;
use crate::store::notifications::{Order, list};

/// A note for one user, or an announcement to all.
#[derive(Clone)]
pub struct Notification(Arc<model::Notification>);

impl Notification {
    /// Wraps a notification and says what may be asked of it next.
    pub fn new(ctx: &Ctx, notification: Arc<model::Notification>) -> Self {
        if notification.user_id.is_none() {
            ctx.announcements_read.want(notification.id);
        }
        Self(notification)
    }
}

/// A note for one user, or an announcement to all; kept until it is read.
#[graphql_object(context = Ctx)]
impl Notification {
    /// The id.
    fn id(&self) -> ID {
        out(self.0.id)
    }

    /// The id of the user it is for; `null` if it is an announcement to all.
    fn user_id(&self) -> Option<ID> {
        self.0.user_id.map(out)
    }

    /// The title.
    fn title(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.title)
    }

    /// The text.
    fn message(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.message)
    }

    /// How urgent it is.
    fn priority(&self) -> Priority {
        self.0.priority.into()
    }

    /// The id of the message or ticket it is about, as long as that is there.
    fn message_id(&self) -> Option<ID> {
        self.0.message_id.map(out)
    }

    /// When it was made.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When the viewer read it.
    fn read_at(&self, ctx: &Ctx) -> Result<Option<DateTime>> {
        let read_at = match self.0.user_id {
            Some(_) => self.0.read_at,
            None => ctx.announcement_read(self.0.id)?,
        };
        Ok(read_at.map(DateTime))
    }

    /// Its event.
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
    /// A page of what the viewer was notified of.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `BAD_USER_INPUT`; those of the database.
    pub fn load(ctx: &Ctx, unread_only: bool, args: &PageArgs) -> Result<Self> {
        let user = ctx.viewer().standing()?.user.id;
        let window = args.window("notifications, newest first")?;
        let key = |notification: &model::Notification| notification.id;
        let read = |db: &mut Db, part: &_| list(db, user, unread_only, Order::NewestFirst, part);
        let page = ctx.page(&window, ctx.largest().notification, key, read)?;
        Ok(Self::new(page, &window, key, |notification| Notification::new(ctx, Arc::new(notification))))
    }
}
