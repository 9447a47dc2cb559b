//! The shared types of all layers: ids, objects, events, topics, cursors, rights, and shared budgets and counters. They
//! do no I/O. They depend on `std`, `serde`, `serde_json` and `chrono` only, and on the semaphores of `tokio` for
//! [`Memory`].

mod address;
mod board;
mod count;
mod cursor;
mod event;
mod ids;
mod json;
mod live;
mod memory;
mod page;
mod party;
mod rights;
mod time;

pub use address::household;
pub use board::{
    Audience, Channel, Comment, Location, Message, Notification, Organization, Priority, Role, Template, Ticket,
    TicketStatus, User, Visibility, Weight,
};
pub use count::{Counted, Counter, Gauge, Histogram};
pub use cursor::{Cursor, Seq, Tag};
pub use event::{Body, Event, EventKind, KindSet, LoggedEvent, Topic};
pub use ids::{ChannelId, CommentId, LocationId, MessageId, NotificationId, OrganizationId, TemplateId, UserId};
pub use json::{JsonText, repaired};
pub use live::{Metric, PresenceChange};
pub use memory::{Lease, Memory};
pub use page::{ChannelKey, Page, Window};
pub use party::Party;
pub use rights::Rights;
pub use time::Timestamp;
