//! GraphQL on a WebSocket: runs operations by their ids, in either sub-protocol.

use std::task::{Context, Poll};
use std::time::Instant;

use super::super::operation::{Operation, Output, Served};
use super::super::operation_record::{OperationRecord, TransportKind};
use super::super::refusal::Refusal;
use super::super::request_id::RequestId;
use super::close::Close;
use super::protocol::{ConnectionState, PingOutcome, Protocol, Received};
use super::subprotocol::{self, Subprotocol};
use super::write_buffer::WriteBuffer;
use crate::error::Error;
use crate::graphql::{Caller, Prepared, Rejection, Request};
use crate::model::Cursor;

/// The operations of one WebSocket.
pub struct GraphQl {
    subprotocol: Subprotocol,
    operations: Vec<Running>,
    /// The index of the operation that is polled first, so that all operations get their turn to send.
    next_index: usize,
}

/// A running operation.
struct Running {
    /// The id that the client chose.
    id: Box<str>,
    /// The id encoded as JSON, quotes included.
    json_id: Box<str>,
    operation: Operation,
}

impl Running {
    /// Writes the operation's output to the write buffer. Returns whether the operation is over.
    fn write(&self, output: Output, subprotocol: Subprotocol, write_buffer: &mut WriteBuffer) -> bool {
        match output {
            Output::Opened => return false,
            Output::Item(body, _) => {
                subprotocol.next(&self.json_id, &body, write_buffer);
                return false;
            }
            Output::Answer(answer) => {
                subprotocol.next(&self.json_id, &answer.body, write_buffer);
                write_buffer.push(&[&subprotocol.complete(&self.json_id)]);
            }
            Output::Completed => write_buffer.push(&[&subprotocol.complete(&self.json_id)]),
            Output::Failed(refusal) => {
                let errors = self.operation.in_scope(|| refusal.errors());
                write_buffer.push(&[&subprotocol.error(&self.json_id, &errors)]);
            }
        }
        true
    }
}

impl GraphQl {
    /// No operations yet, in this sub-protocol.
    pub fn new(subprotocol: Subprotocol) -> Self {
        Self { subprotocol, operations: Vec::new(), next_index: 0 }
    }

    fn start(
        &mut self,
        state: &mut ConnectionState,
        id: String,
        request: Result<Box<Request>, Rejection>,
    ) -> Result<(), Close> {
        let Some(caller) = &state.caller else { return Err(Close::Unauthorized) };
        if self.operations.iter().any(|running| *running.id == *id) {
            return Err(Close::Duplicate(id));
        }
        let (prepared, record) = self.prepare(state, caller, request);
        let json_id: Box<str> = serde_json::Value::from(id.as_str()).to_string().into();
        match prepared {
            Ok(prepared) => {
                let operation = Operation::start(&state.site.engine, prepared, caller.clone(), record);
                // Most sockets have one operation. A vector that grows by itself has room for four.
                if self.operations.is_empty() {
                    self.operations.reserve_exact(1);
                }
                self.operations.push(Running { id: id.into(), json_id, operation });
            }
            Err(refusal) => {
                let errors = record.in_scope(|| refusal.errors());
                state.write_buffer.push(&[&self.subprotocol.error(&json_id, &errors)]);
            }
        }
        Ok(())
    }

    /// Prepares an operation, unless the connection has the maximum number of operations.
    fn prepare(
        &self,
        state: &ConnectionState,
        caller: &Caller,
        request: Result<Box<Request>, Rejection>,
    ) -> (Result<Prepared, Rejection>, OperationRecord) {
        let request_id = RequestId::random();
        let source = state.source(TransportKind::WebSocket, &request_id);
        let max = state.site.settings.sockets.max_subscriptions;
        match request {
            _ if self.operations.len() >= max => {
                let error = Error::TooComplex(format!("a connection runs at most {max} operations at once"));
                let mut record = source.begin(None, None);
                record.refuse(Refusal::OperationLimit, (&error).into());
                (Err(error.into()), record)
            }
            Ok(request) => source.prepare(&request, caller),
            Err(rejection) => {
                let record = source.reject(&rejection);
                (Err(rejection), record)
            }
        }
    }

    fn stop(&mut self, state: &mut ConnectionState, id: &str) {
        let Some(at) = self.operations.iter().position(|running| *running.id == *id) else { return };
        let removed = self.operations.swap_remove(at);
        if self.subprotocol == Subprotocol::LegacyWs {
            // Legacy clients wait for this message. In the other protocol it would violate the specification.
            state.write_buffer.push(&[&self.subprotocol.complete(&removed.json_id)]);
        }
    }

    /// The cursor up to which all subscriptions have been served; `None` while one is being opened.
    fn served(&mut self, state: &ConnectionState) -> Option<Cursor> {
        let mut served = Vec::with_capacity(self.operations.len());
        for running in &mut self.operations {
            match running.operation.served() {
                Served::UpTo(cursor) => served.push(cursor),
                Served::NotOfLog => {}
                Served::Unknown => return None,
            }
        }
        Some(state.site.board.log.lowest(served.into_iter()))
    }
}

impl Protocol for GraphQl {
    fn has_keep_alive(&self) -> bool {
        self.subprotocol == Subprotocol::LegacyWs
    }

    fn on_authenticated(&mut self, state: &mut ConnectionState) {
        let head = state.site.board.log.head();
        state.write_buffer.push(&[&self.subprotocol.acknowledge(head)]);
        if self.subprotocol == Subprotocol::LegacyWs {
            state.write_buffer.push(&[&self.subprotocol.ping(head)]);
        }
    }

    fn reject(&mut self, state: &mut ConnectionState, reason: &str) {
        if let Some(refusal) = self.subprotocol.reject(reason) {
            state.write_buffer.push(&[&refusal]);
        }
    }

    fn may_read(&self) -> bool {
        true
    }

    fn on_text(&mut self, state: &mut ConnectionState, text: &str) -> Result<Received, Close> {
        match self.subprotocol.parse(text).map_err(Close::BadMessage)? {
            subprotocol::ClientMessage::Init(parameters) => return Ok(Received::Init(parameters)),
            subprotocol::ClientMessage::Start(id, request) => self.start(state, id, request)?,
            subprotocol::ClientMessage::Stop(id) => self.stop(state, &id),
            subprotocol::ClientMessage::Ping => state.write_buffer.push(&[&self.subprotocol.pong()]),
            subprotocol::ClientMessage::Pong => {}
            subprotocol::ClientMessage::Terminate => return Err(Close::Goodbye),
        }
        Ok(Received::Handled)
    }

    fn on_binary(&mut self, _: &mut ConnectionState) -> Result<Received, Close> {
        Err(Close::BadMessage("Binary frames are not supported".into()))
    }

    /// Does one step of the next operation that can progress.
    fn poll(&mut self, state: &mut ConnectionState, context: &mut Context<'_>) -> bool {
        let count = self.operations.len();
        for i in 0..count {
            let at = (self.next_index + i) % count;
            let Poll::Ready(output) = self.operations[at].operation.poll(context) else { continue };
            if matches!(output, Output::Item(..)) {
                state.site.counts.graphql.deliveries.count();
            }
            if self.operations[at].write(output, self.subprotocol, &mut state.write_buffer) {
                self.operations.swap_remove(at);
            } else {
                self.next_index = at + 1;
            }
            return true;
        }
        false
    }

    fn ping(&mut self, state: &mut ConnectionState) -> PingOutcome {
        match self.subprotocol {
            Subprotocol::TransportWs => self.keep_alive(state),
            Subprotocol::LegacyWs => PingOutcome::ByFrame,
        }
    }

    fn keep_alive(&mut self, state: &mut ConnectionState) -> PingOutcome {
        let Some(cursor) = self.served(state) else { return PingOutcome::Later };
        state.send_optional(&self.subprotocol.ping(cursor));
        PingOutcome::Sent
    }

    fn recheck(&mut self, state: &mut ConnectionState) {
        let subprotocol = self.subprotocol;
        self.operations.retain_mut(|running| match running.operation.recheck() {
            Ok(()) => true,
            Err(error) => !running.write(Output::Failed(Rejection::from(error)), subprotocol, &mut state.write_buffer),
        });
    }

    fn stop_operations(&mut self, finish_running: bool) {
        self.operations.retain(|Running { operation, .. }| match finish_running {
            true => operation.is_answering(),
            false => operation.is_writing(),
        });
        self.next_index = 0;
    }

    fn is_answering(&self) -> bool {
        self.operations.iter().any(|running| running.operation.is_answering())
    }

    fn next_due(&self) -> Option<Instant> {
        self.operations.iter().filter_map(|running| running.operation.checkpoint_due()).min()
    }
}
