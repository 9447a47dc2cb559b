//! Follows a value of which only the newest state counts: yields the differences between two states, one by one. A slow
//! reader skips states and never falls behind by more than one difference per key.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use super::Update;

/// How two states of a value differ.
pub trait Difference: Unpin {
    /// A state. The default is the state before the first one: readers get the whole first state as differences.
    type State: Default + Send + Unpin + 'static;
    /// Orders the differences between two states.
    type Key: Unpin;

    /// The first difference behind this key.
    fn next(&self, from: &Self::State, to: &Self::State, after: Option<&Self::Key>) -> Option<(Self::Key, Update)>;
}

/// The differences between the states of a watched value.
pub struct Changes<D: Difference> {
    difference: D,
    from: D::State,
    to: D::State,
    /// The last difference between the two that was yielded.
    last: Option<D::Key>,
    states: BoxStream<'static, D::State>,
}

impl<D: Difference> Changes<D> {
    /// Follows the part of a watched value that `select` takes, beginning with its current state.
    pub fn new<T: Clone + Send + Sync + 'static>(
        difference: D,
        watched: watch::Receiver<T>,
        select: impl Fn(T) -> D::State + Send + 'static,
    ) -> Self {
        // The sender goes when the server stops. Its clients must not take that for the end of the subscription.
        let states = WatchStream::new(watched).map(select).chain(stream::pending()).boxed();
        Self { difference, from: D::State::default(), to: D::State::default(), last: None, states }
    }
}

impl<D: Difference> Stream for Changes<D> {
    type Item = Update;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Update>> {
        loop {
            if let Some((key, update)) = self.difference.next(&self.from, &self.to, self.last.as_ref()) {
                self.last = Some(key);
                return Poll::Ready(Some(update));
            }
            let Some(state) = ready!(self.states.poll_next_unpin(context)) else { return Poll::Ready(None) };
            let this = &mut *self;
            this.from = std::mem::replace(&mut this.to, state);
            this.last = None;
        }
    }
}
