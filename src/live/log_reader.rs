//! Reads the log for one subscription. The reader subscribes to the hub, reads the log from its cursor up to the position
//! of the hub, and goes on live. When it lags behind the hub it does the same again. Resuming, lagging and a restart are
//! this one loop.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::BoxFuture;

use super::Update;
use crate::board::{PresenceGuard, Viewer};
use crate::error::{Error, Result};
use crate::hub::{Hub, LiveEvent, Next, ReadAt, Receiver};
use crate::model::{
    Cursor, EventKind, Freshness, KindSet, LoggedEvent, MemoryBudget, MemoryLease, MessageId, Topic, TypeFilter,
};
use crate::store::{LogPage, Store, log, log_pages};

/// How long a reader waits at most before it reads the log again after the database did not answer.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// The kinds of events that can end a subscription which is bound to an object. The reader must see them, also if the
/// client does not want them.
const ENDING: KindSet = KindSet::of(&[EventKind::ChannelUpdated, EventKind::ChannelDeleted, EventKind::MessageDeleted]);

/// Which events of a topic a subscription yields.
#[derive(Debug, Clone)]
pub struct EventFilter {
    /// Where the events happen.
    pub topic: Topic,
    /// The kinds that are yielded.
    pub kinds: KindSet,
    /// Yields only application events of these types.
    pub types: Option<TypeFilter>,
    /// Yields only events of tickets.
    pub tickets_only: bool,
    /// Does not yield what the viewer caused.
    pub exclude_own: bool,
}

impl EventFilter {
    /// The kinds that the reader must look at.
    pub fn watched(&self) -> KindSet {
        match self.topic {
            Topic::Channel(_) | Topic::Message(..) => self.kinds.with(ENDING),
            Topic::Everything | Topic::User(_) | Topic::Templates | Topic::Notifications(_) => self.kinds,
        }
    }

    fn yields(&self, event: &LiveEvent, viewer: &Viewer) -> bool {
        self.kinds.contains(event.kind)
            && (!self.tickets_only || event.ticket)
            && self.wants_type(event)
            && !(self.exclude_own && event.actor.is_some() && event.actor == viewer.user_id())
            && !event.is_deleted()
            && viewer.can_see(event)
    }

    fn wants_type(&self, event: &LiveEvent) -> bool {
        let types = self.types.as_ref().zip(event.app_type.as_deref());
        types.is_none_or(|(types, app_type)| types.matches(app_type))
    }

    /// Whether the event deletes the object that the subscription is bound to.
    fn ends_with(&self, event: &LiveEvent) -> bool {
        match self.topic {
            Topic::Channel(_) => event.kind == EventKind::ChannelDeleted,
            Topic::Message(_, message) => {
                event.kind == EventKind::ChannelDeleted
                    || (event.kind == EventKind::MessageDeleted && MessageId(event.object) == message)
            }
            Topic::Everything | Topic::User(_) | Topic::Templates | Topic::Notifications(_) => false,
        }
    }

    fn is_permitted(&self, viewer: &Viewer) -> bool {
        match self.topic {
            Topic::Channel(channel) | Topic::Message(channel, _) => viewer.can_read(channel),
            Topic::User(user) => viewer.user_id() == Some(user),
            Topic::Notifications(user) => viewer.user_id() == user && viewer.rights().is_ok(),
            Topic::Templates => viewer.user_state().is_ok(),
            Topic::Everything => viewer.rights().is_ok(),
        }
    }
}

/// Reads the log for one subscription.
///
/// The stream yields [`Update::Event`] for each event that the viewer may see, in log order, and [`Update::CaughtUp`] when
/// the reader is live. It ends when the object that the subscription is bound to is deleted, and after an error.
pub struct LogReader {
    store: Arc<Store>,
    hub: Hub,
    /// The budget that holds pages of the log until they are yielded.
    memory: Arc<MemoryBudget>,
    viewer: Viewer,
    filter: EventFilter,
    position: Cursor,
    source: ReadSource,
    state: ReaderState,
    /// A user who follows a channel is present in it.
    _presence: Option<PresenceGuard>,
}

/// How far the stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReaderState {
    Open,
    /// The last event was yielded. The next item is the end of the stream.
    Ending,
    Ended,
}

enum ReadSource {
    /// Follows the hub. The flag tells whether the reader has yielded that it is live.
    Live(Receiver, bool),
    /// Reads a page of the log. The receiver takes over at the end of it.
    Reading(BoxFuture<'static, Result<Box<PendingPage>>>),
    /// Yields the page that was read. Boxed, because most readers are live, and have none.
    Page(Box<PendingPage>),
}

/// A page of the log, and where to go on behind it.
struct PendingPage {
    receiver: Receiver,
    events: VecDeque<Arc<LiveEvent>>,
    /// The position behind the page.
    end: Cursor,
    /// When the page was read: an edit or a deletion since then makes it outdated.
    read_at: ReadAt,
    _lease: MemoryLease,
}

impl LogReader {
    /// A reader behind `position`, which was checked. `receiver` was subscribed before that.
    pub(super) fn new(
        (store, hub, memory): (Arc<Store>, Hub, Arc<MemoryBudget>),
        viewer: Viewer,
        filter: EventFilter,
        position: Cursor,
        receiver: Receiver,
        presence: Option<PresenceGuard>,
    ) -> Self {
        let source = ReadSource::Live(receiver, false);
        Self { store, hub, memory, viewer, filter, position, source, state: ReaderState::Open, _presence: presence }
    }

    /// The position up to which every event was yielded.
    pub fn served(&mut self) -> Cursor {
        if let ReadSource::Live(receiver, _) = &self.source
            && let Some(head) = receiver.served(self.position.seq)
            && head.seq > self.position.seq
        {
            self.position = head;
        }
        self.position
    }

    /// The last position that the reader moved past. There may be nothing to yield up to a later one.
    #[must_use]
    pub fn position(&self) -> Cursor {
        self.position
    }

    /// Checks again whether the viewer may follow this. If not, the stream has ended.
    ///
    /// # Errors
    /// `FORBIDDEN` if the viewer may not.
    pub fn recheck(&mut self) -> Result<()> {
        if self.filter.is_permitted(&self.viewer) {
            return Ok(());
        }
        self.state = ReaderState::Ended;
        Err(forbidden())
    }

    /// Moves past an event. Returns it if the subscription yields it.
    fn pass(&mut self, event: Arc<LiveEvent>) -> Option<Result<Update>> {
        self.position = event.cursor;
        if self.filter.ends_with(&event) {
            self.state = ReaderState::Ending;
        }
        if self.filter.yields(&event, &self.viewer) {
            return Some(Ok(Update::Event(event)));
        }
        if self.filter.is_permitted(&self.viewer) { None } else { Some(Err(forbidden())) }
    }

    fn go_live(&mut self) {
        let placeholder = ReadSource::Reading(Box::pin(std::future::pending()));
        if let ReadSource::Page(page) = std::mem::replace(&mut self.source, placeholder) {
            self.position = page.end;
            self.source = ReadSource::Live(page.receiver, false);
        }
    }

    fn read(&self, delay: Duration) -> ReadSource {
        let (store, hub) = (Arc::clone(&self.store), self.hub.clone());
        let (kinds, topic) = (self.filter.watched(), self.filter.topic);
        let (position, party) = (self.position, self.viewer.party());
        let mut lease = self.memory.lease(party);
        ReadSource::Reading(Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            // Until there is memory for a page, a reader that lags costs only its cursor.
            lease.wait_for(log_pages::PAGE_BYTES).await;
            let era = hub.era();
            let (receiver, head) = hub.subscribe(topic, kinds).await?;
            // Not further than the hub: permissions are those at its head, and must not be older than the events.
            let page = store
                .read_for(Freshness::Known, party, move |snapshot| {
                    // The database is on another history than the hub. The tailer is about to notice, and the
                    // permissions in memory are of the lost history.
                    if !log::holds(snapshot.db(), head)? {
                        return Err(Error::Unavailable("the log is being read anew; try again".into()));
                    }
                    log_pages::page(snapshot.db(), topic, kinds, position, head.seq)
                })
                .await?;
            lease.set(page.weight());
            let LogPage { events, end, head, .. } = page;
            let events = events.into_iter().map(|logged: LoggedEvent| Arc::new(LiveEvent::new(logged))).collect();
            Ok(Box::new(PendingPage { receiver, events, end, read_at: ReadAt { era, seq: head.seq }, _lease: lease }))
        }))
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Update>>> {
        while self.state == ReaderState::Open {
            let passed = match &mut self.source {
                ReadSource::Live(receiver, is_announced) => match receiver.poll_next(self.position.seq, context) {
                    Poll::Ready(Next::Event(event)) => self.pass(event),
                    Poll::Ready(Next::Lagged) => {
                        self.source = self.read(Duration::ZERO);
                        None
                    }
                    Poll::Pending if *is_announced => return Poll::Pending,
                    Poll::Pending => {
                        *is_announced = true;
                        Some(Ok(Update::CaughtUp(self.served())))
                    }
                },
                ReadSource::Reading(reading) => match ready!(reading.as_mut().poll(context)) {
                    Ok(page) => {
                        self.source = ReadSource::Page(page);
                        None
                    }
                    // The database does not answer, or too many readers wait for it. The log will still be there.
                    Err(Error::Unavailable(_)) => {
                        self.source = self.read(RETRY_DELAY.mul_f64(rand::random_range(0.5..1.0)));
                        None
                    }
                    Err(error) => Some(Err(error)),
                },
                ReadSource::Page(page) if !page.events.is_empty() && self.hub.rewritten_since(page.read_at) => {
                    // An object may have been edited or deleted since: the text of the page must not be shown.
                    self.source = self.read(Duration::ZERO);
                    None
                }
                ReadSource::Page(page) => match page.events.pop_front() {
                    Some(event) => self.pass(event),
                    None => {
                        self.go_live();
                        None
                    }
                },
            };
            if let Some(update) = passed {
                if update.is_err() {
                    self.state = ReaderState::Ended;
                }
                return Poll::Ready(Some(update));
            }
        }
        self.state = ReaderState::Ended;
        Poll::Ready(None)
    }
}

impl Stream for LogReader {
    type Item = Result<Update>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Update>>> {
        self.poll_open(context)
    }
}

fn forbidden() -> Error {
    Error::Forbidden("you may no longer see this".into())
}
