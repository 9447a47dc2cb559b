//! One thing that a client of plain JSON follows: a room, tickets, notifications or the dashboard.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::Site;
use super::frames;
use super::said::Subject;
use super::shown::Form;
use crate::board::{Board, Viewer};
use crate::error::Error;
use crate::graphql::SMALL;
use crate::hub::LiveEvent;
use crate::live::{Deliveries, Delivery, Renderer, Rendering, Subscription, Update};
use crate::model::{Cursor, Lease, Notification, NotificationId, Seq};

/// How long a page of notifications that could not be read is waited with before it is read again.
const PAUSE: Duration = Duration::from_millis(300);

/// What is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A subscription.
    Subject(Subject),
    /// A room.
    Room(Arc<str>),
}

/// What comes of a step.
pub enum Step {
    /// This is to be sent.
    Frame(Utf8Bytes),
    /// This event, unless it was sent already.
    Event(Arc<LiveEvent>, Utf8Bytes),
    /// Nothing is to be sent, but there may be more.
    More,
    /// It is over; this is to be sent.
    Over(Utf8Bytes),
}

/// One thing that is followed.
pub struct Followed {
    /// What.
    pub what: What,
    deliveries: Deliveries<FrameRenderer>,
    /// Where it began: events above are its own.
    from: Option<Seq>,
    /// The history of the log that `from` and what is inherited are numbers of.
    era: u64,
    /// What is shown first: the notifications that were not read.
    unread: Option<Unread>,
    /// The era before the latest update was taken from the log.
    update_era: u64,
    /// What others had shown of tickets that this has yet to come to, and are not here to say so.
    inherited: Vec<Covered>,
}

/// Events of tickets that one subscription has shown: those in `(from, up_to]`.
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

/// A page of notifications, whether there is more, and the memory that is borrowed for it.
type Notes = (Vec<Notification>, bool, Lease);

/// Notifications that were not read, oldest first, a page at a time.
struct Unread {
    /// Later ones come as events.
    up_to: Seq,
    page: VecDeque<Notification>,
    /// What the page is held in.
    lease: Option<Lease>,
    last: Option<NotificationId>,
    more: bool,
    loading: Option<BoxFuture<'static, Result<Notes, Error>>>,
}

impl Followed {
    /// Follows a subscription.
    pub fn new(
        site: &Site,
        what: What,
        subscription: Subscription,
        viewer: Viewer,
        with_unread: bool,
        era: u64,
    ) -> Self {
        let is_signed_in = viewer.user_id().is_some();
        let renderer = FrameRenderer { site: Arc::clone(site), form: Form::of(&what, is_signed_in), viewer };
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
        Self { what, deliveries, from, era, unread, update_era: era, inherited: Vec::new() }
    }

    /// Up to where it has been served; `None` if it is not of the log.
    pub fn served(&mut self) -> Option<Cursor> {
        self.deliveries.served()
    }

    /// Whether it is still showing what was there before.
    pub fn is_beginning(&self) -> bool {
        self.unread.is_some()
    }

    /// Whether it has shown this event of a ticket.
    pub fn has_shown(&mut self, event: &LiveEvent, era: u64) -> bool {
        self.covered(era).is_some_and(|covered| covered.holds(event))
    }

    /// Whether one that is gone had shown this event of a ticket.
    pub fn knows_shown(&self, event: &LiveEvent, era: u64) -> bool {
        self.era == era && self.inherited.iter().any(|covered| covered.holds(event))
    }

    /// Remembers what another has shown, which is about to go. Nothing, if this is as far already.
    pub fn inherit(&mut self, other: &mut Self, era: u64) {
        let (Some(own), Some(covered)) = (self.covered(era), other.covered(era)) else { return };
        self.inherited.push(covered);
        self.inherited.retain(|known| own.up_to < known.up_to);
    }

    /// How much it remembers of others.
    pub fn inheritance(&self) -> usize {
        self.inherited.len()
    }

    /// What it has shown of tickets in this history of the log, if it is about tickets.
    fn covered(&mut self, era: u64) -> Option<Covered> {
        if self.era != era {
            return None;
        }
        let What::Subject(subject @ (Subject::Tickets | Subject::Ticket(_))) = self.what else { return None };
        Some(Covered { subject, from: self.from?, up_to: self.served()?.seq })
    }

    /// The error if the viewer may no longer follow this.
    pub fn recheck(&mut self) -> Result<(), Error> {
        self.deliveries.recheck()
    }

    /// It goes on in another history of the log, which uses numbers again: what was shown before does not count.
    fn begin_anew(&mut self, after: Seq) {
        if self.era != self.update_era {
            self.from = self.from.map(|_| after);
            self.era = self.update_era;
            self.inherited.clear();
        }
    }

    /// How an error about it is to be read.
    pub fn context(&self) -> frames::Context {
        match &self.what {
            What::Subject(subject) => frames::Context::subject(*subject),
            What::Room(room) => frames::Context::room(room),
        }
    }

    /// The next step.
    pub fn poll_step(&mut self, board: &Arc<Board>, context: &mut Context<'_>) -> Poll<Step> {
        if let Some(unread) = &mut self.unread {
            let viewer = self.deliveries.renderer().viewer();
            return Poll::Ready(match ready!(unread.poll_next(board, viewer, context)) {
                Ok(Some(notification)) => Step::Frame(frames::notification(&notification)),
                Ok(None) => {
                    self.unread = None;
                    Step::More
                }
                Err(error) => Step::Over(frames::error(&error, &self.context())),
            });
        }
        if !self.deliveries.is_rendering() {
            // Before the update: an event of the lost history may still come in the new era, never the reverse.
            self.update_era = board.era();
        }
        Poll::Ready(match ready!(self.deliveries.poll_next_unpin(context)) {
            Some(Ok(Delivery { update: Update::Event(event), output })) => {
                self.begin_anew(Seq(event.cursor.seq.0 - 1));
                Step::Event(event, output)
            }
            Some(Ok(Delivery { output, .. })) => Step::Frame(output),
            Some(Err(error)) => Step::Over(frames::error(&error, &self.context())),
            None => Step::Over(match &self.what {
                What::Subject(subject) => frames::unsubscribed(*subject),
                What::Room(room) => frames::left(room),
            }),
        })
    }
}

/// Renders the updates of one subscription as frames of plain JSON.
pub struct FrameRenderer {
    site: Site,
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
            Update::Metric(metric) => Rendering::Ready(Some(frames::metric(metric))),
            Update::CaughtUp(_) | Update::Presence(_) => Rendering::Ready(None),
        }
    }
}

impl FrameRenderer {
    fn render_event(&self, event: &Arc<LiveEvent>) -> Rendering<Utf8Bytes> {
        let (shown, form) = (&self.site.shown, &self.form);
        if let Some(frame) = shown.known(event, form) {
            return Rendering::Ready(Some(frame));
        }
        let (author, weight) = (form.author(event), event.body().map_or(0, |body| body.weight()));
        if author.is_none() && weight <= SMALL {
            return Rendering::Ready(shown.frame(event, form, None, None));
        }
        let username = author.map(|author| self.site.board.username(author));
        let mut lease = self.site.board.memory().lease(self.viewer.party());
        let (site, form, event) = (Arc::clone(&self.site), form.clone(), Arc::clone(event));
        Rendering::Waiting(Box::pin(async move {
            // A frame without the name would be wrong, and the cache would keep it for other readers.
            let username = match username {
                Some(username) => username.await?,
                None => None,
            };
            if weight > SMALL {
                // Most texts are not much longer as JSON.
                lease.wait_for(2 * weight).await;
            }
            Ok(site.shown.frame(&event, &form, username.as_deref(), Some(lease)))
        }))
    }
}

impl Unread {
    /// The next one; `None` if there is no other. While the database is away it waits.
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
                        match board.unread_after(&viewer, last).await {
                            Err(Error::Unavailable(_)) => tokio::time::sleep(PAUSE).await,
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
