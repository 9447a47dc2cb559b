//! Connections: which database a URL means, and how a fresh connection is set up. The only place
//! that knows both databases; the queries of the other files are written once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::connection::{InstrumentationEvent, SimpleConnection};
use diesel::r2d2::{ManageConnection, R2D2Connection};
use diesel::{Connection, PgConnection, SqliteConnection};

use crate::error::{Error, Result};

/// A connection to whichever database the installation uses.
#[derive(diesel::MultiConnection)]
pub enum Db {
    /// The built-in database.
    Sqlite(SqliteConnection),
    /// A server shared by several instances.
    Postgres(PgConnection),
}

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
pub enum Purpose {
    /// Snapshots only.
    Reading,
    /// The writer.
    Writing,
}

/// WAL lets readers go on beside the writer; FULL means that a commit is on the disk before it
/// is acknowledged. The busy timeout covers other processes (the command line), not our threads:
/// those have one writer.
/// It comes first: the last connection of another process locks the file while it closes.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864;";

/// How long PostgreSQL may take for one statement, or wait for a lock, or for us: a paused or
/// cut-off instance must not hold the log's head for longer.
const POSTGRES_SETTINGS: &str = "SET synchronous_commit = on; SET TIME ZONE 'UTC'; SET lock_timeout = '2s'; \
    SET idle_in_transaction_session_timeout = '2s'; SET statement_timeout = '10s';";

/// Opens connections to one place and counts their statements.
#[derive(Clone)]
pub struct Connector {
    place: Place,
    statements: Arc<AtomicU64>,
}

impl Connector {
    /// For this place.
    pub fn new(place: Place) -> Self {
        Self { place, statements: Arc::default() }
    }

    /// For the same place, with a count of its own.
    pub fn apart(&self) -> Self {
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
    pub fn open(&self, purpose: Purpose) -> Result<Db> {
        let mut db = match &self.place {
            Place::Sqlite(path) => Db::Sqlite(open_sqlite(path, purpose)?),
            Place::Postgres(url) => {
                let mut connection = PgConnection::establish(url).map_err(unreachable)?;
                connection.batch_execute(POSTGRES_SETTINGS).map_err(fault)?;
                Db::Postgres(connection)
            }
        };
        let statements = Arc::clone(&self.statements);
        db.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if matches!(event, InstrumentationEvent::StartQuery { .. }) {
                statements.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(db)
    }
}

fn open_sqlite(path: &Path, purpose: Purpose) -> Result<SqliteConnection> {
    let path = path.to_str().ok_or_else(|| Error::input("DATABASE_URL", "the path is not UTF-8"))?;
    let mut connection = SqliteConnection::establish(path).map_err(unreachable)?;
    connection.batch_execute(SQLITE_SETTINGS).map_err(fault)?;
    if purpose == Purpose::Reading {
        connection.batch_execute("PRAGMA query_only = ON;").map_err(fault)?;
    }
    Ok(connection)
}

/// The pool's view of the connector: every pooled connection is for reading.
impl ManageConnection for Connector {
    type Connection = Db;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Db, Self::Error> {
        self.open(Purpose::Reading).map_err(|error| {
            diesel::r2d2::Error::ConnectionError(diesel::ConnectionError::BadConnection(error.to_string()))
        })
    }

    fn is_valid(&self, db: &mut Db) -> Result<(), Self::Error> {
        db.ping().map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, db: &mut Db) -> bool {
        std::thread::panicking() || db.is_broken()
    }
}

/// The database could not be reached.
pub fn unreachable(error: impl std::fmt::Display) -> Error {
    tracing::warn!(%error, "the database cannot be reached");
    Error::Unavailable("the database cannot be reached; try again".into())
}

/// What a failed statement means for the caller.
pub fn fault(error: diesel::result::Error) -> Error {
    use diesel::result::{DatabaseErrorKind as Kind, Error as Fault};
    match &error {
        Fault::DatabaseError(Kind::ClosedConnection | Kind::SerializationFailure | Kind::UnableToSendCommand, _) => {
            unreachable(error)
        }
        Fault::DatabaseError(_, information)
            if ["database is locked", "database or disk is full", "disk I/O error"]
                .iter()
                .any(|known| information.message().contains(known)) =>
        {
            unreachable(error)
        }
        _ => Error::internal(error),
    }
}
