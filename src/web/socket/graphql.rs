//! GraphQL on a socket: operations by their ids, in either sub-protocol.

use std::task::{Context, Poll};
use std::time::Instant;

use super::super::operation::{Operation, Output, Served};
use super::close::Close;
use super::dialect::{self, Dialect};
use super::outbox::Outbox;
use super::protocol::{Asked, Desk, Heard, Protocol};
use crate::error::Error;
use crate::graphql::{Refusal, Request};
use crate::model::Cursor;

/// GraphQL on a socket.
pub struct GraphQl {
    dialect: Dialect,
    operations: Vec<Running>,
    /// Whose turn it is to send.
    turn: usize,
}

/// An operation under its id.
struct Running {
    /// As the client says it.
    id: Box<str>,
    /// The same as JSON.
    json_id: Box<str>,
    operation: Operation,
}

impl Running {
    /// Puts what the operation says into the outbox; whether it is over.
    fn tell(&self, said: Output, dialect: Dialect, outbox: &mut Outbox) -> bool {
        match said {
            Output::Opened => return false,
            Output::Item(body, _) => {
                dialect.next(&self.json_id, &body, outbox);
                return false;
            }
            Output::Answer(body) => {
                dialect.next(&self.json_id, &body, outbox);
                outbox.push(&[&dialect.complete(&self.json_id)]);
            }
            Output::Completed => outbox.push(&[&dialect.complete(&self.json_id)]),
            Output::Failed(refusal) => outbox.push(&[&dialect.error(&self.json_id, &refusal.errors())]),
        }
        true
    }
}

impl GraphQl {
    /// In this sub-protocol.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, operations: Vec::new(), turn: 0 }
    }

    fn start(&mut self, desk: &mut Desk, id: String, request: Result<Box<Request>, Refusal>) -> Result<(), Close> {
        let Some(caller) = &desk.caller else { return Err(Close::Unauthorized) };
        if self.operations.iter().any(|running| *running.id == *id) {
            return Err(Close::Duplicate(id));
        }
        let max = desk.site.settings.sockets.max_subscriptions;
        let prepared = if self.operations.len() < max {
            request.and_then(|request| desk.site.engine.prepare(*request, caller))
        } else {
            Err(Error::TooComplex(format!("a connection runs at most {max} operations at once")).into())
        };
        let json_id: Box<str> = serde_json::Value::from(id.as_str()).to_string().into();
        match prepared {
            Ok(prepared) => {
                let operation = Operation::start(&desk.site.engine, prepared, caller.clone());
                self.operations.push(Running { id: id.into(), json_id, operation });
            }
            Err(refusal) => desk.outbox.push(&[&self.dialect.error(&json_id, &refusal.errors())]),
        }
        Ok(())
    }

    fn stop(&mut self, desk: &mut Desk, id: &str) {
        let Some(at) = self.operations.iter().position(|running| *running.id == *id) else { return };
        let stopped = self.operations.swap_remove(at);
        if self.dialect == Dialect::Legacy {
            // Its clients wait for it; those of the other protocol must not get one.
            desk.outbox.push(&[&self.dialect.complete(&stopped.json_id)]);
        }
    }

    /// Up to where every subscription of this socket has been served; `None` as long as one is being opened.
    fn served(&mut self, desk: &Desk) -> Option<Cursor> {
        let mut served = Vec::with_capacity(self.operations.len());
        for running in &mut self.operations {
            match running.operation.served() {
                Served::UpTo(cursor) => served.push(cursor),
                Served::NotOfLog => {}
                Served::Unknown => return None,
            }
        }
        Some(desk.site.board.lowest(served.into_iter()))
    }
}

impl Protocol for GraphQl {
    fn keeps_alive(&self) -> bool {
        self.dialect == Dialect::Legacy
    }

    fn welcome(&mut self, desk: &mut Desk) {
        let head = desk.site.board.head();
        desk.outbox.push(&[&self.dialect.acknowledge(head)]);
        if self.dialect == Dialect::Legacy {
            desk.outbox.push(&[&self.dialect.ping(head)]);
        }
    }

    fn refuse(&mut self, desk: &mut Desk, reason: &str) {
        if let Some(refusal) = self.dialect.refuse(reason) {
            desk.outbox.push(&[&refusal]);
        }
    }

    fn may_hear(&self) -> bool {
        true
    }

    fn hear(&mut self, desk: &mut Desk, text: &str) -> Result<Heard, Close> {
        match self.dialect.parse(text).map_err(Close::BadMessage)? {
            dialect::Said::Init(parameters) => return Ok(Heard::Init(parameters)),
            dialect::Said::Start(id, request) => self.start(desk, id, request)?,
            dialect::Said::Stop(id) => self.stop(desk, &id),
            dialect::Said::Ping => desk.outbox.push(&[&self.dialect.pong()]),
            dialect::Said::Pong => {}
            dialect::Said::Terminate => return Err(Close::Goodbye),
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
            let Poll::Ready(said) = self.operations[at].operation.poll(context) else { continue };
            if matches!(said, Output::Item(..)) {
                desk.site.counts.graphql.deliveries.count();
            }
            if self.operations[at].tell(said, self.dialect, &mut desk.outbox) {
                self.operations.swap_remove(at);
            } else {
                self.turn = at + 1;
            }
            return true;
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
        desk.say(&self.dialect.ping(cursor));
        Asked::Said
    }

    fn recheck(&mut self, desk: &mut Desk) {
        let dialect = self.dialect;
        self.operations.retain_mut(|running| match running.operation.recheck() {
            Ok(()) => true,
            Err(error) => !running.tell(Output::Failed(Refusal::from(error)), dialect, &mut desk.outbox),
        });
    }

    fn fall_silent(&mut self, patient: bool) {
        self.operations.retain(|Running { operation, .. }| match patient {
            true => operation.is_answering(),
            false => operation.is_writing(),
        });
        self.turn = 0;
    }

    fn is_answering(&self) -> bool {
        self.operations.iter().any(|running| running.operation.is_answering())
    }

    fn next_due(&self) -> Option<Instant> {
        self.operations.iter().filter_map(|running| running.operation.checkpoint_due()).min()
    }
}
