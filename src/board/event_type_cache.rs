//! The types of application events of one instance, with their compiled schemas.
//!
//! The log tailer reloads them before any subscriber passes a change, as it does with permissions, and a batch that was
//! decided before such a change decides again. So no event is committed after a definition that it does not fit.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};

use super::json_schema::JsonSchema;
use crate::error::{Error, Result};
use crate::model::{Event, EventKind, EventType};
use crate::store::{Store, event_types};

/// A type with its compiled schema.
pub(super) struct CheckedType {
    definition: EventType,
    /// An error if this version of the server does not accept the schema, which an older one has accepted.
    schema: Result<JsonSchema, String>,
}

impl CheckedType {
    fn new(definition: EventType) -> Self {
        let schema = JsonSchema::parse(&definition.schema);
        if let Err(error) = &schema {
            tracing::error!(name = &*definition.name, %error, "the schema of a type of events is not usable: define it again");
        }
        Self { definition, schema }
    }

    /// The most steps that checking data of this length takes.
    pub(super) fn steps(&self, length: usize) -> usize {
        self.schema.as_ref().map_or(0, |schema| schema.steps(length))
    }

    /// The most memory that the patterns of the schema take, in bytes.
    pub(super) fn pattern_memory(&self) -> usize {
        self.schema.as_ref().map_or(0, JsonSchema::pattern_memory)
    }

    /// Checks that data fits the schema.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if it does not.
    pub(super) fn check(&self, data: &str) -> Result<()> {
        let name = &self.definition.name;
        match &self.schema {
            Ok(schema) => {
                let misfit = |why| Error::input("data", format!("data does not fit the schema of {name}: {why}"));
                // A fault of the library must not stop those who check data for others.
                let checked = std::panic::catch_unwind(AssertUnwindSafe(|| schema.check(data)));
                checked.unwrap_or_else(|_| Err("it cannot be checked".into())).map_err(misfit)
            }
            Err(why) => Err(Error::input("data", format!("the schema of {name} must be defined again: {why}"))),
        }
    }
}

/// All types, by their names.
pub(super) type CheckedTypes = HashMap<Arc<str>, Arc<CheckedType>>;

/// The types of one instance, kept current by the log tailer.
#[derive(Default)]
pub struct EventTypeCache(RwLock<Arc<CheckedTypes>>);

impl EventTypeCache {
    /// Loads all types.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached; `INTERNAL_SERVER_ERROR` if a statement fails.
    pub async fn load(store: &Arc<Store>) -> Result<Self> {
        let cache = Self::default();
        cache.reload(store).await?;
        Ok(cache)
    }

    /// The types as they are now.
    pub(super) fn current(&self) -> Arc<CheckedTypes> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Updates the types for these events. Must finish before the events are published to subscribers.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn apply<'e>(&self, store: &Arc<Store>, mut events: impl Iterator<Item = &'e Event>) -> Result<()> {
        if events.any(|event| event.kind == EventKind::EventTypeChanged) { self.reload(store).await } else { Ok(()) }
    }

    /// Loads all types again.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn reload(&self, store: &Arc<Store>) -> Result<()> {
        let known = self.current();
        // Compiled on a reader thread: there may be megabytes of schemas.
        let load = move |snapshot: &mut crate::store::Snapshot| {
            let types = event_types::all(snapshot.db())?.into_iter().map(|definition| {
                let unchanged = known.get(&definition.name).filter(|known| known.definition == definition).cloned();
                (Arc::clone(&definition.name), unchanged.unwrap_or_else(|| Arc::new(CheckedType::new(definition))))
            });
            Ok(types.collect::<CheckedTypes>())
        };
        let types = store.read(load).await?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(types);
        Ok(())
    }
}

#[cfg(test)]
impl EventTypeCache {
    /// The types of an instance that knows these definitions.
    pub(super) fn of(definitions: impl IntoIterator<Item = EventType>) -> Arc<Self> {
        let checked = definitions.into_iter().map(|found| (Arc::clone(&found.name), Arc::new(CheckedType::new(found))));
        Arc::new(Self(RwLock::new(Arc::new(checked.collect()))))
    }
}
