//! For whom a subscription over Server-Sent Events runs, and what ends it from without: the server's stop, the end of the
//! session, a change of rights.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;

use super::super::Site;
use super::super::operation::Operation;
use super::super::quota::Share;
use super::End;
use crate::board::{Seated, Viewer};
use crate::error::{Error, Result};
use crate::live::SessionWatch;
use crate::model::{Timestamp, UserId};

/// For whom a subscription runs.
pub struct Session {
    /// Who reads.
    pub viewer: Viewer,
    /// When the token expires.
    pub until: Option<Timestamp>,
    watch: Option<SessionWatch>,
    stopped: BoxFuture<'static, ()>,
    /// The place among the user's sockets and streams.
    _place: Option<Share<UserId>>,
    /// The user is active as long as this is held.
    _connected: Option<Seated>,
}

impl Session {
    /// From now on, until the token expires.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the session has ended; `UNAVAILABLE` if the user has too many of them.
    pub async fn start(site: &Arc<Site>, viewer: &Viewer, until: Option<Timestamp>) -> Result<Self> {
        let watch = SessionWatch::start(&site.board, viewer).await?;
        let crowded = || Error::Unavailable("too many sockets and streams of this user; try again".into());
        let place = viewer.user_id().map(|user| site.users.one_more(user).ok_or_else(crowded)).transpose()?;
        let mut alive = site.alive();
        let stopped = Box::pin(async move { alive.stopped().await });
        let connected = site.board.connect(viewer);
        Ok(Self { viewer: viewer.clone(), until, watch, stopped, _place: place, _connected: connected })
    }

    /// Ready when the operation must end.
    pub fn poll_end(&mut self, context: &mut Context<'_>, operation: &mut Operation) -> Poll<End> {
        if self.stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(End::Stopped);
        }
        if self.until.is_some_and(|until| until <= Timestamp::now()) {
            let expired = Error::Unauthenticated("the session has ended: sign in again".into());
            return Poll::Ready(End::SignedOut(expired));
        }
        while let Some(watch) = &mut self.watch {
            match ready!(watch.poll_next_unpin(context)) {
                Some(Ok(())) => {
                    if let Err(error) = operation.recheck() {
                        return Poll::Ready(End::Failed(error.into()));
                    }
                }
                Some(Err(error)) => return Poll::Ready(End::SignedOut(error)),
                None => self.watch = None,
            }
        }
        Poll::Pending
    }
}
