//! Subscriptions: what a client follows, as a stream of updates, and the driver that delivers them.
//!
//! A subscription is a reader of the log with a cursor ([`LogReader`]), or follows values of which only the newest counts
//! (metrics and presence, [`changes`]). [`Deliveries`] renders each update, checks the permission again when that took
//! time, and yields what a transport sends. GraphQL sockets, Server-Sent Events and the JSON socket share it.

mod changes;
mod deliveries;
mod log_reader;
mod metrics;
mod open;
mod presence;
mod session_watch;
mod signals;
mod subscription;
mod update;

pub use deliveries::{Deliveries, Delivery, Renderer, Rendering};
pub use log_reader::LogReader;
pub use open::{LogRequest, Target};
pub use session_watch::SessionWatch;
pub use signals::SignalRequest;
pub use subscription::{Subscription, SubscriptionRequest};
pub use update::Update;
