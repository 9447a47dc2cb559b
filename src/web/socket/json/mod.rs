//! Plain JSON on a WebSocket, for clients that do not use GraphQL. Use cases, permissions and subscriptions are those
//! of the `board` module; this module only translates messages.

mod client_message;
mod frame_cache;
mod handlers;
mod outcome;
mod server_message;
mod subscription;

use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::BoxFuture;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tracing::Span;

pub use frame_cache::FrameCache;

use super::super::operation_record::{OperationRecord, TransportKind};
use super::super::refusal::Refusal;
use super::super::request_id::RequestId;
use super::close::Close;
use super::protocol::{ConnectionState, PingOutcome, Protocol, Received};
use crate::error::{Error, Result};
use crate::graphql::SMALL;
use crate::model::Cursor;
use client_message::{InvalidJsonRequest, JsonRequest, Subject};
use outcome::HandlerResult;
use subscription::{PlainSubscription, Step, SubscriptionKey};

/// The subscriptions and the running request of one WebSocket.
pub struct JsonProtocol {
    /// Whether the connection starts with a subscription to all tickets.
    starts_with_tickets: bool,
    /// The default cursor of subscriptions that name none, from the query string of the upgrade request.
    after: Option<Result<Cursor>>,
    followed: Vec<PlainSubscription>,
    /// The index of the subscription that is polled first, so that no subscription keeps others from sending.
    next_index: usize,
    /// The running request. No frame is read meanwhile, so a client's requests are executed in the order in which the
    /// client sends them.
    request: Option<RunningRequest>,
}

/// A request, and whether it writes.
type StartedRequest = (BoxFuture<'static, HandlerResult>, bool);

/// A request that is being executed.
struct RunningRequest {
    future: BoxFuture<'static, HandlerResult>,
    is_writing: bool,
    record: Option<OperationRecord>,
}

impl JsonProtocol {
    /// No subscriptions yet. `after` is the default cursor of the client's subscriptions.
    pub fn new(starts_with_tickets: bool, after: Option<String>) -> Self {
        let after = after.map(|text| client_message::cursor(&text));
        Self { starts_with_tickets, after, followed: Vec::new(), next_index: 0, request: None }
    }

    fn resume_cursor(&self, cursor: Option<Cursor>) -> Result<Option<Cursor>> {
        cursor.map(Ok).or_else(|| self.after.clone()).transpose()
    }

    fn handle(&mut self, state: &mut ConnectionState, message: JsonRequest) {
        let mut record = message.operation().map(|(name, kind)| {
            let request_id = RequestId::random();
            state.source(TransportKind::Json, &request_id).begin(Some(kind), Some(name))
        });
        match self.try_handle(state, message) {
            Ok(Some((future, is_writing))) => self.request = Some(RunningRequest { future, is_writing, record }),
            Ok(None) => record.iter_mut().for_each(|record| record.finish(None)),
            Err((error, context)) => {
                if let Some(record) = &mut record {
                    if matches!(error, Error::TooComplex(_)) {
                        record.refuse(Refusal::OperationLimit, (&error).into());
                    }
                    record.fail(&error.clone().into());
                }
                state.write_buffer.push(&[&server_message::error(&error, &context)]);
            }
        }
    }

    /// Handles a message. Returns the request that executes it, and whether the request writes; `None` if the message
    /// is handled.
    fn try_handle(
        &mut self,
        state: &mut ConnectionState,
        message: JsonRequest,
    ) -> Result<Option<StartedRequest>, (Error, server_message::ErrorContext)> {
        let Some(caller) = &state.caller else { return Ok(None) };
        match message {
            JsonRequest::Ping => {
                let cursor = self.served(state);
                state.write_buffer.push(&[&server_message::pong(cursor)]);
            }
            JsonRequest::Unsubscribe(subject) => {
                self.unsubscribe(&SubscriptionKey::Subject(subject), state.site.board.log.era());
                state.write_buffer.push(&[&server_message::unsubscribed(subject)]);
            }
            JsonRequest::Leave(room) => {
                self.unsubscribe(&SubscriptionKey::Room(room.as_str().into()), state.site.board.log.era());
                state.write_buffer.push(&[&server_message::left(&room)]);
            }
            JsonRequest::Subscribe(subject, cursor) => {
                let context = || server_message::ErrorContext::subject(subject);
                let is_new =
                    self.check_limit(state, &SubscriptionKey::Subject(subject)).map_err(|error| (error, context()))?;
                if !is_new && cursor.is_none() {
                    state.write_buffer.push(&[&server_message::subscribed(subject)]);
                    return Ok(None);
                }
                let after = self.resume_cursor(cursor).map_err(|error| (error, context()))?;
                return Ok(Some((handlers::subscribe(&state.site, caller.clone(), subject, after), false)));
            }
            JsonRequest::Join(room, cursor) => {
                let context = || server_message::ErrorContext::room(&room);
                let what = SubscriptionKey::Room(room.as_str().into());
                let is_new = self.check_limit(state, &what).map_err(|error| (error, context()))?;
                if !is_new && cursor.is_none() {
                    state.write_buffer.push(&[&server_message::joined(&room)]);
                    return Ok(None);
                }
                let after = self.resume_cursor(cursor).map_err(|error| (error, context()))?;
                return Ok(Some((handlers::join(&state.site, caller.clone(), room, after), true)));
            }
            JsonRequest::Unfollow(room) => {
                self.unsubscribe(&SubscriptionKey::Events(room.as_str().into()), state.site.board.log.era());
                state.write_buffer.push(&[&server_message::unfollowed(&room)]);
            }
            JsonRequest::Follow(wanted, cursor) => {
                let context = || server_message::ErrorContext::room(&wanted.room);
                let what = SubscriptionKey::Events(wanted.room.as_str().into());
                self.check_limit(state, &what).map_err(|error| (error, context()))?;
                // A repeated subscription may name other types. It goes on where the first one is.
                let cursor = cursor.or_else(|| self.served_of(&what));
                let after = self.resume_cursor(cursor).map_err(|error| (error, context()))?;
                return Ok(Some((handlers::follow(&state.site, caller.clone(), wanted, after), false)));
            }
            JsonRequest::Signal(new) => {
                return Ok(Some((handlers::signal(&state.site, caller.clone(), new), true)));
            }
            JsonRequest::Publish(new) => {
                return Ok(Some((handlers::publish(&state.site, caller.clone(), new), true)));
            }
            JsonRequest::Message(new) => {
                return Ok(Some((handlers::post(&state.site, caller.clone(), new), true)));
            }
        }
        Ok(None)
    }

    /// Whether this would be a new subscription.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the connection has as many subscriptions as are allowed.
    fn check_limit(&self, state: &ConnectionState, what: &SubscriptionKey) -> Result<bool> {
        let max = state.site.settings.sockets.max_subscriptions;
        let exists = self.followed.iter().any(|followed| followed.what == *what);
        // A remaining subscription keeps records of what ended subscriptions have sent, until it has passed those
        // events. The records count towards the limit.
        let inherited = self.followed.iter().map(PlainSubscription::inheritance).max().unwrap_or(0);
        if self.followed.len() + inherited >= max + usize::from(exists) {
            return Err(Error::TooComplex(format!("a connection has at most {max} subscriptions")));
        }
        Ok(!exists)
    }

    /// The cursor up to which this subscription has been served, if it is open.
    fn served_of(&mut self, what: &SubscriptionKey) -> Option<Cursor> {
        self.followed.iter_mut().find(|followed| followed.what == *what)?.served()
    }

    /// The cursor up to which all subscriptions have been served.
    fn served(&mut self, state: &ConnectionState) -> Cursor {
        state.site.board.log.lowest(self.followed.iter_mut().filter_map(PlainSubscription::served))
    }

    fn poll_request(&mut self, state: &mut ConnectionState, context: &mut Context<'_>) -> bool {
        let Some(RunningRequest { future, record, .. }) = &mut self.request else { return false };
        let span = record.as_ref().map_or_else(Span::none, |record| record.span().clone());
        let Poll::Ready(outcome) = span.in_scope(|| future.as_mut().poll(context)) else { return false };
        let mut record = record.take();
        self.request = None;
        let HandlerResult { frames, followed, error } = outcome;
        frames.iter().for_each(|frame| state.write_buffer.push(&[frame]));
        match (followed, error) {
            (Some(mut followed), _) => {
                record.into_iter().for_each(|record| followed.record_in(record));
                self.unsubscribe(&followed.what, state.site.board.log.era());
                self.followed.push(followed);
            }
            (None, Some(error)) => record.iter_mut().for_each(|record| record.fail(&error.clone().into())),
            (None, None) => record.iter_mut().for_each(|record| record.finish(None)),
        }
        true
    }

    fn unsubscribe(&mut self, what: &SubscriptionKey, era: u64) {
        if let Some(at) = self.followed.iter().position(|followed| followed.what == *what) {
            self.remove(at, era);
        }
    }

    /// Removes a subscription. The others inherit which events it has sent, so that they do not send them again.
    fn remove(&mut self, at: usize, era: u64) {
        let mut ended = self.followed.swap_remove(at);
        for remaining in &mut self.followed {
            remaining.inherit(&mut ended, era);
        }
    }

    /// Whether another subscription has already sent this event of a ticket.
    fn is_repeated(&mut self, at: usize, event: &crate::hub::LiveEvent, era: u64) -> bool {
        let is_of_ticket =
            matches!(self.followed[at].what, SubscriptionKey::Subject(Subject::Tickets | Subject::Ticket(_)));
        is_of_ticket
            && (self.followed[at].knows_shown(event, era)
                || (0..self.followed.len()).any(|other| other != at && self.followed[other].has_shown(event, era)))
    }
}

impl Protocol for JsonProtocol {
    fn has_keep_alive(&self) -> bool {
        false
    }

    fn on_authenticated(&mut self, state: &mut ConnectionState) {
        if self.starts_with_tickets {
            self.handle(state, JsonRequest::Subscribe(Subject::Tickets, None));
        }
    }

    fn reject(&mut self, _: &mut ConnectionState, _: &str) {}

    fn may_read(&self) -> bool {
        self.request.is_none() && !self.followed.iter().any(PlainSubscription::is_beginning)
    }

    fn on_text(&mut self, state: &mut ConnectionState, text: &str) -> Result<Received, Close> {
        match JsonRequest::parse(text) {
            Ok(message) => self.handle(state, message),
            Err(InvalidJsonRequest { error, fields }) => {
                state.site.counts.refuse(Refusal::MalformedMessage);
                state.write_buffer.push(&[&server_message::error(&error, &server_message::ErrorContext(fields))]);
            }
        }
        Ok(Received::Handled)
    }

    fn on_binary(&mut self, state: &mut ConnectionState) -> Result<Received, Close> {
        state.site.counts.refuse(Refusal::MalformedMessage);
        let error = Error::input("type", "a message is one JSON object in a text frame");
        state.write_buffer.push(&[&server_message::error(&error, &server_message::ErrorContext::default())]);
        Ok(Received::Handled)
    }

    fn poll(&mut self, state: &mut ConnectionState, context: &mut Context<'_>) -> bool {
        if self.poll_request(state, context) {
            return true;
        }
        let count = self.followed.len();
        for i in 0..count {
            let at = (self.next_index + i) % count;
            let step = self.followed[at].poll_step(&state.site.board, context);
            let Poll::Ready(step) = step else { continue };
            self.next_index = at + 1;
            match step {
                Step::More => {}
                Step::Frame(frame) => {
                    self.followed[at].delivered();
                    deliver(state, frame);
                }
                Step::Event(event, frame) => {
                    if !self.is_repeated(at, &event, state.site.board.log.era()) {
                        self.followed[at].delivered();
                        deliver(state, frame);
                    }
                }
                Step::Over(frame) => {
                    state.write_buffer.push(&[&frame]);
                    self.remove(at, state.site.board.log.era());
                }
            }
            return true;
        }
        false
    }

    fn ping(&mut self, _: &mut ConnectionState) -> PingOutcome {
        PingOutcome::ByFrame
    }

    fn keep_alive(&mut self, _: &mut ConnectionState) -> PingOutcome {
        PingOutcome::ByFrame
    }

    fn recheck(&mut self, state: &mut ConnectionState) {
        for at in (0..self.followed.len()).rev() {
            if let Err(frame) = self.followed[at].recheck() {
                state.write_buffer.push(&[&frame]);
                self.remove(at, state.site.board.log.era());
            }
        }
    }

    fn stop_operations(&mut self, finish_running: bool) {
        self.followed.clear();
        self.next_index = 0;
        if !finish_running {
            self.request = self.request.take().filter(|request| request.is_writing);
        }
    }

    fn is_answering(&self) -> bool {
        self.request.is_some()
    }

    fn next_due(&self) -> Option<Instant> {
        None
    }
}

fn deliver(state: &mut ConnectionState, frame: Utf8Bytes) {
    state.site.counts.plain.deliveries.count();
    if frame.len() > SMALL {
        return state.write_buffer.push_around(&[], frame.into(), "");
    }
    state.write_buffer.push(&[&frame]);
}
