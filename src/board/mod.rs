//! The application's use cases, its permission checks, and the delivery of changes to subscribers.
//! This module knows no SQL, no GraphQL and no sockets. A use case that writes returns after the commit.

mod accounts;
mod api_keys;
mod broadcasts;
mod channels;
mod commands;
mod comments;
mod counts;
mod event_log;
mod gauges;
mod health;
mod idempotency;
mod log_tailer;
mod messages;
mod metrics;
mod notification_rules;
mod notifications;
mod organizations;
mod periodic;
mod permissions;
mod policy;
mod presence;
mod reads;
mod records;
mod removal;
mod retention;
mod service;
mod templates;
#[cfg(test)]
mod tests;
mod usernames;
mod validate;
mod view;

pub use accounts::{AuthServices, NewUser, Session};
pub use api_keys::{ApiKeys, NewApiKey};
pub use broadcasts::Broadcast;
pub use channels::{ChannelEdit, NewChannel};
pub use comments::{CommentEdit, NewComment};
pub use counts::SignInCounts;
pub use gauges::{Gauges, MAX_METRIC_NAME};
pub use log_tailer::{CommitListener, LogTailer, Watermark};
pub use messages::{MessageEdit, NewMessage, NewTicket, TicketEdit};
pub use notifications::NewNotification;
pub use organizations::Assignment;
pub use permissions::{PermissionCache, UserState, Viewer};
pub use policy::{Largest, MAX_LOCATIONS, Policy};
pub use presence::{PresenceGuard, Users as PresentUsers};
pub use reads::ReadSnapshot;
pub use removal::Removed;
pub use retention::Retention;
pub use service::{Board, MENTIONS_PER_MINUTE, WriteLimits};
pub use templates::NewTemplate;
pub use view::{Recipient, View};
