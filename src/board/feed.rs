//! A feed: one subscription's way through the log. It subscribes, reads the log from its cursor up
//! to what the hub has, then goes on live; when it lags it does the same again. Resume, lag and
//! restart are this one loop.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::access::Viewer;
use super::presence::Seated;
use crate::error::{Error, Result};
use crate::hub::{Hub, LiveEvent, Next, ReadAt, Receiver};
use crate::model::{Cursor, EventKind, KindSet, Lease, LoggedEvent, Memory, MessageId, Topic};
use crate::store::{LogPage, Store, log};

/// Which events of a topic somebody wants.
#[derive(Debug, Clone, Copy)]
pub struct Selection {
    /// What is followed.
    pub topic: Topic,
    /// Which kinds are wanted.
    pub kinds: KindSet,
    /// Only events of tickets.
    pub tickets_only: bool,
    /// Not what the viewer did.
    pub exclude_own: bool,
}

/// How long a feed waits at most before it reads the log again that it could not read.
const PAUSE: Duration = Duration::from_millis(500);

/// The kinds after which a bound subscription may have to end, wanted or not.
const BINDING: KindSet =
    KindSet::of(&[EventKind::ChannelUpdated, EventKind::ChannelDeleted, EventKind::MessageDeleted]);

impl Selection {
    fn watched(&self) -> KindSet {
        match self.topic {
            Topic::Channel(_) | Topic::Message(..) => self.kinds.with(BINDING),
            Topic::Everything | Topic::User(_) | Topic::Templates | Topic::Notifications(_) => self.kinds,
        }
    }

    fn wants(&self, event: &LiveEvent, viewer: &Viewer) -> bool {
        self.kinds.contains(event.kind)
            && (!self.tickets_only || event.ticket)
            && !(self.exclude_own && event.actor.is_some() && event.actor == viewer.user_id())
            && !event.is_gone()
            && viewer.sees(event)
    }

    /// Whether the event is the end of what the subscription is bound to.
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

    fn permitted(&self, viewer: &Viewer) -> bool {
        match self.topic {
            Topic::Channel(channel) | Topic::Message(channel, _) => viewer.reads(channel),
            Topic::User(user) => viewer.user_id() == Some(user),
            Topic::Notifications(user) => viewer.user_id() == user && viewer.is_welcome(),
            Topic::Templates => viewer.standing().is_ok(),
            Topic::Everything => viewer.is_welcome(),
        }
    }
}

/// What a feed yields.
#[derive(Debug)]
pub enum Item {
    /// An event the viewer may see.
    Event(Arc<LiveEvent>),
    /// Everything up to here has been yielded: what comes next is live.
    CaughtUp(Cursor),
    /// Nothing more will come: the bound object is gone (`None`), or this error.
    End(Option<Error>),
}

/// One subscription's reader of the log.
pub struct Feed {
    store: Arc<Store>,
    hub: Hub,
    /// What pages are held in until they are yielded.
    memory: Arc<Memory>,
    viewer: Viewer,
    selection: Selection,
    position: Cursor,
    source: Source,
    ended: bool,
    /// The end was found behind an event that had to be yielded first.
    ending: bool,
    /// Whoever follows a channel is present in it.
    _seated: Option<Seated>,
}

enum Source {
    /// Following the hub; `true` once the reader knows that it is live.
    Live(Receiver, bool),
    /// Reading the log, with the receiver that will take over.
    Reading(BoxFuture<'static, Result<(Receiver, u64, LogPage, Lease)>>),
    /// Yielding what was read.
    Page { receiver: Receiver, events: VecDeque<Arc<LiveEvent>>, end: Cursor, read_at: ReadAt, _lease: Lease },
}

impl Feed {
    /// A feed behind `position`, which has been checked. `receiver` was subscribed before.
    pub(super) fn new(
        (store, hub, memory): (Arc<Store>, Hub, Arc<Memory>),
        viewer: Viewer,
        selection: Selection,
        position: Cursor,
        receiver: Receiver,
        seated: Option<Seated>,
    ) -> Self {
        let source = Source::Live(receiver, false);
        Self { store, hub, memory, viewer, selection, position, source, ended: false, ending: false, _seated: seated }
    }

    /// The kinds a receiver for this selection must wake for.
    pub(super) fn kinds(selection: &Selection) -> KindSet {
        selection.watched()
    }

    /// Up to where everything has been yielded.
    pub fn served(&mut self) -> Cursor {
        if let Source::Live(receiver, _) = &self.source
            && let Some(head) = receiver.served(self.position.seq)
            && head.seq > self.position.seq
        {
            self.position = head;
        }
        self.position
    }

    /// The last position that it went past. There may be nothing to yield up to a later one.
    #[must_use]
    pub fn position(&self) -> Cursor {
        self.position
    }

    /// Whether the viewer may still follow this; when not, the feed has ended.
    ///
    /// # Errors
    /// `FORBIDDEN` then.
    pub fn recheck(&mut self) -> Result<()> {
        if self.selection.permitted(&self.viewer) {
            return Ok(());
        }
        self.ended = true;
        Err(Error::Forbidden("you may no longer see this".into()))
    }

    /// The next item.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Item> {
        loop {
            if self.ended {
                return Poll::Pending;
            }
            if self.ending {
                return self.end(None);
            }
            match &mut self.source {
                Source::Live(receiver, announced) => match receiver.poll_next(self.position.seq, context) {
                    Poll::Ready(Next::Event(event)) => {
                        if let Some(item) = self.pass(event) {
                            return Poll::Ready(item);
                        }
                    }
                    Poll::Ready(Next::Lagged) => self.source = self.read(Duration::ZERO),
                    Poll::Pending if *announced => return Poll::Pending,
                    Poll::Pending => {
                        *announced = true;
                        let cursor = self.served();
                        return Poll::Ready(Item::CaughtUp(cursor));
                    }
                },
                Source::Reading(reading) => match ready!(reading.as_mut().poll(context)) {
                    Ok((receiver, era, LogPage { events, end, head, .. }, lease)) => {
                        let events = events.into_iter().map(|logged: LoggedEvent| Arc::new(LiveEvent::new(logged)));
                        let (events, read_at) = (events.collect(), ReadAt { era, seq: head.seq });
                        self.source = Source::Page { receiver, events, end, read_at, _lease: lease };
                    }
                    // The database is away, or everybody wants to read at once: the log will still be there.
                    Err(Error::Unavailable(_)) => {
                        self.source = self.read(PAUSE.mul_f64(rand::random_range(0.5..1.0)));
                    }
                    Err(error) => return self.end(Some(error)),
                },
                Source::Page { events, read_at, .. } if !events.is_empty() && self.hub.rewritten_since(*read_at) => {
                    // Something may have been edited or deleted since: its text must not be shown.
                    self.source = self.read(Duration::ZERO);
                }
                Source::Page { events, end, .. } => match events.pop_front() {
                    Some(event) => {
                        if let Some(item) = self.pass(event) {
                            return Poll::Ready(item);
                        }
                    }
                    None => {
                        self.position = *end;
                        self.go_live();
                    }
                },
            }
        }
    }

    /// Moves past an event; yields it if the viewer wants and may see it.
    fn pass(&mut self, event: Arc<LiveEvent>) -> Option<Item> {
        self.position = event.cursor;
        self.ending = self.selection.ends_with(&event);
        if self.selection.wants(&event, &self.viewer) {
            return Some(Item::Event(event));
        }
        if !self.selection.permitted(&self.viewer) {
            self.ended = true;
            return Some(Item::End(Some(Error::Forbidden("you may no longer see this".into()))));
        }
        None
    }

    fn end(&mut self, error: Option<Error>) -> Poll<Item> {
        self.ended = true;
        Poll::Ready(Item::End(error))
    }

    fn go_live(&mut self) {
        let reading = Source::Reading(Box::pin(std::future::pending()));
        if let Source::Page { receiver, .. } = std::mem::replace(&mut self.source, reading) {
            self.source = Source::Live(receiver, false);
        }
    }

    fn read(&self, pause: Duration) -> Source {
        let (store, hub) = (Arc::clone(&self.store), self.hub.clone());
        let (selection, position, party) = (self.selection, self.position, self.viewer.party());
        let mut lease = self.memory.lease(party);
        Source::Reading(Box::pin(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            // A reader that lags costs a cursor until there is memory for a page.
            lease.wait_for(log::PAGE_BYTES).await;
            let (kinds, era) = (selection.watched(), hub.era());
            let (receiver, head) = hub.subscribe(selection.topic, kinds).await?;
            // Not further than the hub: the rights are those of its head, and must not be older than
            // what is yielded.
            let page = store
                .read_for(party, move |snapshot| {
                    // The database is on another history than the hub, and the tailer is about to notice: so are the rights.
                    if !log::holds(snapshot.db(), head)? {
                        return Err(Error::Unavailable("the log is being read anew; try again".into()));
                    }
                    log::page(snapshot.db(), selection.topic, kinds, position, head.seq)
                })
                .await?;
            lease.set(page.weight());
            Ok((receiver, era, page, lease))
        }))
    }
}
