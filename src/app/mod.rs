//! The top layer: creates all parts of a server from its settings, connects them, and stops them in order. It contains
//! no other logic.

mod fd_limit;
mod jwt_secret;
mod services;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

pub use services::Services;

use crate::board::{self, Board};
use crate::config::Config;
use crate::graphql::{self, Engine};
use crate::supervisor::Supervisor;
use crate::web::{self, AppState, Listener, Settings, Stop};

/// A running server. It owns everything it needs, so several servers can run in one process.
pub struct App {
    address: SocketAddr,
    services: Services,
    stop: Stop,
    tasks: Vec<JoinHandle<()>>,
    grace: Duration,
}

impl App {
    /// Starts a server with these settings: opens the database, runs its migrations, and accepts connections.
    ///
    /// # Errors
    /// One line for the operator if a setting, the address, the database or the file system does not allow the server
    /// to run.
    pub async fn start(config: Config) -> Result<Self, String> {
        // Bind first: starting a second server by mistake must fail at once, without waiting for the database.
        let listener =
            Listener::bind(config.listen).map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
        let address = listener.address().map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
        fd_limit::prepare(config.sockets.max_connections);
        let services = Services::open(&config).await?;
        let writable = services.board().health.check_writable().await;
        writable.map_err(|reason| format!("cannot write to {}: {reason}", config.database.url()))?;
        let limits = graphql::OperationLimits {
            depth: config.limits.max_depth,
            tokens: config.limits.max_tokens,
            aliases: config.limits.max_aliases,
            directives: config.limits.max_directives,
            response: config.limits.max_response_bytes,
            cost: u64::try_from(config.limits.max_cost).unwrap_or(u64::MAX),
            hints: config.introspection,
        };
        let engine = Arc::new(Engine::new(Arc::clone(services.board()), limits, config.introspection));
        let vitals = services.vitals().clone();
        let (site, stop) = AppState::new(engine, Arc::clone(services.board()), settings(&config), vitals.clone());
        let retention = board::Retention { age: config.retention.age, events: config.retention.events.into() };
        let mut tasks = vec![
            vitals.spawn("the admission of new connections", Arc::clone(&site.admission_queue).run()),
            vitals.spawn("the listener for connections", web::serve(listener, site)),
            vitals.spawn("the pruning of the log", services.board().pruner(retention).run()),
            vitals.spawn("the removal of deleted rows", Arc::clone(&services.board().remover).run()),
            vitals.spawn("the moving of the outbox", services.board().outbox_mover().run()),
            vitals.spawn("the signals of other instances", Arc::clone(&services.board().signals).run()),
            vitals.spawn("the exchange of presence and metrics", services.board().periodic_work().run()),
        ];
        if let Some(users) = &services.board().external_users {
            tasks.push(vitals.spawn("the keys of other issuers", Arc::clone(users.issuers()).run()));
        }
        tracing::info!(database = %config.database.url(), "tidings listens on http://{address}");
        Ok(Self { address, services, stop, tasks, grace: config.shutdown_grace })
    }

    /// The address that the server listens on. If the settings ask for port 0, this has the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The use cases of this server, for programs that embed it.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        self.services.board()
    }

    /// Reports whether all required tasks and threads of the server still run.
    #[must_use]
    pub fn vitals(&self) -> &Supervisor {
        self.services.vitals()
    }

    /// Stops the server: accepts no new connections, closes the open ones, and commits what is being written. This
    /// takes at most about the configured grace period.
    pub async fn stop(self) {
        let since = Instant::now();
        self.stop.within(self.grace).await;
        for task in self.tasks {
            task.abort();
            // Wait until the task has dropped its resources. The port is then free for the next server.
            drop(task.await);
        }
        self.services.close(self.grace.saturating_sub(since.elapsed())).await;
        tracing::info!("stopped");
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        sockets: config.sockets.clone(),
        max_body_bytes: config.limits.max_body_bytes,
        max_batch: config.limits.max_batch,
        log_requests: config.log_requests,
        allowed_origins: config.allowed_origins.clone(),
        trusted_proxies: config.trusted_proxies.clone(),
        hosts: config.known_hosts(),
        introspection: config.introspection,
        graphiql: config.graphiql,
        metrics_token: config.metrics_token().cloned(),
    }
}
