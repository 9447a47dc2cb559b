//! The hub: keeps the newest events of the log in memory and delivers them to the subscribers of each topic.
//!
//! A subscriber has no queue. It has a position, and reads the events above that position from the buffer of its topic.
//! If the buffer no longer holds the next event, the subscriber gets [`Next::Lagged`] and reads the log instead. The
//! hub does not know databases, permissions or GraphQL. Only the log tailer (`board/tail.rs`) publishes to it.

mod live_event;
mod shared;
mod topic_buffer;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use tokio::sync::{mpsc, oneshot};

pub use live_event::LiveEvent;
pub use topic_buffer::{Next, Receiver};

use crate::error::{Error, Result};
use crate::model::{Cursor, Event, KindSet, LoggedEvent, Seq, Topic};
use crate::supervisor::Supervisor;
use shared::Shared;
use topic_buffer::TopicBuffer;

/// The maximum number of events in memory. Subscribers whose position is among them resume without the database.
pub const WINDOW: usize = 8192;
/// The maximum memory of the events that the hub holds, in bytes.
const WINDOW_BYTES: usize = 16 << 20;
/// The maximum number of requests that wait for the hub's task.
const REQUEST_QUEUE: usize = 1024;
/// Number of published events after which all topic buffers are trimmed and unused ones are removed.
const SWEEP_INTERVAL: usize = 1024;
/// The number of subscribers that are woken before other tasks get to run.
const WAKE_BATCH: usize = 64;

/// The state of the log at the moment of a database read.
#[derive(Debug, Clone, Copy)]
pub struct ReadAt {
    /// The value of [`Hub::era`] before the read.
    pub era: u64,
    /// The number of the newest event at the time of the read.
    pub seq: Seq,
}

/// A handle to the hub's task. The task ends when the last handle is dropped.
#[derive(Clone)]
pub struct Hub {
    inbox: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

enum Request {
    Subscribe(Topic, KindSet, oneshot::Sender<(Receiver, Cursor)>),
    Knows(Cursor, oneshot::Sender<bool>),
    Publish(Vec<LoggedEvent>, Cursor),
    Reset(Cursor, oneshot::Sender<()>),
}

impl Hub {
    /// Starts the hub's task. `head` is the position of the newest event in the log; later events are published.
    #[must_use]
    pub fn start(head: Cursor, vitals: &Supervisor) -> Self {
        let (last_rewrite, window_floor) = (AtomicI64::new(head.seq.0), AtomicI64::new(head.seq.0));
        let shared = Arc::new(Shared { head: Mutex::new(head), last_rewrite, window_floor, era: AtomicU64::new(0) });
        let (inbox, requests) = mpsc::channel(REQUEST_QUEUE);
        let actor = HubActor::new(Arc::clone(&shared), head);
        drop(vitals.spawn("the hub", actor.run(requests)));
        Self { inbox, shared }
    }

    /// Subscribes to a topic, and wakes the subscriber for events of these kinds. The receiver yields every event of
    /// the topic above the returned position, in order, or [`Next::Lagged`].
    ///
    /// # Errors
    /// `UNAVAILABLE` if the server is stopping.
    pub async fn subscribe(&self, topic: Topic, kinds: KindSet) -> Result<(Receiver, Cursor)> {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(Request::Subscribe(topic, kinds, answer)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())
    }

    /// Whether the cursor is a position in memory. If so, the caller need not check it in the log.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the server is stopping.
    pub async fn knows(&self, cursor: Cursor) -> Result<bool> {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(Request::Knows(cursor, answer)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())
    }

    /// Publishes the events that follow the last published position, up to `head`.
    pub async fn publish(&self, events: Vec<LoggedEvent>, head: Cursor) {
        drop(self.inbox.send(Request::Publish(events, head)).await);
    }

    /// Discards all events in memory, because the log has another history or cannot be continued. Every subscriber gets
    /// [`Next::Lagged`], and the log decides whether its cursor is still valid. When this returns, [`Self::head`] is a
    /// position of the new history.
    pub async fn reset(&self, head: Cursor) {
        let (done, is_done) = oneshot::channel();
        drop(self.inbox.send(Request::Reset(head, done)).await);
        drop(is_done.await);
    }

    /// The number of times that the log was replaced by another history. Another history assigns the same ids and event
    /// numbers again. So a cache whose keys are ids or event numbers must be discarded when this value changes.
    #[must_use]
    pub fn era(&self) -> u64 {
        self.shared.era.load(Ordering::Acquire)
    }

    /// The position up to which all events have been published.
    #[must_use]
    pub fn head(&self) -> Cursor {
        self.shared.head()
    }

    /// The position at or below which events are no longer in memory.
    #[must_use]
    pub fn floor(&self) -> Seq {
        Seq(self.shared.window_floor.load(Ordering::Acquire))
    }

    /// Whether an object was edited or deleted after `read`, or the log has another history since. Data from that read
    /// may then be outdated.
    #[must_use]
    pub fn rewritten_since(&self, read: ReadAt) -> bool {
        // The order matters: `reset` changes the era before it changes `last_rewrite`.
        self.shared.last_rewrite.load(Ordering::Acquire) > read.seq.0 || self.era() != read.era
    }
}

fn stopping() -> Error {
    Error::Unavailable("the server is stopping; try again".into())
}

/// The state of the hub's task. It owns the buffers of all topics.
struct HubActor {
    shared: Arc<Shared>,
    buffers: HashMap<Topic, Arc<TopicBuffer>>,
    /// The buffer of [`Topic::Everything`]. A new topic's buffer starts with the matching events of this one.
    window: Arc<TopicBuffer>,
    /// The estimated memory of the events in the window, in bytes.
    bytes: usize,
    /// Events published since the last sweep.
    since_sweep: usize,
    /// Wakers of subscribers that have new events and were not woken yet.
    wakers: VecDeque<Waker>,
}

impl HubActor {
    fn new(shared: Arc<Shared>, head: Cursor) -> Self {
        let window = Arc::new(TopicBuffer::new(head.seq, Vec::new()));
        let buffers = HashMap::from([(Topic::Everything, Arc::clone(&window))]);
        Self { shared, buffers, window, bytes: 0, since_sweep: 0, wakers: VecDeque::new() }
    }

    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = requests.recv().await {
            self.handle(request);
            // Waking thousands of subscribers at once would delay all other tasks, including the next changes. So the
            // hub wakes one batch, yields, and handles new requests before the next batch. Subscribers that were not
            // woken yet then read the older and the newer events in one poll.
            while self.wake_batch() {
                tokio::task::yield_now().await;
                while let Ok(request) = requests.try_recv() {
                    self.handle(request);
                }
            }
        }
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Subscribe(topic, kinds, answer) => {
                let receiver = self.subscribe(topic, kinds);
                drop(answer.send((receiver, self.shared.head())));
            }
            Request::Knows(cursor, answer) => drop(answer.send(self.knows(cursor))),
            Request::Publish(events, head) => self.publish(events, head),
            Request::Reset(head, done) => {
                self.reset(head);
                let _: Result<(), ()> = done.send(());
            }
        }
    }

    /// Wakes the next batch of subscribers. Returns whether there were any.
    fn wake_batch(&mut self) -> bool {
        let count = self.wakers.len().min(WAKE_BATCH);
        self.wakers.drain(..count).for_each(Waker::wake);
        count > 0
    }

    fn subscribe(&mut self, topic: Topic, kinds: KindSet) -> Receiver {
        let window = &self.window;
        let buffer = self.buffers.entry(topic).or_insert_with(|| {
            let (floor, events) = window.copy(|event| topic.has(event));
            Arc::new(TopicBuffer::new(floor, events))
        });
        Receiver::new(Arc::clone(buffer), Arc::clone(&self.shared), kinds)
    }

    fn knows(&self, cursor: Cursor) -> bool {
        cursor == self.shared.head() || self.window.holds(cursor)
    }

    fn publish(&mut self, events: Vec<LoggedEvent>, head: Cursor) {
        self.since_sweep += events.len();
        let mut touched: Vec<Arc<TopicBuffer>> = Vec::new();
        let mut kinds = Vec::with_capacity(events.len());
        for logged in events {
            let event = Arc::new(LiveEvent::new(logged));
            self.update_older_events(&event);
            self.bytes += event.weight();
            kinds.push(event.kind);
            for buffer in self.buffers_of(&event) {
                buffer.push(Arc::clone(&event));
                if !touched.iter().any(|known| Arc::ptr_eq(known, &buffer)) {
                    touched.push(buffer);
                }
            }
        }
        // The head must move last. A subscriber reads the head first and then finds its buffer empty; it may then
        // conclude that it has seen everything up to that head.
        *self.shared.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
        let kinds = KindSet::of(&kinds);
        for buffer in touched {
            buffer.take_wakers(kinds, &mut self.wakers);
        }
        self.trim();
    }

    fn buffers_of(&self, event: &Event) -> Vec<Arc<TopicBuffer>> {
        let mut found: Vec<_> = Topic::of(event).filter_map(|topic| self.buffers.get(&topic).cloned()).collect();
        if event.is_wide() {
            let wide = self.buffers.iter().filter(|(topic, _)| topic.has_unnamed(event));
            found.extend(wide.map(|(_, buffer)| Arc::clone(buffer)));
        }
        found
    }

    /// Applies an edit or a deletion to the older events in the window. So a slow subscriber gets the current object,
    /// as it would from the log, and never text that was already edited or deleted.
    fn update_older_events(&self, event: &LiveEvent) {
        if !event.kind.rewrites() {
            return;
        }
        self.window.for_each(|older| older.apply_later(event));
        self.shared.last_rewrite.store(event.cursor.seq.0, Ordering::Release);
    }

    fn trim(&mut self) {
        while self.window.len() > WINDOW || (self.bytes > WINDOW_BYTES && self.window.len() > 1) {
            self.bytes -= self.window.pop().map_or(0, |event| event.weight());
        }
        // Topic buffers are trimmed only in the sweep below. Until then `window_floor` keeps subscribers from reading
        // events that have left the window.
        self.shared.window_floor.store(self.window.floor().0, Ordering::Release);
        if self.since_sweep >= SWEEP_INTERVAL {
            self.since_sweep = 0;
            let floor = self.window.floor();
            self.buffers.retain(|topic, buffer| *topic == Topic::Everything || Arc::strong_count(buffer) > 1);
            self.buffers.values().for_each(|buffer| buffer.trim(floor));
        }
    }

    fn reset(&mut self, head: Cursor) {
        self.shared.era.fetch_add(1, Ordering::AcqRel);
        let mut fresh = Self::new(Arc::clone(&self.shared), head);
        // Wakers of the last events may not have been called yet.
        fresh.wakers = std::mem::take(&mut self.wakers);
        for buffer in std::mem::replace(self, fresh).buffers.values() {
            buffer.close();
            buffer.take_wakers(KindSet::all(), &mut self.wakers);
        }
        // The head must change after all buffers are closed. Otherwise a subscriber could see the new head with its old
        // buffer, and conclude that it has seen everything up to that head.
        *self.shared.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
        // The new history may be shorter than the old one, so its numbers can be lower. Both positions are set, not
        // raised.
        self.shared.last_rewrite.store(head.seq.0, Ordering::Release);
        self.shared.window_floor.store(head.seq.0, Ordering::Release);
    }
}
