//! A cache of usernames for protocols that show many texts. A username never changes within one history of the log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, Shared};

use crate::error::Result;
use crate::model::UserId;

/// A pending or finished lookup of a username; `None` if the user does not exist.
pub type Name = Shared<BoxFuture<'static, Result<Option<Arc<str>>>>>;

/// The cache of usernames.
#[derive(Default)]
pub struct UsernameCache(pub(super) Mutex<Entries>);

#[derive(Default)]
pub struct Entries {
    pub names: HashMap<UserId, Name>,
    /// The era of the log that the names belong to. Another history may give the same ids to other users.
    pub era: u64,
}
