//! Watches the session of one viewer: when its permissions change, and when it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use futures_util::future::BoxFuture;

use crate::board::{Board, Viewer};
use crate::error::{Error, Result};
use crate::hub::{Next, Receiver};
use crate::model::{Cursor, EventKind, KindSet, Topic};

/// Watches the session of a signed-in viewer.
///
/// The stream yields `Ok` when the permissions of the viewer may have changed: subscriptions must be checked again. It
/// yields an error when the session has ended, and ends when the server stops.
pub struct SessionWatch {
    board: Arc<Board>,
    viewer: Viewer,
    source: WatchSource,
}

enum WatchSource {
    Following(Receiver, Cursor),
    Subscribing(BoxFuture<'static, Result<(Receiver, Cursor)>>),
    /// The hub has stopped.
    Stopped,
}

impl SessionWatch {
    /// Starts to watch. `None` for an anonymous reader, who has no session.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the session has ended.
    pub async fn start(board: &Arc<Board>, viewer: &Viewer) -> Result<Option<Self>> {
        if viewer.user_id().is_none() {
            return Ok(None);
        }
        let (receiver, position) = subscribe(board, viewer).await?;
        // The session may have ended before the subscription began.
        viewer.check_session()?;
        let source = WatchSource::Following(receiver, position);
        Ok(Some(Self { board: Arc::clone(board), viewer: viewer.clone(), source }))
    }

    fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<Option<()>> {
        match &mut self.source {
            WatchSource::Stopped => return Poll::Ready(None),
            WatchSource::Subscribing(subscribing) => {
                let subscribed = ready!(subscribing.as_mut().poll(context));
                self.source = subscribed
                    .map_or(WatchSource::Stopped, |(receiver, position)| WatchSource::Following(receiver, position));
            }
            WatchSource::Following(receiver, position) => match ready!(receiver.poll_next(position.seq, context)) {
                Next::Event(event) => *position = event.cursor,
                Next::Lagged => {
                    let (board, viewer) = (Arc::clone(&self.board), self.viewer.clone());
                    self.source = WatchSource::Subscribing(Box::pin(async move { subscribe(&board, &viewer).await }));
                }
            },
        }
        Poll::Ready(Some(()))
    }
}

impl Stream for SessionWatch {
    type Item = Result<()>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        let change = ready!(self.poll_change(context));
        Poll::Ready(change.map(|()| self.viewer.check_session()))
    }
}

async fn subscribe(board: &Board, viewer: &Viewer) -> Result<(Receiver, Cursor)> {
    viewer.check_session()?;
    let user = viewer.user_id().ok_or_else(|| Error::Unauthenticated("sign in first".into()))?;
    let kinds = KindSet::of(&[EventKind::AccessChanged, EventKind::SessionsEnded]);
    board.hub().subscribe(Topic::User(user), kinds).await
}
