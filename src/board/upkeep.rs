//! What an operator does with the log: reads it, and has it forget what is older than it must be
//! kept, in small steps between other work.

use std::time::Duration;

use super::Board;
use crate::auth::WINDOW;
use crate::error::Result;
use crate::model::{Cursor, Event, Seq, Timestamp};
use crate::store::{attempts, log};

/// How many events one step forgets: a writer's batch must stay short.
const STEP: i64 = 1_000;
/// How often the log is looked at.
const INTERVAL: Duration = Duration::from_secs(60);

/// How long events are kept: those younger than `age`, and at least the newest `events`.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Younger events are kept.
    pub age: Duration,
    /// So many of the newest are kept whatever their age.
    pub events: i64,
}

impl Board {
    /// A page of the log behind a position (from the oldest event kept on, if not said), as an
    /// operator reads it, and where it ends. Blocks.
    ///
    /// # Errors
    /// `CURSOR_EXPIRED`; those of the database.
    pub fn events_after(&self, after: Option<Cursor>) -> Result<(Vec<Event>, Cursor)> {
        let mut snapshot = self.store().snapshot()?;
        let after = match after {
            Some(after) => after,
            None => log::oldest(snapshot.db())?,
        };
        log::read(snapshot.db(), after)
    }

    /// Prunes from time to time, until aborted. Of several instances one does it each time.
    pub async fn keep_pruning(self: std::sync::Arc<Self>, retention: Retention) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let board = std::sync::Arc::clone(&self);
            let pruned = tokio::task::spawn_blocking(move || match board.is_my_turn()? {
                true => board.prune(retention),
                false => Ok(0),
            });
            let pruned = pruned.await;
            match pruned {
                Ok(Ok(0)) => {}
                Ok(Ok(events)) => tracing::info!(events, "pruned the log"),
                Ok(Err(error)) => tracing::warn!(%error, "the log could not be pruned"),
                Err(error) => tracing::error!(%error, "pruning failed"),
            }
        }
    }

    /// Whether nobody has pruned of late; then it is for this instance to do.
    fn is_my_turn(&self) -> Result<bool> {
        self.store.write(|tx| {
            let now = tx.now();
            let is_mine = log::claim_pruning(tx.write(), now, now.before(INTERVAL / 2))?;
            if is_mine {
                attempts::forget(tx.write(), now.before(WINDOW))?;
            }
            Ok(is_mine)
        })
    }

    /// Forgets all that need not be kept; answers how many events that were. Blocks.
    ///
    /// # Errors
    /// Those of the database.
    pub fn prune(&self, retention: Retention) -> Result<i64> {
        let mut pruned = 0;
        loop {
            let (oldest, floor) = {
                let mut snapshot = self.store.snapshot()?;
                let oldest = log::oldest(snapshot.db())?.seq;
                let newest = Seq(log::head(snapshot.db())?.seq.0 - retention.events);
                let step = newest.min(Seq(oldest.0 + STEP));
                let old = Timestamp::now().before(retention.age);
                let floor = if step <= oldest { None } else { log::last_before(snapshot.db(), old, oldest, step)? };
                (oldest, floor)
            };
            let Some(floor) = floor else { return Ok(pruned) };
            self.store.write(move |tx| log::prune(tx.write(), floor))?;
            pruned += floor.0 - oldest.0;
        }
    }
}
