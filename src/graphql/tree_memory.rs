//! The memory for the syntax tree of a document that open subscriptions use.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::document::Refusal;
use crate::error::Error;
use crate::model::{Lease, Memory, Party};

/// A syntax tree takes so many times the memory of its text.
const TREE: usize = 100;

/// The lease of one tree, while it has users. All its subscriptions share the tree, so the client that opened the first
/// one pays for all.
#[derive(Default)]
pub struct TreeMemory(Mutex<Weak<Lease>>);

impl TreeMemory {
    /// Borrows the memory for the tree of a text of this many bytes, if it is not borrowed already.
    ///
    /// # Errors
    /// `UNAVAILABLE` if this client, or all of them, have too many different documents.
    pub fn borrow(&self, bytes: usize, memory: &Arc<Memory>, party: Party) -> Result<Arc<Lease>, Refusal> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = known.upgrade() {
            return Ok(lease);
        }
        let mut lease = memory.lease(party);
        if !lease.try_grow_to(TREE * bytes) {
            let why = "too many subscriptions with different documents are open: send values, such as the cursor of \
                `after`, as variables";
            return Err(Error::Unavailable(why.into()).into());
        }
        let lease = Arc::new(lease);
        *known = Arc::downgrade(&lease);
        Ok(lease)
    }
}
