//! Application events: programs publish them with a type of their own. Only the log stores them.

#[cfg(test)]
pub(super) mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::commands::{Commands, ViewerCommand};
use super::event_type_cache::{CheckedType, CheckedTypes, EventTypeCache};
use super::idempotency::IdempotencyKey;
use super::messages::{audience, check_locations};
use super::permissions::UserState;
use super::policy::Policy;
use super::reads::Reads;
use super::{Viewer, validate};
use crate::capacity::{FairLimits, FairSemaphore};
use crate::error::{Error, Result};
use crate::model::{
    ApiScope, AppEvent, Audience, Channel, ChannelId, ChannelPublishing, Cursor, EventBody, EventKey, EventKind,
    Freshness, JsonText, LocationId, MAX_APP_TYPE, Timestamp, UserId, is_app_type,
};
use crate::store::{BatchState, Effects, Needs, NewEvent, Numbers, Settle, Snapshot, channels};

/// The most events that one call of `publishMany` publishes.
pub const MAX_PUBLISHED: usize = 1_000;

/// How many steps a check by schemas may take on the thread that runs other requests, too: about a millisecond.
const SHORT_CHECK: usize = 50_000;
/// Limits on longer checks that run at the same time.
const LONG_CHECKS: FairLimits = FairLimits { total: 2, anonymous: 1, each: 1 };
/// Limits on longer checks that wait.
const WAITING_CHECKS: FairLimits = FairLimits { total: 1_024, anonymous: 64, each: 64 };
/// How long a check waits before it fails with `UNAVAILABLE`.
const CHECK_WAIT: Duration = Duration::from_secs(5);

/// The most channels that one call addresses by name. Each name takes a lookup.
const MAX_NAMES: usize = 100;

/// The input for one application event.
#[derive(Debug, Clone)]
pub struct NewAppEvent {
    /// The channel of the event.
    pub channel: ChannelAddress,
    /// The type, which the publisher chooses.
    pub app_type: String,
    /// The data: any JSON value but `null`.
    pub data: JsonText,
    /// The idempotency key: a second event with the same key is not published.
    pub key: Option<String>,
    /// The locations whose users may see the event; empty means all readers of the channel.
    pub locations: Vec<LocationId>,
}

/// How a publisher names a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelAddress {
    /// By its id.
    Id(ChannelId),
    /// By its name.
    Name(String),
}

/// An event that was published, now or by an earlier call with the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The event.
    pub event: AppEvent,
    /// Whether an earlier event has the same key. Then `event` is that one, and nothing was published.
    pub is_duplicate: bool,
}

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

/// Checks that the user may publish in this channel.
///
/// # Errors
/// `FORBIDDEN` if the user may not.
pub(super) fn check_publisher(actor: &UserState, channel: &Channel) -> Result<()> {
    let is_member = || actor.rights.channels.contains(&channel.id);
    // The command needs the scope `PUBLISH` from every key.
    if actor.rights.admin || actor.key.is_some() || (channel.publishing == ChannelPublishing::Members && is_member()) {
        return Ok(());
    }
    Err(Error::Forbidden(match channel.publishing {
        ChannelPublishing::Keys => {
            "only an admin, or an API key with the scope PUBLISH, may publish events in this channel".into()
        }
        ChannelPublishing::Members => "only members of this channel may publish events in it".into(),
    }))
}

/// The use cases of application events.
pub struct AppEvents {
    commands: Arc<Commands>,
    reads: Arc<Reads>,
    policy: Arc<Policy>,
    types: Arc<EventTypeCache>,
    /// Limits the checks by schemas that run at the same time, on threads of their own.
    long_checks: FairSemaphore,
}

impl AppEvents {
    pub(super) fn new(
        commands: Arc<Commands>,
        reads: Arc<Reads>,
        policy: Arc<Policy>,
        types: Arc<EventTypeCache>,
    ) -> Self {
        let refusal = "the server is busy checking data; try again";
        let long_checks = FairSemaphore::new(LONG_CHECKS, WAITING_CHECKS, CHECK_WAIT, refusal);
        Self { commands, reads, policy, types, long_checks }
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
        let events = self.checked(viewer, events).await?;
        self.commands.run(viewer, PublishEvents { events, types: Arc::clone(&self.types) }).await?.0
    }

    /// Checks the data of events whose types are defined.
    async fn checked(&self, viewer: &Viewer, events: Vec<EventToPublish>) -> Result<Vec<EventToPublish>, PublishError> {
        let types = self.types.current();
        let (events, misfit) = self.check(viewer, events, &types).await?;
        let Some(misfit) = misfit else { return Ok(events) };
        // The data may fit a new definition that this instance does not know yet.
        self.commands.catch_up().await?;
        let newer = self.types.current();
        if Arc::ptr_eq(&types, &newer) {
            return Err(misfit);
        }
        match self.check(viewer, events, &newer).await? {
            (events, None) => Ok(events),
            (_, Some(misfit)) => Err(misfit),
        }
    }

    /// Checks the data of events whose types are among these. Returns the events, and why the first one does not fit.
    async fn check(
        &self,
        viewer: &Viewer,
        mut events: Vec<EventToPublish>,
        types: &Arc<CheckedTypes>,
    ) -> Result<(Vec<EventToPublish>, Option<PublishError>)> {
        let steps =
            |event: &EventToPublish| types.get(&event.app_type).map_or(0, |found| found.steps(event.data.len()));
        if events.iter().map(steps).fold(0, usize::saturating_add) <= SHORT_CHECK {
            let misfit = check_types(&mut events, types).err();
            return Ok((events, misfit));
        }
        let (permit, types) = (self.long_checks.take(viewer.party()).await?, Arc::clone(types));
        let checking = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let misfit = check_types(&mut events, &types).err();
            (events, misfit)
        });
        checking.await.map_err(Error::internal)
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

/// An event whose fields were checked.
struct EventToPublish {
    channel: ChannelId,
    app_type: Arc<str>,
    data: Arc<str>,
    audience: Audience,
    key: Option<IdempotencyKey>,
    /// The definition of the type that the data fits; `None` if the type is not defined.
    checked: Option<Arc<CheckedType>>,
}

impl EventToPublish {
    /// # Errors
    /// `BAD_USER_INPUT` for an invalid field.
    fn new(author: UserId, channel: ChannelId, new: NewAppEvent) -> Result<Self> {
        if !is_app_type(&new.app_type) {
            let why = format!("type must be 1 to {MAX_APP_TYPE} of the characters A-Z a-z 0-9 . _ -");
            return Err(Error::input("type", why));
        }
        if new.data.is_null() {
            return Err(Error::input("data", "data must not be null"));
        }
        let data = validate::payload("data", &new.data)?;
        let audience = audience(new.locations)?;
        let key = IdempotencyKey::new(author, new.key.as_deref(), || {
            let audience = format!("{:?}", audience.0);
            vec!["event".into(), channel.to_string(), new.app_type.clone(), data.to_string(), audience]
        })?;
        Ok(Self { channel, app_type: new.app_type.into(), data, audience, key, checked: None })
    }
}

/// Checks the data of the events whose types are defined.
fn check_types(events: &mut [EventToPublish], types: &CheckedTypes) -> Result<(), PublishError> {
    for (index, event) in events.iter_mut().enumerate() {
        event.checked = types.get(&event.app_type).cloned();
        if let Some(found) = &event.checked {
            found.check(&event.data).map_err(PublishError::at(index))?;
        }
    }
    Ok(())
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
            needs.channel(event.channel);
            needs.audience(&event.audience);
            event.key.iter().for_each(|key| key.needs_event(needs));
        }
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Outcome, Effects)> {
        let mut effects = state.effects();
        let (mut published, mut by_key) = (Vec::with_capacity(self.events.len()), HashMap::new());
        let types = self.types.current();
        for (index, event) in self.events.iter().enumerate() {
            let mut publish = || event.publish(actor, state, &published, &mut by_key, &mut effects);
            match event.check_again(&types).and_then(|()| publish()) {
                Ok(one) => published.push(one),
                Err(error) => return Ok((Outcome(Err(PublishError::at(index)(error))), state.effects())),
            }
        }
        Ok((Outcome(Ok(published)), effects))
    }
}

impl EventToPublish {
    /// Checks the data if its type was defined after the first check.
    fn check_again(&self, types: &CheckedTypes) -> Result<()> {
        let now = types.get(&self.app_type);
        if now.map(Arc::as_ptr) == self.checked.as_ref().map(Arc::as_ptr) {
            return Ok(());
        }
        now.map_or(Ok(()), |found| found.check(&self.data))
    }

    /// Records the event, unless its key was used. `published` are the events of the command before this one, and `by_key`
    /// the indexes of those with a key.
    fn publish(
        &self,
        actor: &UserState,
        state: &BatchState,
        published: &[Published],
        by_key: &mut HashMap<String, usize>,
        effects: &mut Effects,
    ) -> Result<Published> {
        let channel = state.channel(&actor.rights, self.channel)?;
        check_publisher(actor, channel)?;
        check_locations(state, &self.audience)?;
        let event_key = self.key.as_ref().map(IdempotencyKey::to_event_key);
        if let (Some(key), Some(event_key)) = (&self.key, &event_key) {
            let first = by_key.get(&event_key.name).map(|index| &published[*index].event);
            if let Some(first) = first {
                key.check_digest(first.key.as_ref().map_or("", |key| key.digest.as_str()))?;
                return Ok(Published { event: first.clone(), is_duplicate: true });
            }
            if let Some(first) = key.find_event(state)? {
                // The input is the same as that of the first event, and so are all fields besides position and time.
                let event = self.event(actor, Some(Arc::clone(event_key)), first.cursor, first.at);
                return Ok(Published { event, is_duplicate: true });
            }
            by_key.insert(event_key.name.clone(), published.len());
        }
        let event = self.event(actor, event_key.clone(), effects.next_cursor(), state.now());
        let change = NewEvent::new(EventKind::AppEvent, channel.id.0, Some(actor.user.id)).in_channel(channel.id);
        let change = change.for_audience(&self.audience, actor.user.id).of_type(Arc::clone(&self.app_type));
        effects.record(change.with_payload(Arc::clone(&self.data)).with_key(event_key), EventBody::None);
        Ok(Published { event, is_duplicate: false })
    }

    fn event(&self, actor: &UserState, key: Option<Arc<EventKey>>, cursor: Cursor, at: Timestamp) -> AppEvent {
        AppEvent {
            cursor,
            at,
            actor: Some(actor.user.id),
            channel: self.channel,
            app_type: Arc::clone(&self.app_type),
            data: Arc::clone(&self.data),
            key,
        }
    }
}
