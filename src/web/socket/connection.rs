//! The state machine of a WebSocket connection, for every protocol; one task per connection. While the client does not
//! read what is sent, the task reads no frames and takes no events from the log. So a slow client costs a cursor, and
//! no queue.

use std::future::{Future as _, poll_fn};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio_tungstenite::tungstenite::Message;

use super::super::AppState;
use super::super::admission::Admission;
use super::super::connection_limits::Permit;
use super::super::state::ShutdownSignal;
use super::authentication::{Authenticated, Credentials};
use super::close::Close;
use super::close_handshake::{End, catch_panic, close_handshake};
use super::protocol::{ConnectionState, PingOutcome, Protocol, Received};
use super::timers::{Due, Timers};
use super::transport::Transport;
use super::write_buffer::WriteBuffer;
use crate::board::PresenceGuard;
use crate::capacity::{Rate, Throttle};
use crate::graphql::Caller;
use crate::live::SessionWatch;
use crate::model::{Timestamp, UserId};

/// How many steps one poll does at most, so that other tasks are not delayed.
const MAX_STEPS: usize = 128;
/// How many bytes of frames are buffered before they are written to the kernel.
const FLUSH_BYTES: usize = 16 << 10;
/// How long a close waits for the responses of running operations.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of seconds for which a client may exceed its rate of frames before the server stops reading.
const BURST_SECONDS: u32 = 2;

/// Event sources that were found idle in the current poll. They are not polled again in it: a change wakes the task.
#[derive(Default)]
struct IdleSources {
    session: bool,
    frames: bool,
}

/// A WebSocket connection with the protocol `P`.
pub struct Connection<P> {
    protocol: P,
    state: ConnectionState,
    transport: Transport,
    phase: Phase,
    /// The connection's entry in the admission queue, until the client is authenticated.
    admission: Option<Arc<Admission>>,
    timers: Timers,
    frame_limit: Throttle,
    /// Reports the end of the session and changes of the user's permissions.
    watch: Option<SessionWatch>,
    /// Counts the user as active while it is held.
    connected: Option<PresenceGuard>,
    /// The permit of the limit on sockets per user.
    permit: Option<Permit<UserId>>,
    /// The close to send when all responses are sent, and the deadline for them.
    ending: Option<(Close, Instant)>,
}

enum Phase {
    /// Before `connection_init`.
    AwaitingInit(Arc<Credentials>),
    /// The client is being authenticated. No frame is read meanwhile.
    Authenticating(BoxFuture<'static, Result<Authenticated, Close>>),
    /// The client is authenticated.
    Open,
}

impl<P: Protocol> Connection<P> {
    /// Creates the connection of a client that is not authenticated yet.
    pub fn new(
        site: Arc<AppState>,
        transport: Transport,
        protocol: P,
        credentials: Credentials,
        admission: Arc<Admission>,
    ) -> Box<Self> {
        let timers = Timers::start(&site.settings.sockets, protocol.has_keep_alive());
        let frames_per_second = site.settings.sockets.frames_per_second;
        let connection_id = credentials.connection_id;
        let burst = frames_per_second.saturating_mul(BURST_SECONDS);
        let frame_limit = Throttle::new(Rate::per_second(frames_per_second, burst));
        Box::new(Self {
            protocol,
            state: ConnectionState { site, connection_id, caller: None, write_buffer: WriteBuffer::default() },
            transport,
            phase: Phase::AwaitingInit(Arc::new(credentials)),
            admission: Some(admission),
            timers,
            frame_limit,
            watch: None,
            connected: None,
            permit: None,
            ending: None,
        })
    }

    /// Serves the connection until its end. Boxed, as is the close handshake: a future reserves space for all values
    /// that it moves at any time.
    pub async fn run(mut self: Box<Self>, mut shutdown: ShutdownSignal) {
        let end = {
            let mut stopped = Box::pin(shutdown.stopped());
            let (mut is_registered, mut is_stopping) = (false, false);
            poll_fn(|context| {
                // Poll the shutdown once, to register the waker. The shutdown wakes this task, so until then there is no
                // reason to poll it again.
                if !is_registered || (!is_stopping && self.state.site.is_stopping()) {
                    is_registered = true;
                    is_stopping = stopped.as_mut().poll(context).is_ready();
                    if is_stopping {
                        self.end(Close::Restarting);
                    }
                }
                catch_panic(|| self.poll(context))
            })
            .await
        };
        match end {
            End::Gone => Box::pin(close_handshake(self.transport, self.state.write_buffer, None)).await,
            End::Close(close) => {
                close.record(&self.state.site.counts);
                drop(self.protocol);
                Box::pin(close_handshake(self.transport, self.state.write_buffer, Some(&close))).await;
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        match self.run_steps(context) {
            Ok(true) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(false) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    /// Does the steps that are possible now. Returns `true` if more are possible.
    fn run_steps(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let (now, wall) = (Instant::now(), Timestamp::now());
        self.tick(now, wall, context)?;
        let mut steps = 0;
        let mut idle = IdleSources::default();
        // Do not read from a client that does not read: responses to its pings would accumulate.
        let mut may_work = !self.timers.is_blocked() || self.send(context)?;
        while may_work && steps < MAX_STEPS {
            if self.state.write_buffer.len() >= FLUSH_BYTES {
                may_work = self.send(context)?;
            } else if self.step(context, &mut idle)? {
                steps += 1;
            } else {
                break;
            }
        }
        let is_blocked = !self.send(context)?;
        self.timers.blocked(is_blocked);
        // Poll the timers last, because the steps may have changed them.
        let checkpoint = self.protocol.next_due().filter(|_| !is_blocked);
        let ending = self.ending.as_ref().map(|(_, deadline)| *deadline);
        let other = checkpoint.into_iter().chain(ending).chain(self.frame_limit.blocked_until()).min();
        let is_due = self.timers.poll(now, wall, context, &self.state.site.settings.sockets, other).is_ready();
        Ok(is_due || (steps == MAX_STEPS && !is_blocked))
    }

    /// Writes the buffered frames to the kernel. Returns whether it accepted all of them.
    fn send(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        match self.transport.poll_send(&mut self.state.write_buffer, context) {
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(_)) => Err(End::Gone),
            Poll::Pending => Ok(false),
        }
    }

    /// Handles all timers that have expired.
    fn tick(&mut self, now: Instant, wall: Timestamp, context: &mut Context<'_>) -> Result<(), End> {
        while let Some(due) = self.timers.due(now, wall, &self.state.site.settings.sockets) {
            match due {
                Due::Close(close @ Close::Forbidden(_)) => {
                    self.timers.session_ends(None);
                    self.end(close);
                }
                // The client sent `connection_init` in time, and authentication is slow: close with 1013 instead of
                // 4408.
                Due::Close(Close::InitTimeout) if matches!(self.phase, Phase::Authenticating(_)) => {
                    return Err(End::Close(Close::Busy));
                }
                Due::Close(close) => return Err(End::Close(close)),
                Due::Ping if matches!(self.phase, Phase::Open) => self.ping(context)?,
                Due::KeepAlive if matches!(self.phase, Phase::Open) => {
                    if self.protocol.keep_alive(&mut self.state) == PingOutcome::Later {
                        self.timers.keep_alive_soon();
                    }
                }
                Due::Ping | Due::KeepAlive => {}
            }
        }
        Ok(())
    }

    /// Checks whether the client is alive: with a message of the protocol if it has one, else with a WebSocket ping.
    fn ping(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        match self.protocol.ping(&mut self.state) {
            PingOutcome::Sent => {}
            PingOutcome::Later => self.timers.ping_soon(),
            PingOutcome::ByFrame => self.transport.ping(context).map_err(|_| End::Gone)?,
        }
        Ok(())
    }

    /// Does one step. Returns `false` if there is nothing to do.
    fn step(&mut self, context: &mut Context<'_>, idle: &mut IdleSources) -> Result<bool, End> {
        if let Some((close, deadline)) = &self.ending
            && (!self.protocol.is_answering() || Instant::now() >= *deadline)
        {
            return Err(End::Close(close.clone()));
        }
        let has_changed = !idle.session && self.poll_session(context);
        idle.session = !has_changed;
        let read = match self.phase {
            _ if self.ending.is_some() => false,
            Phase::Authenticating(_) => {
                let authenticated = self.poll_authentication(context)?;
                // After the authentication, the session is polled for the first time.
                idle.session &= !authenticated;
                authenticated
            }
            _ if self.frame_limit.blocked_until().is_some() => false,
            _ if idle.frames || !self.protocol.may_read() => false,
            Phase::AwaitingInit(_) | Phase::Open => {
                let read = self.poll_read(context)?;
                idle.frames = !read;
                read
            }
        };
        let was_answering = self.protocol.is_answering();
        let sent = self.protocol.poll(&mut self.state, context);
        if was_answering {
            self.extend_session();
        }
        Ok(has_changed || read || sent)
    }

    /// Updates the end of the session if the mutation `refreshToken` has run on this connection.
    fn extend_session(&mut self) {
        let Some(Caller { extends: Some(extends), .. }) = &self.state.caller else { return };
        let expires_at: Option<Timestamp> = extends.lock().unwrap_or_else(PoisonError::into_inner).take();
        if expires_at.is_some() {
            self.timers.session_ends(expires_at);
        }
    }

    /// Checks whether the session has ended or its permissions have changed. Returns `true` if so.
    fn poll_session(&mut self, context: &mut Context<'_>) -> bool {
        let Some(watch) = &mut self.watch else { return false };
        match watch.poll_next_unpin(context) {
            Poll::Pending => return false,
            Poll::Ready(Some(Ok(()))) => self.protocol.recheck(&mut self.state),
            Poll::Ready(Some(Err(error))) => {
                self.watch = None;
                self.connected = None;
                self.end(Close::Forbidden(error.to_string()));
            }
            Poll::Ready(None) => self.watch = None,
        }
        true
    }

    /// Starts the end of the connection. Subscriptions stop at once, without a `complete` message, because that would
    /// tell clients not to resume. Running queries and mutations get their responses; after the end of a session only
    /// mutations do.
    fn end(&mut self, close: Close) {
        self.protocol.stop_operations(close == Close::Restarting);
        self.ending.get_or_insert((close, Instant::now() + DRAIN_TIMEOUT));
    }

    fn poll_authentication(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let Phase::Authenticating(future) = &mut self.phase else { return Ok(false) };
        match future.as_mut().poll(context) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(Authenticated { mut caller, expires_at, watch, permit, connected })) => {
                caller.extends = Some(Arc::new(Mutex::new(None)));
                self.phase = Phase::Open;
                self.admission.take().inspect(|admission| admission.set_established());
                self.state.caller = Some(caller);
                self.watch = watch;
                self.connected = connected;
                self.permit = permit;
                self.timers.authenticated(expires_at);
                self.protocol.on_authenticated(&mut self.state);
                Ok(true)
            }
            Poll::Ready(Err(close)) => {
                let reason = close.frame().reason.to_string();
                self.protocol.reject(&mut self.state, &reason);
                self.end(close);
                Ok(true)
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let message = match self.transport.poll_frame(context) {
            Poll::Pending => return Ok(false),
            Poll::Ready(None) => return Err(End::Gone),
            Poll::Ready(Some(Ok(message))) => message,
            Poll::Ready(Some(Err(error))) => return Err(End::from_error(&error)),
        };
        self.timers.received();
        self.frame_limit.record();
        let received = match message {
            // RFC 8259, section 8.1: a parser may ignore a byte order mark. Request bodies are treated alike.
            Message::Text(text) => {
                self.protocol.on_text(&mut self.state, text.strip_prefix('\u{FEFF}').unwrap_or(&text))
            }
            Message::Binary(_) => self.protocol.on_binary(&mut self.state),
            Message::Close(_) => return Err(End::Gone),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(Received::Handled),
        };
        match received.map_err(End::Close)? {
            Received::Handled => {}
            Received::Init(parameters) => self.init(parameters)?,
        }
        Ok(true)
    }

    /// Authenticates the client at once, without `connection_init`.
    pub fn start_authentication(mut self: Box<Self>) -> Box<Self> {
        drop(self.init(serde_json::Map::new()));
        self
    }

    fn init(&mut self, parameters: serde_json::Map<String, serde_json::Value>) -> Result<(), End> {
        let Phase::AwaitingInit(credentials) = &self.phase else { return Err(End::Close(Close::SecondInit)) };
        let (credentials, site) = (Arc::clone(credentials), Arc::clone(&self.state.site));
        self.timers.authenticating(&site.settings.sockets);
        self.phase = Phase::Authenticating(Box::pin(async move { credentials.authenticate(&site, &parameters).await }));
        Ok(())
    }
}
