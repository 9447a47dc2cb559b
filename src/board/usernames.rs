//! Looks up usernames, for protocols that show many texts.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use super::permissions::PermissionCache;
use crate::capacity::ByteCache;
use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::model::{CapacityKey, Freshness, UserId};
use crate::store::{Snapshot, Store, users};

/// The size of the cache, in bytes.
const CACHE_BYTES: usize = 8 << 20;
/// The largest size of a cached lookup besides its overhead: the longest username, and the state of a future.
const LOOKUP_BYTES: usize = 400;

/// Delay before a lookup is repeated while the database cannot be reached.
const RETRY_DELAY: Duration = Duration::from_millis(300);

/// A pending or finished lookup of a username; `None` if the user does not exist.
pub type Username = Shared<BoxFuture<'static, Result<Option<Arc<str>>>>>;

/// Looks up usernames, and caches them.
pub struct Usernames {
    store: Arc<Store>,
    hub: Hub,
    permissions: Arc<PermissionCache>,
    /// Lookups by the era of the log, the number of changed users, and the id. Another era may give the same ids to other
    /// users.
    cache: ByteCache<(u64, u64, UserId), Username>,
}

impl Usernames {
    pub(super) fn new(store: Arc<Store>, hub: Hub, permissions: Arc<PermissionCache>) -> Self {
        Self { store, hub, permissions, cache: ByteCache::new(CACHE_BYTES) }
    }

    /// A user's name, from the cache or the database. The lookup waits while the database cannot be reached. Only names
    /// of existing users are cached.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if a statement fails.
    pub fn get(&self, id: UserId) -> Username {
        let key = (self.hub.era(), self.permissions.user_revision(), id);
        let is_usable = |name: &Username| name.peek().is_none_or(|result| matches!(result, Ok(Some(_))));
        if let Some(name) = self.cache.get(&key).filter(is_usable) {
            return name;
        }
        let name = self.look_up(id);
        self.cache.insert(key, name.clone(), LOOKUP_BYTES);
        name
    }

    fn look_up(&self, id: UserId) -> Username {
        let store = Arc::clone(&self.store);
        let lookup = async move {
            loop {
                let reading = move |snapshot: &mut Snapshot| users::find(snapshot.db(), id);
                match store.read_for(Freshness::Known, CapacityKey::User(id), reading).await {
                    Err(Error::Unavailable(_)) => tokio::time::sleep(RETRY_DELAY).await,
                    result => return result.map(|user| user.map(|user| Arc::from(user.username))),
                }
            }
        };
        lookup.boxed().shared()
    }
}
