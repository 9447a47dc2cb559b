//! Delivers the updates of a subscription: renders each, checks the permission again, and yields what the transport
//! sends. The driver moves only when it is polled, so a client that cannot receive costs a position in the log.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt as _};

use super::{Subscription, Update};
use crate::board::Viewer;
use crate::error::Result;
use crate::model::Cursor;

/// After this time without an update, a subscription with checkpoints yields one.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);

/// Turns updates into what a transport sends.
pub trait Renderer: Unpin {
    /// A rendered update.
    type Output: Unpin;

    /// The reader of the subscription.
    fn viewer(&self) -> &Viewer;

    /// Whether the subscription has checkpoints: [`Update::CaughtUp`] is an update that the client gets, when the reader
    /// has caught up and after each quiet interval.
    fn has_checkpoints(&self) -> bool;

    /// Renders an update.
    fn render(&self, update: &Update) -> Rendering<Self::Output>;
}

/// A rendering in progress. `None` if there is nothing to show.
pub type PendingOutput<T> = BoxFuture<'static, Result<Option<T>>>;

/// An update that is rendered, or being rendered.
pub enum Rendering<T> {
    /// The result. `None` if there is nothing to show.
    Ready(Option<T>),
    /// The result comes later, for example because the database is read.
    Waiting(PendingOutput<T>),
}

/// A rendered update.
pub struct Delivery<T> {
    /// The update.
    pub update: Update,
    /// How the transport shows it.
    pub output: T,
}

/// The deliveries of one subscription. The stream ends like [`Subscription`]; an error is the last item.
pub struct Deliveries<R: Renderer> {
    subscription: Subscription,
    renderer: R,
    rendering: Option<(Update, PendingOutput<R::Output>)>,
    /// The position up to which everything was delivered, before the update that is being rendered.
    delivered_up_to: Option<Cursor>,
    last_update: Instant,
}

impl<R: Renderer> Deliveries<R> {
    /// Delivers a subscription.
    pub fn new(mut subscription: Subscription, renderer: R) -> Self {
        let delivered_up_to = subscription.served();
        Self { subscription, renderer, rendering: None, delivered_up_to, last_update: Instant::now() }
    }

    /// What renders the updates.
    pub fn renderer(&self) -> &R {
        &self.renderer
    }

    /// Whether an update was taken from the subscription and is being rendered.
    #[must_use]
    pub fn is_rendering(&self) -> bool {
        self.rendering.is_some()
    }

    /// The position of the log up to which everything was delivered. Live values have none.
    pub fn served(&mut self) -> Option<Cursor> {
        if self.rendering.is_some() { self.delivered_up_to } else { self.subscription.served() }
    }

    /// Checks again whether the viewer may follow this. If not, the subscription has ended.
    ///
    /// # Errors
    /// `FORBIDDEN` if the viewer may not.
    pub fn recheck(&mut self) -> Result<()> {
        self.subscription.recheck()
    }

    /// When a checkpoint is due. Deliveries must be polled then.
    #[must_use]
    pub fn checkpoint_due(&self) -> Option<Instant> {
        self.renderer.has_checkpoints().then(|| self.last_update + CHECKPOINT_INTERVAL)
    }

    /// The next update that this reader gets.
    fn poll_update(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Update>>> {
        loop {
            self.delivered_up_to = self.subscription.position();
            let update = match self.subscription.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(Update::CaughtUp(_)))) if !self.renderer.has_checkpoints() => continue,
                Poll::Ready(update) => update,
                Poll::Pending => match self.quiet_checkpoint() {
                    Some(checkpoint) => Some(Ok(checkpoint)),
                    None => return Poll::Pending,
                },
            };
            if self.renderer.has_checkpoints() {
                self.last_update = Instant::now();
            }
            return Poll::Ready(update);
        }
    }

    fn quiet_checkpoint(&mut self) -> Option<Update> {
        let is_due = self.checkpoint_due().is_some_and(|due| due <= Instant::now());
        if is_due { self.subscription.served().map(Update::CaughtUp) } else { None }
    }
}

impl<R: Renderer> Stream for Deliveries<R> {
    type Item = Result<Delivery<R::Output>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let (update, rendered) = if let Some((update, rendering)) = &mut self.rendering {
                let rendered = ready!(rendering.as_mut().poll(context));
                let update = update.clone();
                self.rendering = None;
                // Rendering took time: the permission may have been withdrawn, and the object deleted.
                let viewer = self.renderer.viewer();
                let is_visible = update.event().is_none_or(|event| viewer.can_see(event) && !event.is_deleted());
                (update, rendered.map(|output| output.filter(|_| is_visible)))
            } else {
                let update = match ready!(self.poll_update(context)) {
                    Some(Ok(update)) => update,
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => return Poll::Ready(None),
                };
                match self.renderer.render(&update) {
                    Rendering::Ready(output) => (update, Ok(output)),
                    Rendering::Waiting(rendering) => {
                        self.rendering = Some((update, rendering));
                        continue;
                    }
                }
            };
            match rendered {
                Ok(Some(output)) => return Poll::Ready(Some(Ok(Delivery { update, output }))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}
