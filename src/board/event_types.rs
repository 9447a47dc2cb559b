//! Types of application events: admins define a JSON Schema for a type, and the data of its events must fit.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use super::commands::{Commands, ViewerCommand};
use super::event_type_cache::{CheckedType, EventTypeCache};
use super::json_schema::JsonSchema;
use super::permissions::UserState;
use super::{Viewer, validate};
use crate::error::{Error, Result};
use crate::model::{EventBody, EventKind, EventType, JsonText, MAX_APP_TYPE, Timestamp, is_app_type};
use crate::store::event_types::{self, MAX_EVENT_TYPES};
use crate::store::{BatchState, Effects, Needs, NewEvent, SingleWrite, Store};

/// The greatest length of all schemas together, in bytes. Each instance keeps them in memory.
const MAX_ALL_SCHEMAS: usize = 4 << 20;
/// The greatest memory of the patterns of all schemas together, in bytes.
const MAX_PATTERN_MEMORY: usize = 64 << 20;
/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 1_000;

/// The input for a type.
#[derive(Debug, Clone)]
pub struct NewEventType {
    /// The type.
    pub name: String,
    /// What events of this type mean.
    pub description: Option<String>,
    /// The JSON Schema that the data must fit.
    pub schema: JsonText,
}

/// The use cases of types of events.
pub struct EventTypes {
    pub(super) commands: Arc<Commands>,
    pub(super) store: Arc<Store>,
    pub(super) types: Arc<EventTypeCache>,
}

impl EventTypes {
    /// Defines a type, or replaces its definition. Events that were published before are not checked.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `FORBIDDEN` if the viewer is not an admin. `BAD_USER_INPUT` for an
    /// invalid field. `CONFLICT` if there are too many types. `RATE_LIMITED` if the viewer's budget of mutations is used
    /// up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn define(&self, viewer: &Viewer, new: NewEventType) -> Result<EventType> {
        self.commands.actor(viewer)?.check_admin()?;
        if !is_app_type(&new.name) {
            let why = format!("type must be 1 to {MAX_APP_TYPE} of the characters A-Z a-z 0-9 . _ -");
            return Err(Error::input("type", why));
        }
        let description = validate::optional("description", new.description.as_deref(), MAX_DESCRIPTION)?;
        let schema = validate::payload("schema", &new.schema)?;
        let text = Arc::clone(&schema);
        // Compiling a schema may take long.
        let compiling = tokio::task::spawn_blocking(move || JsonSchema::parse(&text));
        let compiled = compiling.await.map_err(Error::internal)?;
        let compiled = compiled.map_err(|why| Error::input("schema", format!("schema: {why}")))?;
        let pattern_memory = compiled.pattern_memory();
        let definition = EventType { name: new.name.into(), description, schema, updated_at: Timestamp(0) };
        let types = Arc::clone(&self.types);
        self.commands.run_access(viewer, DefineEventType { definition, pattern_memory, types }).await
    }

    /// Deletes the definition of a type. Events of this type may then have any data.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `FORBIDDEN` if the viewer is not an admin. `NOT_FOUND` if the type is
    /// not defined. `RATE_LIMITED` if the viewer's budget of mutations is used up. `UNAVAILABLE` if the database cannot be
    /// reached.
    pub async fn delete(&self, viewer: &Viewer, name: String) -> Result<String> {
        self.commands.actor(viewer)?;
        self.commands.run_access(viewer, DeleteEventType(name.clone())).await?;
        Ok(name)
    }

    /// All types in the order of their names, for an operator.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached.
    pub async fn all(&self) -> Result<Vec<EventType>> {
        self.store.read(|snapshot| event_types::all(snapshot.db())).await
    }
}

struct DefineEventType {
    definition: EventType,
    pattern_memory: usize,
    types: Arc<EventTypeCache>,
}

impl ViewerCommand for DefineEventType {
    type Output = EventType;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.event_types();
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(EventType, Effects)> {
        actor.check_admin()?;
        let lengths = state.event_types()?;
        if !lengths.contains_key(&*self.definition.name) && lengths.len() >= MAX_EVENT_TYPES {
            return Err(Error::Conflict(format!("there are {MAX_EVENT_TYPES} types of events already")));
        }
        let others =
            lengths.iter().filter(|(name, _)| **name != *self.definition.name).map(|(_, length)| length).sum::<usize>();
        if others + self.definition.schema.len() > MAX_ALL_SCHEMAS {
            return Err(Error::Conflict(format!("all schemas together may have {MAX_ALL_SCHEMAS} bytes")));
        }
        let types = self.types.current();
        let is_other = |(name, _): &(&Arc<str>, &Arc<CheckedType>)| **name != self.definition.name;
        let others = types.iter().filter(is_other).map(|(_, known)| known.pattern_memory()).sum::<usize>();
        if others + self.pattern_memory > MAX_PATTERN_MEMORY {
            return Err(Error::Conflict("all schemas together have too many patterns".into()));
        }
        let definition = EventType { updated_at: state.now(), ..self.definition.clone() };
        let mut effects = state.effects();
        effects.write(SingleWrite::SetEventType(definition.clone()));
        record(&mut effects, actor);
        Ok((definition, effects))
    }
}

struct DeleteEventType(String);

impl ViewerCommand for DeleteEventType {
    type Output = ();

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.event_types();
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<((), Effects)> {
        actor.check_admin()?;
        if !state.event_types()?.contains_key(&self.0) {
            return Err(Error::NotFound("type of events"));
        }
        let mut effects = state.effects();
        effects.write(SingleWrite::DeleteEventType(self.0.clone()));
        record(&mut effects, actor);
        Ok(((), effects))
    }
}

fn record(effects: &mut Effects, actor: &UserState) {
    effects.record(NewEvent::new(EventKind::EventTypeChanged, 0, Some(actor.user.id)), EventBody::None);
}
