//! Test servers, clients and databases.

mod clock;
pub mod database;
mod events;
mod line;
pub mod plain;
mod process;
mod proxy;
pub mod raw;
mod report;
mod server;
mod socket;

pub use clock::Clock;
pub use events::{Events, Frame};
pub use line::{Line, Lost};
pub use plain::Plain;
pub use process::{Process, Program};
pub use proxy::{Proxy, Weather};
pub use report::Report;
pub use server::{PASSWORD, Server, Session, text};
pub use socket::Socket;

use std::time::Duration;

/// The longest time that a test waits for one condition. Conditions normally hold far earlier.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a future; fails the test after [`PATIENCE`] instead of hanging.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not come within {PATIENCE:?}"))
}
