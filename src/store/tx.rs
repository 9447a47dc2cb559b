//! The transaction that commands run in, and what they record in it.

use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection;

use super::connection::{Db, map_error, unreachable};
use super::log;
use super::writer::Tail;
use crate::error::{Error, Result};
use crate::model::{
    Audience, Body, ChannelId, Cursor, Event, EventKind, LoggedEvent, MessageId, Seq, Tag, Timestamp, UserId,
};

/// How long a batch waits for rights that are new enough, and how often.
const ACCESS_WAIT: Duration = Duration::from_secs(1);
const ACCESS_TRIES: usize = 5;

/// The events of one committed transaction.
#[derive(Debug, Clone)]
pub struct Batch {
    /// What it stands on: the head of the log when the transaction began. The first event follows it without a gap.
    pub after: Cursor,
    /// The events, in order and without a gap.
    pub events: Vec<LoggedEvent>,
}

impl Batch {
    /// The position of the last event; that before the batch if it has none.
    #[must_use]
    pub fn end(&self) -> Cursor {
        self.events.last().map_or(self.after, |logged| logged.event.cursor)
    }
}

/// A change to be recorded: an event that has no position yet.
pub struct Change {
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

impl Change {
    /// `actor` did this to `object`.
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

    /// It happened in this channel.
    #[must_use]
    pub fn in_channel(mut self, channel: ChannelId) -> Self {
        self.channel = Some(channel);
        self
    }

    /// It happened to this message or one of its comments: they share its channel and audience.
    #[must_use]
    pub fn of_message(mut self, message: &crate::model::Message) -> Self {
        self.channel = Some(message.channel_id);
        self.message = Some(message.id);
        self.ticket = message.ticket.is_some();
        self.for_audience(&message.audience, message.author_id)
    }

    /// Only this audience, and the author, may see it.
    #[must_use]
    pub fn for_audience(mut self, audience: &Audience, author: UserId) -> Self {
        self.audience = audience.clone();
        self.owner = Some(author);
        self
    }

    /// Only this user may see it.
    #[must_use]
    pub fn for_user(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }

    /// There is no object: the event itself carries this JSON.
    #[must_use]
    pub fn carrying(mut self, payload: Arc<str>) -> Self {
        self.payload = Some(payload);
        self
    }

    pub(crate) fn at(self, cursor: Cursor, now: Timestamp) -> Event {
        let Self { kind, object, actor, channel, message, user, owner, audience, ticket, payload } = self;
        Event { cursor, kind, object, channel, message, user, owner, audience, actor, ticket, payload, at: now }
    }
}

/// The transaction a command runs in.
pub struct Tx<'c> {
    db: &'c mut Db,
    tag: Tag,
    /// The head of the log when the batch began.
    after: Cursor,
    head: Seq,
    /// Where rights had last changed when the batch began.
    access_head_at_begin: Seq,
    access_head: Seq,
    now: Timestamp,
    /// The time of the events: never before that of the event before them.
    at: Timestamp,
    events: Vec<LoggedEvent>,
    /// Whether the command that runs has written.
    pub(super) wrote: bool,
}

impl Tx<'_> {
    /// The connection, for reading.
    pub fn read(&mut self) -> &mut Db {
        self.db
    }

    /// The connection, for writing: from here on the command can no longer refuse.
    pub fn write(&mut self) -> &mut Db {
        self.wrote = true;
        self.db
    }

    /// When this batch happens, by the clock of this machine.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The position that the next recorded event will have.
    #[must_use]
    pub fn next_cursor(&self) -> Cursor {
        Cursor { seq: self.head.next(), tag: self.tag }
    }

    /// The position of the last event recorded so far.
    #[must_use]
    pub fn head(&self) -> Seq {
        self.head
    }

    /// Records an event, together with what it shows.
    pub fn record(&mut self, change: Change, body: Body) {
        self.wrote = true;
        let event = change.at(self.next_cursor(), self.at);
        self.head = event.cursor.seq;
        if event.kind.changes_access() {
            self.access_head = self.head;
        }
        self.events.push(LoggedEvent { event, body });
    }

    /// Whether a command that comes now would decide by rights that this batch has changed.
    pub(super) fn changes_access(&self) -> bool {
        self.access_head > self.access_head_at_begin
    }

    /// Gives up: nothing was done.
    pub(super) fn roll_back(self) {
        roll_back(self.db);
    }

    /// Ends the batch: the events, the head, COMMIT.
    pub(super) fn commit(self) -> Result<Batch, BatchError> {
        let Self { db, after, head, access_head, events, wrote, .. } = self;
        if !events.is_empty() {
            log::append(db, head, access_head, &events).inspect_err(|_| roll_back(db)).map_err(BatchError::before)?;
        }
        let batch = Batch { after, events };
        match db.batch_execute("COMMIT") {
            Ok(()) => Ok(batch),
            Err(error) if wrote => Err(BatchError::Unknown(map_error(error), batch)),
            Err(_) => {
                // There was nothing that could get lost.
                roll_back(db);
                Ok(batch)
            }
        }
    }

    /// Begins a batch, in which the rights in memory are new enough to decide by: the tailer stands on this history of
    /// the log (a number alone does not say so: after a failover the same number may be another event), at or above the
    /// newest change of rights. The writer waits for that outside of the transaction, so that no other instance waits.
    ///
    /// While a batch runs, and for what it committed, numbers can therefore be compared with the tailer's.
    pub(super) fn begin<'c>(db: &'c mut Db, sink: &mut impl Tail) -> Result<Tx<'c>, BatchError> {
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
    /// A batch that stands on this head.
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

/// Why a batch did not come to its end.
pub(super) enum BatchError {
    /// Nothing of it was done, and it would fail again.
    Failed(Error),
    /// Nothing of it was done: the connection or a lock was lost before COMMIT was sent.
    Retryable(Error),
    /// It failed while it was committed, these events with it: what was done is not known.
    Unknown(Error, Batch),
}

impl BatchError {
    /// An error before COMMIT was sent.
    pub(super) fn before(error: Error) -> Self {
        if matches!(error, Error::Unavailable(_)) { Self::Retryable(error) } else { Self::Failed(error) }
    }
}

/// Whether a batch whose COMMIT failed is in the log, by the cursor of its last event. Whoever held
/// the head is over once it can be locked, so the answer is final.
///
/// # Errors
/// If the head cannot be locked: then it is not known.
pub(super) fn is_committed(db: &mut Db, last: Cursor) -> Result<bool> {
    begin_and_lock_head(db, last.seq)?;
    // A statement of its own: the one that locked may have a snapshot from before that COMMIT.
    let found = log::holds(db, last);
    roll_back(db);
    found
}

/// Begins a transaction that holds the head of the log, and asks for the tag of a position. It fails only if the
/// database cannot be reached or another process holds the head.
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
        tracing::debug!(%error, "nothing to roll back");
    }
}
