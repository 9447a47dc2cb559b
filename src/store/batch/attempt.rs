//! One attempt to write a batch: read, decide, write.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;

use super::decide::{Decided, decide, needs_of};
use super::effects::Effects;
use super::needs::Needs;
use super::numbers::{Numbers, Settle as _};
use super::outcome::{BatchError, Unresolved};
use super::queued_command::QueuedCommand;
use super::state::{BatchRows, BatchState};
use super::transaction::{begin_and_lock_head, roll_back};
use super::write_postgres::Basis;
use super::{Batch, CommitSink};
use super::{lookups, read_postgres, read_sqlite, write_postgres, write_sqlite};
use crate::error::{Error, Result};
use crate::model::{Cursor, Seq, Tag, Timestamp};
use crate::store::connection::{Db, is_connection_lost, map_error, unreachable};
use crate::store::log::{self, Head};
use crate::store::sign_in_attempts;

/// A batch waits up to `ACCESS_WAIT` for newer permissions, and tries up to `ACCESS_TRIES` times.
const ACCESS_WAIT: Duration = Duration::from_secs(1);
const ACCESS_TRIES: usize = 5;

/// The result of an attempt that did not fail.
#[expect(clippy::large_enum_variant, reason = "there is one for each batch, on the stack of the writer")]
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
        let read = read(db, &needs, applied.map_or(Seq(0), |applied| applied.seq), now, is_locked);
        let (head, rows) = read.map_err(|error| failed(db, is_locked, error))?;
        let Some(behind) = applied.filter(|applied| is_behind(*applied, &head)) else {
            let tag = Tag(rand::random());
            let mut state = BatchState::new(rows, head.cursor.seq, tag, now);
            let Decided { effects, versions, ran } = decide(&mut commands[..taken], &mut state);
            let basis = Basis { head: &head, versions: &versions, tag, now };
            return write(db, effects, ran, &basis, is_locked);
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

/// Whether the permissions in memory may be older than the log. They are not if the log contains the position that this
/// instance has applied, with the same tag, and no later event changes permissions. The tag is needed because after a
/// failover the same number may belong to another event.
fn is_behind(applied: Cursor, head: &Head) -> bool {
    head.applied_tag != Some(applied.tag) || applied.seq < head.access
}

fn read(db: &mut Db, needs: &Needs, applied: Seq, now: Timestamp, is_locked: bool) -> Result<(Head, BatchRows)> {
    let (head, mut rows) = match db {
        Db::Sqlite(_) => (log::head_with_tag_at(db, applied).map_err(unreachable)?, read_sqlite::read(db, needs)?),
        Db::Postgres(connection) => read_postgres::read(connection, needs, applied, is_locked)?,
    };
    if !needs.attempts.is_empty() {
        rows.attempts = sign_in_attempts::counts(db, &needs.attempts, needs.attempt_span, now)?;
    }
    lookups::read(db, needs, &mut rows)?;
    Ok((head, rows))
}

/// Writes what the first `ran` commands have decided, and commits.
fn write(
    db: &mut Db,
    mut effects: Effects,
    ran: usize,
    basis: &Basis<'_>,
    is_locked: bool,
) -> Result<Attempt, BatchError> {
    let head = basis.head;
    if effects.is_empty() {
        if is_locked {
            roll_back(db);
        }
        return Ok(Attempt::Written { ran, numbers: Numbers::default(), batch: None, duration: None });
    }
    let started = Instant::now();
    let unknown = |error, effects| {
        let unresolved = Unresolved { effects, tag: basis.tag, read_at: head.cursor.seq, ran };
        BatchError::Unknown(map_error(error), Box::new(unresolved))
    };
    let written = if is_locked {
        write_rows(db, &mut effects, basis).map_err(|error| failed(db, true, error))?
    } else if let (Db::Postgres(connection), true) = (&mut *db, effects.singles.is_empty()) {
        match write_postgres::write(connection, &effects, basis) {
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
pub(super) fn write_rows(db: &mut Db, effects: &mut Effects, basis: &Basis<'_>) -> Result<Option<Numbers>> {
    let (base, at) = (Some(basis.head.cursor.seq.0), basis.head.at.max(basis.now).0);
    let mut numbers = Numbers { base, at, ..Numbers::default() };
    if !effects.singles.is_empty() {
        for single in &mut effects.singles {
            // A write can refer to what the one before it has created.
            single.settle(&numbers);
            single.run(db, basis.now, &mut numbers)?;
        }
        let (single, users) = (numbers.single, numbers.users.clone());
        effects.settle(&Numbers { users, single, ..Numbers::default() });
    }
    sign_in_attempts::add(db, &effects.attempts, basis.now)?;
    match db {
        Db::Sqlite(connection) => {
            write_sqlite::write(connection, effects, &mut numbers, basis.now)?;
            Ok(Some(numbers))
        }
        Db::Postgres(connection) => {
            let written = write_postgres::write(connection, effects, basis).map_err(map_error)?;
            Ok(written.map(|written| Numbers { single: numbers.single, users: numbers.users, ..written }))
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
