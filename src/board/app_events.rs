//! Application events: programs publish them with a type of their own. Only the log stores them.

#[cfg(test)]
pub(super) mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::commands::{Commands, ViewerCommand};
use super::idempotency::IdempotencyKey;
use super::messages::{audience, check_locations};
use super::permissions::UserState;
use super::policy::Policy;
use super::reads::Reads;
use super::{Viewer, validate};
use crate::error::{Error, Result};
use crate::model::{
    ApiScope, AppEvent, Audience, Channel, ChannelId, ChannelPublishing, Cursor, EventBody, EventKey, EventKind,
    Freshness, JsonText, LocationId, MAX_APP_TYPE, Rights, Timestamp, UserId, is_app_type,
};
use crate::store::{BatchState, Effects, Needs, NewEvent, Numbers, Settle, Snapshot, channels};

/// The most events that one call of `publishMany` publishes.
pub const MAX_PUBLISHED: usize = 1_000;

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

impl ChannelAddress {
    /// The address that a text stands for: a text of digits is an id, any other text is a name.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let id = text.parse().ok().filter(|id: &i64| id.to_string() == text);
        id.map_or_else(|| Self::Name(text.to_owned()), |id| Self::Id(ChannelId(id)))
    }
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
    pub(super) commands: Arc<Commands>,
    pub(super) reads: Arc<Reads>,
    pub(super) policy: Arc<Policy>,
}

impl AppEvents {
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
        self.commands.run(viewer, PublishEvents(events)).await?.0
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
pub(super) struct EventToPublish {
    channel: ChannelId,
    app_type: Arc<str>,
    data: Arc<str>,
    audience: Audience,
    key: Option<IdempotencyKey>,
}

impl EventToPublish {
    /// Checks the fields. Events of the outbox have no author.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for an invalid field.
    pub(super) fn new(author: impl Into<Option<UserId>>, channel: ChannelId, new: NewAppEvent) -> Result<Self> {
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
        Ok(Self { channel, app_type: new.app_type.into(), data, audience, key })
    }
}

/// Publishes events, all or none.
struct PublishEvents(Vec<EventToPublish>);

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
        needs.many_events(self.0.len());
        for event in &self.0 {
            event.needs(needs);
        }
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Outcome, Effects)> {
        let mut effects = state.effects();
        let (mut published, mut by_key) = (Vec::with_capacity(self.0.len()), HashMap::new());
        for (index, event) in self.0.iter().enumerate() {
            match event.publish(actor, state, &published, &mut by_key, &mut effects) {
                Ok(one) => published.push(one),
                Err(error) => return Ok((Outcome(Err(PublishError::at(index)(error))), state.effects())),
            }
        }
        Ok((Outcome(Ok(published)), effects))
    }
}

impl EventToPublish {
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
        check_publisher(actor, self.check(&actor.rights, state)?)?;
        let event_key = self.key.as_ref().map(IdempotencyKey::to_event_key);
        if let (Some(key), Some(event_key)) = (&self.key, &event_key) {
            let first = by_key.get(&event_key.name).map(|index| &published[*index].event);
            if let Some(first) = first {
                key.check_digest(first.key.as_ref().map_or("", |key| key.digest.as_str()))?;
                return Ok(Published { event: first.clone(), is_duplicate: true });
            }
            if let Some(first) = key.find_event(state)? {
                // The input is the same as that of the first event, and so are all fields besides position and time.
                let event = self.event(Some(actor.user.id), Some(Arc::clone(event_key)), first.cursor, first.at);
                return Ok(Published { event, is_duplicate: true });
            }
            by_key.insert(event_key.name.clone(), published.len());
        }
        let event = self.event(Some(actor.user.id), event_key.clone(), effects.next_cursor(), state.now());
        self.record(Some(actor.user.id), event_key, effects);
        Ok(Published { event, is_duplicate: false })
    }

    /// Names what the publication decides on.
    pub(super) fn needs(&self, needs: &mut Needs) {
        needs.channel(self.channel);
        needs.audience(&self.audience);
        self.key.iter().for_each(|key| key.needs_event(needs));
    }

    /// Checks what every publisher needs: the channel and the locations exist.
    fn check<'s>(&self, rights: &Rights, state: &'s BatchState) -> Result<&'s Channel> {
        let channel = state.channel(rights, self.channel)?;
        check_locations(state, &self.audience)?;
        Ok(channel)
    }

    /// Records the event of the outbox, without an actor. Returns `false` if its key was used: by an event in the log, or
    /// by one of the same command, whose keys are in `used`.
    ///
    /// # Errors
    /// `NOT_FOUND` if the channel does not exist.
    pub(super) fn publish_from_outbox(
        &self,
        state: &BatchState,
        used: &mut HashSet<String>,
        effects: &mut Effects,
    ) -> Result<bool> {
        self.check(&Rights { admin: true, ..Rights::default() }, state)?;
        let is_used = |key: &IdempotencyKey| !used.insert(key.name().to_owned()) || key.is_used(state);
        if self.key.as_ref().is_some_and(is_used) {
            return Ok(false);
        }
        self.record(None, self.key.as_ref().map(IdempotencyKey::to_event_key), effects);
        Ok(true)
    }

    fn record(&self, actor: Option<UserId>, key: Option<Arc<EventKey>>, effects: &mut Effects) {
        let change = NewEvent::new(EventKind::AppEvent, self.channel.0, actor).in_channel(self.channel);
        let change = match actor {
            Some(actor) => change.for_audience(&self.audience, actor),
            None => change,
        };
        let change = change.of_type(Arc::clone(&self.app_type)).with_payload(Arc::clone(&self.data));
        effects.record(change.with_key(key), EventBody::None);
    }

    fn event(&self, actor: Option<UserId>, key: Option<Arc<EventKey>>, cursor: Cursor, at: Timestamp) -> AppEvent {
        AppEvent {
            cursor,
            at,
            actor,
            channel: self.channel,
            app_type: Arc::clone(&self.app_type),
            data: Arc::clone(&self.data),
            key,
        }
    }
}
