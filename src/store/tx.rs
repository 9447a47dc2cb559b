//! The writer's transaction: it holds the lock on the log head from BEGIN to COMMIT, runs commands, and collects
//! the events that they record.

use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection;

use super::connection::{Db, map_error, unreachable};
use super::log;
use crate::error::{Error, Result};
use crate::model::{
    Audience, ChannelId, Cursor, Event, EventBody, EventKind, LoggedEvent, MessageId, Seq, Tag, Timestamp, UserId,
};

/// A batch waits up to `ACCESS_WAIT` for newer permissions, and tries up to `ACCESS_TRIES` times.
const ACCESS_WAIT: Duration = Duration::from_secs(1);
const ACCESS_TRIES: usize = 5;

/// The events of one committed transaction.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The log head when the transaction began. The first event of the batch follows it without a gap.
    pub after: Cursor,
    /// The events in log order, without gaps.
    pub events: Vec<LoggedEvent>,
}

impl Batch {
    /// The cursor of the last event, or `after` if the batch has no events.
    #[must_use]
    pub fn end(&self) -> Cursor {
        self.events.last().map_or(self.after, |logged| logged.event.cursor)
    }
}

/// An event to record. It has no position in the log yet.
pub struct NewEvent {
    kind: EventKind,
    object: i64,
    actor: Option<UserId>,
    channel: Option<ChannelId>,
    message: Option<MessageId>,
    user: Option<UserId>,
    owner: Option<UserId>,
    audience: Audience,
    ticket: bool,
    payload: Option<Arc<str>>,
}

impl NewEvent {
    /// Creates an event: `actor` changed `object`, which is the id of an object of the type that `kind` implies.
    #[must_use]
    pub fn new(kind: EventKind, object: i64, actor: Option<UserId>) -> Self {
        Self {
            kind,
            object,
            actor,
            channel: None,
            message: None,
            user: None,
            owner: None,
            audience: Audience::default(),
            ticket: false,
            payload: None,
        }
    }

    /// Sets the channel in which the event happened.
    #[must_use]
    pub fn in_channel(mut self, channel: ChannelId) -> Self {
        self.channel = Some(channel);
        self
    }

    /// Sets the channel and the audience of this message. Use it for events of the message and of its comments.
    #[must_use]
    pub fn of_message(mut self, message: &crate::model::Message) -> Self {
        self.channel = Some(message.channel_id);
        self.message = Some(message.id);
        self.ticket = message.ticket.is_some();
        self.for_audience(&message.audience, message.author_id)
    }

    /// Restricts the event to the readers in `audience` and to `author`.
    #[must_use]
    pub fn for_audience(mut self, audience: &Audience, author: UserId) -> Self {
        self.audience = audience.clone();
        self.owner = Some(author);
        self
    }

    /// Restricts the event to this user. Other users cannot see it.
    #[must_use]
    pub fn for_user(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }

    /// Stores `payload` (JSON) in the event itself, for events that have no object in the database.
    #[must_use]
    pub fn with_payload(mut self, payload: Arc<str>) -> Self {
        self.payload = Some(payload);
        self
    }

    /// Gives the event its position and time.
    pub(crate) fn at(self, cursor: Cursor, now: Timestamp) -> Event {
        let Self { kind, object, actor, channel, message, user, owner, audience, ticket, payload } = self;
        Event { cursor, kind, object, channel, message, user, owner, audience, actor, ticket, payload, at: now }
    }
}

/// The transaction in which a command runs. All commands of a batch share it.
pub struct Tx<'c> {
    db: &'c mut Db,
    tag: Tag,
    /// The log head when the batch began.
    after: Cursor,
    head: Seq,
    /// Position of the last permission change when the batch began.
    access_head_at_begin: Seq,
    access_head: Seq,
    now: Timestamp,
    /// Time of the recorded events. Never earlier than the time of the previous event in the log.
    at: Timestamp,
    events: Vec<LoggedEvent>,
    /// Whether the command that is currently running has written.
    pub(super) wrote: bool,
}

impl Tx<'_> {
    /// The connection to the database, for reading only.
    pub fn read(&mut self) -> &mut Db {
        self.db
    }

    /// The connection, for writing. After this call, an error of the command rolls back the whole batch.
    pub fn write(&mut self) -> &mut Db {
        self.wrote = true;
        self.db
    }

    /// Time of the batch by this machine's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The cursor of the next event that will be recorded.
    #[must_use]
    pub fn next_cursor(&self) -> Cursor {
        Cursor { seq: self.head.next(), tag: self.tag }
    }

    /// The position of the last event recorded so far, or of the log head if there is none yet.
    #[must_use]
    pub fn head(&self) -> Seq {
        self.head
    }

    /// Records an event. `body` is the object that the event shows.
    pub fn record(&mut self, change: NewEvent, body: EventBody) {
        self.wrote = true;
        let event = change.at(self.next_cursor(), self.at);
        self.head = event.cursor.seq;
        if event.kind.changes_access() {
            self.access_head = self.head;
        }
        self.events.push(LoggedEvent { event, body });
    }

    /// Whether this batch has changed permissions. If so, a further command would check outdated permissions.
    pub(super) fn changes_access(&self) -> bool {
        self.access_head > self.access_head_at_begin
    }

    /// Rolls back the transaction of the batch.
    pub(super) fn roll_back(self) {
        roll_back(self.db);
    }

    /// Writes the events and the new log head, then commits.
    pub(super) fn commit(self) -> Result<Batch, BatchError> {
        let Self { db, after, head, access_head, events, wrote, .. } = self;
        if !events.is_empty() {
            log::append(db, head, access_head, &events)
                .inspect_err(|_| roll_back(db))
                .map_err(BatchError::before_commit)?;
        }
        let batch = Batch { after, events };
        match db.batch_execute("COMMIT") {
            Ok(()) => Ok(batch),
            Err(error) if wrote => Err(BatchError::Unknown(map_error(error), batch)),
            Err(_) => {
                // The transaction wrote nothing, so a failed COMMIT loses nothing.
                roll_back(db);
                Ok(batch)
            }
        }
    }

    /// Begins a batch, and ensures that the permissions in memory are new enough for it. This holds if the log
    /// contains the position that this instance has applied, with the same tag, and no later event changes
    /// permissions. The tag is needed because after a failover the same number may belong to another event.
    ///
    /// If it does not hold, the writer waits outside the transaction, so that other instances can commit
    /// meanwhile. During the batch, its positions can be compared by number with the applied position.
    pub(super) fn begin<'c>(db: &'c mut Db, sink: &mut impl CommitSink) -> Result<Tx<'c>, BatchError> {
        for _ in 0..ACCESS_TRIES {
            let position = sink.position();
            let head = begin_and_lock_head(db, position.map_or(Seq(0), |position| position.seq))
                .map_err(BatchError::Retryable)?;
            let behind = position.filter(|at| head.requested_tag != Some(at.tag) || at.seq < head.access);
            let Some(behind) = behind else { return Ok(Tx::new(db, head)) };
            roll_back(db);
            sink.wait(behind, head.access, ACCESS_WAIT);
        }
        Err(BatchError::Failed(Error::Unavailable("this instance is behind; try again".into())))
    }
}

impl<'c> Tx<'c> {
    /// Creates the state of a batch that follows this log head.
    fn new(db: &'c mut Db, head: log::Head) -> Self {
        let now = Timestamp::now();
        Self {
            db,
            tag: Tag(rand::random()),
            after: head.cursor,
            head: head.cursor.seq,
            access_head_at_begin: head.access,
            access_head: head.access,
            now,
            at: now.max(head.at),
            events: Vec::new(),
            wrote: false,
        }
    }
}

/// Why a batch was not committed.
pub(super) enum BatchError {
    /// Nothing was committed, and a retry would fail again.
    Failed(Error),
    /// Nothing was committed, because the connection or a lock was lost before COMMIT was sent. A retry may
    /// succeed.
    Retryable(Error),
    /// COMMIT failed, so it is unknown whether the batch, with these events, is committed.
    Unknown(Error, Batch),
}

impl BatchError {
    /// Classifies an error that occurred before COMMIT was sent.
    pub(super) fn before_commit(error: Error) -> Self {
        if matches!(error, Error::Unavailable(_)) { Self::Retryable(error) } else { Self::Failed(error) }
    }
}

/// Whether a batch whose COMMIT failed is in the log; `last` is the cursor of its last event. Once this function
/// holds the head lock, the failed transaction has ended, so the result is final.
///
/// # Errors
/// `UNAVAILABLE` if the head cannot be locked: the outcome is still unknown.
pub(super) fn is_committed(db: &mut Db, last: Cursor) -> Result<bool> {
    begin_and_lock_head(db, last.seq)?;
    // Separate from the locking statement, whose snapshot may predate the COMMIT in question.
    let found = log::holds(db, last);
    roll_back(db);
    found
}

/// Begins a transaction, locks the log head, and reads the tag at position `requested`.
///
/// # Errors
/// `UNAVAILABLE` if the database is unreachable or another process keeps the lock.
fn begin_and_lock_head(db: &mut Db, requested: Seq) -> Result<log::Head> {
    let begin = match db {
        Db::Sqlite(_) => "BEGIN IMMEDIATE",
        Db::Postgres(_) => "BEGIN ISOLATION LEVEL READ COMMITTED",
    };
    db.batch_execute(begin).map_err(unreachable)?;
    log::lock_head(db, requested).map_err(unreachable).inspect_err(|_| roll_back(db))
}

fn roll_back(db: &mut Db) {
    if let Err(error) = db.batch_execute("ROLLBACK") {
        tracing::debug!(%error, "ROLLBACK failed");
    }
}

/// Receives committed batches, and tells the writer how far this instance has applied the log. The log tailer
/// implements it.
pub trait CommitSink: Send + 'static {
    /// Called after each COMMIT of a batch that wrote, in commit order, on the writer thread, before the commands are
    /// answered. The log tailer gets only batches with events.
    fn committed(&mut self, batch: Batch);

    /// The position up to which this instance has applied the log, permissions included. `None` if the commands
    /// of this store check no permissions.
    fn position(&mut self) -> Option<Cursor> {
        None
    }

    /// Blocks until the applied position is no longer `position` and is at least `seq`, or until `patience` has
    /// passed.
    fn wait(&mut self, position: Cursor, seq: Seq, patience: Duration) {
        let _ = (position, seq, patience);
    }
}
