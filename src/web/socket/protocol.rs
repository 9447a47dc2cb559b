//! The interface between a connection and the protocol on it, GraphQL or plain JSON.

use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use super::super::AppState;
use super::super::operation_record::{OperationSource, TransportKind};
use super::super::request_id::RequestId;
use super::close::Close;
use super::write_buffer::WriteBuffer;
use crate::graphql::Caller;

/// The state that a connection and its protocol share.
pub struct ConnectionState {
    /// The shared state of the server.
    pub site: Arc<AppState>,
    /// The number of the connection.
    pub connection_id: u64,
    /// The authenticated caller; `None` before the authentication.
    pub caller: Option<Caller>,
    /// The write buffer.
    pub write_buffer: WriteBuffer,
}

impl ConnectionState {
    /// Where the operations of this connection come from.
    pub fn source<'a>(&'a self, transport: TransportKind, request_id: &'a RequestId) -> OperationSource<'a> {
        let user_id = self.caller.as_ref().and_then(|caller| caller.viewer.user_id());
        OperationSource { site: &self.site, transport, connection_id: self.connection_id, request_id, user_id }
    }

    /// Sends a frame that may be dropped. It is dropped if two or more frames already wait.
    pub fn send_optional(&mut self, frame: &str) {
        if self.write_buffer.frames() < 2 {
            self.write_buffer.push(&[frame]);
        }
    }
}

/// What the connection must do with a message that the protocol has read.
pub enum Received {
    /// Nothing: the protocol has handled it.
    Handled,
    /// Authenticate the client with these parameters.
    Init(serde_json::Map<String, serde_json::Value>),
}

/// How a check that the client is alive was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingOutcome {
    /// As a message of the protocol, already in the write buffer.
    Sent,
    /// Not sent yet. The connection must try again soon.
    Later,
    /// Not by the protocol. The connection must send a WebSocket ping, which every client answers.
    ByFrame,
}

/// The application protocol of a WebSocket: GraphQL or plain JSON.
pub trait Protocol: Send {
    /// Whether the protocol's clients expect a message at regular intervals.
    fn has_keep_alive(&self) -> bool;

    /// Handles the successful authentication.
    fn on_authenticated(&mut self, state: &mut ConnectionState);

    /// Sends the protocol's message about a failed authentication, if it has one. The close frame follows.
    fn reject(&mut self, state: &mut ConnectionState, reason: &str);

    /// Whether the next frame may be read now.
    fn may_read(&self) -> bool;

    /// Handles a text frame.
    ///
    /// # Errors
    /// The close for a frame that violates the protocol.
    fn on_text(&mut self, state: &mut ConnectionState, text: &str) -> Result<Received, Close>;

    /// Handles a binary frame.
    ///
    /// # Errors
    /// The close for a frame that violates the protocol.
    fn on_binary(&mut self, state: &mut ConnectionState) -> Result<Received, Close>;

    /// Does one step of an operation or subscription that can progress. Returns `false` if none can.
    fn poll(&mut self, state: &mut ConnectionState, context: &mut Context<'_>) -> bool;

    /// Sends a check that the client is alive.
    fn ping(&mut self, state: &mut ConnectionState) -> PingOutcome;

    /// Sends a message that shows that the server is alive.
    fn keep_alive(&mut self, state: &mut ConnectionState) -> PingOutcome;

    /// Ends the subscriptions that the viewer's new permissions no longer allow.
    fn recheck(&mut self, state: &mut ConnectionState);

    /// Ends all subscriptions. If `finish_running`, running operations may finish; else only those that write.
    fn stop_operations(&mut self, finish_running: bool);

    /// Whether an operation is running whose response must still be sent.
    fn is_answering(&self) -> bool;

    /// When [`Self::poll`] must be called again even without a wake-up.
    fn next_due(&self) -> Option<Instant>;
}
