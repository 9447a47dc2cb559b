//! Removes what was deleted, in small steps between other writes. On several instances one does it at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Board;
use crate::error::Result;
use crate::store::{log, removal};

/// How often is looked for what another instance, or an earlier run, has left to be removed.
const INTERVAL: Duration = Duration::from_secs(60);
/// How long an instance may be silent before another one goes on.
const LEASE: Duration = Duration::from_secs(30);

/// The removal as one instance does it.
pub struct Remover {
    /// Which instance this is.
    instance: i64,
    wanted: Notify,
}

impl Default for Remover {
    fn default() -> Self {
        Self { instance: rand::random(), wanted: Notify::new() }
    }
}

impl Remover {
    /// There is something to be removed.
    pub fn want(&self) {
        self.wanted.notify_one();
    }
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// In how many steps, each a command of the writer.
    pub steps: u64,
    /// How many rows, at least: what is removed together with another row is not counted.
    pub rows: i64,
    /// The most rows that one step removed.
    pub most: i64,
    /// The longest that one step took, waiting for the writer included.
    pub longest: Duration,
}

impl Board {
    /// Removes what is deleted, until aborted.
    pub async fn keep_removing(self: Arc<Self>) {
        loop {
            match self.remove_deleted().await {
                Ok(Removed { steps: 0, .. }) => {}
                Ok(removed) => tracing::info!(steps = removed.steps, rows = removed.rows, "removed deleted rows"),
                Err(error) => tracing::warn!(%error, "deleted rows could not be removed; trying again later"),
            }
            tokio::select! {
                () = self.remover.wanted.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Removes all that is deleted, in steps of at most a thousand rows, with a pause as long as the step after each.
    /// Does nothing while another instance removes.
    ///
    /// # Errors
    /// `UNAVAILABLE` and other errors of the database; what was removed by then stays so.
    pub async fn remove_deleted(&self) -> Result<Removed> {
        let mut removed = Removed::default();
        loop {
            let looking = self.store.read(|snapshot| {
                let oldest = log::oldest(snapshot.db())?.seq;
                Ok(removal::is_pending(snapshot.db(), oldest)?.then_some(oldest))
            });
            let Some(oldest) = looking.await? else { return Ok(removed) };
            let (instance, since) = (self.remover.instance, Instant::now());
            let step = self.store.write(move |tx| {
                let now = tx.now();
                if !removal::claim(tx.write(), instance, now, now.after(LEASE))? {
                    return Ok(0);
                }
                removal::step(tx.write(), now, oldest)
            });
            let rows = step.await?;
            if rows == 0 {
                return Ok(removed);
            }
            let took = since.elapsed();
            removed.steps += 1;
            removed.rows += rows;
            removed.most = removed.most.max(rows);
            removed.longest = removed.longest.max(took);
            tokio::time::sleep(took).await;
        }
    }
}
