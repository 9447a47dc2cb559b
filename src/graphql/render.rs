//! Items are rendered once for all who read them: who may see an event was decided from its
//! metadata, and what it looks like depends on the event and the selection alone.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::task::AbortHandle;

use super::allowance::Text;
use super::context::Delivery;
use super::engine::{Engine, Live};
use super::execute::{Rendered, render};
use super::reader_gate::ReaderGate;
use crate::board::Board;
use crate::error::{Error, Result};
use crate::hub::ReadAt;
use crate::model::{Cursor, PresenceChange};

/// How many bytes of renderings are kept.
const KEPT_BYTES: usize = 8 << 20;
/// What an entry takes beside its bytes.
const ENTRY_BYTES: usize = 200;
/// How long what was read from the database is good: until then an edit would be noticed, but
/// not, say, a new display name.
const FRESH: Duration = Duration::from_secs(1);
/// How long an item waits before it is rendered again because the database was away.
const PAUSE: Duration = Duration::from_millis(300);
/// How often an item is rendered that takes longer than an operation may, in case only the database is slow now.
const SLOW_TRIES: usize = 3;

/// What a rendering shows: the event and the state of its object, in a selection.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    shown: Shown,
    selection: [u8; 16],
    signed_in: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Shown {
    /// An event, and the event that last touched its object; deletions have none. With their tags: after a
    /// restore the same place in the log is another event.
    Event(Cursor, Option<Cursor>),
    /// A metric's name, value and time.
    Metric(String, u64, i64),
    Presence(PresenceChange),
}

#[derive(Clone)]
enum Entry {
    /// Nothing but the event was needed.
    Plain(Option<Text>),
    /// Being rendered, or rendered, with the database as it was then.
    Loaded(Loading, Instant, ReadAt),
}

/// A rendering that several readers share. It ends when the last of them leaves.
#[derive(Clone)]
struct Loading {
    result: Shared<BoxFuture<'static, Loaded>>,
    task: Weak<Task>,
}

/// The task that renders.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Loading {
    /// The result; `None` if it is not there and the last reader that waited for it has left.
    fn join(&self) -> Option<impl Future<Output = Loaded> + Send + use<>> {
        let task = self.task.upgrade();
        let result = self.result.clone();
        if task.is_none() && result.peek().is_none() {
            return None;
        }
        Some(async move {
            let loaded = result.await;
            drop(task);
            loaded
        })
    }
}

#[derive(Clone)]
struct Loaded {
    body: Option<Text>,
    is_personal: bool,
}

/// The renderings of late, bounded in bytes.
#[derive(Default)]
pub struct Renderings(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// With what each weighs, in bytes.
    entries: HashMap<Key, (Entry, usize)>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl Renderings {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &Key) -> Option<Entry> {
        self.table().entries.get(key).map(|(entry, _)| entry.clone())
    }
}

impl Table {
    fn keep(&mut self, key: Key, entry: Entry) {
        let weight = ENTRY_BYTES
            + match &entry {
                Entry::Plain(body) => body.as_ref().map_or(0, |body| body.len()),
                // Not known yet: what was loaded is told when it has been.
                Entry::Loaded(..) => ENTRY_BYTES,
            };
        match self.entries.insert(key.clone(), (entry, weight)) {
            Some((_, before)) => self.bytes -= before,
            None => self.order.push_back(key),
        }
        self.bytes += weight;
        self.shrink();
    }

    /// What is kept under this key has become as large as this.
    fn loaded(&mut self, key: &Key, bytes: usize) {
        let Some((_, weight)) = self.entries.get_mut(key) else { return };
        *weight += bytes;
        self.bytes += bytes;
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.bytes > KEPT_BYTES
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.entries.remove(&oldest).map_or(0, |(_, weight)| weight);
        }
    }
}

/// An item that was asked for.
pub enum Rendering {
    /// Its response; `None` if there is nothing to show.
    Ready(Option<Text>),
    /// It needs the database.
    Waiting(BoxFuture<'static, Option<Text>>),
}

impl Engine {
    /// Renders an item of a subscription.
    pub fn render(self: &Arc<Self>, live: &Arc<Live>, delivery: Delivery) -> Rendering {
        let operation = &live.prepared.operation;
        let Some(shown) = shown(&delivery) else {
            // A checkpoint carries the time it was sent, so it is not shared. Its fields need no database.
            self.counts.rendered.count();
            let subject = (&live.prepared, &live.caller);
            return Rendering::Ready(
                render(&self.board, subject, delivery, (ReaderGate::closed(), self.limits.response)).body,
            );
        };
        if operation.is_personal.load(Ordering::Relaxed) {
            self.counts.rendered.count();
            return self.render_alone(live, delivery);
        }
        let signed_in = live.caller.viewer.user_id().is_some();
        let key = Key { shown, selection: live.selection, signed_in };
        match self.renderings.get(&key) {
            Some(Entry::Plain(body)) => {
                self.counts.shared.count();
                return Rendering::Ready(body);
            }
            Some(Entry::Loaded(loading, since, read_at))
                if since.elapsed() < FRESH
                    && !self.board.rewritten_since(read_at)
                    && let Some(loaded) = loading.join() =>
            {
                self.counts.shared.count();
                return self.share(loaded, live, delivery);
            }
            Some(Entry::Loaded(..)) | None => self.counts.rendered.count(),
        }
        if !operation.needs_database.load(Ordering::Relaxed) {
            let subject = (&live.prepared, &live.caller);
            let rendered = render(&self.board, subject, delivery.clone(), (ReaderGate::closed(), self.limits.response));
            if rendered.used_database {
                operation.needs_database.store(true, Ordering::Relaxed);
            } else if rendered.is_short {
                // It waits for memory elsewhere.
            } else if rendered.is_personal {
                operation.is_personal.store(true, Ordering::Relaxed);
                return Rendering::Ready(rendered.body);
            } else {
                self.renderings.table().keep(key, Entry::Plain(rendered.body.clone()));
                return Rendering::Ready(rendered.body);
            }
        }
        self.load_shared(key, live, delivery)
    }

    /// Renders for all readers who want the same, and keeps it for those who come soon.
    fn load_shared(self: &Arc<Self>, key: Key, live: &Arc<Live>, delivery: Delivery) -> Rendering {
        let read_at = self.board.read_at();
        let (engine, kept) = (Arc::downgrade(self), key.clone());
        let rendering = self.load(live, delivery.clone(), true);
        // It must be kept before it says how large it has become.
        let mut table = self.renderings.table();
        let rendering = tokio::spawn(async move {
            let loaded = rendering.await;
            if let Some(engine) = engine.upgrade() {
                engine.renderings.table().loaded(&kept, loaded.body.as_ref().map_or(0, |body| body.len()));
            }
            loaded
        });
        let task = Arc::new(Task(rendering.abort_handle()));
        // A panic was logged. An aborted task has no reader left.
        let result =
            rendering.map(|result| result.unwrap_or(Loaded { body: None, is_personal: false })).boxed().shared();
        let loading = Loading { result, task: Arc::downgrade(&task) };
        table.keep(key, Entry::Loaded(loading.clone(), Instant::now(), read_at));
        drop(table);
        let result = loading.result;
        let loaded = async move {
            let loaded = result.await;
            drop(task);
            loaded
        };
        self.share(loaded, live, delivery)
    }

    /// Waits for a shared rendering. If it turns out to be for one reader alone, renders anew.
    fn share(
        self: &Arc<Self>,
        loaded: impl Future<Output = Loaded> + Send + 'static,
        live: &Arc<Live>,
        delivery: Delivery,
    ) -> Rendering {
        let (engine, live) = (Arc::clone(self), Arc::clone(live));
        Rendering::Waiting(
            async move {
                let loaded = loaded.await;
                if loaded.is_personal { engine.load(&live, delivery, false).await.body } else { loaded.body }
            }
            .boxed(),
        )
    }

    fn render_alone(self: &Arc<Self>, live: &Arc<Live>, delivery: Delivery) -> Rendering {
        let loading = self.load(live, delivery, false);
        Rendering::Waiting(async move { loading.await.body }.boxed())
    }

    /// Renders on a thread that may block, for as long as it is polled. An item is not lost because the database is away
    /// for a while: it waits.
    fn load(&self, live: &Arc<Live>, delivery: Delivery, is_shared: bool) -> BoxFuture<'static, Loaded> {
        let (board, live, limit) = (Arc::clone(&self.board), Arc::clone(live), self.limits.response);
        async move {
            let mut slow = 0;
            loop {
                match render_blocking(&board, &live, delivery.clone(), limit).await {
                    // Other readers must not wait for the memory that this one has used up: each renders it anew.
                    Ok(Rendered { is_short: true, .. }) if is_shared => {
                        return Loaded { body: None, is_personal: true };
                    }
                    Ok(Rendered { is_unavailable: true, .. } | Rendered { is_short: true, .. })
                    | Err(Error::Unavailable(_)) => {}
                    Ok(Rendered { is_over_time: true, .. }) if slow + 1 < SLOW_TRIES => slow += 1,
                    Ok(Rendered { body, is_personal, .. }) => return Loaded { body, is_personal },
                    Err(_) => return Loaded { body: None, is_personal: false },
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        .boxed()
    }
}

async fn render_blocking(board: &Arc<Board>, live: &Arc<Live>, delivery: Delivery, limit: usize) -> Result<Rendered> {
    let party = live.viewer().party().rendering();
    let (reading, live) = (Arc::clone(board), Arc::clone(live));
    let render = move || {
        let subject = (&live.prepared, &live.caller);
        let rendered = render(&reading, subject, delivery, (ReaderGate::open(), limit));
        if rendered.is_personal {
            live.prepared.operation.is_personal.store(true, Ordering::Relaxed);
        }
        rendered
    };
    board.store().on_reader(party, render).await
}

fn shown(delivery: &Delivery) -> Option<Shown> {
    Some(match delivery {
        Delivery::Event(event) => {
            let revision = event.body().and_then(|body| body.revision());
            Shown::Event(event.cursor, revision)
        }
        Delivery::Metric(metric) => Shown::Metric(metric.name.clone(), metric.value.to_bits(), metric.updated_at.0),
        Delivery::Presence(change) => Shown::Presence(*change),
        Delivery::Checkpoint(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Seq, Tag};

    #[test]
    fn what_was_loaded_weighs_as_much_as_it_is() {
        let renderings = Renderings::default();
        for number in 0..1_000 {
            let shown = Shown::Event(Cursor { seq: Seq(number), tag: Tag(0) }, None);
            let key = Key { shown, selection: [0; 16], signed_in: false };
            let loading = Loading { result: std::future::pending().boxed().shared(), task: Weak::new() };
            let mut table = renderings.table();
            table.keep(key.clone(), Entry::Loaded(loading, Instant::now(), ReadAt { era: 0, seq: Seq(0) }));
            table.loaded(&key, 1 << 20);
            assert!(table.bytes <= KEPT_BYTES && table.entries.len() <= KEPT_BYTES >> 20, "{}", table.entries.len());
            assert_eq!(table.entries.len(), table.order.len());
        }
        assert!(!renderings.table().entries.is_empty());
    }
}
