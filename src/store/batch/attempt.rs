//! One attempt to write a batch: read, decide, write.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use tokio::sync::oneshot;

use super::effects::Effects;
use super::needs::Needs;
use super::numbers::{Numbers, Settle};
use super::outcome::{BatchError, Unresolved};
use super::state::{BatchRows, BatchState, Versions};
use super::transaction::{begin_and_lock_head, roll_back};
use super::write_postgres::Basis;
use super::{Batch, CommitSink, WriteCommand};
use super::{lookups, read_postgres, read_sqlite, write_postgres, write_sqlite};
use crate::error::{Error, Result};
use crate::model::{Cursor, Seq, Tag, Timestamp};
use crate::store::connection::{Db, is_connection_lost, map_error, unreachable};
use crate::store::log::{self, Head};

/// A batch waits up to `ACCESS_WAIT` for newer permissions, and tries up to `ACCESS_TRIES` times.
const ACCESS_WAIT: Duration = Duration::from_secs(1);
const ACCESS_TRIES: usize = 5;

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

/// The result of an attempt that did not fail.
pub enum Attempt {
    /// Another batch has changed what this one was decided on. Nothing was written.
    Outdated,
    /// The first `ran` commands have run, and what they decided is written.
    Written {
        ran: usize,
        numbers: Numbers,
        /// The events; `None` if there are none.
        batch: Option<Batch>,
        /// How long the writes and the commit took; `None` if there was nothing to write.
        duration: Option<Duration>,
    },
}

/// Tries to run these commands as one batch. Runs only the first ones if a command must be the last of its batch.
/// `must_lock` locks the log head before anything is read, so that the attempt cannot be outdated.
pub fn attempt(
    db: &mut Db,
    sink: &mut impl CommitSink,
    commands: &mut [Box<dyn QueuedCommand>],
    must_lock: bool,
) -> Result<Attempt, BatchError> {
    let mut is_locked = false;
    let mut must_lock = must_lock || matches!(db, Db::Sqlite(_));
    for remaining in (0..ACCESS_TRIES).rev() {
        must_lock |= remaining <= 1;
        if must_lock && !is_locked {
            begin_and_lock_head(db).map_err(BatchError::Retryable)?;
            is_locked = true;
        }
        // Needs can depend on permissions, so these must not be older than the position.
        let (applied, now) = (sink.position(), Timestamp::now());
        let (needs, taken) = needs_of(commands);
        if needs.locks_head && !is_locked {
            must_lock = true;
            continue;
        }
        let read = read(db, &needs, applied.map_or(Seq(0), |applied| applied.seq), now);
        let (head, rows) = read.map_err(|error| failed(db, is_locked, error))?;
        let Some(behind) = applied.filter(|applied| is_behind(*applied, &head)) else {
            let decided = decide(&mut commands[..taken], rows, head.cursor.seq, now);
            return write(db, decided, &head, is_locked);
        };
        // The last wait keeps the lock, so that no other instance changes permissions meanwhile.
        if is_locked && remaining != 1 {
            roll_back(db);
            is_locked = false;
        }
        sink.wait(behind, head.access, ACCESS_WAIT);
    }
    Err(BatchError::Failed(Error::Unavailable("this instance is behind; try again".into())))
}

/// The needs of the first commands that can share a batch, and their number.
fn needs_of(commands: &[Box<dyn QueuedCommand>]) -> (Needs, usize) {
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

/// Whether the permissions in memory may be older than the log. They are not if the log contains the position that this
/// instance has applied, with the same tag, and no later event changes permissions. The tag is needed because after a
/// failover the same number may belong to another event.
fn is_behind(applied: Cursor, head: &Head) -> bool {
    head.applied_tag != Some(applied.tag) || applied.seq < head.access
}

fn read(db: &mut Db, needs: &Needs, applied: Seq, now: Timestamp) -> Result<(Head, BatchRows)> {
    let (head, mut rows) = match db {
        Db::Sqlite(_) => (log::head_with_tag_at(db, applied).map_err(unreachable)?, read_sqlite::read(db, needs)?),
        Db::Postgres(connection) => read_postgres::read(connection, needs, applied)?,
    };
    lookups::read(db, needs, now, &mut rows)?;
    Ok((head, rows))
}

/// What the commands of a batch have decided.
struct Decided {
    effects: Effects,
    versions: Versions,
    ran: usize,
    tag: Tag,
    now: Timestamp,
}

/// Lets the commands decide, one after the other. Stops after a command that changes permissions, because the next
/// commands would check outdated ones.
fn decide(commands: &mut [Box<dyn QueuedCommand>], rows: BatchRows, head: Seq, now: Timestamp) -> Decided {
    let tag = Tag(rand::random());
    let mut state = BatchState::new(rows, head, tag, now);
    let (versions, mut all, mut ran) = (state.versions(), state.effects(), 0);
    for command in commands {
        ran += 1;
        let Some(effects) = command.decide(&state) else { continue };
        state.apply(&effects);
        all.append(effects);
        if all.access_offset() > 0 {
            break;
        }
    }
    Decided { effects: all, versions, ran, tag, now }
}

/// Writes what was decided, and commits.
fn write(db: &mut Db, decided: Decided, head: &Head, is_locked: bool) -> Result<Attempt, BatchError> {
    let Decided { mut effects, versions, ran, tag, now } = decided;
    if effects.is_empty() {
        if is_locked {
            roll_back(db);
        }
        return Ok(Attempt::Written { ran, numbers: Numbers::default(), batch: None, duration: None });
    }
    let started = Instant::now();
    let basis = Basis { head, versions: &versions, tag, now };
    let unknown = |error, effects| {
        let unresolved = Unresolved { effects, tag, read_at: head.cursor.seq, ran };
        BatchError::Unknown(map_error(error), Box::new(unresolved))
    };
    let written = if is_locked {
        write_rows(db, &mut effects, &basis).map_err(|error| failed(db, true, error))?
    } else if let (Db::Postgres(connection), true) = (&mut *db, effects.singles.is_empty()) {
        match write_postgres::write(connection, &effects, &basis) {
            // The statement is also the commit.
            Err(error) if is_connection_lost(&error) => return Err(unknown(error, effects)),
            written => written.map_err(|error| BatchError::before_commit(map_error(error)))?,
        }
    } else {
        return Err(BatchError::Failed(Error::internal("a command with a single write has not locked the head")));
    };
    let Some(numbers) = written else {
        if is_locked {
            roll_back(db);
        }
        return Ok(Attempt::Outdated);
    };
    if is_locked && let Err(error) = db.batch_execute("COMMIT") {
        return Err(unknown(error, effects));
    }
    effects.settle(&numbers);
    let is_next = numbers.base == Some(head.cursor.seq.0);
    let batch = Batch::new(is_next.then_some(head.cursor), effects.events);
    Ok(Attempt::Written { ran, numbers, batch, duration: Some(started.elapsed()) })
}

/// Writes the effects in the transaction that holds the lock on the log head.
fn write_rows(db: &mut Db, effects: &mut Effects, basis: &Basis<'_>) -> Result<Option<Numbers>> {
    let (base, at) = (Some(basis.head.cursor.seq.0), basis.head.at.max(basis.now).0);
    let mut numbers = Numbers { base, at, ..Numbers::default() };
    if !effects.singles.is_empty() {
        effects.singles.settle(&numbers);
        for single in &effects.singles {
            numbers.single = single.run(db, basis.now)?.or(numbers.single);
        }
        effects.settle(&Numbers { single: numbers.single, ..Numbers::default() });
    }
    match db {
        Db::Sqlite(connection) => {
            write_sqlite::write(connection, effects, &mut numbers, basis.now)?;
            Ok(Some(numbers))
        }
        Db::Postgres(connection) => {
            let written = write_postgres::write(connection, effects, basis).map_err(map_error)?;
            Ok(written.map(|written| Numbers { single: numbers.single, ..written }))
        }
    }
}

/// Rolls back a transaction in which a statement failed, and classifies the error.
fn failed(db: &mut Db, is_locked: bool, error: Error) -> BatchError {
    if is_locked {
        roll_back(db);
    }
    BatchError::before_commit(error)
}
