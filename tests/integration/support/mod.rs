//! Test servers, clients and databases.

pub mod clients;
mod clock;
pub mod database;
mod decide;
pub mod delay_proxy;
mod event_stream;
mod identity_provider;
pub mod issuer;
pub mod json_socket;
mod process;
mod proxy;
pub mod raw_socket;
mod report;
mod server;
mod socket;
mod test_subscription;

pub use clock::Clock;
pub use decide::Decide;
pub use event_stream::{EventStream, SseFrame};
pub use identity_provider::IdentityProvider;
pub use issuer::{Behaviour, TestIssuer, TestKey};
pub use json_socket::JsonSocket;
pub use process::{Process, Program};
pub use proxy::{NetworkFault, Proxy};
pub use report::Report;
pub use server::{PASSWORD, Server, Session, text};
pub use socket::Socket;
pub use test_subscription::{Disconnected, TestSubscription};

use std::time::Duration;

/// The longest time that a test waits for one condition. Conditions normally hold far earlier.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Waits for a future; fails the test after [`TIMEOUT`] instead of hanging.
pub async fn with_timeout<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {TIMEOUT:?}"))
}
