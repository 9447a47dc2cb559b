//! The queue of commands in front of tables in memory.

use tokio::sync::oneshot;

use super::TAG;
use super::TestTables;
use super::mirror::SqliteMirror;
use super::reread::differences;
use crate::error::{Error, Result};
use crate::store::batch::WriteCommand;
use crate::store::batch::decide::{Decided, decide, needs_of};
use crate::store::batch::queued_command::{PendingCommand, QueuedCommand};
use crate::store::batch::state::BatchState;

/// Commands that wait for their batch.
#[derive(Default)]
pub struct TestQueue(pub(super) Vec<Box<dyn QueuedCommand>>);

/// The answer to a queued command.
pub struct TestAnswer<T>(oneshot::Receiver<Result<T>>);

impl<T> TestAnswer<T> {
    /// The answer, after the batch of the command.
    pub fn get(mut self) -> Result<T> {
        self.0.try_recv().unwrap_or_else(|_| Err(Error::internal("the command has not run")))
    }
}

impl TestQueue {
    /// Adds a command at the end.
    pub fn push<C: WriteCommand>(&mut self, command: C) -> TestAnswer<C::Output> {
        let (pending, answer) = PendingCommand::new(command);
        self.0.push(Box::new(pending));
        TestAnswer(answer)
    }

    /// Whether no command waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TestTables {
    /// Runs the first commands of the queue as one batch, and answers them. `mirror` gets the same writes. Returns how
    /// the state that the batch has left differs from the tables, and what the mirror reads differently.
    pub fn run_batch(&mut self, queue: &mut TestQueue, mirror: Option<&mut SqliteMirror>) -> Vec<String> {
        let (needs, taken) = needs_of(&queue.0);
        let mut state = BatchState::new(self.read(&needs), self.head().seq, TAG, self.now);
        let Decided { mut effects, ran, .. } = decide(&mut queue.0[..taken], &mut state);
        assert!(effects.singles.is_empty() || needs.is_full(), "a single write is the last one of its batch");
        let mut wrong = Vec::new();
        if let Some(mirror) = mirror {
            wrong.extend(mirror.difference(self, &needs));
            mirror.write(effects.clone(), self);
        }
        let numbers = self.write(&mut effects);
        for command in queue.0.drain(..ran) {
            command.answer(&Ok(numbers.clone()));
        }
        wrong.extend(differences(state, &effects, &numbers, self, &needs));
        wrong
    }
}
