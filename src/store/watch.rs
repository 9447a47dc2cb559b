//! Notices commits that this instance did not make: those of the command line beside a server on
//! SQLite, those of other instances on PostgreSQL.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use tokio::sync::watch;

use super::connection::{Connector, Db, Place, Purpose, fault};
use super::listen::Ear;
use crate::error::{Error, Result};
use crate::model::Seq;

/// How often SQLite is asked whether anybody committed: `PRAGMA data_version` reads one word of
/// shared memory, so this costs less than 0.1 % of a core.
const INTERVAL: Duration = Duration::from_millis(20);

/// Said when it is not known how far the log has come: it is to be looked at.
pub const EVERYTHING: Seq = Seq(i64::MAX);

/// Tells how far others have brought the log, and tells them. Hints: the tail also looks by itself.
pub struct Watch {
    heard: watch::Receiver<Seq>,
    own: watch::Sender<Seq>,
}

impl Watch {
    /// Ends when it is dropped.
    pub(super) fn start(connector: &Connector) -> Result<Self> {
        let (said, heard) = watch::channel(Seq(0));
        let (own, to_say) = watch::channel(Seq(0));
        match connector.place() {
            Place::Sqlite(_) => look(connector, said)?,
            Place::Postgres(url) => {
                let ear = Ear::new(url)?;
                tokio::spawn(ear.listen(said, to_say));
            }
        }
        Ok(Self { heard, own })
    }

    /// Waits until the log may have come further; how far, if that was said.
    pub async fn changed(&mut self) -> Seq {
        if self.heard.changed().await.is_err() {
            // Nobody watches any more, so there is nothing to wait for.
            std::future::pending::<()>().await;
        }
        *self.heard.borrow_and_update()
    }

    /// Tells the others that this instance has brought the log so far. What is said in quick
    /// succession is said once.
    pub fn say(&self, head: Seq) {
        self.own.send_replace(head);
    }
}

/// Looks at a SQLite file on a thread of its own.
fn look(connector: &Connector, said: watch::Sender<Seq>) -> Result<()> {
    // Not counted: it asks all the time, whatever the server does.
    let mut db = connector.apart().open(Purpose::Reading)?;
    let looking = move || {
        let mut last = None;
        while !said.is_closed() {
            match data_version(&mut db) {
                Ok(version) if last != Some(version) => {
                    last = Some(version);
                    said.send_replace(EVERYTHING);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "cannot watch the database"),
            }
            std::thread::sleep(INTERVAL);
        }
    };
    std::thread::Builder::new().name("watch".into()).spawn(looking).map(drop).map_err(Error::internal)
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = BigInt)]
    data_version: i64,
}

fn data_version(db: &mut Db) -> Result<i64> {
    let asked = diesel::sql_query("PRAGMA data_version");
    asked.get_result::<Version>(db).map(|row| row.data_version).map_err(fault)
}
