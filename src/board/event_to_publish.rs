//! An application event on its way into the log: its fields, the check of its data, and what it records.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::event_type_cache::{CheckedType, CheckedTypes};
use super::idempotency::IdempotencyKey;
use super::messages::{audience, check_locations};
use super::permissions::UserState;
use super::validate;
use crate::error::{Error, Result};
use crate::model::{
    AppEvent, Audience, Channel, ChannelId, ChannelPublishing, Cursor, EventBody, EventKey, EventKind, JsonText,
    LocationId, MAX_APP_TYPE, Rights, Timestamp, UserId, is_app_type,
};
use crate::store::{BatchState, Effects, Needs, NewEvent};

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

/// An event whose fields were checked.
pub(super) struct EventToPublish {
    channel: ChannelId,
    app_type: Arc<str>,
    data: Arc<str>,
    audience: Audience,
    key: Option<IdempotencyKey>,
    /// The check of the data by the definition of the type; `None` if the type was not defined.
    check: Option<TypeCheck>,
}

/// A check of data by a definition.
struct TypeCheck {
    definition: Arc<CheckedType>,
    result: Result<()>,
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
        Ok(Self { channel, app_type: new.app_type.into(), data, audience, key, check: None })
    }
}

impl EventToPublish {
    /// Records the event, unless its key was used. `published` are the events of the command before this one, and `by_key`
    /// the indexes of those with a key.
    pub(super) fn publish(
        &self,
        actor: &UserState,
        (state, types): (&BatchState, &CheckedTypes),
        published: &[Published],
        by_key: &mut HashMap<String, usize>,
        effects: &mut Effects,
    ) -> Result<Published> {
        check_publisher(actor, self.channel(&actor.rights, state)?)?;
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
        self.fits(types)?;
        let event = self.event(Some(actor.user.id), event_key.clone(), effects.next_cursor(), state.now());
        self.record(Some(actor.user.id), event_key, effects);
        Ok(Published { event, is_duplicate: false })
    }

    /// How many steps the check of the data takes at most.
    pub(super) fn check_steps(&self, types: &CheckedTypes) -> usize {
        types.get(&self.app_type).map_or(0, |definition| definition.steps(self.data.len()))
    }

    /// Checks the data, if its type is defined.
    pub(super) fn check_data(&mut self, types: &CheckedTypes) {
        self.check = types
            .get(&self.app_type)
            .map(|definition| TypeCheck { definition: Arc::clone(definition), result: definition.check(&self.data) });
    }

    /// Whether the data fits the definition of its type among these, which are as new as the log. They are the same as
    /// those of the check before, unless the type was just defined.
    fn fits(&self, types: &CheckedTypes) -> Result<()> {
        let definition = types.get(&self.app_type);
        match &self.check {
            Some(check) if definition.is_some_and(|now| Arc::ptr_eq(now, &check.definition)) => check.result.clone(),
            _ => definition.map_or(Ok(()), |now| now.check(&self.data)),
        }
    }

    /// Names what the publication decides on.
    pub(super) fn needs(&self, needs: &mut Needs) {
        needs.channel(self.channel);
        needs.audience(&self.audience);
        self.key.iter().for_each(|key| key.needs_event(needs));
    }

    /// The channel. Checks that it and the locations exist.
    fn channel<'s>(&self, rights: &Rights, state: &'s BatchState) -> Result<&'s Channel> {
        let channel = state.channel(rights, self.channel)?;
        check_locations(state, &self.audience)?;
        Ok(channel)
    }

    /// Records the event of the outbox, without an actor. Returns `false` if its key was used: by an event in the log, or
    /// by one of the same command, whose keys are in `used`.
    ///
    /// # Errors
    /// `NOT_FOUND` if the channel does not exist. `BAD_USER_INPUT` if the data does not fit its type.
    pub(super) fn publish_from_outbox(
        &self,
        (state, types): (&BatchState, &CheckedTypes),
        used: &mut HashSet<String>,
        effects: &mut Effects,
    ) -> Result<bool> {
        self.channel(&Rights { admin: true, ..Rights::default() }, state)?;
        let is_used = |key: &IdempotencyKey| used.contains(key.name()) || key.is_used(state);
        if self.key.as_ref().is_some_and(is_used) {
            return Ok(false);
        }
        self.fits(types)?;
        used.extend(self.key.iter().map(|key| key.name().to_owned()));
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
