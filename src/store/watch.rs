//! Notices commits that this process did not make: the command line writes beside a running
//! server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use tokio::sync::Notify;

use super::connection::{Connector, Db, Purpose, fault};
use crate::error::Result;

/// How often SQLite is asked whether anybody committed: `PRAGMA data_version` reads one word of
/// shared memory, so this costs less than 0.1 % of a core.
const INTERVAL: Duration = Duration::from_millis(20);

/// Tells when there may be new events in the log. A hint: the tail also looks by itself.
pub struct Watch {
    changed: Arc<Notify>,
    stopped: Arc<AtomicBool>,
}

impl Watch {
    pub(super) fn start(connector: &Connector) -> Result<Self> {
        let (changed, stopped) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        // Not counted: it asks all the time, whatever the server does.
        let mut db = connector.apart().open(Purpose::Reading)?;
        let watch = Self { changed: Arc::clone(&changed), stopped: Arc::clone(&stopped) };
        std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || {
                let mut last = None;
                while !stopped.load(Ordering::Relaxed) {
                    match data_version(&mut db) {
                        Ok(version) if last != Some(version) => {
                            last = Some(version);
                            changed.notify_one();
                        }
                        Ok(_) => {}
                        Err(error) => tracing::warn!(%error, "cannot watch the database"),
                    }
                    std::thread::sleep(INTERVAL);
                }
            })
            .map_err(crate::error::Error::internal)?;
        Ok(watch)
    }

    /// Waits until somebody committed since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = BigInt)]
    data_version: i64,
}

fn data_version(db: &mut Db) -> Result<i64> {
    match db {
        Db::Sqlite(connection) => diesel::sql_query("PRAGMA data_version")
            .get_result::<Version>(connection)
            .map(|row| row.data_version)
            .map_err(fault),
        Db::Postgres(connection) => {
            super::schema::log_head::table.select(super::schema::log_head::head).first(connection).map_err(fault)
        }
    }
}
