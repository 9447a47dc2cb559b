//! What all handlers of one server share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};

use super::counts::Counts;
use super::hint::Hint;
use super::newcomers::Newcomers;
use super::quota::Quota;
use super::socket::Shown;
use crate::board::Board;
use crate::config::{Hosts, Networks, Origins, Secret, Sockets};
use crate::graphql::Engine;
use crate::model::UserId;
use crate::vitals::Vitals;

/// How many long answers are compressed at once; the others are sent as they are.
const COMPRESSING: usize = 2;

/// What the door needs to know of the settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Open connections.
    pub sockets: Sockets,
    /// Bytes of an HTTP body.
    pub max_body_bytes: usize,
    /// Operations in one HTTP request.
    pub max_batch: usize,
    /// Pages of other origins that may use the server from a browser.
    pub allowed_origins: Origins,
    /// Proxies whose word on the client's address is taken.
    pub trusted_proxies: Networks,
    /// The names by which the server may be addressed; `None`: every name.
    pub hosts: Option<Hosts>,
    /// Whether the schema may be asked for.
    pub introspection: bool,
    /// Whether the GraphiQL page is served.
    pub graphiql: bool,
    /// Who may read `/metrics`; `None`: everybody.
    pub metrics_token: Option<Secret>,
}

/// How a server is told to stop, and how one waits until it has.
#[derive(Debug)]
pub struct Stop {
    stopping: watch::Sender<bool>,
    busy: mpsc::Receiver<()>,
}

impl Stop {
    /// Asks every connection to come to its end and waits until the last one has, or for this long.
    pub async fn within(mut self, grace: Duration) {
        self.stopping.send_replace(true);
        // Nobody ever sends: this ends when every connection has dropped its end.
        if tokio::time::timeout(grace, self.busy.recv()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
    }
}

/// What all handlers of one server share.
pub struct Site {
    /// Executes operations.
    pub engine: Arc<Engine>,
    /// The board.
    pub board: Arc<Board>,
    /// Frames that were made of events.
    pub shown: Shown,
    /// Connections by address.
    pub addresses: Quota<IpAddr>,
    /// Sockets by user.
    pub users: Quota<UserId>,
    /// Connections of which nothing is known yet.
    pub newcomers: Arc<Newcomers>,
    /// The turns of long answers that are being compressed.
    pub compressing: Semaphore,
    /// The settings.
    pub settings: Settings,
    /// What is counted for operators.
    pub counts: Counts,
    /// What operators hear of once.
    pub hints: Hints,
    /// Whether every part of the server still runs.
    pub vitals: Vitals,
    stopping: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
}

/// What operators hear of once.
#[derive(Debug, Default)]
pub struct Hints {
    /// A page of an origin that is not allowed.
    pub origin: Hint,
    /// A name by which the server is not known.
    pub host: Hint,
    /// A trusted proxy that names the client in a way that is not understood.
    pub forwarded: Hint,
    /// A proxy that drops what asks for a WebSocket.
    pub upgrade: Hint,
}

/// Held by a connection as long as it lives.
pub struct Alive {
    stopping: watch::Receiver<bool>,
    _busy: mpsc::Sender<()>,
}

impl Alive {
    /// Waits until the server is to stop.
    pub async fn stopped(&mut self) {
        // An error means that the server is gone, which is as good.
        drop(self.stopping.wait_for(|stopping| *stopping).await);
    }
}

impl Site {
    /// A server's, and what stops it.
    #[must_use]
    pub fn new(engine: Arc<Engine>, board: Arc<Board>, settings: Settings, vitals: Vitals) -> (Arc<Self>, Stop) {
        let (stop, stopping) = watch::channel(false);
        let (alive, busy) = mpsc::channel(1);
        let addresses = Quota::new(settings.sockets.max_per_address());
        let users = Quota::new(settings.sockets.max_per_user);
        let (shown, counts) = (Shown::default(), Counts::default());
        let (newcomers, compressing) = (Arc::default(), Semaphore::new(COMPRESSING));
        let site = Self {
            engine,
            board,
            shown,
            addresses,
            users,
            newcomers,
            compressing,
            settings,
            counts,
            hints: Hints::default(),
            vitals,
            stopping,
            alive,
        };
        (Arc::new(site), Stop { stopping: stop, busy })
    }

    /// For a connection that begins.
    #[must_use]
    pub fn alive(&self) -> Alive {
        Alive { stopping: self.stopping.clone(), _busy: self.alive.clone() }
    }

    /// Whether the server is to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        // Nothing is ever said but this.
        self.stopping.has_changed().unwrap_or(true)
    }
}
