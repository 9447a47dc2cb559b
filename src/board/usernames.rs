//! Looks up usernames.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;

use super::service::Board;
use super::username_cache::{Entries, Name};
use crate::error::Error;
use crate::model::{CapacityKey, UserId};
use crate::store::users;

/// How many usernames the cache holds before it is cleared.
const CAPACITY: usize = 100_000;

/// Delay before a lookup is repeated while the database cannot be reached.
const RETRY_DELAY: Duration = Duration::from_millis(300);

impl Board {
    /// A user's name, from the cache or the database. The lookup waits while the database cannot be reached. Only names
    /// of existing users are cached.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if a statement fails.
    pub fn username(&self, id: UserId) -> Name {
        let era = self.hub.era();
        let mut cache = self.names.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.names.len() > CAPACITY || cache.era != era {
            *cache = Entries { names: HashMap::new(), era };
        }
        match cache.names.get(&id) {
            Some(name) if name.peek().is_none_or(|result| matches!(result, Ok(Some(_)))) => name.clone(),
            _ => {
                let name = self.look_up(id);
                cache.names.insert(id, name.clone());
                name
            }
        }
    }

    fn look_up(&self, id: UserId) -> Name {
        let store = Arc::clone(&self.store);
        let lookup = async move {
            loop {
                match store.read_for(CapacityKey::User(id), move |snapshot| users::find(snapshot.db(), id)).await {
                    Err(Error::Unavailable(_)) => tokio::time::sleep(RETRY_DELAY).await,
                    result => return result.map(|user| user.map(|user| Arc::from(user.username))),
                }
            }
        };
        lookup.boxed().shared()
    }
}
