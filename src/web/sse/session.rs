//! The session behind a subscription over server-sent events. It ends the stream when the server shuts down, the
//! session ends, or the viewer loses the permission.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;

use super::super::AppState;
use super::super::connection_limits::Permit;
use super::super::operation::Operation;
use super::super::operation_record::OperationRecord;
use super::super::refusal::Refusal;
use super::end::StreamEnd;
use crate::board::{PresenceGuard, Viewer};
use crate::error::{Error, Result};
use crate::graphql::Rejection;
use crate::live::SessionWatch;
use crate::model::{Timestamp, UserId};

/// The viewer of a subscription, and the permits that the subscription holds.
pub struct StreamSession {
    /// The viewer of the subscription.
    pub viewer: Viewer,
    /// When the token expires; `None` for anonymous clients.
    pub expires_at: Option<Timestamp>,
    watch: Option<SessionWatch>,
    stopped: BoxFuture<'static, ()>,
    /// The permit of the limit on sockets and streams per user.
    _permit: Option<Permit<UserId>>,
    /// Counts the user as active while it is held.
    _connected: Option<PresenceGuard>,
}

/// Why a session cannot start.
pub enum SessionError {
    /// The user has too many sockets and streams.
    UserLimit,
    /// The session has ended, or the database does not answer.
    Failed(Error),
}

impl SessionError {
    /// Records the reason, and returns the rejection of the operation.
    pub fn record(self, record: &mut OperationRecord) -> Rejection {
        let rejection = match self {
            Self::UserLimit => {
                let error = Error::Unavailable("too many sockets and streams of this user; try again".into());
                record.refuse(Refusal::UserLimit, (&error).into());
                error.into()
            }
            Self::Failed(error) => error.into(),
        };
        record.fail(&rejection);
        rejection
    }
}

impl StreamSession {
    /// Starts to watch the session.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the session has ended; `UNAVAILABLE` if the user has too many sockets and streams.
    pub async fn start(
        site: &Arc<AppState>,
        viewer: &Viewer,
        expires_at: Option<Timestamp>,
    ) -> Result<Self, SessionError> {
        let watch = SessionWatch::start(&site.board, viewer).await.map_err(SessionError::Failed)?;
        let permit = viewer.user_id().map(|user| site.users.try_acquire(user).ok_or(SessionError::UserLimit));
        let permit = permit.transpose()?;
        let mut shutdown = site.shutdown_signal();
        let stopped = Box::pin(async move { shutdown.stopped().await });
        let connected = site.board.presence.connect(viewer);
        Ok(Self { viewer: viewer.clone(), expires_at, watch, stopped, _permit: permit, _connected: connected })
    }

    /// Ready when the operation must end. Also rechecks the operation's permissions when they change.
    pub fn poll_end(&mut self, context: &mut Context<'_>, operation: &mut Operation) -> Poll<StreamEnd> {
        if self.stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(StreamEnd::Stopped);
        }
        if self.expires_at.is_some_and(|at| at <= Timestamp::now()) {
            let expired = Error::Unauthenticated("the session has ended: sign in again".into());
            return Poll::Ready(StreamEnd::SessionEnded(expired));
        }
        while let Some(watch) = &mut self.watch {
            match ready!(watch.poll_next_unpin(context)) {
                Some(Ok(())) => {
                    if let Err(error) = operation.recheck() {
                        return Poll::Ready(StreamEnd::Failed(error.into()));
                    }
                }
                Some(Err(error)) => return Poll::Ready(StreamEnd::SessionEnded(error)),
                None => self.watch = None,
            }
        }
        Poll::Pending
    }
}
