//! A command in the writer's queue, with the caller who waits for its answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

use super::WriteCommand;
use super::effects::Effects;
use super::needs::Needs;
use super::numbers::{Numbers, Settle};
use super::state::BatchState;
use crate::error::{Error, Result};

/// A command in the writer's queue. Its caller waits for the answer.
pub trait QueuedCommand: Send {
    /// Names the rows that the command decides on.
    fn needs(&self, needs: &mut Needs);

    /// Decides, and keeps the output for the answer. Returns the effects, or `None` if the change is refused.
    fn decide(&mut self, state: &BatchState) -> Option<Effects>;

    /// Answers the caller: with the last decision if the batch was written, else with the error.
    fn answer(self: Box<Self>, written: &Result<Numbers>);
}

/// A command, its last decision and its caller.
pub struct PendingCommand<C: WriteCommand> {
    command: C,
    decision: Option<Result<C::Output>>,
    caller: oneshot::Sender<Result<C::Output>>,
}

impl<C: WriteCommand> PendingCommand<C> {
    /// Returns the command, and the receiver of its answer.
    pub fn new(command: C) -> (Self, oneshot::Receiver<Result<C::Output>>) {
        let (caller, answer) = oneshot::channel();
        (Self { command, decision: None, caller }, answer)
    }
}

impl<C: WriteCommand> QueuedCommand for PendingCommand<C> {
    fn needs(&self, needs: &mut Needs) {
        self.command.needs(needs);
    }

    fn decide(&mut self, state: &BatchState) -> Option<Effects> {
        let decision = catch_unwind(AssertUnwindSafe(|| self.command.decide(state)));
        let decision = decision.unwrap_or_else(|_| Err(Error::internal("a command panicked")));
        let (output, effects) = match decision {
            Ok((output, effects)) => (Ok(output), Some(effects)),
            Err(error) => (Err(error), None),
        };
        self.decision = Some(output);
        effects
    }

    fn answer(self: Box<Self>, written: &Result<Numbers>) {
        let undecided = || Err(Error::internal("a command was acknowledged without a decision"));
        let answer = match written {
            Ok(numbers) => self.decision.unwrap_or_else(undecided).map(|mut output| {
                output.settle(numbers);
                output
            }),
            Err(error) => Err(error.clone()),
        };
        // An error means that the caller has stopped waiting.
        drop(self.caller.send(answer));
    }
}
