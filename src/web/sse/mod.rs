//! Server-sent events: runs one operation and streams its results as frames. The connection asks for a frame when it
//! has room for one, and nothing is read from the log before. So a slow client costs a cursor, and no queue.

mod end;
mod frames;
mod session;

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use end::StreamEnd;
use http::header::VARY;
use http::{HeaderValue, Response, StatusCode};
use session::StreamSession;
use tokio::time::Sleep;

use super::operation::{Operation, Output, Served};
use super::operation_record::OperationRecord;
use super::{AppState, Peer, body};
use crate::error::{Error, Result};
use crate::graphql::{self, Caller, OperationType, Prepared, Rejection};
use crate::model::{Cursor, GaugeGuard, Timestamp};

/// How many steps one poll does at most, so that other tasks are not delayed.
const MAX_STEPS: usize = 128;
/// The delay before clients reconnect after a broken stream, in milliseconds. It is random per stream, so that clients
/// do not all reconnect at once.
const RETRY_DELAY: std::ops::Range<u32> = 1_000..3_000;

/// The body of an event stream. Frames are produced when the connection asks for them.
pub struct Events {
    waiting: VecDeque<Bytes>,
    source: Option<Box<FrameSource>>,
}

/// Produces frames until the operation is over.
struct FrameSource {
    site: Arc<AppState>,
    operation: Operation,
    /// Ends a subscription early. `None` for a query or a mutation, whose response is always completed.
    session: Option<StreamSession>,
    /// Whether the client has received the cursor that it would resume from.
    sent_cursor: bool,
    /// When the last frame was produced.
    last_frame: Instant,
    timer: Pin<Box<Sleep>>,
    _counted: GaugeGuard,
    /// Holds the permit of the limit on connections per address.
    _peer: Peer,
}

impl Events {
    /// Starts an operation and its stream.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the session has just ended; `UNAVAILABLE` if the user has too many sockets and streams.
    pub async fn open(
        site: &Arc<AppState>,
        peer: &Peer,
        prepared: Prepared,
        caller: Caller,
        expires_at: Option<Timestamp>,
        mut record: OperationRecord,
    ) -> Result<Self, Rejection> {
        let session = match prepared.kind() {
            OperationType::Subscription => {
                let started = StreamSession::start(site, &caller.viewer, expires_at).await;
                Some(started.map_err(|unstarted| unstarted.record(&mut record))?)
            }
            OperationType::Query | OperationType::Mutation => None,
        };
        // No retry delay for queries and mutations: a client that reconnects would execute the operation again.
        let waiting = session.iter().map(|_| retry()).collect();
        let operation = Operation::start(&site.engine, prepared, caller, record);
        let (sent_cursor, last_frame) = (false, Instant::now());
        let timer = Box::pin(tokio::time::sleep(site.settings.sockets.ping_interval));
        let counted = site.counts.sse.open.enter();
        let site = Arc::clone(site);
        let peer = peer.clone();
        let source =
            FrameSource { site, operation, session, sent_cursor, last_frame, timer, _counted: counted, _peer: peer };
        let source = Box::new(source);
        Ok(Self { waiting, source: Some(source) })
    }

    /// The stream of an operation that is rejected: the errors, and the end.
    pub fn rejected(refusal: &Rejection) -> Self {
        let end = if is_transient(refusal) { retry() } else { frames::complete() };
        let frames = error_frames(refusal).into_iter().chain([end]);
        Self { waiting: frames.collect(), source: None }
    }

    /// The HTTP response with this stream as its body.
    pub fn into_response(self) -> Response<Self> {
        let mut response = body::response(StatusCode::OK, "text/event-stream; charset=utf-8", Bytes::new());
        // By default nginx buffers the response until a block is full.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
        response.map(|_| self)
    }

    /// The next frame; `None` at the end of the stream.
    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        for _ in 0..MAX_STEPS {
            if let Some(frame) = self.waiting.pop_front() {
                return Poll::Ready(Some(frame));
            }
            let Some(source) = &mut self.source else { return Poll::Ready(None) };
            match ready!(source.poll_step(context)) {
                Ok(frames) => self.waiting.extend(frames),
                Err(end) => {
                    self.waiting.extend(source.last_frames(end));
                    self.source = None;
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl FrameSource {
    /// Does the next step of the operation. Returns the frames that it produced.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<Bytes>, StreamEnd>> {
        if let Some(session) = &mut self.session
            && let Poll::Ready(end) = session.poll_end(context, &mut self.operation)
        {
            return Poll::Ready(Err(end));
        }
        let frames: Vec<Bytes> = match self.operation.poll(context) {
            Poll::Ready(Output::Opened) => self.initial_cursor().into_iter().collect(),
            Poll::Ready(Output::Item(body, cursor)) => {
                self.site.counts.sse.deliveries.count();
                frames::next(cursor, &body)
            }
            Poll::Ready(Output::Answer(answer)) => return Poll::Ready(Err(StreamEnd::Complete(Some(answer.body)))),
            Poll::Ready(Output::Completed) => return Poll::Ready(Err(StreamEnd::Complete(None))),
            Poll::Ready(Output::Failed(refusal)) => return Poll::Ready(Err(StreamEnd::Failed(refusal))),
            Poll::Pending => {
                ready!(self.poll_timer(context));
                self.keep_alive().into_iter().collect()
            }
        };
        if !frames.is_empty() {
            self.last_frame = Instant::now();
        }
        Poll::Ready(Ok(frames))
    }

    /// Ready when a keep-alive, a checkpoint or the end of the session may be due.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let keep_alive = self.last_frame + self.site.settings.sockets.ping_interval;
        let expires_at = self.session.as_ref().and_then(|session| session.expires_at);
        let session_end = expires_at.map(|at| Instant::now() + at.until_next_check(Timestamp::now()));
        let next = session_end.into_iter().chain(self.operation.checkpoint_due()).fold(keep_alive, Instant::min);
        // The deadline of the session moves with every check of the wall clock. The timer is reset only for an earlier
        // deadline, or after it has fired.
        let is_past = self.timer.is_elapsed();
        if is_past || self.timer.deadline() > next.into() {
            self.timer.as_mut().reset(next.into());
        }
        self.timer.as_mut().poll(context)
    }

    /// Sends the cursor once it is known, before the first event: the connection may break before that.
    fn initial_cursor(&mut self) -> Option<Bytes> {
        if std::mem::replace(&mut self.sent_cursor, true) {
            return None;
        }
        self.served().map(|cursor| frames::keep_alive(Some(cursor)))
    }

    /// A keep-alive if none was sent for the ping interval. It renews the client's cursor in quiet times, and shows the
    /// server when the connection is broken.
    fn keep_alive(&mut self) -> Option<Bytes> {
        let is_due = self.last_frame.elapsed() >= self.site.settings.sockets.ping_interval;
        is_due.then(|| frames::keep_alive(self.served()))
    }

    fn served(&mut self) -> Option<Cursor> {
        match self.operation.served() {
            Served::UpTo(cursor) => Some(cursor),
            Served::NotOfLog | Served::Unknown => None,
        }
    }

    /// The last frames of a stream. `complete` tells clients not to reconnect, so it is omitted where they should.
    fn last_frames(&mut self, end: StreamEnd) -> Vec<Bytes> {
        match &end {
            StreamEnd::SessionEnded(error) => self.operation.fail(&error.clone().into()),
            StreamEnd::Failed(rejection) => self.operation.fail(rejection),
            StreamEnd::Complete(_) | StreamEnd::Stopped => {}
        }
        let session_error = self.session.as_ref().and_then(|session| session.viewer.check_session().err());
        match (end, session_error) {
            (StreamEnd::Complete(answer), _) => {
                answer.iter().flat_map(|body| frames::next(None, body)).chain([frames::complete()]).collect()
            }
            (StreamEnd::Stopped, _) => Vec::new(),
            // The subscription may have noticed the end of the session first. Its own error does not tell the client
            // to sign in, so the session's error is sent instead.
            (StreamEnd::SessionEnded(error), _) | (StreamEnd::Failed(_), Some(error)) => error_frames(&error.into()),
            (StreamEnd::Failed(refusal), None) if self.session.is_some() && is_transient(&refusal) => {
                error_frames(&refusal)
            }
            (StreamEnd::Failed(refusal), None) => {
                error_frames(&refusal).into_iter().chain([frames::complete()]).collect()
            }
        }
    }
}

fn retry() -> Bytes {
    frames::retry(rand::random_range(RETRY_DELAY))
}

/// Whether the operation may succeed if it is repeated soon.
fn is_transient(refusal: &Rejection) -> bool {
    matches!(refusal.error(), Some(Error::Unavailable(_)))
}

fn error_frames(refusal: &Rejection) -> Vec<Bytes> {
    frames::next(None, &graphql::errors_response(&refusal.errors()).into())
}
