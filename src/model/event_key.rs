//! Idempotency keys that events keep.

/// The idempotency key with which an event was recorded. It is unique for each actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventKey {
    /// The key, as the client sent it.
    pub name: String,
    /// A hash of the input. It distinguishes a retry from another input with the same key.
    pub digest: String,
}

impl EventKey {
    /// The estimated size in memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.digest.len()
    }
}
