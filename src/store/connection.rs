//! Database connections: which database a URL names, how a connection is set up, and what its errors mean. This
//! file holds most of what differs between SQLite and PostgreSQL; the queries of the other files serve both.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diesel::connection::{InstrumentationEvent, SimpleConnection};
use diesel::r2d2::{ManageConnection, R2D2Connection};
use diesel::{Connection, PgConnection, SqliteConnection};

use super::advice::{one_line, with_advice};
use super::file_check::check_file;
use super::sqlite_files::{FileId, prepare_file, sidecar};
use super::time_limit::{self, TimeLimit};
use super::write_health::{WriteHealth, needs_operator};
use crate::error::{Error, Result};

/// A connection to the database of this installation.
#[derive(diesel::MultiConnection)]
pub enum Db {
    /// A SQLite file, used by one server.
    Sqlite(SqliteConnection),
    /// A PostgreSQL server, which several instances may share.
    Postgres(PgConnection),
}

/// Runs a statement on the concrete connection inside a [`Db`]. Diesel's `MultiConnection` builds the SQL text
/// again, three times, on each execution. On the concrete connection diesel finds the prepared statement by its
/// Rust type.
macro_rules! with_backend {
    ($db:expr, $connection:ident => $run:expr) => {
        match $db {
            $crate::store::Db::Sqlite($connection) => $run,
            $crate::store::Db::Postgres($connection) => $run,
        }
    };
}
pub(super) use with_backend;

/// The database to connect to.
#[derive(Clone)]
pub enum DatabaseTarget {
    /// Path of a SQLite file.
    Sqlite(Arc<Path>),
    /// A `postgres://` URL.
    Postgres(Arc<str>),
}

/// What a connection is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ConnectionUse {
    /// Only reads. On SQLite, the connection rejects writes (`query_only`).
    Reading,
    /// Reads and writes; used by the writer and for the checks at start.
    Writing,
}

/// `busy_timeout` comes first, because the last connection of another process locks the file while it closes. It
/// covers other processes (the command line) only: this process has one writer. WAL lets readers work beside the
/// writer. `synchronous = FULL` puts a commit on disk before it is acknowledged.
///
/// A separate thread checkpoints the write-ahead log (`checkpoints.rs`). It cannot complete while the writer
/// writes without a pause. So the writer itself checkpoints when the write-ahead log has 16,000 pages (about 64
/// MiB).
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864; \
    PRAGMA wal_autocheckpoint = 16000;";

/// Time limits on statements, lock waits and idle transactions. A paused or disconnected instance must not hold
/// the lock on the log head for longer than that.
///
/// The statement that commits a batch has no BEGIN, so the session sets its isolation level. Any other level would fail
/// the statement if another instance commits while it waits for the lock on the log head.
pub(super) const POSTGRES_SETTINGS: &str = "SET synchronous_commit = on; SET TIME ZONE 'UTC'; SET lock_timeout = '2s'; \
    SET idle_in_transaction_session_timeout = '2s'; SET statement_timeout = '10s'; \
    SET default_transaction_isolation = 'read committed';";

/// Settings for the writer and the server's own reads. Their statements are planned once and then used for a long time.
/// A plan that was made while the tables were small must not scan them when they have grown: all access is by index.
/// Discouraged scans have such a high cost that PostgreSQL would compile each statement (`jit`).
const POSTGRES_INDEX_SETTINGS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET jit = off;";

/// Oldest supported PostgreSQL, in the format of `server_version_num`. At the time of writing, it was the oldest
/// release that the PostgreSQL project maintained.
const MIN_POSTGRES_VERSION: i32 = 14_00_00;

/// libpq parameters, used unless the URL sets them: how long to try to connect, and how soon a broken network
/// connection is detected.
const POSTGRES_PARAMETERS: [(&str, &str); 6] = [
    ("connect_timeout", "3"),
    ("keepalives_idle", "5"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "5000"),
    ("application_name", "tidings"),
];

/// Minimum delay after a failed connection attempt. Callers fail at once meanwhile.
const RECONNECT_BACKOFF: Duration = Duration::from_millis(250);

/// How long a reader relies on the last check that the SQLite files were not replaced.
const FILE_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Opens connections to one database and counts their statements. Clones share the
/// counters and what is known about the database.
#[derive(Clone)]
pub struct Connector {
    place: DatabaseTarget,
    statements: Arc<AtomicU64>,
    /// Time and reason of the last failed connection attempt; `None` if the last attempt succeeded.
    unreachable: Arc<Mutex<Option<(Instant, String)>>>,
    /// Number of connections that were lost.
    losses: Arc<AtomicU64>,
    /// Whether the database is a replica. Then its caller logs whether it can be reached.
    is_replica: bool,
    write_health: Arc<WriteHealth>,
    /// Identity of the SQLite database file, and of its write-ahead log once it exists.
    files: Arc<Mutex<(Option<FileId>, Option<FileId>)>>,
    /// Time of the last check by a reader, if it found the original SQLite files.
    files_checked_at: Arc<Mutex<Option<Instant>>>,
    /// Time limit for the statements of pooled connections; `None` for the server's own reads, which keep the general
    /// limit.
    read_limit: Option<Duration>,
}

impl Connector {
    /// Creates a connector without connecting.
    pub fn new(place: DatabaseTarget) -> Self {
        Self {
            place,
            statements: Arc::default(),
            unreachable: Arc::default(),
            losses: Arc::default(),
            is_replica: false,
            write_health: Arc::default(),
            files: Arc::default(),
            files_checked_at: Arc::default(),
            read_limit: None,
        }
    }

    /// Creates a connector to a streaming replica of a PostgreSQL database, without connecting.
    pub fn to_replica(url: &str) -> Self {
        Self { is_replica: true, ..Self::new(DatabaseTarget::Postgres(url.into())) }
    }

    /// The state of writes on this database, which all connections of the connector share.
    pub fn write_health(&self) -> &WriteHealth {
        &self.write_health
    }

    /// Returns a connector that shares this one's state, and whose pooled connections read for at most `limit`.
    pub fn with_read_limit(&self, limit: Duration) -> Self {
        Self { read_limit: Some(limit), ..self.clone() }
    }

    /// The database that this connector opens.
    pub fn place(&self) -> &DatabaseTarget {
        &self.place
    }

    /// Whether the last attempt to connect to the database failed.
    pub fn is_unreachable(&self) -> bool {
        self.unreachable().is_some()
    }

    /// Time and reason of the last attempt to connect, if it failed.
    pub fn unreachable(&self) -> Option<(Instant, String)> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Number of connections to the database that were lost. After a loss, the database may be another server, and
    /// its log may have another history.
    pub fn losses(&self) -> &Arc<AtomicU64> {
        &self.losses
    }

    /// Returns a connector for the same database with its own statement count and state.
    pub fn with_own_counts(&self) -> Self {
        Self::new(self.place.clone())
    }

    /// Number of SQL statements that the counted connections have run.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Opens a connection and applies the settings for its use.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached.
    pub fn open(&self, usage: ConnectionUse) -> Result<Db> {
        if usage == ConnectionUse::Writing {
            // The writer replaces a connection that it has lost.
            self.losses.fetch_add(1, Ordering::AcqRel);
        }
        self.open_with_reason(usage).map_err(|_| unavailable())
    }

    fn open_with_reason(&self, usage: ConnectionUse) -> Result<Db, String> {
        if let Some((_, reason)) = self.unreachable().filter(|(at, _)| at.elapsed() < RECONNECT_BACKOFF) {
            return Err(reason);
        }
        let opened = if self.has_original_files() { self.try_open(usage) } else { Err(FILES_MOVED.to_owned()) };
        let now_unreachable = opened.as_ref().err().map(|reason| (Instant::now(), reason.clone()));
        let was_unreachable =
            std::mem::replace(&mut *self.unreachable.lock().unwrap_or_else(PoisonError::into_inner), now_unreachable);
        match (&opened, was_unreachable) {
            _ if self.is_replica => {}
            (Err(reason), None) => tracing::warn!(%reason, "the database cannot be reached"),
            (Ok(_), Some(_)) => tracing::info!("the database can be reached again"),
            _ => {}
        }
        opened
    }

    /// Opens the first connection of the process. For SQLite, it first checks and creates the file.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` with one line for the operator: the database's message without the password, and
    /// advice.
    pub fn open_first(&self) -> Result<Db> {
        if let DatabaseTarget::Sqlite(path) = &self.place {
            prepare_file(path).and_then(|()| check_file(path)).map_err(Error::Internal)?;
        }
        let opened = self.try_open(ConnectionUse::Writing).map_err(Error::Internal)?;
        // Records the identity of the files. From now on they must not be replaced.
        self.has_original_files();
        Ok(opened)
    }

    /// Whether the SQLite files are still the ones that were opened first; always `true` for PostgreSQL. SQLite
    /// would continue to write to moved or deleted files, and commits that it acknowledges would be lost. A
    /// changed file is reported to `write_health`.
    pub fn has_original_files(&self) -> bool {
        let DatabaseTarget::Sqlite(path) = &self.place else { return true };
        let now = (FileId::of(path), FileId::of(&sidecar(path, "-wal")));
        let mut known = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        known.0 = known.0.or(now.0);
        known.1 = known.1.or(now.1);
        let is_same = *known == now;
        drop(known);
        *self.files_checked_at.lock().unwrap_or_else(PoisonError::into_inner) = is_same.then(Instant::now);
        if !is_same {
            self.write_health.record_failure(&format!("{}: {FILES_MOVED}", path.display()));
        }
        is_same
    }

    /// Like [`Self::has_original_files`], for readers: relies on a check that succeeded within the last
    /// [`FILE_CHECK_INTERVAL`], because a check costs two system calls.
    pub fn had_original_files(&self) -> bool {
        let checked_at = *self.files_checked_at.lock().unwrap_or_else(PoisonError::into_inner);
        checked_at.is_some_and(|at| at.elapsed() < FILE_CHECK_INTERVAL) || self.has_original_files()
    }

    fn try_open(&self, usage: ConnectionUse) -> Result<Db, String> {
        let mut db = match &self.place {
            DatabaseTarget::Sqlite(path) => Db::Sqlite(open_sqlite(path, usage)?),
            DatabaseTarget::Postgres(url) => Db::Postgres(open_postgres(url, usage)?),
        };
        let (statements, write_health) = (Arc::clone(&self.statements), Arc::clone(&self.write_health));
        db.set_instrumentation(move |event: InstrumentationEvent<'_>| match event {
            InstrumentationEvent::StartQuery { .. } => {
                statements.fetch_add(1, Ordering::Relaxed);
            }
            InstrumentationEvent::FinishQuery { error: Some(error), .. } if usage == ConnectionUse::Writing => {
                let message = one_line(&error.to_string());
                if needs_operator(&message) {
                    write_health.record_failure(&with_advice(&message));
                }
            }
            _ => {}
        });
        Ok(db)
    }
}

/// Message when a SQLite file is not the one that was opened at start.
const FILES_MOVED: &str = "the database file or its -wal file was moved, deleted or replaced while the server runs: \
    stop the server, put the files back, and start it again";

fn open_postgres(url: &str, usage: ConnectionUse) -> Result<PgConnection, String> {
    let message = |error: &dyn std::fmt::Display| with_advice(&without_secrets(&error.to_string(), url));
    let mut connection = PgConnection::establish(&with_parameters(url)).map_err(|error| message(&error))?;
    connection.batch_execute(POSTGRES_SETTINGS).map_err(|error| message(&error))?;
    if usage == ConnectionUse::Writing {
        connection.batch_execute(POSTGRES_INDEX_SETTINGS).map_err(|error| message(&error))?;
    }
    Ok(connection)
}

/// Removes the URL and its passwords from a message of libpq. libpq splits a password that contains an unescaped
/// `/`, `?` or `@` and may quote the parts, so the parts are removed as well.
fn without_secrets(message: &str, url: &str) -> String {
    let mut message = message.replace(&with_parameters(url), "postgres://…").replace(url, "postgres://…");
    let (base_url, parameters) = url.split_once('?').unwrap_or((url, ""));
    let userinfo = base_url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    // Without an `@` at the end of the credentials, everything after the first colon may be part of a password.
    let userinfo = userinfo.map_or_else(|| parameters.rsplit_once('@').map_or("", |_| url), |(userinfo, _)| userinfo);
    let userinfo_password = userinfo.split_once(':').map(|(_, password)| password);
    let is_password =
        |pair: &'_ str| pair.split_once('=').is_some_and(|(name, _)| name.to_lowercase().contains("password"));
    let parameter_passwords =
        parameters.split('&').filter(|pair| is_password(pair)).filter_map(|pair| Some(pair.split_once('=')?.1));
    for password in userinfo_password.into_iter().chain(parameter_passwords) {
        let decoded = percent_decoded(password);
        let parts = password.split(['/', '?', '#', '@', ':', '[', ']', '=', '&']).filter(|part| part.len() > 2);
        let mut hidden: Vec<&str> =
            [password, &decoded].into_iter().chain(parts).filter(|part| !part.is_empty()).collect();
        hidden.sort_by_key(|part| std::cmp::Reverse(part.len()));
        for part in hidden {
            message = message.replace(part, "…");
        }
    }
    message
}

fn percent_decoded(text: &str) -> String {
    // The form decoder turns `+` into a space; libpq does not.
    let pair = text.replace('+', "%2B");
    form_urlencoded::parse(format!("x={pair}").as_bytes())
        .map(|(_, value)| value.into_owned())
        .next()
        .unwrap_or_default()
}

/// Adds to the URL each parameter of [`POSTGRES_PARAMETERS`] that it does not set.
fn with_parameters(url: &str) -> String {
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    let is_set = |name: &str| parameters.split('&').any(|pair| pair.split('=').next() == Some(name));
    let missing = POSTGRES_PARAMETERS.iter().filter(|(name, _)| !is_set(name));
    missing.fold(url.to_owned(), |url, (name, value)| {
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}{name}={value}")
    })
}

/// Checks that this PostgreSQL version (`server_version_num`) is supported.
///
/// # Errors
/// `INTERNAL_SERVER_ERROR` that names the version found and the version needed.
pub fn is_new_enough(version: i32) -> Result<()> {
    if version >= MIN_POSTGRES_VERSION {
        return Ok(());
    }
    let (found, needed) = (version / 10_000, MIN_POSTGRES_VERSION / 10_000);
    Err(Error::Internal(format!("this is PostgreSQL {found}; tidings needs {needed} or newer")))
}

fn open_sqlite(path: &Path, usage: ConnectionUse) -> Result<SqliteConnection, String> {
    let message = |error: &dyn std::fmt::Display| format!("{}: {}", path.display(), with_advice(&error.to_string()));
    let name = path.to_str().ok_or("the path is not UTF-8")?;
    let mut connection = SqliteConnection::establish(name).map_err(|error| message(&error))?;
    connection.batch_execute(SQLITE_SETTINGS).map_err(|error| message(&error))?;
    if usage == ConnectionUse::Reading {
        connection.batch_execute("PRAGMA query_only = ON;").map_err(|error| message(&error))?;
    }
    Ok(connection)
}

/// A pooled connection. Outside of diesel's own transactions, diesel does not detect that the server has closed
/// the connection. Code that sees a failure must therefore set `is_broken`.
pub struct Pooled {
    pub db: Db,
    /// Whether the pool must discard the connection.
    pub is_broken: bool,
    /// Maximum time that a snapshot may read; `None` means no limit.
    pub read_limit: Option<Duration>,
    /// The time until which the open snapshot may read.
    pub time: TimeLimit,
    /// Whether this is a connection to a replica.
    pub is_replica: bool,
    /// On a replica: it had replayed the WAL at least up to this position, in bytes, when it was asked last.
    pub replayed: u64,
}

/// Lets r2d2 create pooled connections, all of them read-only.
impl ManageConnection for Connector {
    type Connection = Pooled;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Pooled, Self::Error> {
        let failed = |reason| diesel::r2d2::Error::ConnectionError(diesel::ConnectionError::BadConnection(reason));
        let mut db = self.open_with_reason(ConnectionUse::Reading).map_err(failed)?;
        let (read_limit, time) = (self.read_limit, TimeLimit::default());
        match &mut db {
            Db::Sqlite(connection) => time.register(connection).map_err(|error| failed(error.to_string()))?,
            Db::Postgres(connection) => {
                let settings = match read_limit {
                    // The lock timeout must expire first: a lock timeout is worth a retry, a slow statement is not.
                    Some(limit) => {
                        let limit = limit.as_millis().max(2);
                        format!("SET statement_timeout = {limit}; SET lock_timeout = {}", limit / 2)
                    }
                    None => POSTGRES_INDEX_SETTINGS.to_owned(),
                };
                connection.batch_execute(&settings).map_err(|error| failed(unreachable(error).to_string()))?;
            }
        }
        Ok(Pooled { db, is_broken: false, read_limit, time, is_replica: self.is_replica, replayed: 0 })
    }

    fn is_valid(&self, pooled: &mut Pooled) -> Result<(), Self::Error> {
        pooled.db.ping().map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        if pooled.is_broken {
            self.losses.fetch_add(1, Ordering::AcqRel);
        }
        std::thread::panicking() || pooled.is_broken
    }
}

/// Logs the cause and returns `UNAVAILABLE`: the database cannot be reached.
pub fn unreachable(error: impl std::fmt::Display) -> Error {
    tracing::debug!(%error, "the database cannot be reached");
    unavailable()
}

/// The error for callers while the database cannot be reached.
pub fn unavailable() -> Error {
    Error::Unavailable("the database cannot be reached; try again".into())
}

/// Parts of error messages of failures that may succeed on retry. (Diesel does not expose PostgreSQL's error
/// codes.)
const TRANSIENT_ERRORS: [&str; 7] = [
    "database is locked",
    "database or disk is full",
    "disk I/O error",
    "No space left on device",
    "out of memory",
    "deadlock detected",
    "lock timeout",
];

/// Parts of error messages for a statement that ran out of time, and the message that callers get instead.
const TIMEOUT_ERRORS: [&str; 2] = ["statement timeout", time_limit::TIME_LIMIT_ERROR];
const STATEMENT_TIMED_OUT: &str = "this takes too long; try again, or ask for less";

/// Parts of error messages for a lost connection, from libpq or the server. Diesel usually detects a lost
/// connection itself, but not if the server's last message arrives before the connection is seen to be closed.
const CONNECTION_LOST_ERRORS: [&str; 8] = [
    "server closed the connection",
    "terminating connection",
    "connection not open",
    "no connection to the server",
    "could not receive data from server",
    "could not send data to server",
    "SSL SYSCALL error",
    "the database system is",
];

/// Whether this error means that a statement ran out of time.
#[must_use]
pub fn is_over_time(error: &Error) -> bool {
    matches!(error, Error::Unavailable(message) if message == STATEMENT_TIMED_OUT)
}

/// Whether the connection was lost, so that it is unknown whether the statement took effect.
pub fn is_connection_lost(error: &diesel::result::Error) -> bool {
    use diesel::result::{DatabaseErrorKind as Kind, Error as DieselError};
    match error {
        DieselError::DatabaseError(Kind::ClosedConnection | Kind::UnableToSendCommand, _) => true,
        DieselError::DatabaseError(_, information) => {
            CONNECTION_LOST_ERRORS.iter().any(|known| information.message().contains(known))
        }
        _ => false,
    }
}

/// Translates a diesel error for callers: `UNAVAILABLE` for failures of the connection, lock and statement
/// timeouts and storage problems, else `INTERNAL_SERVER_ERROR`.
pub fn map_error(error: diesel::result::Error) -> Error {
    use diesel::result::{DatabaseErrorKind as Kind, Error as DieselError};
    match &error {
        // A read-only server is a standby: during a failover the connection may still lead to the wrong server.
        DieselError::DatabaseError(Kind::SerializationFailure | Kind::ReadOnlyTransaction, _) => unreachable(error),
        error if is_connection_lost(error) => unreachable(error),
        DieselError::DatabaseError(_, information)
            if TIMEOUT_ERRORS.iter().any(|known| information.message().contains(known)) =>
        {
            tracing::warn!(%error, "statement timed out");
            Error::Unavailable(STATEMENT_TIMED_OUT.into())
        }
        DieselError::DatabaseError(_, information)
            if TRANSIENT_ERRORS.iter().any(|known| information.message().contains(known)) =>
        {
            tracing::warn!(%error, "statement failed temporarily");
            unavailable()
        }
        DieselError::DatabaseError(_, information) if needs_operator(information.message()) => {
            tracing::debug!(%error, "statement failed; an operator must repair the database");
            unavailable()
        }
        _ => Error::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_url_override_the_defaults() {
        let url = with_parameters("postgres://me@db/tidings?connect_timeout=9&sslmode=require");
        assert!(url.starts_with("postgres://me@db/tidings?connect_timeout=9&sslmode=require&keepalives_idle=5&"));
        assert_eq!(url.matches("connect_timeout").count(), 1);
        assert!(with_parameters("postgres://me@db/tidings").contains("/tidings?connect_timeout=3&"));
    }

    #[test]
    fn a_lost_connection_is_reported_as_unavailable() {
        use diesel::result::{DatabaseErrorKind, Error as DieselError};
        let mapped = |message: &str| {
            map_error(DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_owned())))
        };
        for message in [
            "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n",
            "terminating connection due to administrator command",
            "the database system is shutting down",
        ] {
            assert_eq!(mapped(message), unavailable(), "{message}");
        }
        assert_eq!(mapped("relation \"gone\" does not exist"), unavailable(), "a dropped schema needs an operator");
        assert!(matches!(mapped("column \"gone\" does not exist"), Error::Internal(_)));
    }

    #[test]
    fn passwords_are_removed_from_libpq_messages() {
        for (url, message, shown) in [
            ("postgres://u:hunter2@h/x", "invalid URI: \"postgres://u:hunter2@h/x\"", "invalid URI: \"postgres://…\""),
            ("postgres://u:hunter2@h/x", "password \"hunter2\" is wrong", "password \"…\" is wrong"),
            ("postgres://u:s%26cret@h/x", "with s&cret and s%26cret", "with … and …"),
            ("postgres://h/x?password=hunter2", "with hunter2", "with …"),
            ("postgres://u:hunt/er2@h/x", "invalid port \"hunt\", host er2", "invalid port \"…\", host …"),
            ("postgres://u@h/x", "FATAL: database \"x\" does not exist", "FATAL: database \"x\" does not exist"),
        ] {
            assert_eq!(without_secrets(message, url), shown, "{url}");
        }
    }

    #[test]
    fn an_unsupported_version_is_rejected_with_both_versions() {
        assert_eq!(is_new_enough(14_00_11), Ok(()));
        let refusal = is_new_enough(13_00_22).unwrap_err();
        assert_eq!(refusal, Error::Internal("this is PostgreSQL 13; tidings needs 14 or newer".into()));
    }
}
