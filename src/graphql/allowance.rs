//! How many bytes a response may take: counted where text is loaded and where it is shown, refused before it is there.
//! Memory for it is borrowed from the budget of the instance, from the first text that is loaded until the last byte is
//! with the kernel.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::model::{Lease, Page, Window};

/// What is this small needs no lease: there are more places for connections than for that.
pub const SMALL: usize = 16 << 10;
/// What is shown is in memory twice while a response is made: as values, and as JSON.
const COPIES: usize = 2;
/// A lease grows in steps, so that not every short text needs one.
const STEP: usize = 256 << 10;
/// How many rows are loaded at once where each of them may be too large.
const FEW: usize = 8;
/// How many keys one statement names at most: SQLite has 32,766 variables.
const KEYS: usize = 10_000;
/// How long an operation waits for memory before it is refused.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the operations of one request have taken together, in bytes.
#[derive(Debug)]
pub struct Batch {
    limit: usize,
    /// Text that was loaded.
    loaded: AtomicUsize,
    /// Text that is shown, as JSON writes it.
    shown: AtomicUsize,
    /// Responses that are made.
    made: AtomicUsize,
}

impl Batch {
    /// One that may take `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        let (loaded, shown, made) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { limit, loaded, shown, made })
    }
}

/// What one operation may still take, as part of a batch.
#[derive(Debug)]
pub struct Allowance {
    batch: Arc<Batch>,
    loaded: AtomicUsize,
    shown: AtomicUsize,
    lease: Mutex<Lease>,
    /// What the lease is of, where it takes no lock to see.
    leased: AtomicUsize,
    is_over: AtomicBool,
    /// There was no memory for it.
    is_short: AtomicBool,
}

impl Allowance {
    /// For one operation of a batch, with a lease of nothing yet.
    #[must_use]
    pub fn new(batch: Arc<Batch>, lease: Lease) -> Self {
        Self {
            batch,
            loaded: AtomicUsize::new(0),
            shown: AtomicUsize::new(0),
            leased: AtomicUsize::new(lease.bytes()),
            lease: Mutex::new(lease),
            is_over: AtomicBool::new(false),
            is_short: AtomicBool::new(false),
        }
    }

    /// Whether the response would be too large.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Whether there was no memory for it.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// Why nothing more is read, if nothing is.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the response would be too large, `UNAVAILABLE` if there is no memory for it now.
    pub fn check(&self) -> Result<()> {
        match (self.is_over(), self.is_short()) {
            (true, _) => Err(self.over()),
            (false, true) => Err(busy()),
            (false, false) => Ok(()),
        }
    }

    /// Counts bytes that were loaded.
    ///
    /// # Errors
    /// Those of [`Self::check`].
    pub fn load(&self, bytes: usize) -> Result<()> {
        self.loaded.fetch_add(bytes, Ordering::Relaxed);
        let all = self.batch.loaded.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.counted(all)
    }

    /// Counts bytes that will be shown.
    ///
    /// # Errors
    /// Those of [`Self::check`].
    pub fn show(&self, bytes: usize) -> Result<()> {
        self.shown.fetch_add(bytes, Ordering::Relaxed);
        let all = self.batch.shown.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.counted(all)
    }

    fn counted(&self, all: usize) -> Result<()> {
        if all > self.batch.limit {
            self.is_over.store(true, Ordering::Relaxed);
        }
        self.check()?;
        if self.borrow_memory(self.needed()) {
            return Ok(());
        }
        self.is_short.store(true, Ordering::Relaxed);
        Err(busy())
    }

    fn needed(&self) -> usize {
        self.loaded.load(Ordering::Relaxed) + COPIES * self.shown.load(Ordering::Relaxed)
    }

    /// Sees to it that the lease is of this many bytes; whether it is.
    fn borrow_memory(&self, bytes: usize) -> bool {
        if bytes <= SMALL || bytes <= self.leased.load(Ordering::Relaxed) {
            return true;
        }
        let mut lease = self.lease();
        let has_grown = lease.try_grow_to(bytes.next_multiple_of(STEP)) || lease.try_grow_to(bytes);
        self.leased.store(lease.bytes(), Ordering::Relaxed);
        has_grown
    }

    /// How many rows of at most `largest` bytes may be loaded at once, of `rows` that are wanted. Whether they are
    /// within the limit is known before they are loaded, but for a few.
    fn rows(&self, rows: usize, largest: usize) -> usize {
        let left = self.batch.limit.saturating_sub(self.batch.loaded.load(Ordering::Relaxed));
        let fit = (left / largest.max(1)).max(FEW).min(rows);
        if fit <= FEW || self.borrow_memory(self.needed() + fit * largest) { fit } else { FEW }
    }

    /// Reads a page in as many parts as it takes to refuse it before it is too large in memory. A row has `largest`
    /// bytes at most, and those that are loaded `weight`.
    ///
    /// # Errors
    /// Those of `load`, and of [`Self::check`].
    pub fn page<T, K: Clone>(
        &self,
        window: &Window<K>,
        largest: usize,
        (key, weight): (impl Fn(&T) -> K, impl Fn(&T) -> usize),
        mut load: impl FnMut(&Window<K>) -> Result<Page<T>>,
    ) -> Result<Page<T>> {
        let mut whole: Vec<T> = Vec::new();
        let mut part = window.clone();
        loop {
            self.check()?;
            let missing = window.limit - whole.len();
            part.limit = self.rows(missing, largest);
            let Page { items, more } = load(&part)?;
            self.load(items.iter().map(&weight).sum())?;
            let is_last = part.limit == missing || !more;
            if window.from_end {
                part.before = items.first().map(&key).or(part.before);
                whole.splice(0..0, items);
            } else {
                part.after = items.last().map(&key).or(part.after);
                whole.extend(items);
            }
            if is_last {
                return Ok(Page { items: whole, more });
            }
        }
    }

    /// Loads what has these keys, in as many parts as it takes. What a key stands for has `largest` bytes at most.
    ///
    /// # Errors
    /// Those of `load`, and of [`Self::check`].
    pub fn each<K, T>(
        &self,
        keys: &[K],
        largest: usize,
        mut load: impl FnMut(&[K]) -> Result<(T, usize)>,
        mut keep: impl FnMut(T),
    ) -> Result<()> {
        let mut rest = keys;
        while !rest.is_empty() {
            self.check()?;
            let (some, others) = rest.split_at(self.rows(rest.len(), largest).min(KEYS));
            let (found, bytes) = load(some)?;
            self.load(bytes)?;
            keep(found);
            rest = others;
        }
        Ok(())
    }

    /// How many bytes the response may have.
    #[must_use]
    pub fn room(&self) -> usize {
        self.batch.limit.saturating_sub(self.batch.made.load(Ordering::Relaxed))
    }

    /// About how many it will have.
    #[must_use]
    pub fn expected(&self) -> usize {
        let shown = self.shown.load(Ordering::Relaxed);
        shown + shown / 8 + (1 << 10)
    }

    /// The response would be too large.
    #[must_use]
    pub fn over(&self) -> Error {
        let limit = self.batch.limit;
        let what = "the response, or what it is made of, would be larger than";
        Error::TooComplex(format!("{what} {limit} bytes: ask for shorter lists or fewer texts"))
    }

    /// The response is made: memory is held for it alone from now on, until it is dropped.
    #[must_use]
    pub fn made(&self, text: String) -> Text {
        self.batch.made.fetch_add(text.len(), Ordering::Relaxed);
        let mut lease = self.lease();
        self.leased.store(0, Ordering::Relaxed);
        if text.capacity() <= SMALL {
            lease.shrink_to(0);
            return text.into();
        }
        let rest = lease.split_off();
        drop(lease);
        let mut lease = rest;
        lease.set(text.capacity());
        Text(Arc::new(Held { text, leases: vec![lease] }))
    }

    /// Takes back what was counted: the operation is executed once more.
    pub fn start_over(&self) {
        self.batch.loaded.fetch_sub(self.loaded.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        self.batch.shown.fetch_sub(self.shown.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Starts over, and waits until there is memory to try again; whether there is.
    pub async fn wait(&self) -> bool {
        let needed = self.needed();
        self.start_over();
        // Most of what was needed was not counted yet.
        let most = (1 + COPIES) * self.batch.limit;
        let mut lease = self.lease().split_off();
        let is_there = lease.renew((4 * needed).max(STEP).min(most), PATIENCE).await;
        self.leased.store(lease.bytes(), Ordering::Relaxed);
        *self.lease() = lease;
        self.is_short.store(!is_there, Ordering::Relaxed);
        is_there
    }

    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There is no memory for a response now.
pub fn busy() -> Error {
    Error::Unavailable("the server has no memory left for large responses; try again".into())
}

/// A response, or an item of one, with the memory that is borrowed for it. Clones share it.
#[derive(Debug, Clone)]
pub struct Text(Arc<Held>);

#[derive(Debug)]
struct Held {
    text: String,
    /// Held as long as the text is.
    leases: Vec<Lease>,
}

impl Text {
    /// The responses of a batch as one.
    #[must_use]
    pub fn list(texts: Vec<Self>) -> Self {
        let mut all = String::with_capacity(2 + texts.iter().map(|text| text.len() + 1).sum::<usize>());
        let mut leases = Vec::new();
        for text in texts {
            all.push(if all.is_empty() { '[' } else { ',' });
            all.push_str(&text);
            leases.extend(text.into_leases());
        }
        all.push(']');
        Self(Arc::new(Held { text: all, leases }))
    }

    /// The memory that is borrowed for it, for what takes its place; nothing if others still have it.
    #[must_use]
    pub fn into_leases(self) -> Vec<Lease> {
        Arc::try_unwrap(self.0).map(|held| held.leases).unwrap_or_default()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Arc::new(Held { text, leases: Vec::new() }))
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.text
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.text.as_bytes()
    }
}

/// How many bytes JSON writes for a text, its quotes included.
#[must_use]
pub fn json_len(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..0x20 => 5,
        _ => 0,
    };
    text.len() + 2 + text.bytes().map(escaped).sum::<usize>()
}
