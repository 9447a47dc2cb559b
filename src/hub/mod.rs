//! The hub: hands the events of the log, as they become known, to whoever follows their topic.
//!
//! A reader has no queue. It has a position, and looks at the ring of its topic for what is above
//! it; if that is no longer there it is told so ([`Next::Lagged`]) and reads the log. The hub knows
//! nothing of databases, rights or GraphQL. The tail is the only one to publish.

mod live;
mod ring;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use tokio::sync::{mpsc, oneshot};

pub use live::LiveEvent;
pub use ring::{Next, Receiver};

use crate::error::{Error, Result};
use crate::model::{Cursor, Event, KindSet, LoggedEvent, Seq, Topic};
use crate::vitals::Vitals;
use ring::Ring;

/// How many events are kept in memory at most: the window that returning readers are served from.
pub const WINDOW: usize = 8192;
/// How many bytes they may take.
const WINDOW_BYTES: usize = 16 << 20;
/// How many requests may wait for the hub.
const INBOX: usize = 1024;
/// After so many events the rings of all topics are trimmed and those without readers dropped.
const SWEEP: usize = 1024;
/// So many readers are woken at once.
const PORTION: usize = 64;

/// What the hub's task and its readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    head: Mutex<Cursor>,
    last_rewrite: AtomicI64,
    /// The window's floor: events below it no longer follow later edits and deletions.
    window_floor: AtomicI64,
    /// How often the log turned out to be another history. Numbers of two eras cannot be compared.
    era: AtomicU64,
}

/// When something was read from the database: in which history of the log, and where it stood.
#[derive(Debug, Clone, Copy)]
pub struct ReadAt {
    /// [`Hub::era`], asked for before reading.
    pub era: u64,
    /// The head of the log.
    pub seq: Seq,
}

impl Shared {
    fn is_in_window(&self, seq: Seq) -> bool {
        seq.0 > self.window_floor.load(Ordering::Acquire)
    }

    fn head(&self) -> Cursor {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle to the hub's task; the task ends when the last handle is gone.
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
    /// Starts the hub's task; its readers have seen everything up to `head`.
    #[must_use]
    pub fn start(head: Cursor, vitals: &Vitals) -> Self {
        let (last_rewrite, window_floor) = (AtomicI64::new(head.seq.0), AtomicI64::new(head.seq.0));
        let shared = Arc::new(Shared { head: Mutex::new(head), last_rewrite, window_floor, era: AtomicU64::new(0) });
        let (inbox, requests) = mpsc::channel(INBOX);
        let desk = Desk::new(Arc::clone(&shared), head);
        drop(vitals.spawn("the hub", desk.work(requests)));
        Self { inbox, shared }
    }

    /// Follows a topic, waking for these kinds: every event of it above the answered position will
    /// come, in order, or [`Next::Lagged`].
    ///
    /// # Errors
    /// `UNAVAILABLE` while stopping.
    pub async fn subscribe(&self, topic: Topic, kinds: KindSet) -> Result<(Receiver, Cursor)> {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(Request::Subscribe(topic, kinds, answer)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())
    }

    /// Whether this is a position in the window: then it needs no look at the log.
    ///
    /// # Errors
    /// `UNAVAILABLE` while stopping.
    pub async fn knows(&self, cursor: Cursor) -> Result<bool> {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(Request::Knows(cursor, answer)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())
    }

    /// Publishes what follows the last published position, up to `head`.
    pub async fn publish(&self, events: Vec<LoggedEvent>, head: Cursor) {
        drop(self.inbox.send(Request::Publish(events, head)).await);
    }

    /// Forgets the window: the log is another one than it was, or cannot be continued. Every
    /// reader lags, and the log decides about its cursor. Done when it returns: [`Self::head`] is of the new history.
    pub async fn reset(&self, head: Cursor) {
        let (done, is_done) = oneshot::channel();
        drop(self.inbox.send(Request::Reset(head, done)).await);
        drop(is_done.await);
    }

    /// Counts the histories of the log that this hub has seen. What is kept under ids or numbers of the log is void when
    /// this has moved: another history gives them again.
    #[must_use]
    pub fn era(&self) -> u64 {
        self.shared.era.load(Ordering::Acquire)
    }

    /// Up to where everything has been published.
    #[must_use]
    pub fn head(&self) -> Cursor {
        self.shared.head()
    }

    /// Events below are no longer in memory.
    #[must_use]
    pub fn floor(&self) -> Seq {
        Seq(self.shared.window_floor.load(Ordering::Acquire))
    }

    /// Whether an object was edited or deleted since, or the log is another one: what was read from the database
    /// then may show it as it no longer is.
    #[must_use]
    pub fn rewritten_since(&self, read: ReadAt) -> bool {
        // In this order: a reset moves the era first.
        self.shared.last_rewrite.load(Ordering::Acquire) > read.seq.0 || self.era() != read.era
    }
}

fn stopping() -> Error {
    Error::Unavailable("the server is stopping; try again".into())
}

/// The hub's side of the desk: owns every ring.
struct Desk {
    shared: Arc<Shared>,
    rings: HashMap<Topic, Arc<Ring>>,
    /// The ring of everything: the window that the others are cut from.
    window: Arc<Ring>,
    bytes: usize,
    since_sweep: usize,
    /// Of those who are to be woken.
    wakers: VecDeque<Waker>,
}

impl Desk {
    fn new(shared: Arc<Shared>, head: Cursor) -> Self {
        let window = Arc::new(Ring::new(head.seq, Vec::new()));
        let rings = HashMap::from([(Topic::Everything, Arc::clone(&window))]);
        Self { shared, rings, window, bytes: 0, since_sweep: 0, wakers: VecDeque::new() }
    }

    async fn work(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = requests.recv().await {
            self.serve(request);
            // Thousands who are woken at once would stand before everybody else who wants something of this process, the
            // next changes among them. In portions, those get in between, and come to whoever is still to be woken
            // together with what woke them: one look, one write.
            while self.wake_some() {
                tokio::task::yield_now().await;
                while let Ok(request) = requests.try_recv() {
                    self.serve(request);
                }
            }
        }
    }

    fn serve(&mut self, request: Request) {
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

    /// Wakes a portion of those whose wakers were taken; whether there was anybody.
    fn wake_some(&mut self) -> bool {
        let some = self.wakers.len().min(PORTION);
        self.wakers.drain(..some).for_each(Waker::wake);
        some > 0
    }

    fn subscribe(&mut self, topic: Topic, kinds: KindSet) -> Receiver {
        let window = &self.window;
        let ring = self.rings.entry(topic).or_insert_with(|| {
            let (floor, events) = window.copy(|event| topic.has(event));
            Arc::new(Ring::new(floor, events))
        });
        Receiver::new(Arc::clone(ring), Arc::clone(&self.shared), kinds)
    }

    fn knows(&self, cursor: Cursor) -> bool {
        cursor == self.shared.head() || self.window.holds(cursor)
    }

    fn publish(&mut self, events: Vec<LoggedEvent>, head: Cursor) {
        self.since_sweep += events.len();
        let mut touched: Vec<Arc<Ring>> = Vec::new();
        let mut kinds = Vec::with_capacity(events.len());
        for logged in events {
            let event = Arc::new(LiveEvent::new(logged));
            self.rewrite_older(&event);
            self.bytes += event.weight();
            kinds.push(event.kind);
            for ring in self.rings_of(&event) {
                ring.push(Arc::clone(&event));
                if !touched.iter().any(|known| Arc::ptr_eq(known, &ring)) {
                    touched.push(ring);
                }
            }
        }
        // The head moves only after everything up to it is in the rings: a reader that looks at the
        // head first and finds its ring empty has really seen everything.
        *self.shared.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
        let kinds = KindSet::of(&kinds);
        for ring in touched {
            ring.take_wakers(kinds, &mut self.wakers);
        }
        self.trim();
    }

    fn rings_of(&self, event: &Event) -> Vec<Arc<Ring>> {
        let mut found: Vec<_> = Topic::of(event).filter_map(|topic| self.rings.get(&topic).cloned()).collect();
        if event.is_wide() {
            let wide = self.rings.iter().filter(|(topic, _)| topic.has_unnamed(event));
            found.extend(wide.map(|(_, ring)| Arc::clone(ring)));
        }
        found
    }

    /// Live events show their object as it is now, as replayed ones do: what is no longer true is
    /// not delivered to a slow reader after others were told.
    fn rewrite_older(&self, event: &LiveEvent) {
        if !event.kind.rewrites() {
            return;
        }
        self.window.each(|older| older.rewritten_by(event));
        self.shared.last_rewrite.store(event.cursor.seq.0, Ordering::Release);
    }

    fn trim(&mut self) {
        while self.window.len() > WINDOW || (self.bytes > WINDOW_BYTES && self.window.len() > 1) {
            self.bytes -= self.window.pop().map_or(0, |event| event.weight());
        }
        // The rings of the topics are trimmed later; until then nothing below is given out.
        self.shared.window_floor.store(self.window.floor().0, Ordering::Release);
        if self.since_sweep >= SWEEP {
            self.since_sweep = 0;
            let floor = self.window.floor();
            self.rings.retain(|topic, ring| *topic == Topic::Everything || Arc::strong_count(ring) > 1);
            self.rings.values().for_each(|ring| ring.trim(floor));
        }
    }

    fn reset(&mut self, head: Cursor) {
        self.shared.era.fetch_add(1, Ordering::AcqRel);
        let mut fresh = Self::new(Arc::clone(&self.shared), head);
        // Some may still be to be woken.
        fresh.wakers = std::mem::take(&mut self.wakers);
        for ring in std::mem::replace(self, fresh).rings.values() {
            ring.close();
            ring.take_wakers(KindSet::all(), &mut self.wakers);
        }
        // Only now: a reader that sees the new head must find its ring closed, or it would take itself for served up to there.
        *self.shared.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
        // The new history may be shorter, and its edits have numbers below those of the lost ones.
        self.shared.last_rewrite.store(head.seq.0, Ordering::Release);
        self.shared.window_floor.store(head.seq.0, Ordering::Release);
    }
}
