//! The shared types of all layers: ids, objects, events, topics, cursors, rights, and shared budgets and counters. They
//! do no I/O. They depend on `std`, `serde`, `serde_json` and `chrono` only, and on the semaphores of `tokio` for
//! [`MemoryBudget`].

mod api_key;
mod app_event;
mod capacity_key;
mod client_prefix;
mod counters;
mod cursor;
mod event;
mod event_key;
mod event_type;
mod freshness;
mod ids;
mod invite;
mod json;
mod label;
mod live_values;
mod memory;
mod message_filter;
mod objects;
mod page;
mod rights;
mod session;
mod time;

pub use api_key::{ApiKey, ApiScope, ApiScopes, KeyChannels};
pub use app_event::{AppEvent, MAX_APP_TYPE, TypeFilter, TypePattern, is_app_type};
pub use capacity_key::CapacityKey;
pub use client_prefix::client_prefix;
pub use counters::{Counter, Gauge, GaugeGuard, Histogram};
pub use cursor::{Cursor, Seq, Tag};
pub use event::{Event, EventBody, EventKind, KindSet, LoggedEvent, Topic};
pub use event_key::EventKey;
pub use event_type::EventType;
pub use freshness::Freshness;
pub use ids::{
    ApiKeyId, ChannelId, CommentId, InviteId, LocationId, MessageId, NotificationId, OrganizationId, SessionId,
    TemplateId, UserId,
};
pub use invite::Invite;
pub use json::{JsonText, replace_lone_surrogates};
pub(crate) use label::labels;
pub use label::{CountersBy, Label};
pub use live_values::{Metric, PresenceChange, Signal};
pub use memory::{MemoryBudget, MemoryLease};
pub use message_filter::MessageFilter;
pub use objects::{
    Audience, Channel, ChannelPublishing, Comment, ContentPolicy, ExternalIdentity, Location, Message, Notification,
    Organization, Priority, Role, Template, Ticket, TicketStatus, User, UserKind, Visibility, Weight,
};
pub use page::{ChannelKey, Page, PageRequest};
pub use rights::Rights;
pub use session::UserSession;
pub use time::Timestamp;
