//! Removes the rows of deleted objects in small steps between other writes. Of several instances, one does it at a
//! time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::erasure;
use crate::error::Result;
use crate::model::Timestamp;
use crate::store::{Store, deleted_users, log, removal};

/// How often an instance checks for rows that another instance, or an earlier run, left behind.
const INTERVAL: Duration = Duration::from_secs(60);
/// How long an instance's claim on the removal lasts after its last step. Then another instance may continue.
const LEASE: Duration = Duration::from_secs(30);

/// Statistics of a removal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// The number of steps. Each one is a command of the writer.
    pub steps: u64,
    /// The least number of removed rows: rows that the database removes along with others are not counted.
    pub rows: i64,
    /// The largest number of rows that one step removed.
    pub most: i64,
    /// The duration of the longest step, including its wait for the writer.
    pub longest: Duration,
}

/// Removes the rows of deleted objects.
pub struct Remover {
    store: Arc<Store>,
    /// The random id with which this instance claims the removal of rows.
    instance: i64,
    pending: Notify,
}

impl Remover {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store, instance: rand::random(), pending: Notify::new() }
    }

    /// Wakes the task that removes deleted rows. Callers call this after a deletion.
    pub(super) fn wake(&self) {
        self.pending.notify_one();
    }

    /// Removes deleted rows until the task is aborted.
    pub async fn run(self: Arc<Self>) {
        loop {
            if let Err(error) = self.remove_deleted_users().await {
                tracing::warn!(%error, "cannot remove deleted users; retrying later");
            }
            match self.remove_deleted().await {
                Ok(Removed { steps: 0, .. }) => {}
                Ok(removed) => tracing::info!(steps = removed.steps, rows = removed.rows, "removed deleted rows"),
                Err(error) => tracing::warn!(%error, "cannot remove deleted rows; retrying later"),
            }
            tokio::select! {
                () = self.pending.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Removes what remains of deleted users. Does nothing while another instance removes.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached. What was removed before the error stays removed.
    pub async fn remove_deleted_users(&self) -> Result<()> {
        while let Some((user, removal)) = self.store.read(|snapshot| deleted_users::next(snapshot.db())).await? {
            if !erasure::remove(&self.store, user, removal, || self.claim()).await? {
                return Ok(());
            }
            tracing::info!(user_id = user.0, "removed a deleted user");
        }
        Ok(())
    }

    /// Claims the removal of rows for this instance; `false` if another instance has it.
    async fn claim(&self) -> Result<bool> {
        let (instance, now) = (self.instance, Timestamp::now());
        self.store.maintain(move |db| removal::claim(db, instance, now, now.after(LEASE))).await
    }

    /// Removes all deleted rows in steps of at most a thousand rows. After each step it pauses for as long as the step
    /// took. Does nothing while another instance removes.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached. Rows that were removed before the error stay removed.
    pub async fn remove_deleted(&self) -> Result<Removed> {
        let mut removed = Removed::default();
        loop {
            let check = self.store.read(|snapshot| {
                let oldest = log::oldest(snapshot.db())?.seq;
                Ok(removal::is_pending(snapshot.db(), oldest)?.then_some(oldest))
            });
            let Some(oldest) = check.await? else { return Ok(removed) };
            let (started, now) = (Instant::now(), Timestamp::now());
            if !self.claim().await? {
                return Ok(removed);
            }
            let rows = self.store.maintain(move |db| removal::step(db, now, oldest)).await?;
            if rows == 0 {
                return Ok(removed);
            }
            let duration = started.elapsed();
            removed.steps += 1;
            removed.rows += rows;
            removed.most = removed.most.max(rows);
            removed.longest = removed.longest.max(duration);
            tokio::time::sleep(duration).await;
        }
    }
}
