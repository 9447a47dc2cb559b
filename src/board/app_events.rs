//! Application events: programs publish them with a type of their own. Only the log stores them.

#[cfg(test)]
pub(super) mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Viewer;
use super::commands::{Commands, ViewerCommand};
use super::event_to_publish::{ChannelAddress, EventToPublish, NewAppEvent, Published};
use super::event_type_cache::EventTypeCache;
use super::permissions::UserState;
use super::policy::Policy;
use super::reads::Reads;
use super::type_checks::TypeChecks;
use crate::error::{Error, Result};
use crate::model::{ApiScope, ChannelId, Freshness};
use crate::store::{BatchState, Effects, Needs, Numbers, Settle, Snapshot, channels};

/// The most events that one call of `publishMany` publishes.
pub const MAX_PUBLISHED: usize = 1_000;

/// The most channels that one call addresses by name. Each name takes a lookup.
const MAX_NAMES: usize = 100;

/// Why nothing was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishError {
    /// The index of the event that was refused; `None` if the reason is not one of the events.
    pub index: Option<usize>,
    /// The reason.
    pub error: Error,
}

impl From<Error> for PublishError {
    fn from(error: Error) -> Self {
        Self { index: None, error }
    }
}

impl PublishError {
    fn at(index: usize) -> impl Fn(Error) -> Self {
        move |error| Self { index: Some(index), error }
    }
}

/// The use cases of application events.
pub struct AppEvents {
    commands: Arc<Commands>,
    reads: Arc<Reads>,
    policy: Arc<Policy>,
    type_checks: Arc<TypeChecks>,
}

impl AppEvents {
    pub(super) fn new(
        commands: Arc<Commands>,
        reads: Arc<Reads>,
        policy: Arc<Policy>,
        type_checks: Arc<TypeChecks>,
    ) -> Self {
        Self { commands, reads, policy, type_checks }
    }

    /// Publishes an event.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` for an invalid field. `NOT_FOUND` if the channel does
    /// not exist for the viewer. `FORBIDDEN` if the viewer may not publish in it. `CONFLICT` if the key was used with
    /// another input. `RATE_LIMITED` if the user's budget of mutations is used up. `UNAVAILABLE` if the database cannot
    /// be reached.
    pub async fn publish(&self, viewer: &Viewer, new: NewAppEvent) -> Result<Published> {
        let published = self.publish_many(viewer, vec![new]).await.map_err(|refused| refused.error)?;
        published.into_iter().next().ok_or_else(|| Error::internal("no event was published"))
    }

    /// Publishes events in this order, all in one commit or none. Takes one mutation from the user's budget. The caller
    /// bounds the number of events and their bytes.
    ///
    /// # Errors
    /// As [`Self::publish`], with the index of the event that was refused.
    pub async fn publish_many(&self, viewer: &Viewer, new: Vec<NewAppEvent>) -> Result<Vec<Published>, PublishError> {
        let actor = self.commands.actor_in(viewer, ApiScope::Publish)?;
        let (author, channels) = (actor.user.id, self.channels_by_name(viewer, &actor, &new).await?);
        let id_of = |address: &ChannelAddress| match address {
            ChannelAddress::Id(id) => Ok(*id),
            ChannelAddress::Name(name) => channels.get(name).copied().flatten().ok_or(Error::NotFound("channel")),
        };
        let mut events = Vec::with_capacity(new.len());
        for (index, new) in new.into_iter().enumerate() {
            if index % 1_000 == 999 {
                // Checking many events takes long. Other tasks of the thread may run in between.
                tokio::task::yield_now().await;
            }
            let event = id_of(&new.channel).and_then(|channel| EventToPublish::new(author, channel, new));
            events.push(event.map_err(PublishError::at(index))?);
        }
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let events = self.type_checks.check_for(viewer.party(), events).await?;
        self.commands.run(viewer, PublishEvents { events, types: Arc::clone(self.type_checks.types()) }).await?.0
    }

    /// The ids of the channels that the input addresses by name; `None` for a name that no channel has for the viewer.
    async fn channels_by_name(
        &self,
        viewer: &Viewer,
        actor: &UserState,
        new: &[NewAppEvent],
    ) -> Result<HashMap<String, Option<ChannelId>>, PublishError> {
        let mut names = BTreeSet::new();
        for (index, new) in new.iter().enumerate() {
            if let ChannelAddress::Name(name) = &new.channel {
                // No channel has a longer name.
                if name.chars().count() > self.policy.max_title || name.contains('\0') {
                    return Err(PublishError::at(index)(Error::NotFound("channel")));
                }
                names.insert(name.clone());
                if names.len() > MAX_NAMES {
                    let why = format!("at most {MAX_NAMES} channels may be addressed by name in one call");
                    return Err(PublishError::at(index)(Error::input("channel", why)));
                }
            }
        }
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        // A key may publish in the channels that its user may read, also without the scope `READ`.
        let rights = Arc::clone(&actor.rights);
        let find = move |snapshot: &mut Snapshot| {
            let mut id = |name: &String| {
                let found = channels::find_by_name(snapshot.db(), &rights, name)?;
                Ok((name.clone(), found.map(|channel| channel.id)))
            };
            names.iter().map(&mut id).collect::<Result<_>>()
        };
        Ok(self.reads.store.read_for(Freshness::Known, viewer.party(), find).await?)
    }
}

/// Publishes events, all or none.
struct PublishEvents {
    events: Vec<EventToPublish>,
    types: Arc<EventTypeCache>,
}

/// What was published, or why nothing was.
#[derive(Debug)]
pub(super) struct Outcome(Result<Vec<Published>, PublishError>);

impl Settle for Outcome {
    fn settle(&mut self, numbers: &Numbers) {
        for published in self.0.iter_mut().flatten() {
            published.event.settle(numbers);
        }
    }
}

impl ViewerCommand for PublishEvents {
    type Output = Outcome;

    const SCOPE: ApiScope = ApiScope::Publish;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.many_events(self.events.len());
        for event in &self.events {
            event.needs(needs);
        }
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Outcome, Effects)> {
        let mut effects = state.effects();
        let (mut published, mut by_key) = (Vec::with_capacity(self.events.len()), HashMap::new());
        let types = self.types.current();
        for (index, event) in self.events.iter().enumerate() {
            match event.publish(actor, (state, &types), &published, &mut by_key, &mut effects) {
                Ok(one) => published.push(one),
                Err(error) => return Ok((Outcome(Err(PublishError::at(index)(error))), state.effects())),
            }
        }
        Ok((Outcome(Ok(published)), effects))
    }
}
