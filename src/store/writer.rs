//! The one writer of an instance. It takes the commands that have queued up, runs them in one
//! transaction (group commit), and answers each only when all of it is on disk.
//!
//! A command decides before its first write, so a refusal is a value and leaves nothing behind.
//! If something unexpected fails after a write, the batch is rolled back and its commands are run
//! again one by one: a failing command never harms its neighbours.
//!
//! Commands decide by the rights this instance has in memory. So a batch begins only when those are
//! as new as the newest change of rights in the log, and ends with a command that changes them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use diesel::connection::SimpleConnection;

use super::connection::{Connector, Db, Purpose, fault};
use super::log;
use crate::error::{Error, Result};
use crate::model::{
    Audience, Body, ChannelId, Cursor, Event, EventKind, LoggedEvent, MessageId, Seq, Tag, Timestamp, UserId,
};

/// How many commands may wait; more are refused at once.
const QUEUE: usize = 4096;
/// How many commands are committed together at most.
const BATCH: usize = 256;
/// How long a caller waits for its answer before it hears that the outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a batch waits for rights that are new enough, and how often.
const RIGHTS_PATIENCE: Duration = Duration::from_secs(1);
const RIGHTS_TRIES: usize = 5;

/// The events of one committed transaction, in order and without a gap.
pub type Batch = Vec<LoggedEvent>;

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

    fn at(self, cursor: Cursor, now: Timestamp) -> Event {
        let Self { kind, object, actor, channel, message, user, owner, audience, ticket, payload } = self;
        Event { cursor, kind, object, channel, message, user, owner, audience, actor, ticket, payload, at: now }
    }
}

/// The transaction a command runs in.
pub struct Tx<'c> {
    db: &'c mut Db,
    tag: Tag,
    head: Seq,
    access_head: Seq,
    now: Timestamp,
    events: Batch,
    wrote: bool,
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

    /// When this batch happens.
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
        let event = change.at(self.next_cursor(), self.now);
        self.head = event.cursor.seq;
        if event.kind.changes_access() {
            self.access_head = self.head;
        }
        self.events.push(LoggedEvent { event, body });
    }

    fn commit(self) -> Result<Batch, Failure> {
        let Self { db, head, access_head, events, .. } = self;
        if !events.is_empty() {
            log::append(db, head, access_head, &events).inspect_err(|_| roll_back(db)).map_err(Failure::Undone)?;
        }
        match db.batch_execute("COMMIT") {
            Ok(()) => Ok(events),
            Err(error) => {
                roll_back(db);
                Err(Failure::Unknown(fault(error)))
            }
        }
    }
}

fn roll_back(db: &mut Db) {
    if let Err(error) = db.batch_execute("ROLLBACK") {
        tracing::debug!(%error, "nothing to roll back");
    }
}

type Command = Box<dyn FnMut(&mut Tx<'_>) -> Result<()> + Send>;

/// A queued command: `run` may be called more than once, `answer` is called once.
struct Job {
    run: Command,
    answer: Box<dyn FnOnce(Result<()>) + Send>,
}

/// The handle to the writer's thread.
pub struct Writer {
    queue: Mutex<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(connector: Connector, db: Db, tail: impl Tail) -> Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        let desk = Desk { connector, db: Some(db), tail };
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || desk.work(&jobs))
            .map_err(Error::internal)?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    /// Queues a command and waits for its answer.
    pub fn run<T: Send + 'static>(
        &self,
        mut command: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(stopping)?;
        let (answer, answered) = sync_channel(1);
        let value = Arc::new(Mutex::new(None));
        let result = Arc::clone(&value);
        let job = Job {
            run: Box::new(move |tx| {
                let made = command(tx)?;
                *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
                Ok(())
            }),
            answer: Box::new(move |outcome| drop(answer.send(outcome))),
        };
        queue.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => Error::Unavailable("too many changes are waiting; try again".into()),
            TrySendError::Disconnected(_) => stopping(),
        })?;
        drop(queue);
        answered
            .recv_timeout(PATIENCE)
            .map_err(|_| Error::Unavailable("the outcome is unknown; try again".into()))??;
        let made = value.lock().unwrap_or_else(PoisonError::into_inner).take();
        made.ok_or_else(|| Error::internal("a command was answered without a result"))
    }

    /// Lets the queued commands finish and ends the thread.
    pub fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(thread.join());
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

fn stopping() -> Error {
    Error::Unavailable("the server is stopping; try again".into())
}

/// Who follows the log on this instance, as the writer's thread sees them.
pub trait Tail: Send + 'static {
    /// A batch was committed; batches come in order.
    fn committed(&mut self, batch: Batch);

    /// Whether the rights in memory are those of this position or newer, after waiting for so long.
    fn has_rights_of(&mut self, seq: Seq, patience: Duration) -> bool;
}

/// Why a transaction did not come to its end.
enum Failure {
    /// Nothing of it was done.
    Undone(Error),
    /// It failed while it was committed: what was done is not known, and must not be done again.
    Unknown(Error),
}

/// The writer's side of the desk.
struct Desk<T> {
    connector: Connector,
    /// `None` after the connection broke, or may have.
    db: Option<Db>,
    tail: T,
}

impl<T: Tail> Desk<T> {
    fn work(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut batch = vec![first];
            batch.extend(jobs.try_iter().take(BATCH - 1));
            self.serve(batch);
        }
    }

    /// Commits the batch in as few transactions as can be; if one fails, each command alone.
    fn serve(&mut self, mut batch: Vec<Job>) {
        while !batch.is_empty() {
            match self.attempt(&mut batch) {
                Ok(outcomes) => {
                    let rest = batch.split_off(outcomes.len());
                    answer(batch, outcomes);
                    batch = rest;
                }
                Err(Failure::Unknown(error)) => {
                    tracing::warn!(%error, commands = batch.len(), "a commit failed");
                    self.db = None;
                    let unknown = || Err(Error::Unavailable("the outcome is unknown; try again".into()));
                    let outcomes = batch.iter().map(|_| unknown()).collect();
                    return answer(batch, outcomes);
                }
                Err(Failure::Undone(error)) if batch.len() == 1 => {
                    if matches!(error, Error::Unavailable(_)) {
                        self.db = None;
                    }
                    return answer(batch, vec![Err(error)]);
                }
                Err(Failure::Undone(error)) => {
                    tracing::debug!(%error, commands = batch.len(), "a batch is run again, command by command");
                    return batch.into_iter().for_each(|job| self.serve(vec![job]));
                }
            }
        }
    }

    /// Runs the first commands, up to one that changes rights, in one transaction.
    fn attempt(&mut self, batch: &mut [Job]) -> Result<Vec<Result<()>>, Failure> {
        let db = match &mut self.db {
            Some(db) => db,
            none => none.insert(self.connector.open(Purpose::Writing).map_err(Failure::Undone)?),
        };
        let mut tx = begin(db, &mut self.tail).map_err(Failure::Undone)?;
        let access_head = tx.access_head;
        let mut outcomes = Vec::with_capacity(batch.len());
        for job in batch {
            match run(job, &mut tx) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => {
                    roll_back(tx.db);
                    return Err(Failure::Undone(error));
                }
            }
            if tx.access_head > access_head {
                break;
            }
        }
        let events = tx.commit()?;
        if !events.is_empty() {
            self.tail.committed(events);
        }
        Ok(outcomes)
    }
}

/// Begins a transaction in which the rights in memory are new enough to decide by. They are waited
/// for outside of it: nobody else must wait for that.
fn begin<'c>(db: &'c mut Db, tail: &mut impl Tail) -> Result<Tx<'c>> {
    for _ in 0..RIGHTS_TRIES {
        let (head, access_head) = lock(db)?;
        if tail.has_rights_of(access_head, Duration::ZERO) {
            let (tag, now) = (Tag(rand::random()), Timestamp::now());
            return Ok(Tx { db, tag, head, access_head, now, events: Vec::new(), wrote: false });
        }
        roll_back(db);
        tail.has_rights_of(access_head, RIGHTS_PATIENCE);
    }
    Err(Error::Unavailable("this instance is behind; try again".into()))
}

/// Begins a transaction that holds the head of the log: where it stands, and where rights last changed.
fn lock(db: &mut Db) -> Result<(Seq, Seq)> {
    let begin = match db {
        Db::Sqlite(_) => "BEGIN IMMEDIATE",
        Db::Postgres(_) => "BEGIN ISOLATION LEVEL READ COMMITTED",
    };
    db.batch_execute(begin).map_err(fault)?;
    log::lock_head(db).inspect_err(|_| roll_back(db))
}

/// The inner result is the command's answer; the outer error spoils the transaction.
fn run(job: &mut Job, tx: &mut Tx<'_>) -> Result<Result<()>> {
    let wrote_before = std::mem::take(&mut tx.wrote);
    let outcome =
        catch_unwind(AssertUnwindSafe(|| (job.run)(tx))).unwrap_or_else(|_| Err(Error::internal("a command panicked")));
    let spoiled = match &outcome {
        Ok(()) => false,
        Err(Error::Internal(_) | Error::Unavailable(_)) => true,
        Err(_) => tx.wrote,
    };
    tx.wrote |= wrote_before;
    match outcome {
        Err(error) if spoiled => Err(error),
        outcome => Ok(outcome),
    }
}

fn answer(batch: Vec<Job>, outcomes: Vec<Result<()>>) {
    for (job, outcome) in batch.into_iter().zip(outcomes) {
        (job.answer)(outcome);
    }
}
