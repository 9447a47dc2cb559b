//! Runs the commands of use cases on the writer, within the limits of their callers.

use std::sync::Arc;
use std::time::Duration;

use super::log_tailer::Watermark;
use super::permissions::{UserState, Viewer};
use crate::capacity::{FairLimits, FairPermit, FairSemaphore, RateLimiter};
use crate::error::Result;
use crate::model::{CapacityKey, UserId};
use crate::store::{Store, Tx};

/// How long the response to a permission change waits until this instance delivers by the new permissions.
const PERMISSIONS_TIMEOUT: Duration = Duration::from_secs(1);

/// Limits on mutations that run at the same time. Each mutation waits for the disk, and the writer commits many of
/// them in one batch. One caller may have a quarter of the slots, and so may all anonymous callers together.
const MUTATIONS: FairLimits = FairLimits { total: 256, anonymous: 64, each: 64 };

/// Limits on mutations that wait for a slot of [`MUTATIONS`].
const WAITING_MUTATIONS: FairLimits = FairLimits { total: 16_384, anonymous: 2_048, each: 1_024 };

/// How long a mutation waits for a slot before it fails with `UNAVAILABLE`.
const MUTATION_WAIT: Duration = Duration::from_secs(5);

/// Runs commands on the writer.
pub struct Commands {
    store: Arc<Store>,
    progress: Arc<Watermark>,
    slots: FairSemaphore,
    rate: RateLimiter<UserId>,
}

impl Commands {
    /// Runs commands on this store's writer. `rate` limits the mutations of each user.
    pub(super) fn new(store: Arc<Store>, progress: Arc<Watermark>, rate: RateLimiter<UserId>) -> Self {
        let slots = FairSemaphore::new(MUTATIONS, WAITING_MUTATIONS, MUTATION_WAIT, "the server is busy; try again");
        Self { store, progress, slots, rate }
    }

    /// Waits for a slot in which this caller may run one mutation. Dropping the result frees the slot.
    ///
    /// # Errors
    /// `UNAVAILABLE` if no slot becomes free within 5 s, or too many mutations wait for one.
    pub async fn slot(&self, party: CapacityKey) -> Result<FairPermit> {
        self.slots.take(party).await
    }

    /// The current state of the viewer's user. Takes one mutation from the user's budget.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session; `RATE_LIMITED` if the user's budget of mutations is used up.
    pub(super) fn actor(&self, viewer: &Viewer) -> Result<Arc<UserState>> {
        let user_state = viewer.user_state()?;
        self.rate.check(user_state.user.id)?;
        Ok(user_state)
    }

    /// Runs a command, and returns after the commit. The command runs even if the caller stops waiting.
    ///
    /// # Errors
    /// Returns errors of the command. `UNAVAILABLE` if it was not committed, or the outcome is unknown.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        command: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.store.write(command).await
    }

    /// Runs a command that changes permissions. Returns once this instance delivers events by the new permissions, or
    /// after 1 s at the latest.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) async fn write_access<T: Send + 'static>(
        &self,
        mut command: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let writing = self.store.write(move |tx| {
            let result = command(tx)?;
            Ok((result, tx.head()))
        });
        let (result, head) = writing.await?;
        self.progress.wait_until(head, PERMISSIONS_TIMEOUT).await;
        Ok(result)
    }
}
