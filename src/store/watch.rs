//! Notices commits that this instance did not make: those of the command line beside a server on
//! SQLite, those of other instances on PostgreSQL.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use tokio::sync::{Notify, watch};

use super::connection::{ConnectionUse, Connector, Db, Place, map_error};
use super::listen::PgListener;
use crate::error::{Error, Result};
use crate::model::Cursor;
use crate::vitals::Vitals;

/// How often SQLite is asked whether anybody committed: `PRAGMA data_version` reads one word of
/// shared memory, so this costs less than 0.1 % of a core.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How many heads are kept until the tailer asks; after more it looks at the log in any case.
const MAX_HEADS: usize = 64;

/// What was heard of the log since the tailer last asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Other processes brought the log to these positions, in no order. With their tags: a lower number may be the head
    /// of another history.
    Heads(Vec<Cursor>),
    /// The log may have moved: it is to be looked at.
    Something,
}

/// What was heard and not asked for yet.
#[derive(Debug)]
pub struct Inbox {
    pending: Mutex<Heard>,
    arrived: Notify,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { pending: Mutex::new(Heard::Heads(Vec::new())), arrived: Notify::new() }
    }
}

impl Inbox {
    /// The head that another process says, or `None` if it is not known how far the log has come.
    pub fn notify(&self, head: Option<Cursor>) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *pending, head) {
            (Heard::Heads(heads), Some(head)) if heads.len() < MAX_HEADS => heads.push(head),
            (pending, _) => *pending = Heard::Something,
        }
        self.arrived.notify_one();
    }

    async fn take(&self) -> Heard {
        self.arrived.notified().await;
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *pending, Heard::Heads(Vec::new()))
    }
}

/// Tells how far others have brought the log, and tells them. Hints: the tail also looks by itself.
pub struct Watch {
    inbox: Arc<Inbox>,
    own_head: watch::Sender<Option<Cursor>>,
}

impl Watch {
    /// Ends when it is dropped.
    pub(super) fn start(connector: &Connector, vitals: &Vitals) -> Result<Self> {
        let inbox = Arc::<Inbox>::default();
        let (own_head, announcements) = watch::channel(None);
        match connector.place() {
            Place::Sqlite(_) => start_sqlite_poll(connector, Arc::downgrade(&inbox), vitals)?,
            Place::Postgres(url) => {
                let listener = PgListener::new(url)?;
                // What others say is heard until this is dropped, and then nothing more is said.
                drop(vitals.spawn("the listener", listener.listen(Arc::downgrade(&inbox), announcements)));
            }
        }
        Ok(Self { inbox, own_head })
    }

    /// One that nothing is heard from.
    #[cfg(test)]
    pub(crate) fn deaf() -> Self {
        Self { inbox: Arc::default(), own_head: watch::Sender::new(None) }
    }

    /// Waits until something is heard of the log.
    pub async fn changed(&mut self) -> Heard {
        self.inbox.take().await
    }

    /// Tells the others that this instance has brought the log so far. What is said in quick
    /// succession is said once.
    pub fn say(&self, head: Cursor) {
        self.own_head.send_replace(Some(head));
    }
}

/// Looks at a SQLite file on a thread of its own.
fn start_sqlite_poll(connector: &Connector, inbox: Weak<Inbox>, vitals: &Vitals) -> Result<()> {
    // Not counted: it asks all the time, whatever the server does.
    let mut db = connector.with_own_counts().open(ConnectionUse::Reading)?;
    let poll = move || {
        let mut last = None;
        while let Some(inbox) = inbox.upgrade() {
            match data_version(&mut db) {
                Ok(version) if last != Some(version) => {
                    last = Some(version);
                    inbox.notify(None);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "cannot watch the database"),
            }
            drop(inbox);
            std::thread::sleep(POLL_INTERVAL);
        }
    };
    let poll = vitals.thread("the watch over the file", poll, || {});
    std::thread::Builder::new().name("watch".into()).spawn(poll).map(drop).map_err(Error::internal)
}

#[derive(QueryableByName)]
struct DataVersion {
    #[diesel(sql_type = BigInt)]
    data_version: i64,
}

fn data_version(db: &mut Db) -> Result<i64> {
    let query = diesel::sql_query("PRAGMA data_version");
    query.get_result::<DataVersion>(db).map(|row| row.data_version).map_err(map_error)
}
