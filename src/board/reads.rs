//! Runs reads for viewers, each on one consistent snapshot of the database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::permissions::Viewer;
use super::view::{InMemory, Recipient, View};
use crate::error::{Error, Result};
use crate::model::{CapacityKey, Freshness};
use crate::store::{ReadPurpose, Snapshot, Store, is_over_time};

/// Runs reads for viewers.
pub struct Reads {
    pub(super) store: Arc<Store>,
    pub(super) in_memory: InMemory,
}

/// A snapshot of the database that may be read for a limited time.
pub struct ReadSnapshot {
    snapshot: Snapshot,
    opened: Instant,
}

impl ReadSnapshot {
    /// Whether a read failed with this error because the replica that serves this snapshot failed.
    #[must_use]
    pub fn is_lost(&self, error: &Error) -> bool {
        self.snapshot.is_lost(error)
    }
}

impl Reads {
    /// Runs `read` with a view of one snapshot, on a reader thread that callers share fairly. If a replica fails during
    /// the read, runs it again on the primary.
    ///
    /// # Errors
    /// Returns errors of `read`. `UNAVAILABLE` if no thread or connection is free in time, or the read takes too long.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        freshness: Freshness,
        viewer: &Viewer,
        read: impl Fn(&mut View<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reads, party, viewer) = (Arc::clone(self), viewer.party(), viewer.clone());
        let reading = move |snapshot: &mut Snapshot| {
            read(&mut View::new(snapshot.db(), &reads.in_memory, &viewer, Recipient::Viewer))
        };
        self.store.read_for(freshness, party, reading).await
    }

    /// Runs `job` on a reader thread when it is this caller's turn. The job may open a snapshot of this freshness.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the queue is full or the job queues for more than 5 s; `INTERNAL_SERVER_ERROR` if the job
    /// panics.
    pub async fn run_on_reader<T: Send + 'static>(
        &self,
        freshness: Freshness,
        party: CapacityKey,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        self.store.run_on_reader(freshness, party, job).await
    }

    /// Opens a snapshot for a client. Blocks the thread, so call this on a reader thread.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached, or no connection is free in time.
    pub fn snapshot(&self, freshness: Freshness) -> Result<ReadSnapshot> {
        let snapshot = self.store.snapshot(ReadPurpose::Clients(freshness))?;
        Ok(ReadSnapshot { snapshot, opened: Instant::now() })
    }

    /// Runs `read` with a view of this snapshot. Returns its result, and whether the result depends on the viewer.
    ///
    /// # Errors
    /// Returns errors of `read`. `QUERY_TOO_COMPLEX` if the snapshot is read for longer than the time limit. The code
    /// is not `UNAVAILABLE`, because a client that repeats the same operation would exceed the limit again.
    pub fn view<T>(
        &self,
        snapshot: &mut ReadSnapshot,
        viewer: &Viewer,
        recipient: Recipient,
        read: impl FnOnce(&mut View<'_>) -> Result<T>,
    ) -> (Result<T>, bool) {
        let limit = self.store.read_limit();
        if snapshot.opened.elapsed() > limit {
            return (Err(took_too_long(limit)), false);
        }
        let mut view = View::new(snapshot.snapshot.db(), &self.in_memory, viewer, recipient);
        let result = read(&mut view);
        let result = result.map_err(|error| if is_over_time(&error) { took_too_long(limit) } else { error });
        (result, view.depends_on_viewer())
    }
}

fn took_too_long(limit: Duration) -> Error {
    Error::TooComplex(format!("reading this takes longer than {} ms: ask for less at once", limit.as_millis()))
}
