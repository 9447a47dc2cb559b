//! Signals: messages to the users who follow a channel at this moment, such as "is typing". They are not in the log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::broadcast;

use super::Viewer;
use crate::capacity::{Rate, RateLimiter};
use crate::error::{Error, Result};
use crate::model::{ApiKeyId, ApiScope, ChannelId, Freshness, JsonText, MAX_APP_TYPE, Signal, UserId, is_app_type};
use crate::store::{Snapshot, Store, channels};

/// The largest data of a signal, in bytes of JSON. Other instances get a signal in a notification of PostgreSQL, which has
/// fewer than 8,000 bytes.
const MAX_DATA: usize = 4 << 10;

/// How many signals of a channel wait for a subscriber. A slow one skips the oldest.
const WAITING: usize = 64;

/// How many signals a user or an API key may send per second, and at once.
const RATE: (u32, u32) = (10, 30);

/// The signals of all channels, on this instance.
pub struct Signals {
    store: Arc<Store>,
    rate: RateLimiter<(UserId, Option<ApiKeyId>)>,
    /// Distinguishes the signals of this instance among those that the database returns.
    instance: u64,
    channels: Mutex<HashMap<ChannelId, broadcast::Sender<Arc<Signal>>>>,
}

/// A signal as instances pass it to each other.
#[derive(Serialize, Deserialize)]
struct RelayedSignal<'a> {
    instance: u64,
    channel: ChannelId,
    user: UserId,
    #[serde(rename = "type")]
    signal_type: &'a str,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl Signals {
    pub(super) fn new(store: Arc<Store>) -> Self {
        let rate = RateLimiter::new(Rate::per_second(RATE.0, RATE.1));
        Self { store, rate, instance: rand::random(), channels: Mutex::default() }
    }

    /// Sends a signal to all who follow the channel now, on all instances. Every user who may post in the channel may do
    /// this.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` for an invalid type or data. `NOT_FOUND` if the channel
    /// does not exist for the viewer. `RATE_LIMITED` if the user sends too many signals. `UNAVAILABLE` if the database
    /// cannot be reached.
    pub async fn send(
        &self,
        viewer: &Viewer,
        channel: ChannelId,
        signal_type: &str,
        data: Option<JsonText>,
    ) -> Result<()> {
        let actor = viewer.state_in(ApiScope::Write)?;
        let (user, rights) = (actor.user.id, Arc::clone(&actor.rights));
        self.rate.check((user, actor.key.map(|key| key.id)))?;
        if !is_app_type(signal_type) {
            let why = format!("type must be 1 to {MAX_APP_TYPE} of the characters A-Z a-z 0-9 . _ -");
            return Err(Error::input("type", why));
        }
        let length = data.as_ref().map_or(0, |data| data.as_str().len());
        if length > MAX_DATA {
            return Err(Error::input("data", format!("data has {length} bytes; at most {MAX_DATA} are allowed")));
        }
        if data.as_ref().is_some_and(JsonText::has_nul) {
            return Err(Error::input("data", "data must not contain a NUL character"));
        }
        let find = move |snapshot: &mut Snapshot| channels::find(snapshot.db(), &rights, channel);
        let found = self.store.read_for(Freshness::Known, viewer.party(), find).await?;
        found.ok_or(Error::NotFound("channel"))?;
        let data = data.map(|data| data.shared());
        self.relay(channel, user, signal_type, data.as_deref());
        self.deliver(Signal { id: rand::random(), channel, user, signal_type: signal_type.into(), data });
        Ok(())
    }

    /// The signals of a channel from now on. The caller checks the permission.
    #[must_use]
    pub fn follow(&self, channel: ChannelId) -> broadcast::Receiver<Arc<Signal>> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|_, sender| sender.receiver_count() > 0);
        channels.entry(channel).or_insert_with(|| broadcast::channel(WAITING).0).subscribe()
    }

    /// Delivers the signals of other instances, until the task is aborted.
    pub async fn run(self: Arc<Self>) {
        let incoming = self.store.relay().and_then(|relay| relay.take_incoming());
        if let Some(mut incoming) = incoming {
            while let Some(text) = incoming.recv().await {
                self.receive(&text);
            }
        }
        std::future::pending::<()>().await;
    }

    fn receive(&self, text: &str) {
        let Ok(relayed) = serde_json::from_str::<RelayedSignal<'_>>(text) else { return };
        if relayed.instance != self.instance {
            let data = relayed.data.map(|data| Arc::from(data.get()));
            let RelayedSignal { channel, user, signal_type, .. } = relayed;
            self.deliver(Signal { id: rand::random(), channel, user, signal_type: signal_type.into(), data });
        }
    }

    fn relay(&self, channel: ChannelId, user: UserId, signal_type: &str, data: Option<&str>) {
        let Some(relay) = self.store.relay() else { return };
        let data = data.and_then(|data| serde_json::from_str::<&RawValue>(data).ok());
        let relayed = RelayedSignal { instance: self.instance, channel, user, signal_type, data };
        if let Ok(text) = serde_json::to_string(&relayed) {
            relay.send(text);
        }
    }

    fn deliver(&self, signal: Signal) {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = channels.get(&signal.channel) {
            // Without subscribers the signal is lost.
            drop(sender.send(Arc::new(signal)));
        }
    }
}
