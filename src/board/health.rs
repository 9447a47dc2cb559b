//! Health checks of the database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::error::{Error, Result};
use crate::model::Cursor;
use crate::store::{Store, log, outbox};

/// How long the database may take to answer a health check.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How many rows of the outbox are counted at most.
const COUNTED_ROWS: i64 = 10_000;

/// Checks whether the database answers, and whether it accepts writes.
pub struct Health {
    store: Arc<Store>,
    /// The last check of the database: when it started, and its result.
    last: Mutex<Option<(Instant, Result<Cursor>)>>,
}

impl Health {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store, last: Mutex::default() }
    }

    /// The head of the log, read from the database. Only one check runs at a time. Concurrent callers share the result
    /// of a check that started after their call.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database does not answer within 2 s, or cannot be reached.
    pub async fn reach_database(&self) -> Result<Cursor> {
        let called = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((at, result)) = &*last
            && *at >= called
        {
            return result.clone();
        }
        let at = Instant::now();
        let result = self.check_database().await;
        *last = Some((at, result.clone()));
        result
    }

    async fn check_database(&self) -> Result<Cursor> {
        let check = self.store.read(|snapshot| log::head(snapshot.db()));
        let result = tokio::time::timeout(TIMEOUT, check).await;
        result.unwrap_or_else(|_| Err(Error::Unavailable("the database does not answer".into())))
    }

    /// The number of waiting rows and of rejected rows of the outbox, each counted up to 10,000.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database does not answer within 2 s, or cannot be reached.
    pub async fn outbox_rows(&self) -> Result<(i64, i64)> {
        let counting = self.store.read(|snapshot| outbox::counts(snapshot.db(), COUNTED_ROWS));
        let result = tokio::time::timeout(TIMEOUT, counting).await;
        result.unwrap_or_else(|_| Err(Error::Unavailable("the database does not answer".into())))
    }

    /// Why the database accepts no writes, if that is known: for example a full disk, or a file that was moved.
    pub async fn write_problem(&self) -> Option<String> {
        tokio::time::timeout(TIMEOUT, self.store.trouble())
            .await
            .unwrap_or_else(|_| Some("the database does not answer".into()))
    }

    /// Tries one write to the database. A database that is only busy counts as writable.
    ///
    /// # Errors
    /// One line for the operator that names the problem.
    pub async fn check_writable(&self) -> std::result::Result<(), String> {
        drop(self.store.probe().await);
        self.store.trouble().await.map_or(Ok(()), Err)
    }
}
