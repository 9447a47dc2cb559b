//! GraphQL on a socket: operations by their ids, in either sub-protocol.

use std::task::{Context, Poll};
use std::time::Instant;

use super::close::Close;
use super::dialect::{Dialect, Said};
use super::operation::{Operation, Served, Step};
use super::protocol::{Asked, Desk, Heard, Protocol};
use crate::error::Error;
use crate::graphql::Request;
use crate::model::Cursor;

/// GraphQL on a socket.
pub struct GraphQl {
    dialect: Dialect,
    operations: Vec<Operation>,
    /// Whose turn it is to send.
    turn: usize,
}

impl GraphQl {
    /// In this sub-protocol.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, operations: Vec::new(), turn: 0 }
    }

    fn start(&mut self, desk: &mut Desk, id: String, request: Request) -> Result<(), Close> {
        let Some(caller) = &desk.caller else { return Err(Close::Unauthorized) };
        if self.operations.iter().any(|operation| *operation.id == *id) {
            return Err(Close::Duplicate(id));
        }
        let max = desk.site.settings.sockets.max_subscriptions;
        let prepared = if self.operations.len() < max {
            desk.site.engine.prepare(request, caller)
        } else {
            Err(Error::TooComplex(format!("a connection runs at most {max} operations at once")).into())
        };
        match prepared {
            Ok(prepared) => {
                self.operations.push(Operation::start(&desk.site.engine, id, prepared, caller.clone()));
            }
            Err(refusal) => {
                let id = serde_json::Value::from(id).to_string();
                desk.outbox.push_back(self.dialect.error(&id, &refusal.errors()).into());
            }
        }
        Ok(())
    }

    fn stop(&mut self, desk: &mut Desk, id: &str) {
        let Some(at) = self.operations.iter().position(|operation| *operation.id == *id) else { return };
        self.operations.swap_remove(at);
        if self.dialect == Dialect::Legacy {
            // Its clients wait for it; those of the other protocol must not get one.
            let id = serde_json::Value::from(id).to_string();
            desk.outbox.push_back(self.dialect.complete(&id).into());
        }
    }

    /// Up to where every subscription of this socket has been served; `None` as long as one is being opened.
    fn served(&mut self, desk: &Desk) -> Option<Cursor> {
        let mut lowest = desk.site.board.head();
        for operation in &mut self.operations {
            match operation.served() {
                Served::UpTo(served) if served.seq < lowest.seq => lowest = served,
                Served::UpTo(_) | Served::Whatever => {}
                Served::Unknown => return None,
            }
        }
        Some(lowest)
    }
}

impl Protocol for GraphQl {
    fn keeps_alive(&self) -> bool {
        self.dialect == Dialect::Legacy
    }

    fn welcome(&mut self, desk: &mut Desk) {
        let head = desk.site.board.head();
        desk.outbox.push_back(self.dialect.acknowledge(head).into());
        if self.dialect == Dialect::Legacy {
            desk.outbox.push_back(self.dialect.ping(head).into());
        }
    }

    fn refuse(&mut self, desk: &mut Desk, reason: &str) {
        desk.outbox.extend(self.dialect.refuse(reason).map(Into::into));
    }

    fn may_hear(&self) -> bool {
        true
    }

    fn hear(&mut self, desk: &mut Desk, text: &str) -> Result<Heard, Close> {
        match self.dialect.parse(text).map_err(Close::BadMessage)? {
            Said::Init(parameters) => return Ok(Heard::Init(parameters)),
            Said::Start(id, request) => self.start(desk, id, *request)?,
            Said::Stop(id) => self.stop(desk, &id),
            Said::Ping => desk.outbox.push_back(self.dialect.pong().into()),
            Said::Pong => {}
            Said::Terminate => return Err(Close::Goodbye),
        }
        Ok(Heard::Something)
    }

    fn hear_binary(&mut self, _: &mut Desk) -> Result<Heard, Close> {
        Err(Close::BadMessage("Binary frames are not spoken here".into()))
    }

    /// Lets the next operation that has something do a step.
    fn poll(&mut self, desk: &mut Desk, context: &mut Context<'_>) -> bool {
        let count = self.operations.len();
        for i in 0..count {
            let at = (self.turn + i) % count;
            let operation = &mut self.operations[at];
            match operation.poll_step(context, &desk.site.engine, self.dialect, &mut desk.outbox) {
                Poll::Pending => {}
                Poll::Ready(Step::More) => {
                    self.turn = at + 1;
                    return true;
                }
                Poll::Ready(Step::Over) => {
                    self.operations.swap_remove(at);
                    return true;
                }
            }
        }
        false
    }

    fn ping(&mut self, desk: &mut Desk) -> Asked {
        match self.dialect {
            Dialect::Modern => self.keep_alive(desk),
            Dialect::Legacy => Asked::ByFrame,
        }
    }

    fn keep_alive(&mut self, desk: &mut Desk) -> Asked {
        let Some(cursor) = self.served(desk) else { return Asked::Later };
        desk.say(self.dialect.ping(cursor));
        Asked::Said
    }

    fn recheck(&mut self, desk: &mut Desk) {
        let dialect = self.dialect;
        self.operations.retain_mut(|operation| match operation.recheck() {
            Ok(()) => true,
            Err(error) => {
                desk.outbox.push_back(operation.fail(dialect, &error).into());
                false
            }
        });
    }

    fn fall_silent(&mut self, patient: bool) {
        self.operations.retain(|operation| if patient { operation.is_answering() } else { operation.is_writing() });
        self.turn = 0;
    }

    fn is_answering(&self) -> bool {
        self.operations.iter().any(Operation::is_answering)
    }

    fn next_due(&self) -> Option<Instant> {
        self.operations.iter().filter_map(Operation::checkpoint_due).min()
    }
}
