//! What an operator does with the log: reads it, and has it forget what is older than it must be
//! kept, in small steps between other work.

use std::time::Duration;

use super::Board;
use crate::auth::WINDOW;
use crate::error::Result;
use crate::model::{Cursor, Event, Seq, Timestamp};
use crate::store::{Lane, Tx, attempts, log, spelling};

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
        let mut snapshot = self.store().snapshot(Lane::Own)?;
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
            let pruning = async {
                if !self.is_my_turn().await? {
                    return Ok(0);
                }
                self.forget_attempts().await?;
                self.fill_names().await?;
                self.prune(retention).await
            };
            match pruning.await {
                Ok(0) => {}
                Ok(events) => {
                    tracing::info!(events, "pruned the log");
                    self.remover.want();
                }
                Err(error) => tracing::warn!(%error, "the log could not be pruned"),
            }
        }
    }

    /// Whether nobody has pruned of late; then it is for this instance to do.
    async fn is_my_turn(&self) -> Result<bool> {
        self.store
            .write(|tx| {
                let now = tx.now();
                log::claim_pruning(tx.write(), now, now.before(INTERVAL / 2))
            })
            .await
    }

    /// Forgets old attempts to sign in, step by step: a flood leaves many.
    async fn forget_attempts(&self) -> Result<()> {
        let step = |tx: &mut Tx<'_>| {
            let now = tx.now();
            attempts::forget_some(tx.write(), WINDOW, now)
        };
        while self.store.write(step).await? {}
        Ok(())
    }

    /// Computes what names are compared by where an instance of version 0.1.0 has written some.
    async fn fill_names(&self) -> Result<()> {
        while self.store.write(|tx| spelling::fill_some(tx.write())).await? {}
        Ok(())
    }

    /// Forgets all that need not be kept; answers how many events that were.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn prune(&self, retention: Retention) -> Result<i64> {
        let mut pruned = 0;
        loop {
            let looking = self.store.read(move |snapshot| {
                let oldest = log::oldest(snapshot.db())?.seq;
                let newest = Seq(log::head(snapshot.db())?.seq.0 - retention.events);
                let step = newest.min(Seq(oldest.0 + STEP));
                let old = Timestamp::now().before(retention.age);
                let floor = if step <= oldest { None } else { log::last_before(snapshot.db(), old, oldest, step)? };
                Ok((oldest, floor))
            });
            let (oldest, Some(floor)) = looking.await? else { return Ok(pruned) };
            self.store.write(move |tx| log::prune(tx.write(), floor)).await?;
            pruned += floor.0 - oldest.0;
        }
    }
}
