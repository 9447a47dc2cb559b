//! What a connection needs of the protocol that is spoken on it.

use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use super::super::Site;
use super::close::Close;
use super::outbox::Outbox;
use crate::graphql::Caller;

/// What a connection and its protocol share.
pub struct Desk {
    /// The server's.
    pub site: Arc<Site>,
    /// Who has come in.
    pub caller: Option<Caller>,
    /// What is to be sent next.
    pub outbox: Outbox,
}

impl Desk {
    /// Says something that may be left out if the client does not take what is sent before it.
    pub fn say(&mut self, frame: &str) {
        if self.outbox.frames() < 2 {
            self.outbox.push(&[frame]);
        }
    }
}

/// What a frame amounts to, as far as the connection is concerned.
pub enum Heard {
    /// It was for the protocol alone.
    Something,
    /// The client wants to come in, with these parameters.
    Init(serde_json::Map<String, serde_json::Value>),
}

/// How a client is asked whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It was, in the words of the protocol.
    Said,
    /// Not now, but soon.
    Later,
    /// By a frame that the client's WebSocket answers by itself.
    ByFrame,
}

/// What is spoken on a connection.
pub trait Protocol: Send {
    /// Whether the client expects to hear something from time to time.
    fn keeps_alive(&self) -> bool;

    /// Somebody has come in.
    fn welcome(&mut self, desk: &mut Desk);

    /// Somebody may not come in; the close follows.
    fn refuse(&mut self, desk: &mut Desk, reason: &str);

    /// Whether the next frame may be read.
    fn may_hear(&self) -> bool;

    /// A frame of text.
    ///
    /// # Errors
    /// The close that it deserves.
    fn hear(&mut self, desk: &mut Desk, text: &str) -> Result<Heard, Close>;

    /// A binary frame.
    ///
    /// # Errors
    /// The close that it deserves.
    fn hear_binary(&mut self, desk: &mut Desk) -> Result<Heard, Close>;

    /// Does the next thing that can be done without waiting; `false` if there is none.
    fn poll(&mut self, desk: &mut Desk, context: &mut Context<'_>) -> bool;

    /// Asks whether the client is there.
    fn ping(&mut self, desk: &mut Desk) -> Asked;

    /// Says that the server is there.
    fn keep_alive(&mut self, desk: &mut Desk) -> Asked;

    /// The viewer's rights may be others.
    fn recheck(&mut self, desk: &mut Desk);

    /// Nothing new from now on; if patient, what is being answered is, else only what is being written.
    fn fall_silent(&mut self, patient: bool);

    /// Whether an answer is still to come.
    fn is_answering(&self) -> bool;

    /// When it wants to be looked at again.
    fn next_due(&self) -> Option<Instant>;
}
