//! Idempotency keys: a repeated creation with the same key creates nothing and returns the first result.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest as _, Sha256};

use super::validate;
use crate::error::{Error, Result};
use crate::model::{EventKey, UserId};
use crate::store::app_events::KeyedEvent;
use crate::store::idempotency::CreatedObject;
use crate::store::{BatchState, Effects, Needs};

/// The longest key, in characters.
pub const MAX_KEY: usize = 200;

/// A client's idempotency key for one creation. Keys are unique per author.
pub struct IdempotencyKey {
    /// `None` for the keys of the outbox, which only events have.
    author: Option<UserId>,
    name: String,
    /// A hash of the input. It distinguishes a retry from another input with the same key.
    digest: String,
}

impl IdempotencyKey {
    /// The key of a creation, or `None` if the client sent none. `parts` returns the input for the hash.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if the key is empty, too long, or contains control characters.
    pub fn new(
        author: impl Into<Option<UserId>>,
        key: Option<&str>,
        parts: impl FnOnce() -> Vec<String>,
    ) -> Result<Option<Self>> {
        let Some(key) = key else { return Ok(None) };
        let name = validate::identifier("idempotencyKey", key, MAX_KEY)?;
        Ok(Some(Self { author: author.into(), name, digest: digest(&parts()) }))
    }

    /// Names the use of this key, with the object that was created, as a need of a command.
    pub fn needs(&self, needs: &mut Needs) {
        self.author.iter().for_each(|author| needs.key(*author, &self.name));
    }

    /// Names the use of this key, with the user that was created, as a need of a command.
    pub fn user_needs(&self, needs: &mut Needs) {
        self.author.iter().for_each(|author| needs.user_key(*author, &self.name));
    }

    /// The text of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The object that was created with this key before, if any.
    ///
    /// # Errors
    /// `CONFLICT` if the key was used with another input.
    pub fn find_result(&self, state: &BatchState) -> Result<Option<CreatedObject>> {
        let found = self.author.and_then(|author| state.key(author, &self.name));
        found.map(|(object, digest)| self.check_digest(digest).map(|()| object)).transpose()
    }

    /// Names the event that was recorded with this key as a need of a command. For commands whose result is an event of
    /// the log, which keeps the key itself.
    pub fn needs_event(&self, needs: &mut Needs) {
        needs.event_key(self.author, &self.name);
    }

    /// The event that was recorded with this key before, if any.
    ///
    /// # Errors
    /// `CONFLICT` if the key was used with another input.
    pub fn find_event<'s>(&self, state: &'s BatchState) -> Result<Option<&'s KeyedEvent>> {
        let found = state.event_with_key(self.author, &self.name);
        found.map(|event| self.check_digest(&event.digest).map(|()| event)).transpose()
    }

    /// Whether an event was recorded with this key before, with any input.
    #[must_use]
    pub fn is_used(&self, state: &BatchState) -> bool {
        state.event_with_key(self.author, &self.name).is_some()
    }

    /// Checks that the first use of the key had the same input.
    ///
    /// # Errors
    /// `CONFLICT` if it had another one.
    pub fn check_digest(&self, first: &str) -> Result<()> {
        let conflict = || Error::Conflict("this idempotencyKey was used with another input".into());
        if first == self.digest { Ok(()) } else { Err(conflict()) }
    }

    /// The key as the event that it belongs to stores it.
    pub fn to_event_key(&self) -> Arc<EventKey> {
        Arc::new(EventKey { name: self.name.clone(), digest: self.digest.clone() })
    }

    /// Stores the object that was created with this key.
    pub fn store(&self, effects: &mut Effects, object: CreatedObject) {
        self.author.iter().for_each(|author| effects.use_key(*author, &self.name, &self.digest, object));
    }
}

/// Hashes the parts of an input. The length of each part is hashed too, so that moved boundaries change the hash.
fn digest(parts: &[String]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    BASE64.encode(hash.finalize())
}
