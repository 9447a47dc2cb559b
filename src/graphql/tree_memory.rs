//! The memory lease for the syntax tree of a document that open subscriptions use.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::refusal::Rejection;
use crate::error::Error;
use crate::model::{CapacityKey, MemoryBudget, MemoryLease};

/// Estimated memory of a syntax tree, as a multiple of the length of its text.
const TREE_FACTOR: usize = 100;

/// The lease of one syntax tree while subscriptions use it. All subscriptions with one document share the tree. The
/// lease counts against the client that opened the first of them.
#[derive(Default)]
pub struct TreeMemory(Mutex<Weak<MemoryLease>>);

impl TreeMemory {
    /// Leases the memory for the tree of a text with this many bytes. Returns the existing lease if there is one.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the open subscriptions of this client, or of all clients, have too many different documents.
    pub fn borrow(
        &self,
        bytes: usize,
        memory: &Arc<MemoryBudget>,
        party: CapacityKey,
    ) -> Result<Arc<MemoryLease>, Rejection> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = current.upgrade() {
            return Ok(lease);
        }
        let mut lease = memory.lease(party);
        if !lease.try_grow_to(TREE_FACTOR * bytes) {
            let message = "too many subscriptions with different documents are open: send values, such as the cursor \
                of `after`, as variables";
            return Err(Error::Unavailable(message.into()).into());
        }
        let lease = Arc::new(lease);
        *current = Arc::downgrade(&lease);
        Ok(lease)
    }
}
