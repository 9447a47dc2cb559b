//! Server-Sent Events: one operation, and the response that brings what comes of it. The connection takes a frame when
//! it has room for one; nothing is read from the log before, so a slow reader costs a cursor, not a queue.

mod frames;
mod session;

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::header::VARY;
use http::{HeaderValue, Response, StatusCode};
use session::Session;
use tokio::time::Sleep;

use super::operation::{Operation, Output, Served};
use super::{Peer, Site, body};
use crate::error::{Error, Result};
use crate::graphql::{self, Caller, OperationType, Prepared, Refusal, Text};
use crate::model::{Counted, Cursor, Timestamp};

/// So many steps at most are taken until other tasks have their turn.
const TURN: usize = 128;
/// When clients come back whose stream broke, in milliseconds: not all of them at once.
const RETRY: std::ops::Range<u32> = 1_000..3_000;

/// The frames of a response, made as they are taken.
pub struct Events {
    waiting: VecDeque<Bytes>,
    source: Option<Box<Source>>,
}

/// Where frames come from until the operation is over.
struct Source {
    site: Arc<Site>,
    operation: Operation,
    /// What ends a subscription from without; an answer is waited for.
    session: Option<Session>,
    /// Whether the client was told from where it would go on.
    is_placed: bool,
    /// When the latest frame was made.
    last: Instant,
    timer: Pin<Box<Sleep>>,
    _counted: Counted,
    /// Its place among the connections of its address.
    _peer: Peer,
}

/// Why there are no more frames.
enum End {
    /// All has been said, but for the answer to a query or a mutation.
    Complete(Option<Text>),
    /// The server stops: it goes on elsewhere, or later.
    Stopped,
    /// The session has ended: it goes on with a fresh token.
    SignedOut(Error),
    /// For this reason.
    Failed(Refusal),
}

impl Events {
    /// What comes of an operation.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the session has just ended; `UNAVAILABLE` if the user has too many lines.
    pub async fn of(
        site: &Arc<Site>,
        peer: &Peer,
        prepared: Prepared,
        caller: Caller,
        until: Option<Timestamp>,
    ) -> Result<Self> {
        let session = match prepared.kind() {
            OperationType::Subscription => Some(Session::start(site, &caller.viewer, until).await?),
            OperationType::Query | OperationType::Mutation => None,
        };
        // Who comes back for an answer would have it made twice.
        let waiting = session.iter().map(|_| retry()).collect();
        let operation = Operation::start(&site.engine, prepared, caller);
        let (is_placed, last) = (false, Instant::now());
        let timer = Box::pin(tokio::time::sleep(site.settings.sockets.ping_interval));
        let counted = site.counts.sse.open.enter();
        let site = Arc::clone(site);
        let peer = peer.clone();
        let source = Source { site, operation, session, is_placed, last, timer, _counted: counted, _peer: peer };
        let source = Box::new(source);
        Ok(Self { waiting, source: Some(source) })
    }

    /// An operation that is not executed.
    pub fn refused(refusal: &Refusal) -> Self {
        let end = if is_passing(refusal) { retry() } else { frames::complete() };
        let frames = failure(refusal).into_iter().chain([end]);
        Self { waiting: frames.collect(), source: None }
    }

    /// The response with these frames.
    pub fn into_response(self) -> Response<Self> {
        let mut response = body::response(StatusCode::OK, "text/event-stream; charset=utf-8", Bytes::new());
        // nginx would keep frames back until it has a block of them.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
        response.map(|_| self)
    }

    /// The next frame; `None` at the end.
    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        for _ in 0..TURN {
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

impl Source {
    /// Does the next step, of which a frame may come.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<Bytes>, End>> {
        if let Some(session) = &mut self.session
            && let Poll::Ready(end) = session.poll_end(context, &mut self.operation)
        {
            return Poll::Ready(Err(end));
        }
        let frames: Vec<Bytes> = match self.operation.poll(context) {
            Poll::Ready(Output::Opened) => self.place().into_iter().collect(),
            Poll::Ready(Output::Item(body, cursor)) => {
                self.site.counts.sse.deliveries.count();
                frames::next(cursor, &body)
            }
            Poll::Ready(Output::Answer(body)) => return Poll::Ready(Err(End::Complete(Some(body)))),
            Poll::Ready(Output::Completed) => return Poll::Ready(Err(End::Complete(None))),
            Poll::Ready(Output::Failed(refusal)) => return Poll::Ready(Err(End::Failed(refusal))),
            Poll::Pending => {
                ready!(self.poll_clock(context));
                self.beat().into_iter().collect()
            }
        };
        if !frames.is_empty() {
            self.last = Instant::now();
        }
        Poll::Ready(Ok(frames))
    }

    /// When something may be due without news.
    fn poll_clock(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let beat = self.last + self.site.settings.sockets.ping_interval;
        let until = self.session.as_ref().and_then(|session| session.until);
        let session_end = until.map(|until| Instant::now() + until.next_look(Timestamp::now()));
        let next = session_end.into_iter().chain(self.operation.checkpoint_due()).fold(beat, Instant::min);
        // A look at the wall clock moves on at each poll; the timer does so when it has fired.
        let is_past = self.timer.is_elapsed();
        if is_past || self.timer.deadline() > next.into() {
            self.timer.as_mut().reset(next.into());
        }
        self.timer.as_mut().poll(context)
    }

    /// As soon as it is known, from where the client would go on: its line may break before the first event.
    fn place(&mut self) -> Option<Bytes> {
        if std::mem::replace(&mut self.is_placed, true) {
            return None;
        }
        self.served().map(|cursor| frames::beat(Some(cursor)))
    }

    /// In quiet times the client's cursor must not grow old, and whoever is gone must be noticed.
    fn beat(&mut self) -> Option<Bytes> {
        let is_due = self.last.elapsed() >= self.site.settings.sockets.ping_interval;
        is_due.then(|| frames::beat(self.served()))
    }

    fn served(&mut self) -> Option<Cursor> {
        match self.operation.served() {
            Served::UpTo(cursor) => Some(cursor),
            Served::NotOfLog | Served::Unknown => None,
        }
    }

    /// `complete` tells clients not to come back: it is left out where they should.
    fn last_frames(&self, end: End) -> Vec<Bytes> {
        let signed_out = self.session.as_ref().and_then(|session| session.viewer.rights().err());
        match (end, signed_out) {
            (End::Complete(answer), _) => {
                answer.iter().flat_map(|body| frames::next(None, body)).chain([frames::complete()]).collect()
            }
            (End::Stopped, _) => Vec::new(),
            // A feed may have noticed the end of the session first, and say only that it may not go on.
            (End::SignedOut(error), _) | (End::Failed(_), Some(error)) => failure(&error.into()),
            (End::Failed(refusal), None) if self.session.is_some() && is_passing(&refusal) => failure(&refusal),
            (End::Failed(refusal), None) => failure(&refusal).into_iter().chain([frames::complete()]).collect(),
        }
    }
}

fn retry() -> Bytes {
    frames::retry(rand::random_range(RETRY))
}

/// Whether it may work in a moment.
fn is_passing(refusal: &Refusal) -> bool {
    matches!(refusal.error(), Some(Error::Unavailable(_)))
}

fn failure(refusal: &Refusal) -> Vec<Bytes> {
    frames::next(None, &graphql::errors_response(&refusal.errors()).into())
}
