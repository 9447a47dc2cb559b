//! The database: the only floor that knows SQL. It keeps objects and the log of their changes,
//! reads them in consistent snapshots and writes them through one writer. It decides nothing:
//! who may do what is the business of `board`, which calls it.

pub mod attempts;
mod candidates;
pub mod channels;
mod checkpoints;
pub mod comments;
mod condition;
mod connection;
mod counts;
mod files;
pub mod idempotency;
mod listen;
pub mod log;
pub mod messages;
pub mod metrics;
mod migrations;
pub mod notifications;
pub mod organizations;
mod paging;
pub mod presence;
mod queue;
mod readers;
pub mod reading;
pub mod removal;
#[rustfmt::skip] // written by the Diesel command line
mod schema;
mod sizes;
mod snapshot;
pub mod spelling;
mod start;
pub mod templates;
mod time_limit;
mod tls;
mod tx;
pub mod users;
mod visible;
mod watch;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::r2d2::Pool;

pub use connection::{Db, Place, is_over_time};
pub use counts::Counts;
pub use log::LogPage;
pub use snapshot::Snapshot;
pub use tx::{Batch, Change, Tx};
pub use watch::{Heard, Watch};
pub use writer::Tail;

use crate::capacity::Share;
use crate::error::Result;
use crate::model::Party;
use crate::vitals::Vitals;
use checkpoints::Checkpoints;
use connection::Connector;
use readers::{Readers, busy};
use writer::Writer;

/// How long a read waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a read waits for a connection while the database cannot be reached.
const AWAY: Duration = Duration::from_millis(100);

/// How many threads and connections read for the server itself: the tail, rights, health checks. Clients have none of them.
const OWN: usize = 2;

/// For how long a read goes on to the next connection when one turns out to be dead.
const RENEWAL: Duration = Duration::from_secs(1);

/// The open database of one instance.
pub struct Store {
    connector: Connector,
    pools: Pools,
    readers: Readers,
    own: Readers,
    read_limit: Duration,
    writer: Writer,
    counts: Arc<Counts>,
    vitals: Vitals,
    _checkpoints: Checkpoints,
}

/// For what a snapshot is opened: each has connections of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// What clients ask for, on a thread that reads.
    Clients,
    /// The server itself, and the command line.
    Own,
}

struct Pools {
    clients: Pool<Connector>,
    own: Pool<Connector>,
}

/// Where the database is and how much of it may be used at once.
pub struct Options {
    /// Which database.
    pub place: Place,
    /// How many snapshots may be open at once.
    pub readers: u32,
    /// How many changes are committed together at most.
    pub batch: usize,
    /// Is told if a fault ends one of the threads.
    pub vitals: Vitals,
    /// How long a snapshot that is opened for a client may read.
    pub read_limit: Duration,
}

impl Options {
    /// A SQLite file.
    #[must_use]
    pub fn sqlite(path: &Path, readers: u32) -> Self {
        Self {
            place: Place::Sqlite(path.into()),
            readers,
            batch: 256,
            vitals: Vitals::default(),
            read_limit: Duration::from_secs(2),
        }
    }
}

impl Store {
    /// Opens the database, brings its schema up to date and starts the writer, which tells the
    /// tail of every batch.
    ///
    /// # Errors
    /// One line for the operator, if the database cannot be reached, used or migrated.
    pub fn open(options: &Options, tail: impl Tail) -> Result<Self> {
        let connector = Connector::new(options.place.clone());
        let mut first = connector.open_first()?;
        start::check(&mut first)?;
        migrations::run(&mut first)?;
        start::check_rights(&mut first)?;
        log::begin(&mut first)?;
        spelling::fill_all(&mut first)?;
        let limited = connector.reading_within(options.read_limit);
        let pools = Pools {
            clients: pool(&limited, options.readers)?,
            own: pool(&connector, u32::try_from(OWN).unwrap_or(u32::MAX))?,
        };
        let counts = Arc::new(Counts::default());
        let (vitals, read_limit) = (options.vitals.clone(), options.read_limit);
        let writer = Writer::start(connector.clone(), first, tail, options.batch, &counts, &vitals)?;
        let readers = Readers::start("reader", Share::halves(options.readers as usize), &vitals)?;
        let own = Readers::start("own reader", Share { total: OWN, anonymous: OWN, each: OWN }, &vitals)?;
        let checkpoints = Checkpoints::start(&connector, &vitals)?;
        Ok(Self { connector, pools, readers, own, read_limit, writer, counts, vitals, _checkpoints: checkpoints })
    }

    /// Reads from one consistent snapshot for the server itself, on a thread that clients cannot keep busy. What a client
    /// makes the server read goes through [`Self::read_for`].
    ///
    /// # Errors
    /// What `read` returns; `UNAVAILABLE` if it is not its turn in time, or there is no connection.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&mut Snapshot) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = Arc::clone(self);
        self.own.run(Party::Server, move || read(&mut store.snapshot(Lane::Own)?)).await?
    }

    /// Reads from one consistent snapshot for this caller, on a thread that may block.
    ///
    /// # Errors
    /// What `read` returns; `UNAVAILABLE` if it is not its turn in time, if it takes too long, or if there is no connection.
    pub async fn read_for<T: Send + 'static>(
        self: &Arc<Self>,
        party: Party,
        read: impl FnOnce(&mut Snapshot) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = Arc::clone(self);
        self.on_reader(party, move || read(&mut store.snapshot(Lane::Clients)?)).await?
    }

    /// Runs on one of the threads that read, when it is the turn of this caller, what opens a snapshot itself if it needs one.
    ///
    /// # Errors
    /// `UNAVAILABLE` if it is not its turn in time; an internal error if it panicked.
    pub async fn on_reader<T: Send + 'static>(
        &self,
        party: Party,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        self.readers.run(party, job).await
    }

    /// How long a snapshot that is opened for a client may read.
    #[must_use]
    pub fn read_limit(&self) -> Duration {
        self.read_limit
    }

    /// Opens a snapshot on this thread, which may block.
    ///
    /// # Errors
    /// `UNAVAILABLE` if there is no free connection in time.
    pub fn snapshot(&self, lane: Lane) -> Result<Snapshot> {
        let pool = match lane {
            Lane::Clients => &self.pools.clients,
            Lane::Own => &self.pools.own,
        };
        // A connection may have died in the pool; so may all of them.
        let since = Instant::now();
        if !self.connector.was_in_place() {
            return Err(connection::away());
        }
        loop {
            let patience = if self.connector.is_away() { AWAY } else { PATIENCE };
            let connection = pool.get_timeout(patience);
            let connection = connection.map_err(|_| if self.connector.is_away() { connection::away() } else { busy() });
            match Snapshot::open(connection?) {
                Err(_) if since.elapsed() < RENEWAL => {}
                opened => return opened,
            }
        }
    }

    /// Has the writer run a command and waits until it is on disk. It is run even if nobody waits any more.
    ///
    /// # Errors
    /// What the command returns; `UNAVAILABLE` if the outcome is unknown or nothing was done.
    pub async fn write<T: Send + 'static>(
        &self,
        command: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.run(command).await
    }

    /// Why the database takes no changes, if that is so: its disk is full, its file was moved, and the like. Looks again
    /// if it was so the last time, once a second at most.
    pub async fn trouble(&self) -> Option<String> {
        let condition = self.connector.condition();
        if self.connector.is_in_place() && condition.reason().is_none() {
            return None;
        }
        if condition.is_probe_due() {
            drop(self.probe().await);
        }
        condition.reason()
    }

    /// Changes something that nobody sees, to know whether the database takes changes.
    ///
    /// # Errors
    /// `UNAVAILABLE` if it takes none, or is busy.
    pub async fn probe(&self) -> Result<()> {
        self.write(|tx| log::touch(tx.write())).await
    }

    /// What the writer has counted.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
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
        Watch::start(&self.connector, &self.vitals)
    }

    /// Waits for the commands in flight and stops the writer.
    pub fn close(&self) {
        self.writer.close();
    }
}

/// At most so many connections for reading.
fn pool(connector: &Connector, size: u32) -> Result<Pool<Connector>> {
    Pool::builder()
        .max_size(size)
        .min_idle(Some(1))
        .test_on_check_out(false)
        .connection_timeout(PATIENCE)
        .build(connector.clone())
        .map_err(connection::unreachable)
}
