//! A subscription of the JSON socket: to a room, tickets, notifications or the dashboard.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::client_message::Subject;
use super::frame_cache::Form;
use super::server_message;
use crate::board::{Board, Viewer};
use crate::error::Error;
use crate::graphql::SMALL;
use crate::hub::LiveEvent;
use crate::live::{Deliveries, Delivery, Renderer, Rendering, Subscription, Update};
use crate::model::{Cursor, MemoryLease, Notification, NotificationId, Seq, Signal};
use crate::web::operation_record::OperationRecord;
use crate::web::state::AppState;

/// Delay before a page of notifications is read again after the database did not answer.
const RETRY_DELAY: Duration = Duration::from_millis(300);

/// Identifies a subscription on its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriptionKey {
    /// A channel of the protocol, or a ticket.
    Subject(Subject),
    /// A room.
    Room(Arc<str>),
    /// The application events of a room.
    Events(Arc<str>),
}

/// The result of one step of a subscription.
pub enum Step {
    /// A frame to send.
    Frame(Utf8Bytes),
    /// An event and its frame. It must not be sent if another subscription of the connection has sent the event.
    Event(Arc<LiveEvent>, Utf8Bytes),
    /// Nothing to send yet. The subscription must be polled again.
    More,
    /// The subscription has ended. This frame tells the client.
    Over(Utf8Bytes),
}

/// A subscription of the JSON socket.
pub struct PlainSubscription {
    /// The subject or room of the subscription.
    pub what: SubscriptionKey,
    deliveries: Deliveries<FrameRenderer>,
    /// The position at which the subscription began. The subscription has sent only events above it.
    from: Option<Seq>,
    /// The era of the log to which `from` and `inherited` belong.
    era: u64,
    /// The unread notifications, which the client gets first.
    unread: Option<Unread>,
    /// The era before the latest update was taken from the log.
    update_era: u64,
    /// Ranges of ticket events that ended subscriptions had sent, and that this subscription has not reached yet.
    inherited: Vec<Covered>,
    /// The record of the request that opened the subscription. It ends with the subscription.
    record: Option<Box<OperationRecord>>,
}

/// The range of ticket events that one subscription has sent: those in `(from, up_to]`.
#[derive(Debug, Clone, Copy)]
struct Covered {
    subject: Subject,
    from: Seq,
    up_to: Seq,
}

impl Covered {
    fn holds(&self, event: &LiveEvent) -> bool {
        let is_of_subject = match self.subject {
            Subject::Tickets => event.ticket,
            Subject::Ticket(id) => event.ticket && event.message == Some(id),
            Subject::Notifications | Subject::Dashboard => false,
        };
        is_of_subject && self.from < event.cursor.seq && event.cursor.seq <= self.up_to
    }
}

/// A page of notifications, whether more follow, and the memory of the page.
type NotificationPage = (Vec<Notification>, bool, MemoryLease);

/// Reads the unread notifications, oldest first, page by page.
struct Unread {
    /// Notifications above this position are delivered as events.
    up_to: Seq,
    page: VecDeque<Notification>,
    /// The memory of the page.
    lease: Option<MemoryLease>,
    last: Option<NotificationId>,
    more: bool,
    loading: Option<BoxFuture<'static, Result<NotificationPage, Error>>>,
}

impl PlainSubscription {
    /// Delivers a subscription that began in this era of the log.
    pub fn new(
        site: &Arc<AppState>,
        what: SubscriptionKey,
        subscription: Subscription,
        viewer: Viewer,
        with_unread: bool,
        era: u64,
    ) -> Self {
        let is_signed_in = viewer.user_id().is_some();
        let renderer = FrameRenderer { site: Arc::clone(site), form: form_of(&what, is_signed_in), viewer };
        let mut deliveries = Deliveries::new(subscription, renderer);
        let from = deliveries.served().map(|cursor| cursor.seq);
        let unread = from.filter(|_| with_unread && is_signed_in).map(|up_to| Unread {
            up_to,
            page: VecDeque::new(),
            lease: None,
            last: None,
            more: true,
            loading: None,
        });
        Self { what, deliveries, from, era, unread, update_era: era, inherited: Vec::new(), record: None }
    }

    /// Records deliveries and the end of the subscription here.
    pub fn record_in(&mut self, mut record: OperationRecord) {
        record.opened();
        self.record = Some(Box::new(record));
    }

    /// Records that the client was sent an item.
    pub fn delivered(&mut self) {
        self.record.iter_mut().for_each(|record| record.item());
    }

    /// Records the end of the subscription, and returns the message for the client.
    fn failed(&mut self, error: Error) -> Utf8Bytes {
        let frame = server_message::error(&error, &self.context());
        self.record.iter_mut().for_each(|record| record.fail(&error.clone().into()));
        frame
    }

    /// The position of the log up to which all events were delivered. `None` for metrics, which are not in the log.
    pub fn served(&mut self) -> Option<Cursor> {
        self.deliveries.served()
    }

    /// Whether the subscription still sends the unread notifications from before its start.
    pub fn is_beginning(&self) -> bool {
        self.unread.is_some()
    }

    /// Whether this subscription has sent an event of a ticket.
    pub fn has_shown(&mut self, event: &LiveEvent, era: u64) -> bool {
        self.covered(era).is_some_and(|covered| covered.holds(event))
    }

    /// Whether an ended subscription had sent an event of a ticket.
    pub fn knows_shown(&self, event: &LiveEvent, era: u64) -> bool {
        self.era == era && self.inherited.iter().any(|covered| covered.holds(event))
    }

    /// Takes over the range of events that a subscription which is about to end has sent. Ranges that this subscription
    /// has already passed are dropped.
    pub fn inherit(&mut self, other: &mut Self, era: u64) {
        let (Some(own), Some(covered)) = (self.covered(era), other.covered(era)) else { return };
        self.inherited.push(covered);
        self.inherited.retain(|known| own.up_to < known.up_to);
    }

    /// The number of ranges that were taken over from ended subscriptions.
    pub fn inheritance(&self) -> usize {
        self.inherited.len()
    }

    /// The range of ticket events that this subscription has sent in this era. `None` for other subscriptions.
    fn covered(&mut self, era: u64) -> Option<Covered> {
        if self.era != era {
            return None;
        }
        let SubscriptionKey::Subject(subject @ (Subject::Tickets | Subject::Ticket(_))) = self.what else {
            return None;
        };
        Some(Covered { subject, from: self.from?, up_to: self.served()?.seq })
    }

    /// Checks the permission again.
    ///
    /// # Errors
    /// The message for the client if the viewer may no longer read the subject of the subscription.
    pub fn recheck(&mut self) -> Result<(), Utf8Bytes> {
        self.deliveries.recheck().map_err(|error| self.failed(error))
    }

    /// Forgets which events were sent if the log has another history since then. The new history uses the same numbers
    /// for other events.
    fn begin_anew(&mut self, after: Seq) {
        if self.era != self.update_era {
            self.from = self.from.map(|_| after);
            self.era = self.update_era;
            self.inherited.clear();
        }
    }

    /// The fields by which the client finds the subscription in an error.
    fn context(&self) -> server_message::ErrorContext {
        match &self.what {
            SubscriptionKey::Subject(subject) => server_message::ErrorContext::subject(*subject),
            SubscriptionKey::Room(room) | SubscriptionKey::Events(room) => server_message::ErrorContext::room(room),
        }
    }

    /// Polls for the next frame or state change of the subscription.
    pub fn poll_step(&mut self, board: &Arc<Board>, context: &mut Context<'_>) -> Poll<Step> {
        if let Some(unread) = &mut self.unread {
            let viewer = self.deliveries.renderer().viewer();
            return Poll::Ready(match ready!(unread.poll_next(board, viewer, context)) {
                Ok(Some(notification)) => Step::Frame(server_message::notification(&notification)),
                Ok(None) => {
                    self.unread = None;
                    Step::More
                }
                Err(error) => Step::Over(self.failed(error)),
            });
        }
        if !self.deliveries.is_rendering() {
            // Read the era before the update. An event of the old history can then arrive in the new era, but an event
            // of the new history is never recorded with the old era.
            self.update_era = board.log.era();
        }
        Poll::Ready(match ready!(self.deliveries.poll_next_unpin(context)) {
            Some(Ok(Delivery { update: Update::Event(event), output })) => {
                self.begin_anew(Seq(event.cursor.seq.0 - 1));
                Step::Event(event, output)
            }
            Some(Ok(Delivery { output, .. })) => Step::Frame(output),
            Some(Err(error)) => Step::Over(self.failed(error)),
            None => {
                self.record.iter_mut().for_each(|record| record.finish(None));
                Step::Over(match &self.what {
                    SubscriptionKey::Subject(subject) => server_message::unsubscribed(*subject),
                    SubscriptionKey::Room(room) => server_message::left(room),
                    SubscriptionKey::Events(room) => server_message::unfollowed(room),
                })
            }
        })
    }
}

/// Renders the updates of one subscription as frames of plain JSON.
pub struct FrameRenderer {
    site: Arc<AppState>,
    form: Form,
    viewer: Viewer,
}

impl Renderer for FrameRenderer {
    type Output = Utf8Bytes;

    fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    fn has_checkpoints(&self) -> bool {
        false
    }

    fn render(&self, update: &Update) -> Rendering<Utf8Bytes> {
        match update {
            Update::Event(event) => self.render_event(event),
            Update::Metric(metric) => Rendering::Ready(Some(server_message::metric(metric))),
            Update::Signal(signal) => self.render_signal(signal),
            Update::CaughtUp(_) | Update::Presence(_) => Rendering::Ready(None),
        }
    }
}

/// The form of the frames of a subscription. Frames of rooms differ for signed-in and anonymous clients.
fn form_of(what: &SubscriptionKey, is_signed_in: bool) -> Form {
    match what {
        SubscriptionKey::Room(room) => Form::Room(Arc::clone(room), is_signed_in),
        SubscriptionKey::Events(room) => Form::AppEvent(Arc::clone(room)),
        SubscriptionKey::Subject(Subject::Notifications | Subject::Dashboard) => Form::Notification,
        SubscriptionKey::Subject(Subject::Tickets | Subject::Ticket(_)) => Form::Ticket,
    }
}

impl FrameRenderer {
    fn render_signal(&self, signal: &Arc<Signal>) -> Rendering<Utf8Bytes> {
        let Form::Room(room, is_signed_in) = &self.form else { return Rendering::Ready(None) };
        if !is_signed_in {
            return Rendering::Ready(Some(server_message::signal(signal, room, None)));
        }
        let (username, room, signal) =
            (self.site.board.usernames.get(signal.user), Arc::clone(room), Arc::clone(signal));
        Rendering::Waiting(Box::pin(async move {
            Ok(Some(server_message::signal(&signal, &room, username.await?.as_deref())))
        }))
    }

    fn render_event(&self, event: &Arc<LiveEvent>) -> Rendering<Utf8Bytes> {
        let (frames, form) = (&self.site.frames, &self.form);
        let users = self.site.board.user_revision();
        if let Some(frame) = frames.get(event, form, users) {
            return Rendering::Ready(Some(frame));
        }
        let (author, weight) = (form.author(event), event.body().map_or(0, |body| body.weight()));
        if author.is_none() && weight <= SMALL {
            return Rendering::Ready(frames.render(event, (form, users), None, None));
        }
        let username = author.map(|author| self.site.board.usernames.get(author));
        let mut lease = self.site.board.response_memory.lease(self.viewer.party());
        let (site, form, event) = (Arc::clone(&self.site), form.clone(), Arc::clone(event));
        Rendering::Waiting(Box::pin(async move {
            // Wait for the name. The cache would keep a frame without it for other clients.
            let username = match username {
                Some(username) => username.await?,
                None => None,
            };
            if weight > SMALL {
                // Estimate of the frame's size: most texts take less than twice their size as JSON.
                lease.wait_for(2 * weight).await;
            }
            Ok(site.frames.render(&event, (&form, users), username.as_deref(), Some(lease)))
        }))
    }
}

impl Unread {
    /// The next notification. `None` if there are no more. Waits while the database does not answer.
    fn poll_next(
        &mut self,
        board: &Arc<Board>,
        viewer: &Viewer,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Notification>, Error>> {
        loop {
            if let Some(next) = self.page.pop_front() {
                self.last = Some(next.id);
                if next.cursor.seq <= self.up_to {
                    return Poll::Ready(Ok(Some(next)));
                }
                continue;
            }
            if !self.more {
                return Poll::Ready(Ok(None));
            }
            self.lease = None;
            let loading = self.loading.get_or_insert_with(|| {
                let (board, viewer, last) = (Arc::clone(board), viewer.clone(), self.last);
                Box::pin(async move {
                    loop {
                        match board.notifications.unread_after(&viewer, last).await {
                            Err(Error::Unavailable(_)) => tokio::time::sleep(RETRY_DELAY).await,
                            loaded => return loaded,
                        }
                    }
                })
            });
            let loaded = ready!(loading.as_mut().poll(context));
            self.loading = None;
            match loaded {
                Ok((page, more, lease)) => (self.page, self.more, self.lease) = (page.into(), more, Some(lease)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}
