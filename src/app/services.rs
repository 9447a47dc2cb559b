//! The use cases over an open database, without a listener. The server and the commands of the command line share this.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::jwt_secret;
use crate::auth::{Passwords, SignInLimiter, Tokens};
use crate::board::{
    self, AuthServices, Board, CommitListener, DecisionCaches, LogTailer, Policy, Watermark, WriteLimits,
};
use crate::capacity::{Rate, RateLimiter};
use crate::config::{Config, DatabaseUrl, Registration};
use crate::error::Error;
use crate::model::Timestamp;
use crate::store::{DatabaseTarget, Options, Store};
use crate::supervisor::Supervisor;

/// The use cases over an open database, with the tasks that they need.
pub struct Services {
    board: Arc<Board>,
    tail: JoinHandle<()>,
    vitals: Supervisor,
}

impl Services {
    /// Opens the database, runs its migrations, and starts to follow its log.
    ///
    /// # Errors
    /// One line for the operator if the clock, the database or the signing secret is not usable.
    pub async fn open(config: &Config) -> Result<Self, String> {
        if Timestamp::now() < Timestamp::from_seconds(0) {
            // hyper panics when it writes the `Date` header of a response at a time before 1970.
            return Err("the system clock is set before 1970: set the correct time".into());
        }
        let had_database = jwt_secret::has_database(config);
        let progress = Arc::new(Watermark::default());
        let (notice, batches) = CommitListener::new(&progress);
        let vitals = Supervisor::default();
        // The database is opened before the secret is read. Both are in the same directory, so a problem with that
        // directory is reported as a problem of the database.
        let store = open_store(config, notice, &vitals).await?;
        let secret = jwt_secret::load_or_create(config, had_database)?;
        let lifetimes = &config.tokens;
        let tokens = Tokens::new(secret.reveal().as_bytes(), lifetimes.token_lifetime, lifetimes.session_lifetime);
        let failed = |error| format!("cannot read {}: {}", config.database.url(), detail(error));
        let caches = DecisionCaches::load(&store).await.map_err(failed)?;
        let starting = LogTailer::start(Arc::clone(&store), caches.clone(), Arc::clone(&progress), batches, &vitals);
        let (hub, tail) = starting.await.map_err(failed)?;
        let auth = AuthServices {
            passwords: Passwords::new(config.sessions.password_threads),
            tokens,
            attempts: SignInLimiter::new(config.sessions.attempts_per_minute),
            sign_ins: RateLimiter::new(Rate::per_minute(config.sessions.sign_ins_per_minute)),
            registrations: RateLimiter::new(Rate::per_minute(config.sessions.registrations_per_minute)),
        };
        let services = (auth, write_limits(config));
        let board = Arc::new(Board::new(store, hub, caches, progress, services, policy(config)));
        Ok(Self { board, tail, vitals })
    }

    /// The use cases of the installation.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Reports whether all required tasks and threads still run.
    #[must_use]
    pub fn vitals(&self) -> &Supervisor {
        &self.vitals
    }

    /// Commits what is being written, then stops. Waits for at most `grace`, or one second if that is longer.
    pub async fn close(self, grace: Duration) {
        let store = Arc::clone(self.board.store());
        let closing = async {
            if let Err(error) = self.board.api_keys.record_uses().await {
                tracing::warn!(%error, "the last uses of API keys were not recorded");
            }
            tokio::task::spawn_blocking(move || store.close()).await
        };
        if tokio::time::timeout(grace.max(Duration::from_secs(1)), closing).await.is_err() {
            tracing::warn!("the writer did not finish within the shutdown grace period");
        }
        self.tail.abort();
    }
}

async fn open_store(config: &Config, notice: CommitListener, vitals: &Supervisor) -> Result<Arc<Store>, String> {
    let place = match config.database.url() {
        DatabaseUrl::Sqlite(path) => DatabaseTarget::Sqlite(path.as_path().into()),
        DatabaseUrl::Postgres(url) => DatabaseTarget::Postgres(url.as_str().into()),
    };
    let options = Options {
        place,
        readers: u32::try_from(config.readers).unwrap_or(u32::MAX),
        batch: config.commit_batch,
        read_limit: config.limits.query_time,
        vitals: vitals.clone(),
        read_url: config.replica.url().and_then(postgres_url).map(Into::into),
    };
    let opening = tokio::task::spawn_blocking(move || Store::open(&options, notice));
    let opened = opening.await.map_err(|error| error.to_string())?;
    let store = opened.map_err(|error| format!("cannot open {}: {}", config.database.url(), detail(error)))?;
    Ok(Arc::new(store))
}

fn postgres_url(url: &DatabaseUrl) -> Option<&str> {
    match url {
        DatabaseUrl::Postgres(url) => Some(url),
        DatabaseUrl::Sqlite(_) => None,
    }
}

/// The text of an error for the operator, who may see the detail of an internal error. Clients must not see it.
fn detail(error: Error) -> String {
    match error {
        Error::Internal(detail) => detail,
        error => error.to_string(),
    }
}

fn write_limits(config: &Config) -> WriteLimits {
    let limits = &config.limits;
    WriteLimits {
        mutations: RateLimiter::new(Rate::per_second(limits.mutations_per_second, limits.mutation_burst)),
        key_mutations: RateLimiter::new(Rate::per_second(limits.mutations_per_second, limits.mutation_burst)),
        mentions: RateLimiter::new(Rate::per_minute(board::MENTIONS_PER_MINUTE)),
        channel_names: RateLimiter::new(Rate::per_minute(limits.new_rooms_per_minute)),
        renewals: RateLimiter::new(Rate::per_minute(config.sessions.sign_ins_per_minute)),
    }
}

fn policy(config: &Config) -> Policy {
    Policy {
        public_url: config.public.public_url.clone().unwrap_or_else(|| format!("http://{}", config.listen)),
        registration_open: config.sessions.registration == Registration::Open,
        first_user_admin: config.sessions.first_user_admin,
        anonymous_read: config.sessions.anonymous_read,
        max_title: config.limits.max_title,
        max_content: config.limits.max_content,
        response_memory: config.limits.response_memory_bytes,
    }
}
