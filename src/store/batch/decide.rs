//! Lets the commands of a batch decide, one after the other, in memory.

use super::effects::Effects;
use super::needs::Needs;
use super::queued_command::QueuedCommand;
use super::state::{BatchState, Versions};

/// The needs of the first commands that can share a batch, and their number.
pub fn needs_of(commands: &[Box<dyn QueuedCommand>]) -> (Needs, usize) {
    let mut needs = Needs::default();
    let mut taken = 0;
    for command in commands {
        command.needs(&mut needs);
        taken += 1;
        if needs.is_full() {
            break;
        }
    }
    (needs, taken)
}

/// What the commands of a batch have decided.
pub struct Decided {
    /// The effects of all commands together.
    pub effects: Effects,
    /// The versions of the rows that the effects depend on.
    pub versions: Versions,
    /// How many of the commands have run.
    pub ran: usize,
}

/// Lets the commands decide on `state`, each one on what the ones before it have left. Stops after a command that changes
/// permissions, because the next commands would check outdated ones.
pub fn decide(commands: &mut [Box<dyn QueuedCommand>], state: &mut BatchState) -> Decided {
    let (mut all, mut ran) = (state.effects(), 0);
    for command in commands {
        ran += 1;
        let Some(effects) = command.decide(state) else { continue };
        state.apply(&effects);
        all.append(effects);
        if all.access_offset() > 0 {
            break;
        }
    }
    Decided { versions: state.versions(&all), effects: all, ran }
}
