//! The size limit of responses. Bytes are counted when text is loaded and when it is selected for the response, so a
//! response that is too large is refused before it is in memory.
//!
//! A large response also leases memory from the instance's memory budget. The lease starts when text is loaded and ends
//! when the kernel has the last byte of the response.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::model::{MemoryLease, Page, PageRequest};

/// Responses of up to this many bytes need no lease. The limit on connections bounds their memory.
pub const SMALL: usize = 16 << 10;
/// While a response is written, each selected text is in memory twice: as a value and as JSON.
const COPIES_PER_RESPONSE: usize = 2;
/// A lease grows in steps of this many bytes, so that a short text rarely has to grow it.
const LEASE_STEP: usize = 256 << 10;
/// Number of rows that may be loaded at once even if their largest possible size exceeds the limit.
const MIN_ROWS_PER_READ: usize = 8;
/// Maximum number of keys in one statement. SQLite allows 32,766 variables.
const MAX_KEYS_PER_STATEMENT: usize = 10_000;
/// Longest time that an operation waits for memory before it is refused.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(2);

/// The bytes that all operations of one request use together.
#[derive(Debug)]
pub struct ResponseBatch {
    /// Maximum of each of the three counters, in bytes.
    limit: usize,
    /// Bytes of text loaded from the database.
    loaded: AtomicUsize,
    /// Bytes of text selected for the responses, in JSON form.
    selected: AtomicUsize,
    /// Bytes of the finished responses.
    finished: AtomicUsize,
}

impl ResponseBatch {
    /// Creates the counters of a request whose responses may have `limit` bytes together.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        let (loaded, selected, finished) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { limit, loaded, selected, finished })
    }
}

/// The size limit and the memory lease of one operation. Operations of one batch share the limit.
#[derive(Debug)]
pub struct Allowance {
    batch: Arc<ResponseBatch>,
    /// The share of this operation in `batch.loaded`, in bytes.
    loaded: AtomicUsize,
    /// The share of this operation in `batch.selected`, in bytes.
    selected: AtomicUsize,
    lease: Mutex<MemoryLease>,
    /// Size of the lease in bytes, readable without the lock.
    leased: AtomicUsize,
    /// The response would exceed the size limit.
    is_too_large: AtomicBool,
    /// The memory budget had no free memory for the response.
    is_out_of_memory: AtomicBool,
}

impl Allowance {
    /// Creates the allowance of one operation of a batch. `lease` is usually still empty.
    #[must_use]
    pub fn new(batch: Arc<ResponseBatch>, lease: MemoryLease) -> Self {
        Self {
            batch,
            loaded: AtomicUsize::new(0),
            selected: AtomicUsize::new(0),
            leased: AtomicUsize::new(lease.bytes()),
            lease: Mutex::new(lease),
            is_too_large: AtomicBool::new(false),
            is_out_of_memory: AtomicBool::new(false),
        }
    }

    /// Whether the response would exceed the size limit.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.is_too_large.load(Ordering::Relaxed)
    }

    /// Whether the memory budget had no free memory for the response.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.is_out_of_memory.load(Ordering::Relaxed)
    }

    /// Checks that the operation may load and write more.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the response would be too large, `UNAVAILABLE` if there is no free memory for it.
    pub fn check(&self) -> Result<()> {
        match (self.is_too_large(), self.is_out_of_memory()) {
            (true, _) => Err(self.over()),
            (false, true) => Err(memory_unavailable()),
            (false, false) => Ok(()),
        }
    }

    /// Counts bytes that were loaded from the database.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the response would be too large, `UNAVAILABLE` if there is no free memory for it.
    pub fn load(&self, bytes: usize) -> Result<()> {
        self.loaded.fetch_add(bytes, Ordering::Relaxed);
        let total = self.batch.loaded.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.enforce(total)
    }

    /// Counts bytes that the response will contain, in JSON form.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the response would be too large, `UNAVAILABLE` if there is no free memory for it.
    pub fn show(&self, bytes: usize) -> Result<()> {
        self.selected.fetch_add(bytes, Ordering::Relaxed);
        let total = self.batch.selected.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.enforce(total)
    }

    /// Compares a counter of the batch with the limit, and grows the lease to the memory that the operation needs now.
    fn enforce(&self, total: usize) -> Result<()> {
        if total > self.batch.limit {
            self.is_too_large.store(true, Ordering::Relaxed);
        }
        self.check()?;
        if self.grow_lease_to(self.needed()) {
            return Ok(());
        }
        self.is_out_of_memory.store(true, Ordering::Relaxed);
        Err(memory_unavailable())
    }

    /// The memory that the operation needs for what it has counted so far, in bytes.
    fn needed(&self) -> usize {
        self.loaded.load(Ordering::Relaxed) + COPIES_PER_RESPONSE * self.selected.load(Ordering::Relaxed)
    }

    /// Grows the lease to at least `bytes`, if it is smaller. Returns whether the lease is large enough.
    fn grow_lease_to(&self, bytes: usize) -> bool {
        if bytes <= SMALL || bytes <= self.leased.load(Ordering::Relaxed) {
            return true;
        }
        let mut lease = self.lease();
        let has_grown = lease.try_grow_to(bytes.next_multiple_of(LEASE_STEP)) || lease.try_grow_to(bytes);
        self.leased.store(lease.bytes(), Ordering::Relaxed);
        has_grown
    }

    /// The number of rows to load at once, out of `rows`, if a row has at most `largest` bytes. These rows stay within
    /// the size limit and the memory budget, except for a minimum of [`MIN_ROWS_PER_READ`] rows.
    fn rows(&self, rows: usize, largest: usize) -> usize {
        let remaining = self.batch.limit.saturating_sub(self.batch.loaded.load(Ordering::Relaxed));
        let fit = (remaining / largest.max(1)).max(MIN_ROWS_PER_READ).min(rows);
        let may_load = fit <= MIN_ROWS_PER_READ || self.grow_lease_to(self.needed() + fit * largest);
        if may_load { fit } else { MIN_ROWS_PER_READ }
    }

    /// Loads a page in several parts, so that a page above the size limit is refused before it is in memory as a whole.
    /// A row has at most `largest` bytes. `key` is the sort key of a row, and `weight` its size in bytes.
    ///
    /// # Errors
    /// Returns errors of `load`. `QUERY_TOO_COMPLEX` if the response would be too large, `UNAVAILABLE` if there is no
    /// free memory for it.
    pub fn page<T, K: Clone>(
        &self,
        window: &PageRequest<K>,
        largest: usize,
        (key, weight): (impl Fn(&T) -> K, impl Fn(&T) -> usize),
        mut load: impl FnMut(&PageRequest<K>) -> Result<Page<T>>,
    ) -> Result<Page<T>> {
        let mut loaded: Vec<T> = Vec::new();
        let mut part = window.clone();
        loop {
            self.check()?;
            let missing = window.limit - loaded.len();
            part.limit = self.rows(missing, largest);
            let Page { items, more } = load(&part)?;
            self.load(items.iter().map(&weight).sum())?;
            let is_last = part.limit == missing || !more;
            if window.from_end {
                part.before = items.first().map(&key).or(part.before);
                loaded.splice(0..0, items);
            } else {
                part.after = items.last().map(&key).or(part.after);
                loaded.extend(items);
            }
            if is_last {
                return Ok(Page { items: loaded, more });
            }
        }
    }

    /// Loads the values of `keys` in several parts. `load` returns the values of some keys and their size in bytes;
    /// `keep` receives them. The value of one key has at most `largest` bytes.
    ///
    /// # Errors
    /// Returns errors of `load`. `QUERY_TOO_COMPLEX` if the response would be too large, `UNAVAILABLE` if there is no
    /// free memory for it.
    pub fn each<K, T>(
        &self,
        keys: &[K],
        largest: usize,
        mut load: impl FnMut(&[K]) -> Result<(T, usize)>,
        mut keep: impl FnMut(T),
    ) -> Result<()> {
        let mut remaining = keys;
        while !remaining.is_empty() {
            self.check()?;
            let count = self.rows(remaining.len(), largest).min(MAX_KEYS_PER_STATEMENT);
            let (part, later) = remaining.split_at(count);
            let (found, bytes) = load(part)?;
            self.load(bytes)?;
            keep(found);
            remaining = later;
        }
        Ok(())
    }

    /// Maximum size of this response in bytes: the limit minus the finished responses of the batch.
    #[must_use]
    pub fn room(&self) -> usize {
        self.batch.limit.saturating_sub(self.batch.finished.load(Ordering::Relaxed))
    }

    /// Estimated size of the response in bytes, to allocate its buffer.
    #[must_use]
    pub fn expected(&self) -> usize {
        let selected = self.selected.load(Ordering::Relaxed);
        selected + selected / 8 + (1 << 10)
    }

    /// The error `QUERY_TOO_COMPLEX` of a response that would be too large.
    #[must_use]
    pub fn over(&self) -> Error {
        let limit = self.batch.limit;
        let message = "the response, or the data that is loaded for it, would be larger than";
        Error::TooComplex(format!("{message} {limit} bytes: ask for shorter lists or fewer text fields"))
    }

    /// Wraps the finished response. The lease shrinks to the size of the text and ends when the text is dropped.
    #[must_use]
    pub fn made(&self, text: String) -> ResponseText {
        self.batch.finished.fetch_add(text.len(), Ordering::Relaxed);
        let mut lease = self.lease();
        self.leased.store(0, Ordering::Relaxed);
        if text.capacity() <= SMALL {
            lease.shrink_to(0);
            return text.into();
        }
        let response_lease = lease.split_off();
        drop(lease);
        let mut lease = response_lease;
        lease.set(text.capacity());
        ResponseText(Arc::new(LeasedText { text, leases: vec![lease] }))
    }

    /// Removes the bytes of this operation from the counters, because the operation is executed again.
    pub fn start_over(&self) {
        self.batch.loaded.fetch_sub(self.loaded.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        self.batch.selected.fetch_sub(self.selected.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Resets the counters of the operation, and waits up to 2 s for memory to execute it again. Returns whether the
    /// memory is available.
    pub async fn wait(&self) -> bool {
        let needed = self.needed();
        self.start_over();
        // The operation stopped when memory was missing, so it needs more than it has counted. Four times as much is a
        // guess; the size limit bounds the guess.
        let most = (1 + COPIES_PER_RESPONSE) * self.batch.limit;
        let mut lease = self.lease().split_off();
        let is_available = lease.renew((4 * needed).max(LEASE_STEP).min(most), MEMORY_TIMEOUT).await;
        self.leased.store(lease.bytes(), Ordering::Relaxed);
        *self.lease() = lease;
        self.is_out_of_memory.store(!is_available, Ordering::Relaxed);
        is_available
    }

    fn lease(&self) -> MutexGuard<'_, MemoryLease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error `UNAVAILABLE` of an operation for which the memory budget has no free memory.
fn memory_unavailable() -> Error {
    Error::Unavailable("the server has no memory left for large responses; try again".into())
}

/// The JSON of a response or of a subscription item, with its memory lease. Clones share both.
#[derive(Debug, Clone)]
pub struct ResponseText(Arc<LeasedText>);

#[derive(Debug)]
struct LeasedText {
    text: String,
    /// The memory of the text, in the budget of the instance. Dropped together with the text.
    leases: Vec<MemoryLease>,
}

impl ResponseText {
    /// Joins the responses of a batch to one JSON array. The array takes over their leases.
    #[must_use]
    pub fn list(texts: Vec<Self>) -> Self {
        let mut array = String::with_capacity(2 + texts.iter().map(|text| text.len() + 1).sum::<usize>());
        let mut leases = Vec::new();
        for text in texts {
            array.push(if array.is_empty() { '[' } else { ',' });
            array.push_str(&text);
            leases.extend(text.into_leases());
        }
        array.push(']');
        Self(Arc::new(LeasedText { text: array, leases }))
    }

    /// Returns the leases, so that another form of the text can keep them. Empty if a clone of the text exists.
    #[must_use]
    pub fn into_leases(self) -> Vec<MemoryLease> {
        Arc::try_unwrap(self.0).map(|leased| leased.leases).unwrap_or_default()
    }
}

impl From<String> for ResponseText {
    fn from(text: String) -> Self {
        Self(Arc::new(LeasedText { text, leases: Vec::new() }))
    }
}

impl Deref for ResponseText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.text
    }
}

impl AsRef<[u8]> for ResponseText {
    fn as_ref(&self) -> &[u8] {
        self.0.text.as_bytes()
    }
}

/// The length of a text as a JSON string, in bytes, with its quotes and escapes.
#[must_use]
pub fn json_len(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..0x20 => 5,
        _ => 0,
    };
    text.len() + 2 + text.bytes().map(escaped).sum::<usize>()
}
