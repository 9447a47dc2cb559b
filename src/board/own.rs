//! What concerns one viewer alone: the end of their session, a change of their rights.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;

use super::{Board, Viewer};
use crate::error::Result;
use crate::hub::{Next, Receiver};
use crate::model::{Cursor, EventKind, KindSet, Topic};

/// Tells when somebody's session may have ended, or their rights may be others.
pub struct Own {
    board: Arc<Board>,
    viewer: Viewer,
    source: Source,
}

enum Source {
    Following(Receiver, Cursor),
    Subscribing(BoxFuture<'static, Result<(Receiver, Cursor)>>),
    /// Nothing more will be heard.
    Lost,
}

impl Own {
    /// From now on; `None` for an anonymous reader, whom nothing concerns.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the session has ended.
    pub async fn follow(board: &Arc<Board>, viewer: &Viewer) -> Result<Option<Self>> {
        if viewer.user_id().is_none() {
            return Ok(None);
        }
        let (receiver, position) = board.subscribe_own(viewer).await?;
        // What ended the session before we followed was not heard.
        viewer.rights()?;
        let source = Source::Following(receiver, position);
        Ok(Some(Self { board: Arc::clone(board), viewer: viewer.clone(), source }))
    }

    /// Ready when rights are to be looked at again.
    pub fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.source {
            Source::Lost => return Poll::Pending,
            Source::Subscribing(subscribing) => {
                let subscribed = ready!(subscribing.as_mut().poll(context));
                self.source =
                    subscribed.map_or(Source::Lost, |(receiver, position)| Source::Following(receiver, position));
            }
            Source::Following(receiver, position) => match ready!(receiver.poll_next(position.seq, context)) {
                Next::Event(event) => *position = event.cursor,
                Next::Lagged => {
                    let (board, viewer) = (Arc::clone(&self.board), self.viewer.clone());
                    self.source = Source::Subscribing(Box::pin(async move { board.subscribe_own(&viewer).await }));
                }
            },
        }
        Poll::Ready(())
    }
}

impl Board {
    async fn subscribe_own(&self, viewer: &Viewer) -> Result<(Receiver, Cursor)> {
        let user = viewer.standing()?.user.id;
        self.hub.subscribe(Topic::User(user), KindSet::of(&[EventKind::AccessChanged, EventKind::SessionsEnded])).await
    }
}
