//! The names of users, for those who show many texts: a username never changes, within one history of the log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use super::Board;
use crate::error::{Error, Result};
use crate::model::{Party, UserId};
use crate::store::users;

/// So many are kept.
const KEPT: usize = 100_000;

/// How long a lookup waits before it is tried again because the database was away.
const PAUSE: Duration = Duration::from_millis(300);

/// A name that is being looked up, or is known; `None` if there is no such user.
pub type Name = Shared<BoxFuture<'static, Result<Option<Arc<str>>>>>;

/// The names of late.
#[derive(Default)]
pub struct Names(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    names: HashMap<UserId, Name>,
    /// The history of the log that they are of: another one may give the same ids to other users.
    era: u64,
}

impl Board {
    /// A user's name. The lookup waits while the database is away. Only the name of a user that was found is kept.
    ///
    /// # Errors
    /// Those of the database that do not pass.
    pub fn username(&self, id: UserId) -> Name {
        let era = self.hub.era();
        let mut kept = self.names.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.names.len() > KEPT || kept.era != era {
            *kept = Kept { names: HashMap::new(), era };
        }
        match kept.names.get(&id) {
            Some(name) if name.peek().is_none_or(|known| matches!(known, Ok(Some(_)))) => name.clone(),
            _ => {
                let name = self.look_up(id);
                kept.names.insert(id, name.clone());
                name
            }
        }
    }

    fn look_up(&self, id: UserId) -> Name {
        let store = Arc::clone(&self.store);
        let looking = async move {
            loop {
                match store.read_for(Party::User(id), move |snapshot| users::find(snapshot.db(), id)).await {
                    Err(Error::Unavailable(_)) => tokio::time::sleep(PAUSE).await,
                    found => return found.map(|user| user.map(|user| Arc::from(user.username))),
                }
            }
        };
        looking.boxed().shared()
    }
}
