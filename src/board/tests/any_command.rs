//! Commands of any type, so that a script can hold all of them.

use std::fmt::Debug;

use crate::board::commands::ViewerCommand;
use crate::board::permissions::UserState;
use crate::error::Result;
use crate::store::{BatchState, Effects, Needs, Numbers, Settle, WriteCommand};

/// An output of any type.
pub trait AnyOutput: Settle + Debug + Send {}

impl<T: Settle + Debug + Send> AnyOutput for T {}

impl Settle for Box<dyn AnyOutput> {
    fn settle(&mut self, numbers: &Numbers) {
        (**self).settle(numbers);
    }
}

trait ErasedCommand: Send {
    fn needs(&self, actor: &UserState, needs: &mut Needs);

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Box<dyn AnyOutput>, Effects)>;
}

impl<C: ViewerCommand<Output: Debug>> ErasedCommand for C {
    fn needs(&self, actor: &UserState, needs: &mut Needs) {
        ViewerCommand::needs(self, actor, needs);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Box<dyn AnyOutput>, Effects)> {
        let (output, effects) = ViewerCommand::decide(self, actor, state)?;
        Ok((Box::new(output), effects))
    }
}

/// A command of any type.
pub struct AnyCommand(Box<dyn ErasedCommand>);

impl AnyCommand {
    /// Wraps a command of a viewer.
    pub fn new(command: impl ViewerCommand<Output: Debug>) -> Self {
        Self(Box::new(command))
    }

    /// Wraps a command of the server.
    pub fn of_server(command: impl WriteCommand<Output: Debug>) -> Self {
        Self::new(ByServer(command))
    }
}

impl ViewerCommand for AnyCommand {
    type Output = Box<dyn AnyOutput>;

    fn needs(&self, actor: &UserState, needs: &mut Needs) {
        self.0.needs(actor, needs);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Self::Output, Effects)> {
        self.0.decide(actor, state)
    }
}

/// A command of the server, which does not depend on the actor.
struct ByServer<C>(C);

impl<C: WriteCommand> ViewerCommand for ByServer<C> {
    type Output = C::Output;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        self.0.needs(needs);
    }

    fn decide(&self, _: &UserState, state: &BatchState) -> Result<(C::Output, Effects)> {
        self.0.decide(state)
    }
}
