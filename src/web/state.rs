//! The state that all handlers of one server share.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::admission::AdmissionQueue;
use super::connection_limits::ConnectionLimit;
use super::counts::ServerCounts;
use super::once_warning::OnceWarning;
use super::socket::FrameCache;
use crate::board::Board;
use crate::config::{Hosts, Networks, Origins, Secret, SocketSettings};
use crate::graphql::Engine;
use crate::model::{MemoryBudget, UserId};
use crate::supervisor::Supervisor;

/// Number of long responses that are compressed at the same time; others are sent without compression.
const COMPRESSING: usize = 2;

/// The memory of events that `POST /api/v1/events` receives and writes, in bytes: for one client, and for all together. A
/// request takes about 1 KiB for each event, and three times the bytes of its body.
const PUBLISH_MEMORY_SHARE: usize = 192 << 20;
const PUBLISH_MEMORY: usize = 2 * PUBLISH_MEMORY_SHARE;

/// The settings that handlers need.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Limits of connections.
    pub sockets: SocketSettings,
    /// Maximum size of an HTTP body, in bytes.
    pub max_body_bytes: usize,
    /// Maximum number of operations in one HTTP request.
    pub max_batch: usize,
    /// Origins of other web pages that may use the server.
    pub allowed_origins: Origins,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Networks,
    /// Host names that the server answers to; `None`: every name.
    pub hosts: Option<Hosts>,
    /// Whether clients may query the schema.
    pub introspection: bool,
    /// Whether the GraphiQL page is served.
    pub graphiql: bool,
    /// Whether the log has a line for each operation.
    pub log_requests: bool,
    /// Bearer token for `/metrics`; `None`: `/metrics` is public.
    pub metrics_token: Option<Secret>,
}

/// Stops a server and waits for its connections. The server also stops when this handle is dropped.
#[derive(Debug)]
pub struct Stop {
    stopping: DropGuard,
    connections: TaskTracker,
}

impl Stop {
    /// Asks every connection to end, and waits until all have ended, or until `grace` has passed.
    pub async fn within(self, grace: Duration) {
        drop(self.stopping);
        self.connections.close();
        if tokio::time::timeout(grace, self.connections.wait()).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "some connections did not end in time");
        }
    }
}

/// The state that all handlers of one server share.
pub struct AppState {
    /// Executes operations.
    pub engine: Arc<Engine>,
    /// The use cases.
    pub board: Arc<Board>,
    /// Cache of the frames of events on the JSON socket.
    pub frames: FrameCache,
    /// Counts connections by address.
    pub addresses: ConnectionLimit<IpAddr>,
    /// Counts sockets by user.
    pub users: ConnectionLimit<UserId>,
    /// Schedules connections that have not completed a request or handshake yet.
    pub admission_queue: Arc<AdmissionQueue>,
    /// The memory of events that `POST /api/v1/events` receives and writes.
    pub publish_memory: Arc<MemoryBudget>,
    /// Permits to compress a long response.
    pub compressing: Semaphore,
    /// The settings.
    pub settings: Settings,
    /// Counters for `/metrics`.
    pub counts: ServerCounts,
    /// Problems of which the log warns once.
    pub hints: OnceWarnings,
    /// Whether every part of the server still runs.
    pub vitals: Supervisor,
    last_connection_id: AtomicU64,
    stopping: CancellationToken,
    connections: TaskTracker,
}

/// Problems of which the log warns once.
#[derive(Debug, Default)]
pub struct OnceWarnings {
    /// The origin of a page is not allowed.
    pub origin: OnceWarning,
    /// The server does not answer to the host name of a request.
    pub host: OnceWarning,
    /// A trusted proxy sends an `X-Forwarded-For` that is not an address.
    pub forwarded: OnceWarning,
    /// A proxy drops the `Upgrade` header of WebSocket requests.
    pub upgrade: OnceWarning,
}

/// Held by a connection until it ends: [`Stop::within`] waits for it.
pub struct ShutdownSignal {
    stopping: CancellationToken,
    _counted: TaskTrackerToken,
}

impl ShutdownSignal {
    /// Waits until the server stops.
    pub async fn stopped(&mut self) {
        self.stopping.cancelled().await;
    }
}

impl AppState {
    /// The state of a server, and the handle that stops the server.
    #[must_use]
    pub fn new(engine: Arc<Engine>, board: Arc<Board>, settings: Settings, vitals: Supervisor) -> (Arc<Self>, Stop) {
        let (stopping, connections) = (CancellationToken::new(), TaskTracker::new());
        let stop = Stop { stopping: stopping.clone().drop_guard(), connections: connections.clone() };
        let addresses = ConnectionLimit::new(settings.sockets.max_per_address());
        let users = ConnectionLimit::new(settings.sockets.max_per_user);
        let (frames, counts) = (FrameCache::default(), ServerCounts::default());
        let (admission_queue, compressing) = (Arc::default(), Semaphore::new(COMPRESSING));
        let site = Self {
            engine,
            board,
            frames,
            addresses,
            users,
            admission_queue,
            publish_memory: MemoryBudget::new(PUBLISH_MEMORY, PUBLISH_MEMORY_SHARE),
            compressing,
            settings,
            counts,
            hints: OnceWarnings::default(),
            vitals,
            last_connection_id: AtomicU64::new(0),
            stopping,
            connections,
        };
        (Arc::new(site), stop)
    }

    /// The guard of a new connection.
    #[must_use]
    pub fn shutdown_signal(&self) -> ShutdownSignal {
        ShutdownSignal { stopping: self.stopping.clone(), _counted: self.connections.token() }
    }

    /// A number for a new connection. The log names connections by these numbers.
    #[must_use]
    pub fn next_connection_id(&self) -> u64 {
        self.last_connection_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether the server is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }
}
