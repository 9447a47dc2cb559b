//! Connections: which database a URL means, and how a fresh connection is set up. The only place
//! that knows both databases; the queries of the other files are written once.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diesel::connection::{InstrumentationEvent, SimpleConnection};
use diesel::r2d2::{ManageConnection, R2D2Connection};
use diesel::{Connection, PgConnection, SqliteConnection};

use super::condition::{WriteHealth, needs_operator};
use super::files::{FileId, prepare_file, sidecar};
use super::start::{check_file, one_line, with_advice};
use super::time_limit::{self, TimeLimit};
use crate::error::{Error, Result};

/// A connection to whichever database the installation uses.
#[derive(diesel::MultiConnection)]
pub enum Db {
    /// The built-in database.
    Sqlite(SqliteConnection),
    /// A server shared by several instances.
    Postgres(PgConnection),
}

/// Runs a statement on whichever connection there is. Diesel's own way of doing so, which takes a [`Db`] for a connection,
/// writes a statement's text anew, three times, each time that it is run; this looks it up by its type.
macro_rules! with_backend {
    ($db:expr, $connection:ident => $run:expr) => {
        match $db {
            $crate::store::Db::Sqlite($connection) => $run,
            $crate::store::Db::Postgres($connection) => $run,
        }
    };
}
pub(super) use with_backend;

/// Where the data is.
#[derive(Clone)]
pub enum Place {
    /// A file.
    Sqlite(Arc<Path>),
    /// A `postgres://` URL.
    Postgres(Arc<str>),
}

/// What a connection will be used for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ConnectionUse {
    /// Snapshots only.
    Reading,
    /// The writer.
    Writing,
}

/// WAL lets readers go on beside the writer; FULL means that a commit is on the disk before it
/// is acknowledged. The busy timeout covers other processes (the command line), not our threads:
/// those have one writer.
/// It comes first: the last connection of another process locks the file while it closes.
/// Checkpoints are made beside the writer (`checkpoints.rs`). While it writes without a pause they never come to the end
/// of the log of writes, so once that has 64 MiB the writer makes one itself, and begins it anew.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864; \
    PRAGMA wal_autocheckpoint = 16000;";

/// How long PostgreSQL may take for one statement, or wait for a lock, or for us: a paused or
/// cut-off instance must not hold the log's head for longer.
pub(super) const POSTGRES_SETTINGS: &str = "SET synchronous_commit = on; SET TIME ZONE 'UTC'; SET lock_timeout = '2s'; \
    SET idle_in_transaction_session_timeout = '2s'; SET statement_timeout = '10s';";

/// The oldest PostgreSQL that is served, as `server_version_num` counts: the oldest that its makers
/// still mended when this was written.
const MIN_POSTGRES_VERSION: i32 = 14_00_00;

/// What libpq is told unless the URL says otherwise: seconds until a server that does not answer is
/// given up, and how a silent break of the network is noticed.
const POSTGRES_PARAMETERS: [(&str, &str); 6] = [
    ("connect_timeout", "3"),
    ("keepalives_idle", "5"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "5000"),
    ("application_name", "tidings"),
];

/// For so long after a connection could not be made none is tried: those who wait are told at once.
const RECONNECT_BACKOFF: Duration = Duration::from_millis(250);

/// How long readers rely on the files still being where they were.
const FILE_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Opens connections to one place and counts their statements.
#[derive(Clone)]
pub struct Connector {
    place: Place,
    statements: Arc<AtomicU64>,
    /// When it last could not be reached, if that was after it last could.
    unreachable_at: Arc<Mutex<Option<Instant>>>,
    write_health: Arc<WriteHealth>,
    /// Which files SQLite works on: the database, and its log of writes once it is there.
    files: Arc<Mutex<(Option<FileId>, Option<FileId>)>>,
    /// When a reader last looked and the files were in their place.
    files_checked_at: Arc<Mutex<Option<Instant>>>,
    /// How long a statement of a pooled connection may take, if that is less than for others.
    read_limit: Option<Duration>,
}

impl Connector {
    /// For this place.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            statements: Arc::default(),
            unreachable_at: Arc::default(),
            write_health: Arc::default(),
            files: Arc::default(),
            files_checked_at: Arc::default(),
            read_limit: None,
        }
    }

    /// Whether the database takes changes.
    pub fn write_health(&self) -> &WriteHealth {
        &self.write_health
    }

    /// The same, whose pooled connections read for so long at most.
    pub fn with_read_limit(&self, limit: Duration) -> Self {
        Self { read_limit: Some(limit), ..self.clone() }
    }

    /// Where it leads.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the database could not be reached when that was last tried.
    pub fn is_unreachable(&self) -> bool {
        self.unreachable_since().is_some()
    }

    fn unreachable_since(&self) -> Option<Instant> {
        *self.unreachable_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the same place, with a count of its own.
    pub fn with_own_counts(&self) -> Self {
        Self::new(self.place.clone())
    }

    /// How many SQL statements all connections have run.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// A fresh connection, set up for its purpose.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached.
    pub fn open(&self, usage: ConnectionUse) -> Result<Db> {
        self.open_with_reason(usage).map_err(|_| unavailable())
    }

    fn open_with_reason(&self, usage: ConnectionUse) -> Result<Db, String> {
        if self.unreachable_since().is_some_and(|since| since.elapsed() < RECONNECT_BACKOFF) {
            return Err("it could not be reached a moment ago".into());
        }
        let opened = if self.has_original_files() { self.try_open(usage) } else { Err(FILES_MOVED.to_owned()) };
        let now_unreachable = opened.as_ref().err().map(|_| Instant::now());
        let was_unreachable = std::mem::replace(
            &mut *self.unreachable_at.lock().unwrap_or_else(PoisonError::into_inner),
            now_unreachable,
        );
        match (&opened, was_unreachable) {
            (Err(reason), None) => tracing::warn!(%reason, "the database cannot be reached"),
            (Ok(_), Some(_)) => tracing::info!("the database can be reached again"),
            _ => {}
        }
        opened
    }

    /// The first connection of a process, after the checks that need none.
    ///
    /// # Errors
    /// One line for the operator: what the database says, without its password, and what to do.
    pub fn open_first(&self) -> Result<Db> {
        if let Place::Sqlite(path) = &self.place {
            prepare_file(path).and_then(|()| check_file(path)).map_err(Error::Internal)?;
        }
        let opened = self.try_open(ConnectionUse::Writing).map_err(Error::Internal)?;
        // From here on it must stay this file.
        self.has_original_files();
        Ok(opened)
    }

    /// Whether the files are still those that were opened first. SQLite would go on with files that were moved away or
    /// deleted, and what it acknowledges would be lost with them.
    pub fn has_original_files(&self) -> bool {
        let Place::Sqlite(path) = &self.place else { return true };
        let now = (FileId::of(path), FileId::of(&sidecar(path, "-wal")));
        let mut known = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        known.0 = known.0.or(now.0);
        known.1 = known.1.or(now.1);
        let is_same = *known == now;
        drop(known);
        if !is_same {
            self.write_health.record_failure(&format!("{}: {FILES_MOVED}", path.display()));
        }
        is_same
    }

    /// The same for a reader: looks at the files again at most once in [`LOOK`], as that costs two system calls.
    pub fn had_original_files(&self) -> bool {
        let mut seen = self.files_checked_at.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_none_or(|seen| seen.elapsed() >= FILE_CHECK_INTERVAL) {
            *seen = self.has_original_files().then(Instant::now);
        }
        seen.is_some()
    }

    fn try_open(&self, usage: ConnectionUse) -> Result<Db, String> {
        let mut db = match &self.place {
            Place::Sqlite(path) => Db::Sqlite(open_sqlite(path, usage)?),
            Place::Postgres(url) => Db::Postgres(open_postgres(url)?),
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

/// What is wrong when a path leads to another file than at the start.
const FILES_MOVED: &str = "the database, or the file -wal beside it, was moved, deleted or replaced while the server runs: stop \
    the server, put the files back, and start it";

fn open_postgres(url: &str) -> Result<PgConnection, String> {
    let message = |error: &dyn std::fmt::Display| with_advice(&without_secrets(&error.to_string(), url));
    let mut connection = PgConnection::establish(&with_parameters(url)).map_err(|error| message(&error))?;
    connection.batch_execute(POSTGRES_SETTINGS).map_err(|error| message(&error))?;
    Ok(connection)
}

/// What libpq says, without the URL and the password that it may quote. A password with unescaped `/`, `?` or `@` is
/// taken apart by libpq, so its parts are left out, too.
fn without_secrets(message: &str, url: &str) -> String {
    let mut message = message.replace(&with_parameters(url), "postgres://…").replace(url, "postgres://…");
    let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
    let userinfo = place.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    // Without an `@` that ends it, all that follows the first colon may be part of a password.
    let userinfo = userinfo.map_or_else(|| parameters.rsplit_once('@').map_or("", |_| url), |(userinfo, _)| userinfo);
    let userinfo_password = userinfo.split_once(':').map(|(_, password)| password);
    let named = |pair: &'_ str| pair.split_once('=').is_some_and(|(name, _)| name.to_lowercase().contains("password"));
    let parameter_passwords =
        parameters.split('&').filter(|pair| named(pair)).filter_map(|pair| Some(pair.split_once('=')?.1));
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
    // The decoder of forms takes + for a blank, which URLs of libpq do not.
    let pair = text.replace('+', "%2B");
    form_urlencoded::parse(format!("x={pair}").as_bytes())
        .map(|(_, value)| value.into_owned())
        .next()
        .unwrap_or_default()
}

/// The URL with those parameters that it does not have.
fn with_parameters(url: &str) -> String {
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    let is_set = |name: &str| parameters.split('&').any(|pair| pair.split('=').next() == Some(name));
    let missing = POSTGRES_PARAMETERS.iter().filter(|(name, _)| !is_set(name));
    missing.fold(url.to_owned(), |url, (name, value)| {
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}{name}={value}")
    })
}

/// Whether a PostgreSQL of this version is served.
///
/// # Errors
/// Says which version is there, and which is needed.
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

/// A pooled connection. Diesel does not notice when a server goes away from a connection that runs
/// no transaction of Diesel's own, so whoever sees it fail says so.
pub struct Pooled {
    pub db: Db,
    pub is_broken: bool,
    /// How long a snapshot may read.
    pub read_limit: Option<Duration>,
    /// Until when the snapshot that is open may.
    pub time: TimeLimit,
}

/// The pool's view of the connector: every pooled connection is for reading.
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
                if let Some(limit) = read_limit {
                    let limit = limit.as_millis().max(2);
                    // A wait for a lock ends first, and says so: unlike a statement that is too much, it may be tried again.
                    let limits = format!("SET statement_timeout = {limit}; SET lock_timeout = {}", limit / 2);
                    connection.batch_execute(&limits).map_err(|error| failed(unreachable(error).to_string()))?;
                }
            }
        }
        Ok(Pooled { db, is_broken: false, read_limit, time })
    }

    fn is_valid(&self, pooled: &mut Pooled) -> Result<(), Self::Error> {
        pooled.db.ping().map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        std::thread::panicking() || pooled.is_broken
    }
}

/// The database could not be reached.
pub fn unreachable(error: impl std::fmt::Display) -> Error {
    tracing::debug!(%error, "the database cannot be reached");
    unavailable()
}

/// What is said while the database cannot be reached.
pub fn unavailable() -> Error {
    Error::Unavailable("the database cannot be reached; try again".into())
}

/// What databases say of what may go well the next time. (Diesel does not show PostgreSQL's codes.)
const TRANSIENT_ERRORS: [&str; 7] = [
    "database is locked",
    "database or disk is full",
    "disk I/O error",
    "No space left on device",
    "out of memory",
    "deadlock detected",
    "lock timeout",
];

/// What databases say of a statement that took too long, and what callers read then.
const TIMEOUT_ERRORS: [&str; 2] = ["statement timeout", time_limit::TIME_LIMIT_ERROR];
const STATEMENT_TIMED_OUT: &str = "this takes too long; try again, or ask for less";

/// What libpq, or the server's last words, say of a connection that is gone. Mostly diesel knows by itself that it is, but not where
/// the words came before the end of the line was seen.
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

/// Whether a statement failed because it took too long.
#[must_use]
pub fn is_over_time(error: &Error) -> bool {
    matches!(error, Error::Unavailable(message) if message == STATEMENT_TIMED_OUT)
}

/// What a failed statement means for the caller.
pub fn map_error(error: diesel::result::Error) -> Error {
    use diesel::result::{DatabaseErrorKind as Kind, Error as Fault};
    match &error {
        // A server that is read-only is the wrong one of two: somebody is about to change that.
        Fault::DatabaseError(
            Kind::ClosedConnection | Kind::SerializationFailure | Kind::UnableToSendCommand | Kind::ReadOnlyTransaction,
            _,
        ) => unreachable(error),
        Fault::DatabaseError(_, information)
            if CONNECTION_LOST_ERRORS.iter().any(|known| information.message().contains(known)) =>
        {
            unreachable(error)
        }
        Fault::DatabaseError(_, information)
            if TIMEOUT_ERRORS.iter().any(|known| information.message().contains(known)) =>
        {
            tracing::warn!(%error, "a statement took too long");
            Error::Unavailable(STATEMENT_TIMED_OUT.into())
        }
        Fault::DatabaseError(_, information)
            if TRANSIENT_ERRORS.iter().any(|known| information.message().contains(known)) =>
        {
            tracing::warn!(%error, "a statement failed for now");
            unavailable()
        }
        Fault::DatabaseError(_, information) if needs_operator(information.message()) => {
            tracing::debug!(%error, "a statement failed until an operator does something");
            unavailable()
        }
        _ => Error::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_wins_over_the_defaults() {
        let url = with_parameters("postgres://me@db/tidings?connect_timeout=9&sslmode=require");
        assert!(url.starts_with("postgres://me@db/tidings?connect_timeout=9&sslmode=require&keepalives_idle=5&"));
        assert_eq!(url.matches("connect_timeout").count(), 1);
        assert!(with_parameters("postgres://me@db/tidings").contains("/tidings?connect_timeout=3&"));
    }

    #[test]
    fn whoever_lost_the_line_may_try_again_whatever_diesel_calls_it() {
        use diesel::result::{DatabaseErrorKind, Error as Fault};
        let said =
            |message: &str| map_error(Fault::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_owned())));
        for message in [
            "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n",
            "terminating connection due to administrator command",
            "the database system is shutting down",
        ] {
            assert_eq!(said(message), unavailable(), "{message}");
        }
        assert_eq!(said("relation \"gone\" does not exist"), unavailable(), "the schema was dropped below the server");
        assert!(matches!(said("column \"gone\" does not exist"), Error::Internal(_)));
    }

    #[test]
    fn no_word_of_libpq_shows_a_password() {
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
    fn an_old_server_is_refused_with_both_versions() {
        assert_eq!(is_new_enough(14_00_11), Ok(()));
        let refusal = is_new_enough(13_00_22).unwrap_err();
        assert_eq!(refusal, Error::Internal("this is PostgreSQL 13; tidings needs 14 or newer".into()));
    }
}
