//! What commands decide on besides the rows that they read: kept in memory by each instance, and kept current by the log
//! tailer.

use std::sync::Arc;

use super::event_type_cache::EventTypeCache;
use super::permissions::PermissionCache;
use crate::error::Result;
use crate::model::Event;
use crate::store::Store;

/// The permissions of users and the types of application events, as new as the log.
#[derive(Clone)]
pub struct DecisionCaches {
    /// The permissions of the users of this instance.
    pub permissions: Arc<PermissionCache>,
    /// The types of application events.
    pub event_types: Arc<EventTypeCache>,
}

impl DecisionCaches {
    /// Loads what must be in memory from the start.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached; `INTERNAL_SERVER_ERROR` if a statement fails.
    pub async fn load(store: &Arc<Store>) -> Result<Self> {
        let permissions = Arc::new(PermissionCache::load(store).await?);
        Ok(Self { permissions, event_types: Arc::new(EventTypeCache::load(store).await?) })
    }

    /// Updates both for these events. Must finish before the events are published to subscribers.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn apply<'e>(&self, store: &Arc<Store>, events: impl Iterator<Item = &'e Event> + Clone) -> Result<()> {
        self.event_types.apply(store, events.clone()).await?;
        self.permissions.apply(store, events).await
    }

    /// Loads both again, because the log has another history than before.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn reload(&self, store: &Arc<Store>) -> Result<()> {
        self.event_types.reload(store).await?;
        self.permissions.reload(store).await
    }
}
