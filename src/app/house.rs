//! A board over its database, without a door: what the server and the command line have in common.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::secret;
use crate::auth::{Passwords, SignInLimiter, Tokens};
use crate::board::{self, Access, Board, Doorkeepers, Notice, Progress, Rules, Tail};
use crate::capacity::{Rate, RateLimiter};
use crate::config::{Config, DatabaseUrl, Registration};
use crate::error::Error;
use crate::model::Timestamp;
use crate::store::{Options, Place, Store};
use crate::vitals::Vitals;

/// A board over its database.
pub struct House {
    board: Arc<Board>,
    tail: JoinHandle<()>,
    vitals: Vitals,
}

impl House {
    /// Opens the database, brings it up to date, and follows its log.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub async fn open(config: &Config) -> Result<Self, String> {
        if Timestamp::now() < Timestamp::from_seconds(0) {
            // No answer over HTTP could say its date.
            return Err("the clock of this machine is before 1970: set it".into());
        }
        let had_database = secret::has_database(config);
        let progress = Arc::new(Progress::default());
        let (notice, batches) = Notice::new(&progress);
        let vitals = Vitals::default();
        // First the database: what is wrong with its directory is wrong with the secret's, too.
        let store = open_store(config, notice, &vitals).await?;
        let secret = secret::of(config, had_database)?;
        let lifetimes = &config.tokens;
        let tokens = Tokens::new(secret.reveal().as_bytes(), lifetimes.token_lifetime, lifetimes.session_lifetime);
        let failed = |error| format!("cannot read {}: {}", config.database.url(), detail(error));
        let access = Arc::new(Access::load(&store).await.map_err(failed)?);
        let starting = Tail::start(Arc::clone(&store), Arc::clone(&access), Arc::clone(&progress), batches, &vitals);
        let (hub, tail) = starting.await.map_err(failed)?;
        let keepers = Doorkeepers {
            passwords: Passwords::new(config.sessions.password_threads),
            tokens,
            attempts: SignInLimiter::new(config.sessions.attempts_per_minute),
            mutations: RateLimiter::new(Rate::per_second(
                config.limits.mutations_per_second,
                config.limits.mutation_burst,
            )),
            mentions: RateLimiter::new(Rate::per_minute(board::MENTIONS_PER_MINUTE)),
            rooms: RateLimiter::new(Rate::per_minute(config.limits.new_rooms_per_minute)),
            sign_ins: RateLimiter::new(Rate::per_minute(config.sessions.sign_ins_per_minute)),
            registrations: RateLimiter::new(Rate::per_minute(config.sessions.registrations_per_minute)),
        };
        let board = Arc::new(Board::new(store, hub, access, progress, keepers, rules(config)));
        Ok(Self { board, tail, vitals })
    }

    /// The board.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Whether every part of it still runs.
    #[must_use]
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// Finishes what is being written, within this time.
    pub async fn close(self, grace: Duration) {
        let store = Arc::clone(self.board.store());
        let closing = tokio::task::spawn_blocking(move || store.close());
        if tokio::time::timeout(grace.max(Duration::from_secs(1)), closing).await.is_err() {
            tracing::warn!("the writer did not finish in time");
        }
        self.tail.abort();
    }
}

async fn open_store(config: &Config, notice: Notice, vitals: &Vitals) -> Result<Arc<Store>, String> {
    let place = match config.database.url() {
        DatabaseUrl::Sqlite(path) => Place::Sqlite(path.as_path().into()),
        DatabaseUrl::Postgres(url) => Place::Postgres(url.as_str().into()),
    };
    let options = Options {
        place,
        readers: u32::try_from(config.readers).unwrap_or(u32::MAX),
        batch: config.commit_batch,
        read_limit: config.limits.query_time,
        vitals: vitals.clone(),
    };
    let opening = tokio::task::spawn_blocking(move || Store::open(&options, notice));
    let opened = opening.await.map_err(|error| error.to_string())?;
    let store = opened.map_err(|error| format!("cannot open {}: {}", config.database.url(), detail(error)))?;
    Ok(Arc::new(store))
}

/// What is wrong, for the operator and not a client: the detail is what helps.
fn detail(error: Error) -> String {
    match error {
        Error::Internal(detail) => detail,
        error => error.to_string(),
    }
}

fn rules(config: &Config) -> Rules {
    Rules {
        registration_open: config.sessions.registration == Registration::Open,
        anonymous_read: config.sessions.anonymous_read,
        max_title: config.limits.max_title,
        max_content: config.limits.max_content,
        response_memory: config.limits.response_memory_bytes,
    }
}
