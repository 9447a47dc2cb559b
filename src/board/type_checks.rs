//! The checks of data by the schemas of its types, before the writer decides. A check can take long, and the writer must
//! not wait for it.

use std::sync::Arc;
use std::time::Duration;

use super::event_to_publish::EventToPublish;
use super::event_type_cache::{CheckedTypes, EventTypeCache};
use crate::capacity::{FairLimits, FairPermit, FairSemaphore};
use crate::error::{Error, Result};
use crate::model::CapacityKey;

/// How many steps a check may take on the thread that runs other requests, too: about a millisecond.
const SHORT_CHECK: usize = 50_000;
/// Limits on longer checks that run at the same time, each on a thread of its own.
const LONG_CHECKS: FairLimits = FairLimits { total: 2, anonymous: 1, each: 1 };
/// Limits on longer checks that wait.
const WAITING_CHECKS: FairLimits = FairLimits { total: 1_024, anonymous: 64, each: 64 };
/// How long a check waits before it fails with `UNAVAILABLE`.
const CHECK_WAIT: Duration = Duration::from_secs(5);

/// Checks the data of events.
pub(super) struct TypeChecks {
    types: Arc<EventTypeCache>,
    long_checks: FairSemaphore,
}

impl TypeChecks {
    pub(super) fn new(types: Arc<EventTypeCache>) -> Self {
        let refusal = "the server is busy checking data; try again";
        Self { types, long_checks: FairSemaphore::new(LONG_CHECKS, WAITING_CHECKS, CHECK_WAIT, refusal) }
    }

    /// The types of this instance.
    pub(super) fn types(&self) -> &Arc<EventTypeCache> {
        &self.types
    }

    /// Checks the events of a caller. Each event keeps the result.
    ///
    /// # Errors
    /// `UNAVAILABLE` if too many long checks of this caller, or of all callers, run or wait.
    pub(super) async fn check_for(
        &self,
        party: CapacityKey,
        events: Vec<EventToPublish>,
    ) -> Result<Vec<EventToPublish>> {
        let types = self.types.current();
        let permit = if is_long(&events, &types) { Some(self.long_checks.take(party).await?) } else { None };
        check(events, types, permit).await
    }

    /// Checks the events of the outbox, one list at a time.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the check panics.
    pub(super) async fn check_outbox(&self, events: Vec<EventToPublish>) -> Result<Vec<EventToPublish>> {
        check(events, self.types.current(), None).await
    }
}

fn is_long(events: &[EventToPublish], types: &CheckedTypes) -> bool {
    events.iter().map(|event| event.check_steps(types)).fold(0, usize::saturating_add) > SHORT_CHECK
}

async fn check(
    mut events: Vec<EventToPublish>,
    types: Arc<CheckedTypes>,
    permit: Option<FairPermit>,
) -> Result<Vec<EventToPublish>> {
    if !is_long(&events, &types) {
        events.iter_mut().for_each(|event| event.check_data(&types));
        return Ok(events);
    }
    let checking = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        events.iter_mut().for_each(|event| event.check_data(&types));
        events
    });
    checking.await.map_err(Error::internal)
}
