//! The roof: makes every part from the settings, wires them, and stops them in order. No logic.

mod descriptors;
mod house;
mod secret;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

pub use house::House;

use crate::board::{self, Board};
use crate::config::Config;
use crate::graphql::{self, Engine};
use crate::vitals::Vitals;
use crate::web::{self, Listener, Settings, Site, Stop};

/// A running server. Everything it needs it owns: many can live in one process.
pub struct App {
    address: SocketAddr,
    house: House,
    stop: Stop,
    tasks: Vec<JoinHandle<()>>,
    grace: Duration,
}

impl App {
    /// Starts a server.
    ///
    /// # Errors
    /// One line that says what is wrong with the settings or the surroundings.
    pub async fn start(config: Config) -> Result<Self, String> {
        // First the address: whoever starts a second server by mistake must not wait for a database.
        let listener =
            Listener::bind(config.listen).map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
        let address = listener.address().map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
        descriptors::prepare(config.sockets.max_connections);
        let house = House::open(&config).await?;
        let writable = house.board().check_writable().await;
        writable.map_err(|reason| format!("cannot write to {}: {reason}", config.database.url()))?;
        let limits = graphql::Limits {
            depth: config.limits.max_depth,
            tokens: config.limits.max_tokens,
            aliases: config.limits.max_aliases,
            directives: config.limits.max_directives,
            response: config.limits.max_response_bytes,
            cost: u64::try_from(config.limits.max_cost).unwrap_or(u64::MAX),
            hints: config.introspection,
        };
        let engine = Arc::new(Engine::new(Arc::clone(house.board()), limits, config.introspection));
        let vitals = house.vitals().clone();
        let (site, stop) = Site::new(engine, Arc::clone(house.board()), settings(&config), vitals.clone());
        let retention = board::Retention { age: config.retention.age, events: config.retention.events.into() };
        let tasks = vec![
            vitals.spawn("the turns of newcomers", Arc::clone(&site.newcomers).call()),
            vitals.spawn("the listener for connections", web::serve(listener, site)),
            vitals.spawn("pruning", Arc::clone(house.board()).keep_pruning(retention)),
            vitals.spawn("removal", Arc::clone(house.board()).keep_removing()),
            vitals.spawn("the pulse", Arc::clone(house.board()).keep_pulse()),
        ];
        tracing::info!(database = %config.database.url(), "tidings listens on http://{address}");
        Ok(Self { address, house, stop, tasks, grace: config.shutdown_grace })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The board, for whoever looks at the server from inside the process.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        self.house.board()
    }

    /// Whether every part of the server still runs.
    #[must_use]
    pub fn vitals(&self) -> &Vitals {
        self.house.vitals()
    }

    /// Stops: no new connections, sockets are closed, what is being written is finished.
    pub async fn stop(self) {
        let since = Instant::now();
        self.stop.within(self.grace).await;
        for task in self.tasks {
            task.abort();
            // What it held is free when it has ended: the port, for whoever starts next.
            drop(task.await);
        }
        self.house.close(self.grace.saturating_sub(since.elapsed())).await;
        tracing::info!("stopped");
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        sockets: config.sockets.clone(),
        max_body_bytes: config.limits.max_body_bytes,
        max_batch: config.limits.max_batch,
        allowed_origins: config.allowed_origins.clone(),
        trusted_proxies: config.trusted_proxies.clone(),
        hosts: config.known_hosts(),
        introspection: config.introspection,
        graphiql: config.graphiql,
        metrics_token: config.metrics_token().cloned(),
    }
}
