//! The application's use cases, its permission checks, and the delivery of changes to subscribers.
//! This module knows no SQL, no GraphQL and no sockets. A use case that writes returns after the commit.

mod accounts;
mod broadcasts;
mod channels;
mod comments;
mod counts;
mod gauges;
mod idempotency;
mod log_tailer;
mod messages;
mod metrics;
mod notification_rules;
mod notifications;
mod notify;
mod organizations;
mod periodic;
mod permissions;
mod policy;
mod presence;
mod presence_registry;
mod records;
mod removal;
mod remover;
mod retention;
mod service;
mod templates;
mod username_cache;
mod usernames;
mod validate;

pub use accounts::{NewUser, Session};
pub use broadcasts::Broadcast;
pub use channels::{ChannelEdit, NewChannel};
pub use comments::{CommentEdit, NewComment};
pub use counts::Counts;
pub use gauges::{Gauges, MAX_METRIC_NAME, Metrics};
pub use log_tailer::{CommitListener, LogTailer, Watermark};
pub use messages::{MessageEdit, NewMessage, NewTicket, TicketEdit};
pub use notifications::NewNotification;
pub use organizations::Assignment;
pub use permissions::{PermissionCache, UserState, Viewer};
pub use policy::{Largest, MAX_LOCATIONS, Policy};
pub use presence_registry::{Presence, PresenceGuard, Users as PresentUsers};
pub use removal::Removed;
pub use retention::Retention;
pub use service::{AuthServices, Board, MENTIONS_PER_MINUTE};
pub use templates::NewTemplate;
