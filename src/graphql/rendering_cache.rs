//! The cache of rendered subscription items.

use std::sync::Weak;
use std::time::Instant;

use futures_util::future::{BoxFuture, Shared};
use tokio::task::AbortHandle;

use super::allowance::ResponseText;
use crate::capacity::ByteCache;
use crate::hub::ReadAt;
use crate::live::Update;
use crate::model::{Cursor, PresenceChange};

/// Maximum size of the cache, in bytes.
const KEPT_BYTES: usize = 8 << 20;

/// Identifies a rendering: an update with the state of its object and of all users, the selection, and whether the viewer is signed in.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RenderingKey {
    pub shown: Shown,
    pub selection: [u8; 16],
    pub signed_in: bool,
    /// The number of changes of users' names, which the item may show.
    pub users: u64,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Shown {
    /// An event, and the event that last changed its object. Deletions have none. Both have tags, because after a
    /// restore the same number can be another event.
    Event(Cursor, Option<Cursor>),
    /// A metric's name, value and time.
    Metric(String, u64, i64),
    Presence(PresenceChange),
    /// A signal, by its random number.
    Signal(u64),
}

#[derive(Clone)]
pub enum CachedRendering {
    /// An item that was rendered from its event, without the database.
    Plain(Option<ResponseText>),
    /// An item that is being rendered from the database, with the time and the log position when rendering started.
    Loading(Loading, Instant, ReadAt),
    /// Rendered from the database, with the time and the log position when rendering started.
    Loaded(Loaded, Instant, ReadAt),
}

/// A rendering in progress that several subscriptions share. It is aborted when the last of them ends.
#[derive(Clone)]
pub struct Loading {
    pub result: Shared<BoxFuture<'static, Loaded>>,
    pub task: Weak<Task>,
}

/// The task that renders.
pub struct Task(pub(super) AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Loading {
    /// The result. `None` if the rendering was aborted.
    pub fn join(&self) -> Option<impl Future<Output = Loaded> + Send + use<>> {
        let task = self.task.upgrade();
        let result = self.result.clone();
        if task.is_none() && result.peek().is_none() {
            return None;
        }
        Some(async move {
            let loaded = result.await;
            drop(task);
            loaded
        })
    }
}

#[derive(Clone)]
pub struct Loaded {
    pub body: Option<ResponseText>,
    pub is_personal: bool,
}

/// The cache of recently rendered items.
pub type Renderings = ByteCache<RenderingKey, CachedRendering>;

/// An empty cache of rendered items.
pub fn renderings() -> Renderings {
    ByteCache::new(KEPT_BYTES)
}

pub fn shown(update: &Update) -> Option<Shown> {
    Some(match update {
        Update::Event(event) => {
            let revision = event.body().and_then(|body| body.revision());
            Shown::Event(event.cursor, revision)
        }
        Update::Metric(metric) => Shown::Metric(metric.name.clone(), metric.value.to_bits(), metric.updated_at.0),
        Update::Presence(change) => Shown::Presence(*change),
        Update::Signal(signal) => Shown::Signal(signal.id),
        Update::CaughtUp(_) => return None,
    })
}
