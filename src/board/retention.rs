//! Prunes events, rejected rows of the outbox, expired sign-in attempts, sessions, links and invitations, in small steps.

use std::sync::Arc;
use std::time::Duration;

use super::api_keys::ApiKeys;
use super::invites::KEPT;
use super::last_seen::LastSeen;
use super::removal::Remover;
use crate::auth::WINDOW;
use crate::error::Result;
use crate::model::{Seq, Timestamp};
use crate::store::{
    Db, Store, identities, invites, log, name_key_backfill, outbox, password_resets, sessions, sign_in_attempts,
};

/// How many events one command of the writer prunes, so that its batch stays short.
const STEP: i64 = 1_000;
/// How long a deleted user is remembered, so that a token of another issuer does not create the user again. Older tokens
/// create no users.
pub(super) const DELETED_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// How many rejected rows of the outbox are kept.
const MAX_REJECTED: i64 = 100_000;
/// How often the log is pruned.
const INTERVAL: Duration = Duration::from_secs(60);

/// Which events are kept: those younger than `age`, and at least the newest `events`.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Events younger than this are kept.
    pub age: Duration,
    /// At least this many of the newest events are kept, whatever their age.
    pub events: i64,
}

/// Prunes the log.
pub struct Pruner {
    pub(super) store: Arc<Store>,
    pub(super) remover: Arc<Remover>,
    pub(super) api_keys: Arc<ApiKeys>,
    pub(super) last_seen: Arc<LastSeen>,
    pub(super) retention: Retention,
}

impl Pruner {
    /// Prunes every minute, until the task is aborted. Of several instances, one does it each time.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let pruning = async {
                self.api_keys.record_uses().await?;
                self.last_seen.store(&self.store).await?;
                if !self.claim_round().await? {
                    return Ok(0);
                }
                self.prune_attempts().await?;
                self.api_keys.remove_old().await?;
                self.prune_sessions().await?;
                self.prune_rejected().await?;
                self.fill_names().await?;
                self.prune().await
            };
            match pruning.await {
                Ok(0) => {}
                Ok(events) => {
                    tracing::info!(events, "pruned the event log");
                    self.remover.wake();
                }
                Err(error) => tracing::warn!(%error, "cannot prune the event log; retrying"),
            }
        }
    }

    /// Claims this round of pruning; `false` if another instance has claimed it already.
    async fn claim_round(&self) -> Result<bool> {
        let now = Timestamp::now();
        self.store.maintain(move |db| log::claim_pruning(db, now, now.before(INTERVAL / 2))).await
    }

    /// Removes expired sign-in attempts in steps, because a flood can leave many.
    async fn prune_attempts(&self) -> Result<()> {
        let step = |db: &mut Db| sign_in_attempts::delete_expired(db, WINDOW, Timestamp::now());
        while self.store.maintain(step).await? {}
        Ok(())
    }

    /// Removes expired sessions in steps, and expired links and invitations. Sessions are removed a minute after they
    /// expire, because tokens count whole seconds.
    async fn prune_sessions(&self) -> Result<()> {
        let step = |db: &mut Db| sessions::delete_expired(db, Timestamp::now().before(INTERVAL));
        while self.store.maintain(step).await? {}
        self.store.maintain(|db| password_resets::delete_expired(db, Timestamp::now())).await?;
        self.store.maintain(|db| identities::forget_deleted(db, Timestamp::now().before(DELETED_KEPT))).await?;
        self.store.maintain(|db| invites::delete_ended(db, Timestamp::now().before(KEPT))).await
    }

    /// Removes rejected rows of the outbox in steps: those that are older than events are kept, and those above a limit.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached; `INTERNAL_SERVER_ERROR` if a statement fails.
    pub async fn prune_rejected(&self) -> Result<()> {
        let age = self.retention.age;
        let step = move |db: &mut Db| outbox::delete_rejected(db, Timestamp::now().before(age), MAX_REJECTED);
        while self.store.maintain(step).await? {}
        Ok(())
    }

    /// Fills in the comparison forms of names that instances of version 0.1.0 have written without them.
    async fn fill_names(&self) -> Result<()> {
        while self.store.maintain(name_key_backfill::fill_batch).await? {}
        Ok(())
    }

    /// Removes all events that need not be kept, in steps. Returns how many events were removed.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached; `INTERNAL_SERVER_ERROR` if a statement fails.
    pub async fn prune(&self) -> Result<i64> {
        let (retention, mut pruned) = (self.retention, 0);
        loop {
            let bounds = self.store.read(move |snapshot| {
                let oldest = log::oldest(snapshot.db())?.seq;
                let newest = Seq(log::head(snapshot.db())?.seq.0 - retention.events);
                let step = newest.min(Seq(oldest.0 + STEP));
                let cutoff = Timestamp::now().before(retention.age);
                let floor =
                    if step <= oldest { None } else { log::last_older_than(snapshot.db(), cutoff, oldest, step)? };
                Ok((oldest, floor))
            });
            let (oldest, Some(floor)) = bounds.await? else { return Ok(pruned) };
            self.store.maintain(move |db| log::prune(db, floor)).await?;
            pruned += floor.0 - oldest.0;
        }
    }
}
