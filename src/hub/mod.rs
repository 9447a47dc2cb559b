//! The hub: keeps the newest events of the log in memory and delivers them to the subscribers of each topic.
//!
//! A subscriber has no queue. It has a position, and reads the events above that position from the buffer of its topic.
//! If the buffer no longer holds the next event, the subscriber gets [`Next::Lagged`] and reads the log instead. The
//! hub does not know databases, permissions or GraphQL. Only the log tailer (`src/board/log_tailer.rs`) publishes to it.

mod live_event;
mod shared;
mod sync;
#[cfg(test)]
mod tests;
mod topic_buffer;
mod window;

use tokio::sync::{mpsc, oneshot};

pub use live_event::LiveEvent;
pub use shared::ReadAt;
pub use topic_buffer::{Next, Receiver};

use crate::error::{Error, Result};
use crate::model::{Cursor, KindSet, LoggedEvent, Seq, Topic};
use crate::supervisor::Supervisor;
use shared::Shared;
use sync::Arc;
use window::{Window, WindowLimits};

/// The maximum number of events in memory. Subscribers whose position is among them resume without the database.
pub const WINDOW: usize = 8192;
/// The maximum memory of the events that the hub holds, in bytes.
const WINDOW_BYTES: usize = 16 << 20;
/// The maximum number of requests that wait for the hub's task.
const REQUEST_QUEUE: usize = 1024;
/// The number of subscribers that are woken before other tasks get to run.
const WAKE_BATCH: usize = 64;

/// A handle to the hub's task. The task ends when the last handle is dropped.
#[derive(Clone)]
pub struct Hub {
    inbox: mpsc::Sender<HubRequest>,
    shared: Arc<Shared>,
}

enum HubRequest {
    Subscribe(Topic, KindSet, oneshot::Sender<(Receiver, Cursor)>),
    Knows(Cursor, oneshot::Sender<bool>),
    Publish(Vec<LoggedEvent>, Cursor),
    Reset(Cursor, oneshot::Sender<()>),
}

impl Hub {
    /// Starts the hub's task. `head` is the position of the newest event in the log; later events are published.
    #[must_use]
    pub fn start(head: Cursor, vitals: &Supervisor) -> Self {
        let shared = Arc::new(Shared::new(head));
        let (inbox, requests) = mpsc::channel(REQUEST_QUEUE);
        let limits = WindowLimits { events: WINDOW, bytes: WINDOW_BYTES };
        let window = Window::new(Arc::clone(&shared), head, limits);
        let task = HubTask { shared: Arc::clone(&shared), window };
        drop(vitals.spawn("the hub", task.run(requests)));
        Self { inbox, shared }
    }

    /// Subscribes to a topic, and wakes the subscriber for events of these kinds. The receiver yields every event of
    /// the topic above the returned position, in order, or [`Next::Lagged`].
    ///
    /// # Errors
    /// `UNAVAILABLE` if the server is stopping.
    pub async fn subscribe(&self, topic: Topic, kinds: KindSet) -> Result<(Receiver, Cursor)> {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(HubRequest::Subscribe(topic, kinds, answer)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())
    }

    /// Whether the cursor is a position in memory. If so, the caller need not check it in the log.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the server is stopping.
    pub async fn knows(&self, cursor: Cursor) -> Result<bool> {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(HubRequest::Knows(cursor, answer)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())
    }

    /// Publishes the events that follow the last published position, up to `head`.
    pub async fn publish(&self, events: Vec<LoggedEvent>, head: Cursor) {
        drop(self.inbox.send(HubRequest::Publish(events, head)).await);
    }

    /// Discards all events in memory, because the log has another history or cannot be continued. Every subscriber gets
    /// [`Next::Lagged`], and the log decides whether its cursor is still valid. When this returns, [`Self::head`] is a
    /// position of the new history.
    pub async fn reset(&self, head: Cursor) {
        let (done, is_done) = oneshot::channel();
        drop(self.inbox.send(HubRequest::Reset(head, done)).await);
        drop(is_done.await);
    }

    /// The number of times that the log was replaced by another history. Another history assigns the same ids and event
    /// numbers again. So a cache whose keys are ids or event numbers must be discarded when this value changes.
    #[must_use]
    pub fn era(&self) -> u64 {
        self.shared.era()
    }

    /// The position up to which all events have been published.
    #[must_use]
    pub fn head(&self) -> Cursor {
        self.shared.head()
    }

    /// The position at or below which events are no longer in memory.
    #[must_use]
    pub fn floor(&self) -> Seq {
        self.shared.window_floor()
    }

    /// Whether an object was edited or deleted after `read`, or the log has another history since. Data from that read
    /// may then be outdated.
    #[must_use]
    pub fn rewritten_since(&self, read: ReadAt) -> bool {
        self.shared.rewritten_since(read)
    }
}

fn stopping() -> Error {
    Error::Unavailable("the server is stopping; try again".into())
}

/// The hub's task. It answers the requests of all handles, one after the other.
struct HubTask {
    shared: Arc<Shared>,
    window: Window,
}

impl HubTask {
    async fn run(mut self, mut requests: mpsc::Receiver<HubRequest>) {
        while let Some(request) = requests.recv().await {
            self.handle(request);
            // Waking thousands of subscribers at once would delay all other tasks, including the next changes. So the
            // hub wakes one batch, yields, and handles new requests before the next batch. Subscribers that were not
            // woken yet then read the older and the newer events in one poll.
            while self.window.wake(WAKE_BATCH) {
                tokio::task::yield_now().await;
                while let Ok(request) = requests.try_recv() {
                    self.handle(request);
                }
            }
        }
    }

    fn handle(&mut self, request: HubRequest) {
        match request {
            HubRequest::Subscribe(topic, kinds, answer) => {
                let receiver = self.window.subscribe(topic, kinds);
                drop(answer.send((receiver, self.shared.head())));
            }
            HubRequest::Knows(cursor, answer) => drop(answer.send(self.window.knows(cursor))),
            HubRequest::Publish(events, head) => self.window.publish(events, head),
            HubRequest::Reset(head, done) => {
                self.window.reset(head);
                let _: Result<(), ()> = done.send(());
            }
        }
    }
}
