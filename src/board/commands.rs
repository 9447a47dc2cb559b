//! Runs the commands of use cases on the writer, within the limits of their callers.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::log_tailer::Watermark;
use super::permissions::{KeyState, UserState, Viewer};
use crate::capacity::{FairLimits, FairPermit, FairSemaphore, Rate, RateLimiter};
use crate::error::Result;
use crate::model::{ApiKeyId, ApiScope, CapacityKey, Seq, UserId};
use crate::store::{BatchState, Effects, Needs, Numbers, Settle, Store, WriteCommand};

/// How long the response to a permission change waits until this instance delivers by the new permissions.
const PERMISSIONS_TIMEOUT: Duration = Duration::from_secs(1);

/// Limits on mutations that run at the same time. Each mutation waits for the disk, and the writer commits many of
/// them in one batch. One caller may have a quarter of the slots, and so may all anonymous callers together.
const MUTATIONS: FairLimits = FairLimits { total: 256, anonymous: 64, each: 64 };

/// Limits on mutations that wait for a slot of [`MUTATIONS`].
const WAITING_MUTATIONS: FairLimits = FairLimits { total: 16_384, anonymous: 2_048, each: 1_024 };

/// How long a mutation waits for a slot before it fails with `UNAVAILABLE`.
const MUTATION_WAIT: Duration = Duration::from_secs(5);

/// How many seconds' worth of mutations a key with a rate of its own may make at once.
const KEY_BURST: u32 = 4;

/// Runs commands on the writer.
pub struct Commands {
    store: Arc<Store>,
    progress: Arc<Watermark>,
    slots: FairSemaphore,
    rate: RateLimiter<UserId>,
    key_rates: RateLimiter<ApiKeyId>,
}

impl Commands {
    /// Runs commands on this store's writer. The rates limit the mutations of each user and of each API key.
    pub(super) fn new(
        store: Arc<Store>,
        progress: Arc<Watermark>,
        rates: (RateLimiter<UserId>, RateLimiter<ApiKeyId>),
    ) -> Self {
        let slots = FairSemaphore::new(MUTATIONS, WAITING_MUTATIONS, MUTATION_WAIT, "the server is busy; try again");
        Self { store, progress, slots, rate: rates.0, key_rates: rates.1 }
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
        self.actor_in(viewer, ApiScope::Write)
    }

    /// As [`Self::actor`], for a mutation that needs another scope than `WRITE` from an API key.
    ///
    /// # Errors
    /// As [`Self::actor`]. `FORBIDDEN` if the viewer's API key does not have the scope.
    pub(super) fn actor_in(&self, viewer: &Viewer, scope: ApiScope) -> Result<Arc<UserState>> {
        let user_state = viewer.state_in(scope)?;
        self.check_rate(&user_state)?;
        Ok(user_state)
    }

    /// Takes one mutation from the budget of the user, or of the API key: each key has a budget of its own.
    fn check_rate(&self, actor: &UserState) -> Result<()> {
        match actor.key {
            None => self.rate.check(actor.user.id),
            Some(KeyState { id, mutations_per_second: Some(rate), .. }) => {
                let rate = Rate::per_second(rate, rate.saturating_mul(KEY_BURST));
                self.key_rates.check_with(id, rate, Instant::now())
            }
            Some(KeyState { id, mutations_per_second: None, .. }) => self.key_rates.check(id),
        }
    }

    /// Runs a command of the viewer, and returns after the commit. The command runs even if the caller stops waiting.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session; errors of the command. `UNAVAILABLE` if it was not committed, or the
    /// outcome is unknown.
    pub(super) async fn run<C: ViewerCommand>(&self, viewer: &Viewer, command: C) -> Result<C::Output> {
        self.store.write(ByViewer { viewer: viewer.clone(), command }).await
    }

    /// Runs a command of the viewer that changes permissions. Returns once this instance delivers events by the new
    /// permissions, or after 1 s at the latest.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) async fn run_access<C: ViewerCommand>(&self, viewer: &Viewer, command: C) -> Result<C::Output> {
        self.write_access(ByViewer { viewer: viewer.clone(), command }).await
    }

    /// Runs a command of the server or the operator that changes permissions, as [`Self::run_access`] does.
    ///
    /// # Errors
    /// Errors of the command. `UNAVAILABLE` if it was not committed, or the outcome is unknown.
    pub(super) async fn write_access<C: WriteCommand>(&self, command: C) -> Result<C::Output> {
        let (output, Position(end)) = self.store.write(WithPosition(command)).await?;
        self.progress.wait_until(end, PERMISSIONS_TIMEOUT).await;
        Ok(output)
    }
}

/// A command of a signed-in user. It decides on the user's permissions, which are as new as the log, and on the state of
/// the batch, and on nothing else.
pub(super) trait ViewerCommand: Send + 'static {
    /// What the user gets after the commit.
    type Output: Settle + Send + 'static;

    /// The scope that an API key needs for the command.
    const SCOPE: ApiScope = ApiScope::Write;

    /// Names the rows that the command decides on.
    fn needs(&self, actor: &UserState, needs: &mut Needs);

    /// Decides. See [`WriteCommand::decide`].
    ///
    /// # Errors
    /// Why the change is refused.
    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Self::Output, Effects)>;
}

/// A command with the viewer who gave it. Refused if the session has ended meanwhile.
struct ByViewer<C> {
    viewer: Viewer,
    command: C,
}

impl<C: ViewerCommand> WriteCommand for ByViewer<C> {
    type Output = C::Output;

    fn needs(&self, needs: &mut Needs) {
        if let Ok(actor) = self.viewer.state_in(C::SCOPE) {
            self.command.needs(&actor, needs);
        }
    }

    fn decide(&self, state: &BatchState) -> Result<(C::Output, Effects)> {
        self.command.decide(&*self.viewer.state_in(C::SCOPE)?, state)
    }
}

/// A command that also returns the position of its last event.
struct WithPosition<C>(C);

/// The position of the last event before the end of a command.
struct Position(Seq);

impl Settle for Position {
    fn settle(&mut self, numbers: &Numbers) {
        self.0.settle(numbers);
    }
}

impl<C: WriteCommand> WriteCommand for WithPosition<C> {
    type Output = (C::Output, Position);

    fn needs(&self, needs: &mut Needs) {
        self.0.needs(needs);
    }

    fn decide(&self, state: &BatchState) -> Result<((C::Output, Position), Effects)> {
        let (output, effects) = self.0.decide(state)?;
        let end = Position(effects.end());
        Ok(((output, end), effects))
    }
}
