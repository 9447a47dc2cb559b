//! The database: the only floor that knows SQL. It keeps objects and the log of their changes,
//! reads them in consistent snapshots and writes them through one writer. It decides nothing:
//! who may do what is the business of `board`, which calls it.

pub mod channels;
pub mod comments;
mod connection;
pub mod idempotency;
pub mod log;
pub mod messages;
pub mod metrics;
mod migrations;
pub mod notifications;
pub mod organizations;
mod paging;
pub mod presence;
pub mod reading;
#[rustfmt::skip] // written by the Diesel command line
mod schema;
mod snapshot;
pub mod templates;
pub mod users;
mod visible;
mod watch;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diesel::r2d2::Pool;
use tokio::sync::Semaphore;

pub use connection::{Db, Place};
pub use log::LogPage;
pub use snapshot::Snapshot;
pub use watch::Watch;
pub use writer::{Batch, Change, Tail, Tx};

use crate::error::{Error, Result};
use connection::{Connector, Purpose};
use writer::Writer;

/// How long a read may wait for its turn before it is refused.
const TURN: Duration = Duration::from_secs(5);

/// The open database of one instance.
pub struct Store {
    connector: Connector,
    readers: Pool<Connector>,
    turns: Arc<Semaphore>,
    writer: Writer,
}

/// Where the database is and how much of it may be used at once.
pub struct Options {
    /// Which database.
    pub place: Place,
    /// How many snapshots may be open at once.
    pub readers: u32,
}

impl Options {
    /// A SQLite file.
    #[must_use]
    pub fn sqlite(path: &Path, readers: u32) -> Self {
        Self { place: Place::Sqlite(path.into()), readers }
    }
}

impl Store {
    /// Opens the database, brings its schema up to date and starts the writer, which tells the
    /// tail of every batch.
    ///
    /// # Errors
    /// If the database cannot be reached or migrated.
    pub fn open(options: &Options, tail: impl Tail) -> Result<Self> {
        let connector = Connector::new(options.place.clone());
        let mut first = connector.open(Purpose::Writing)?;
        migrations::run(&mut first)?;
        log::begin(&mut first)?;
        let readers = Pool::builder()
            .max_size(options.readers)
            .min_idle(Some(1))
            .test_on_check_out(false)
            .connection_timeout(TURN)
            .build(connector.clone())
            .map_err(connection::unreachable)?;
        let writer = Writer::start(connector.clone(), first, tail)?;
        let turns = Arc::new(Semaphore::new(options.readers as usize));
        Ok(Self { connector, readers, turns, writer })
    }

    /// Reads on a blocking thread, from one consistent snapshot.
    ///
    /// # Errors
    /// What `read` returns; `UNAVAILABLE` if there is no free connection in time.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&mut Snapshot) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(busy()) };
        let store = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read(&mut store.snapshot()?)
        });
        reading.await.map_err(Error::internal)?
    }

    /// What those take turns on who open a snapshot themselves.
    #[must_use]
    pub fn turns(&self) -> &Arc<Semaphore> {
        &self.turns
    }

    /// Opens a snapshot on this thread, which may block.
    ///
    /// # Errors
    /// `UNAVAILABLE` if there is no free connection in time.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::open(self.readers.get().map_err(|_| busy())?)
    }

    /// Has the writer run a command and waits, on this thread, until it is on disk.
    ///
    /// # Errors
    /// What the command returns; `UNAVAILABLE` if the outcome is unknown or nothing was done.
    pub fn write<T: Send + 'static>(
        &self,
        command: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.run(command)
    }

    /// How many SQL statements have been run, all connections together.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.connector.statements()
    }

    /// Tells of commits by other processes.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub fn watch(&self) -> Result<Watch> {
        Watch::start(&self.connector)
    }

    /// Waits for the commands in flight and stops the writer.
    pub fn close(&self) {
        self.writer.close();
    }
}

fn busy() -> Error {
    Error::Unavailable("the server is busy; try again".into())
}
