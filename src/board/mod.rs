//! The application's use cases, its permission checks, and the delivery of changes to subscribers.
//! This module knows no SQL, no GraphQL and no sockets. A use case that writes returns after the commit.

mod access;
mod accounts;
mod attention;
mod broadcasts;
mod channels;
mod comments;
mod counts;
mod gauges;
mod key;
mod messages;
mod metrics;
mod names;
mod notifications;
mod notify;
mod organizations;
mod policy;
mod presence;
mod presence_registry;
mod pulse;
mod records;
mod removal;
mod remover;
mod service;
mod tail;
mod templates;
mod text;
mod upkeep;
mod usernames;

pub use access::{PermissionCache, UserState, Viewer};
pub use accounts::{NewUser, Session};
pub use broadcasts::Broadcast;
pub use channels::{ChannelEdit, NewChannel};
pub use comments::{CommentEdit, NewComment};
pub use counts::Counts;
pub use gauges::{Gauges, MAX_METRIC_NAME, Metrics};
pub use messages::{MessageEdit, NewMessage, NewTicket, TicketEdit};
pub use notifications::NewNotification;
pub use organizations::Assignment;
pub use policy::{Largest, MAX_LOCATIONS, Policy};
pub use presence_registry::{Presence, PresenceGuard, Users as PresentUsers};
pub use removal::Removed;
pub use service::{AuthServices, Board, MENTIONS_PER_MINUTE};
pub use tail::{CommitListener, LogTailer, Watermark};
pub use templates::NewTemplate;
pub use upkeep::Retention;
