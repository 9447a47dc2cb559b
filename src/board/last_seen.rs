//! Which sessions were used, until their use is stored.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::model::{SessionId, Timestamp};
use crate::store::{Store, sessions};

/// How many sessions are remembered at most. The use of further ones is not recorded.
const MAX_SESSIONS: usize = 20_000;
/// How many sessions one command of the writer updates.
const STEP: usize = 500;

/// The sessions that were used on this instance since [`LastSeen::store`] ran. A write for each request would cost more
/// than the time of the last use is worth.
#[derive(Default)]
pub struct LastSeen {
    used: Mutex<HashSet<SessionId>>,
}

impl LastSeen {
    /// Notes that a session is used.
    pub fn note(&self, id: SessionId) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() < MAX_SESSIONS {
            used.insert(id);
        }
    }

    /// Stores that the noted sessions were used.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached. Then the noted sessions are forgotten.
    pub async fn store(&self, store: &Arc<Store>) -> Result<()> {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        let used: Vec<SessionId> = used.into_iter().collect();
        for ids in used.chunks(STEP) {
            let (ids, now) = (ids.to_vec(), Timestamp::now());
            store.maintain(move |db| sessions::set_last_seen(db, &ids, now)).await?;
        }
        Ok(())
    }
}
