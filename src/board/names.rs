//! The names of users, for those who show many texts: a username never changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use super::Board;
use crate::model::UserId;
use crate::store::users;

/// So many are kept.
const KEPT: usize = 100_000;

/// A name that somebody may be looking up already.
pub type Name = Shared<BoxFuture<'static, Option<Arc<str>>>>;

/// The names of late.
#[derive(Default)]
pub struct Names(Mutex<HashMap<UserId, Name>>);

impl Board {
    /// A user's name; `None` if there is no such user, or the database does not answer.
    pub fn username(&self, id: UserId) -> Name {
        let mut names = self.names.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() > KEPT {
            names.clear();
        }
        match names.get(&id) {
            Some(name) if name.peek().is_none_or(Option::is_some) => name.clone(),
            _ => {
                let name = self.look_up(id);
                names.insert(id, name.clone());
                name
            }
        }
    }

    fn look_up(&self, id: UserId) -> Name {
        let store = Arc::clone(&self.store);
        let looking = async move {
            let found = store.read(move |snapshot| users::find(snapshot.db(), id)).await;
            found.ok().flatten().map(|user| Arc::from(user.username))
        };
        looking.boxed().shared()
    }
}
