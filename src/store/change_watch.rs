//! Detects commits of other processes. On SQLite these come from the command line; on PostgreSQL they come from
//! other instances.

use std::sync::{Arc, Weak};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use tokio::sync::watch;

use super::connection::{ConnectionUse, Connector, DatabaseTarget, Db, map_error};
use super::inbox::{Inbox, LogSignal};
use super::outbox_signal::OutboxSignal;
use super::pg_listener::PgListener;
use super::relay::RelayEnds;
use crate::error::{Error, Result};
use crate::model::Cursor;
use crate::supervisor::Supervisor;

/// How often SQLite is asked for commits of other processes. `PRAGMA data_version` reads one word of shared
/// memory, so polling takes less than 0.1 % of a core.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Announces this instance's log head to other instances and receives theirs. Announcements are hints and may be
/// lost: the tailer also reads the log at regular intervals.
pub struct ChangeWatch {
    inbox: Arc<Inbox>,
    own_head: watch::Sender<Option<Cursor>>,
}

impl ChangeWatch {
    /// Starts the watch. It ends when the returned value is dropped. `outbox` is notified when other programs may have
    /// committed rows of the outbox.
    pub(super) fn start(
        connector: &Connector,
        relay: Option<RelayEnds>,
        outbox: Arc<OutboxSignal>,
        vitals: &Supervisor,
    ) -> Result<Self> {
        let inbox = Arc::new(Inbox::new(outbox));
        let (own_head, announcements) = watch::channel(None);
        match connector.place() {
            DatabaseTarget::Sqlite(_) => start_sqlite_poll(connector, Arc::downgrade(&inbox), vitals)?,
            DatabaseTarget::Postgres(url) => {
                let listener = PgListener::new(url)?;
                // The task ends by itself: dropping `ChangeWatch` closes the channel of announcements.
                drop(vitals.spawn("the listener", listener.listen(Arc::downgrade(&inbox), announcements, relay)));
            }
        }
        Ok(Self { inbox, own_head })
    }

    /// A watch that never reports a change.
    #[cfg(test)]
    pub(crate) fn deaf() -> Self {
        Self { inbox: Arc::new(Inbox::new(Arc::new(OutboxSignal::new(false)))), own_head: watch::Sender::new(None) }
    }

    /// Waits for a sign that another process has changed the log.
    pub async fn changed(&mut self) -> LogSignal {
        self.inbox.take().await
    }

    /// Announces this instance's log head to the other instances (PostgreSQL only). If several heads are set
    /// while an announcement is being sent, only the last one is sent.
    pub fn say(&self, head: Cursor) {
        self.own_head.send_replace(Some(head));
    }
}

/// Starts a thread that polls a SQLite file for commits of other processes.
fn start_sqlite_poll(connector: &Connector, inbox: Weak<Inbox>, vitals: &Supervisor) -> Result<()> {
    // These statements are not counted in the metrics, because they run at a fixed rate whatever the load.
    let mut db = connector.with_own_counts().open(ConnectionUse::Reading)?;
    let poll = move || {
        let mut last = None;
        while let Some(inbox) = inbox.upgrade() {
            match data_version(&mut db) {
                Ok(version) if last != Some(version) => {
                    last = Some(version);
                    inbox.notify(None);
                    inbox.outbox().notify();
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "cannot poll the database for commits of other processes"),
            }
            drop(inbox);
            std::thread::sleep(POLL_INTERVAL);
        }
    };
    let poll = vitals.thread("the database watcher", poll, || {});
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
