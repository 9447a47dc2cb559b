//! Reads from a streaming replica of the database. A read goes there only if the snapshot contains everything that
//! this instance has committed or published, and ends at a position of the log that this instance knows
//! (`log_positions.rs`). Every other read goes to the primary.

mod state;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use diesel::r2d2::{NopErrorHandler, Pool, PooledConnection};

use self::state::{FallbackReason, ReplicaState};
use super::advice::one_line;
use super::connection::{Connector, map_error};
use super::log;
use super::log_positions::{Comparison, Eventless, LogPositions, Required};
use super::read_pool::ReadPool;
use super::replication;
use super::snapshot::Snapshot;
use crate::capacity::FairLimits;
use crate::error::{Error, Result};
use crate::model::{Counter, Cursor, Freshness};
use crate::supervisor::Supervisor;

/// How long a read waits for a replica that lags.
const MAX_WAIT: Duration = Duration::from_millis(250);
/// How often a waiting read looks at the replica: first after `MIN_PAUSE`, then after twice the time of the last pause,
/// up to `MAX_PAUSE`.
const MIN_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_millis(16);
/// How long the check waits for a connection: longer than libpq tries to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// A replica of the database, and the threads that read from it.
pub struct Replica {
    connector: Connector,
    pool: Pool<Connector>,
    /// The connections of clients to the primary.
    primary: Pool<Connector>,
    positions: Arc<LogPositions>,
    /// Separate from the threads that read from the primary, so that a replica that hangs does not stop them.
    readers: ReadPool,
    state: ReplicaState,
    /// The last known lag, in events.
    lag: AtomicI64,
    /// Held while the primary is asked for its position in the WAL, so that one read asks for all.
    measuring: Mutex<()>,
    reads: Counter,
    reads_from_primary: Counter,
}

/// The replica as the metrics show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Whether reads go to the replica.
    pub is_serving: bool,
    /// Number of events by which the replica lagged when this instance looked last.
    pub lag: i64,
    /// Number of snapshots for clients that the replica served.
    pub reads: u64,
    /// Number of snapshots for clients that the primary served.
    pub reads_from_primary: u64,
}

impl Replica {
    /// Starts the threads that read from the replica, and the thread that checks it. Does not wait for the replica.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if a thread cannot be started.
    pub fn start(
        (url, read_limit): (&str, Duration),
        readers: u32,
        primary: Pool<Connector>,
        positions: &Arc<LogPositions>,
        vitals: &Supervisor,
    ) -> Result<Arc<Self>> {
        let connector = Connector::to_replica(url).with_read_limit(read_limit);
        // One connection for each thread, and one for the check.
        let pool = Pool::builder().max_size(readers.saturating_add(1)).min_idle(Some(1)).test_on_check_out(false);
        // The pool waits for up to half of this timeout between two attempts to connect.
        let pool = pool.connection_timeout(CONNECT_TIMEOUT).error_handler(Box::new(NopErrorHandler));
        let pool = pool.build_unchecked(connector.clone());
        let replica = Arc::new(Self {
            connector,
            pool,
            primary,
            positions: Arc::clone(positions),
            readers: ReadPool::start("replica reader", FairLimits::halves(readers as usize), vitals)?,
            state: ReplicaState::default(),
            lag: AtomicI64::new(0),
            measuring: Mutex::default(),
            reads: Counter::default(),
            reads_from_primary: Counter::default(),
        });
        let checked = Arc::downgrade(&replica);
        let check = vitals.thread("the check of the read replica", move || check_periodically(&checked), || {});
        std::thread::Builder::new().name("replica check".into()).spawn(check).map_err(Error::internal)?;
        Ok(replica)
    }

    /// The threads that read from the replica, if a read of this freshness goes there.
    pub fn readers_for(&self, freshness: Freshness) -> Option<&ReadPool> {
        (freshness != Freshness::Newest && self.state.is_serving()).then_some(&self.readers)
    }

    /// Opens a snapshot on the replica, or with `open_primary` if the primary must serve the read. Blocks the thread for
    /// at most about [`MAX_WAIT`] while the replica lags.
    ///
    /// # Errors
    /// The error of `open_primary`; `UNAVAILABLE` if the primary fails.
    pub fn snapshot(&self, freshness: Freshness, open_primary: impl FnOnce() -> Result<Snapshot>) -> Result<Snapshot> {
        if let Some(snapshot) = self.try_snapshot(freshness) {
            self.reads.count();
            return Ok(snapshot);
        }
        let era = self.positions.era();
        let mut snapshot = open_primary()?;
        let position = replication::position(snapshot.db()).map_err(map_error)?;
        self.positions.saw(era, position.head);
        self.reads_from_primary.count();
        Ok(snapshot)
    }

    /// The state of the replica, for the metrics.
    pub fn status(&self) -> ReplicaStatus {
        ReplicaStatus {
            is_serving: self.state.is_serving(),
            lag: self.lag.load(Ordering::Relaxed),
            reads: self.reads.get(),
            reads_from_primary: self.reads_from_primary.get(),
        }
    }

    fn try_snapshot(&self, freshness: Freshness) -> Option<Snapshot> {
        let cursor = match freshness {
            Freshness::Known => None,
            Freshness::Reaching(cursor) => Some(cursor),
            Freshness::Newest => return None,
        };
        if !self.state.is_serving() {
            return None;
        }
        let (required, wal) = self.required(cursor)?;
        self.open(&required, wal).map_err(|reason| self.state.fall_back(self.explain(reason))).ok()
    }

    /// What a snapshot must contain for a read that begins now, and the position in the WAL up to which the replica must
    /// have replayed. `None` if only the primary can serve the read.
    fn required(&self, cursor: Option<Cursor>) -> Option<(Required, u64)> {
        let required = self.positions.required(cursor)?;
        let wal = match required.eventless {
            Eventless::None => 0,
            Eventless::Until(wal) => wal,
            Eventless::Unmeasured(number) => self.measure(number)?,
        };
        Some((required, wal))
    }

    /// Asks the primary where the WAL ends. A change without an event has no position in the log of events, so the
    /// replica must have replayed the WAL that contains it.
    fn measure(&self, number: u64) -> Option<u64> {
        let _one_at_a_time = self.measuring.lock().unwrap_or_else(PoisonError::into_inner);
        if let Eventless::Until(wal) = self.positions.required(None)?.eventless {
            return Some(wal);
        }
        let mut connection = self.primary.get_timeout(MAX_WAIT).ok()?;
        let wal = replication::flushed(&mut connection.db);
        connection.is_broken = wal.is_err();
        let wal = wal.ok()?;
        self.positions.measured(number, wal);
        Some(wal)
    }

    /// Opens a snapshot, and waits for at most [`MAX_WAIT`] until the replica has what it must contain.
    fn open(&self, required: &Required, wal: u64) -> Result<Snapshot, FallbackReason> {
        let (deadline, mut pause) = (Instant::now() + MAX_WAIT, MIN_PAUSE);
        loop {
            match self.try_open(required, wal, deadline) {
                Err(reason) if reason.is_brief() && Instant::now() + pause < deadline => {
                    std::thread::sleep(pause);
                    pause = MAX_PAUSE.min(2 * pause);
                }
                opened => return opened,
            }
        }
    }

    fn try_open(&self, required: &Required, wal: u64, deadline: Instant) -> Result<Snapshot, FallbackReason> {
        let mut connection = self.connect(deadline)?;
        if connection.replayed < wal {
            let replayed = replication::replayed(&mut connection.db);
            connection.is_broken = replayed.is_err();
            connection.replayed = replayed.map_err(unusable)?;
            if connection.replayed < wal {
                return Err(FallbackReason::Behind { events: 0, head: None });
            }
        }
        let (snapshot, head) = self.begin(connection)?;
        match self.positions.compare(required, head, deadline) {
            Comparison::Contains => Ok(snapshot),
            Comparison::Behind(events) => Err(FallbackReason::Behind { events, head: Some(head) }),
            Comparison::Ahead | Comparison::Unknown => Err(FallbackReason::Ahead(head)),
        }
    }

    fn connect(&self, deadline: Instant) -> Result<PooledConnection<Connector>, FallbackReason> {
        let connection = self.pool.get_timeout(deadline.saturating_duration_since(Instant::now()));
        connection.map_err(|_| {
            let reason = self.connector.unreachable().map(|(_, reason)| reason);
            FallbackReason::Unusable(reason.unwrap_or_else(|| "no connection is free".into()))
        })
    }

    /// Begins a snapshot; returns it with its head of the log. The tag of the head comes from the same snapshot.
    fn begin(&self, connection: PooledConnection<Connector>) -> Result<(Snapshot, Cursor), FallbackReason> {
        let mut snapshot = Snapshot::open(connection).map_err(|error| FallbackReason::Unusable(error.to_string()))?;
        let position = replication::position(snapshot.db()).map_err(unusable)?;
        self.lag.store(self.positions.lag(position.head), Ordering::Relaxed);
        if position.is_standby { Ok((snapshot, position.head)) } else { Err(FallbackReason::NotStandby) }
    }

    /// Checks the replica as a read does, and records the result. Returns the delay before the next check.
    fn check(&self) -> Duration {
        match self.try_check() {
            Ok(()) => self.state.serve(),
            Err(reason) => self.state.fall_back(self.explain(reason)),
        }
        self.state.next_check()
    }

    fn try_check(&self) -> Result<(), FallbackReason> {
        let connection = self.connect(Instant::now() + CONNECT_TIMEOUT)?;
        match self.required(None) {
            Some((required, wal)) => {
                drop(connection);
                self.open(&required, wal).map(drop)
            }
            None => self.begin(connection).and(Err(FallbackReason::Unproven)),
        }
    }

    /// Distinguishes a replica that lags from one with another history: only the primary knows about old positions.
    fn explain(&self, reason: FallbackReason) -> FallbackReason {
        let (FallbackReason::Behind { head: Some(head), .. } | FallbackReason::Ahead(head)) = reason else {
            return reason;
        };
        let opened = self.primary.get_timeout(MAX_WAIT).map_err(Error::internal).and_then(Snapshot::open);
        let found = opened.and_then(|mut primary| log::at(primary.db(), head.seq));
        match (found, &reason) {
            (Ok(Some(found)), _) if found != head => FallbackReason::OtherHistory,
            // A position above the head of the primary. The primary has pruned a missing position below it.
            (Ok(None), FallbackReason::Ahead(_)) => FallbackReason::OtherHistory,
            _ => reason,
        }
    }
}

/// Checks the replica until it is dropped.
fn check_periodically(replica: &Weak<Replica>) {
    while let Some(next_check) = replica.upgrade().map(|replica| replica.check()) {
        std::thread::sleep(next_check);
    }
}

fn unusable(error: diesel::result::Error) -> FallbackReason {
    FallbackReason::Unusable(one_line(&error.to_string()))
}
