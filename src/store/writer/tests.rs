//! Unit tests of the writer, over a SQLite file.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use futures_util::future::join_all;
use tempfile::TempDir;

use super::*;
use crate::model::{ChannelId, Cursor, EventBody, EventKind, Metric, Priority, Seq, Timestamp, UserId};
use crate::store::{
    BatchState, Effects, Needs, NewEvent, NewNotificationRow, NotificationText, Options, Store, TestCommand, log,
    log_pages, metrics,
};

/// The batch size of most tests: larger than the number of their commands.
const BATCH: usize = 64;

type Decide = Box<dyn Fn(&BatchState, &mut Effects) -> Result<Seq> + Send>;

struct Fixture {
    store: Arc<Store>,
    /// The batches that were committed and have events.
    batches: mpsc::Receiver<Batch>,
    options: Options,
    _directory: TempDir,
}

struct Recorder(mpsc::Sender<Batch>);

impl CommitSink for Recorder {
    fn committed(&mut self, batch: Batch) {
        // The receiver may be gone when the test ends.
        drop(self.0.send(batch));
    }
}

impl Fixture {
    fn new(max_batch: usize) -> Self {
        let (sink, batches) = mpsc::channel();
        Self::with_sink(max_batch, Recorder(sink), batches)
    }

    fn with_sink(max_batch: usize, sink: impl CommitSink, batches: mpsc::Receiver<Batch>) -> Self {
        let directory = tempfile::tempdir().expect("create a directory");
        let options = Options { batch: max_batch, ..Options::sqlite(&directory.path().join("t.db"), 1) };
        let store = Arc::new(Store::open(&options, sink).expect("open the store"));
        Self { store, batches, options, _directory: directory }
    }

    /// Keeps the writer in a transaction, until the result is released. Commands that arrive meanwhile are queued.
    async fn hold(&self) -> HeldWriter {
        let (entered, entering) = oneshot::channel();
        let (release, released) = mpsc::channel();
        let mut entered = Some(entered);
        let store = Arc::clone(&self.store);
        let holding = tokio::spawn(async move {
            let job = move |_: &mut Db| {
                let _ = entered.take().map(|entered| entered.send(()));
                released.recv().map_err(Error::internal)
            };
            store.maintain(job).await
        });
        entering.await.expect("the writer runs the job");
        HeldWriter { release, holding }
    }

    /// Queues all commands while the writer is in another transaction, so that it takes them together.
    async fn run_together(&self, commands: Vec<Decide>) -> Vec<Result<i64>> {
        let held = self.hold().await;
        let count = commands.len();
        let queued = async {
            wait_until(|| self.store.writer.queue.len() == count).await;
            held.release().await;
        };
        let writing = join_all(commands.into_iter().map(|decide| self.run(decide)));
        tokio::join!(writing, queued).0
    }

    /// Runs a command. Returns the number of its event.
    async fn run(&self, decide: Decide) -> Result<i64> {
        self.store.write(TestCommand(decide)).await.map(|seq| seq.0)
    }

    /// The number of events in each batch so far.
    fn batch_sizes(&self) -> Vec<usize> {
        self.batches.try_iter().map(|batch| batch.events.len()).collect()
    }

    /// The metrics in the database: their names and values.
    async fn metrics(&self) -> Vec<(String, f64)> {
        let all = self.store.read(|snapshot| metrics::all(snapshot.db())).await.expect("read the metrics");
        all.into_iter().map(|metric| (metric.name, metric.value)).collect()
    }

    async fn head(&self) -> Cursor {
        self.store.read(|snapshot| log::head(snapshot.db())).await.expect("read the head")
    }
}

struct HeldWriter {
    release: mpsc::Sender<()>,
    holding: tokio::task::JoinHandle<Result<()>>,
}

impl HeldWriter {
    async fn release(self) {
        self.release.send(()).expect("the writer waits");
        self.holding.await.expect("join").expect("the command of the test");
    }
}

async fn wait_until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), waiting).await.expect("the condition becomes true");
}

/// Polls a future once. For a command this is when it is queued.
fn poll_once<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn record(effects: &mut Effects, kind: EventKind) -> Seq {
    effects.record(NewEvent::new(kind, 1, None).in_channel(ChannelId(1)), EventBody::None);
    effects.end()
}

/// Sets a metric, and records an event. Returns the number of the event.
fn put(name: &'static str, value: f64) -> Decide {
    Box::new(move |_, effects| {
        effects.put_metric(&Metric { name: name.into(), value, updated_at: Timestamp(0) });
        Ok(record(effects, EventKind::MessageDeleted))
    })
}

/// A command that changes nothing. Returns the number of the last event before it.
fn nothing() -> Decide {
    Box::new(|_, effects| Ok(effects.end()))
}

fn conflict() -> Error {
    Error::Conflict("on purpose".into())
}

#[tokio::test]
async fn commands_of_one_batch_follow_each_other_and_share_a_commit() {
    let fixture = Fixture::new(BATCH);
    let outcomes = fixture.run_together(vec![put("a", 1.0), put("b", 2.0), nothing(), put("a", 3.0)]).await;
    assert_eq!(outcomes, [Ok(1), Ok(2), Ok(2), Ok(3)]);
    assert_eq!(fixture.batch_sizes(), [3]);
    assert_eq!(fixture.metrics().await, [("a".into(), 3.0), ("b".into(), 2.0)]);
}

#[tokio::test]
async fn a_refused_command_leaves_nothing_behind_and_does_not_affect_its_batch() {
    let fixture = Fixture::new(BATCH);
    let write = put("lost", 9.0);
    let refused: Decide = Box::new(move |state, effects| write(state, effects).and_then(|_| Err(conflict())));
    let outcomes = fixture.run_together(vec![put("a", 1.0), refused, put("b", 2.0)]).await;
    assert_eq!(outcomes, [Ok(1), Err(conflict()), Ok(2)]);
    assert_eq!(fixture.batch_sizes(), [2], "a refusal needs no other transaction");
    assert_eq!(fixture.metrics().await, [("a".into(), 1.0), ("b".into(), 2.0)]);
}

#[tokio::test]
async fn a_panic_fails_only_its_command_and_leaves_nothing_behind() {
    let fixture = Fixture::new(BATCH);
    let write = put("lost", 9.0);
    let panicking: Decide = Box::new(move |state, effects| {
        write(state, effects)?;
        panic!("panic of the test")
    });
    let outcomes = fixture.run_together(vec![put("a", 1.0), panicking, put("b", 2.0)]).await;
    assert!(matches!(&outcomes[..], [Ok(1), Err(Error::Internal(_)), Ok(2)]), "{outcomes:?}");
    assert_eq!(fixture.metrics().await, [("a".into(), 1.0), ("b".into(), 2.0)]);
    assert_eq!(fixture.run(put("c", 3.0)).await, Ok(3), "the writer goes on");
    assert_eq!(fixture.options.vitals.fault(), None);
}

/// A command whose statements fail: its notification is for a user who does not exist.
fn broken() -> Decide {
    Box::new(|_, effects| {
        let text = NotificationText::Plain("text".into());
        let user = Some(UserId(1));
        let new = NewNotificationRow { user, title: "title".into(), text, priority: Priority::Low, key: None };
        effects.notify(new, UserId(1));
        Ok(effects.end())
    })
}

#[tokio::test]
async fn a_command_whose_statements_fail_does_not_affect_the_others() {
    let fixture = Fixture::new(BATCH);
    let outcomes = fixture.run_together(vec![put("a", 1.0), broken(), put("b", 2.0)]).await;
    assert!(matches!(&outcomes[..], [Ok(1), Err(Error::Internal(_)), Ok(2)]), "{outcomes:?}");
    assert_eq!(fixture.batch_sizes(), [1, 1], "each command has run again in its own transaction");
    assert_eq!(fixture.metrics().await, [("a".into(), 1.0), ("b".into(), 2.0)]);
}

#[tokio::test]
async fn the_numbers_of_events_have_no_gaps_over_batches_and_failures() {
    let fixture = Fixture::new(BATCH);
    let begin = fixture.head().await;
    for round in 0..3 {
        let failing: Decide = Box::new(move |_, effects| {
            let recorded = record(effects, EventKind::MessageDeleted);
            if round == 1 { Err(conflict()) } else { Ok(recorded) }
        });
        fixture.run_together(vec![put("a", 1.0), failing, broken(), put("b", 2.0)]).await;
        fixture.run(nothing()).await.expect("a command without events");
    }
    let mut end = begin;
    let mut events = Vec::new();
    for batch in fixture.batches.try_iter() {
        assert_eq!(batch.after, Some(end), "a batch must follow the batch before it");
        end = batch.end();
        events.extend(batch.events.into_iter().map(|logged| logged.event.cursor));
    }
    let seqs: Vec<i64> = events.iter().map(|cursor| cursor.seq.0).collect();
    assert_eq!(seqs, (1..=8).collect::<Vec<i64>>());
    assert_eq!(fixture.head().await, end);
    let log = fixture.store.read(move |snapshot| log_pages::read(snapshot.db(), begin)).await.expect("read the log").0;
    assert_eq!(log.iter().map(|event| event.cursor).collect::<Vec<_>>(), events);
}

#[tokio::test]
async fn a_batch_has_at_most_the_configured_number_of_commands() {
    let fixture = Fixture::new(3);
    let outcomes = fixture.run_together((0..7).map(|_| put("a", 1.0)).collect()).await;
    assert_eq!(outcomes, (1..=7).map(Ok).collect::<Vec<_>>());
    assert_eq!(fixture.batch_sizes(), [3, 3, 1]);
}

#[tokio::test]
async fn a_command_that_changes_permissions_is_the_last_of_its_batch() {
    let fixture = Fixture::new(BATCH);
    let changes_permissions: Decide = Box::new(|_, effects| Ok(record(effects, EventKind::AccessChanged)));
    let outcomes = fixture.run_together(vec![put("a", 1.0), changes_permissions, put("b", 2.0)]).await;
    assert_eq!(outcomes, [Ok(1), Ok(2), Ok(3)]);
    assert_eq!(fixture.batch_sizes(), [2, 1]);
}

#[tokio::test]
async fn a_full_queue_rejects_further_commands_and_runs_the_queued_ones() {
    let fixture = Fixture::new(BATCH);
    let held = fixture.hold().await;
    let mut queued: Vec<_> = (0..QUEUE_CAPACITY).map(|_| Box::pin(fixture.run(nothing()))).collect();
    for command in &mut queued {
        assert!(poll_once(command).is_pending());
    }
    let full = fixture.run(nothing()).await;
    assert_eq!(full, Err(Error::Unavailable("too many changes are waiting; try again".into())));
    held.release().await;
    assert!(join_all(queued).await.iter().all(Result::is_ok));
    assert_eq!(fixture.run(nothing()).await, Ok(0));
}

#[tokio::test]
async fn closing_commits_the_queued_commands_and_rejects_new_ones() {
    let fixture = Fixture::new(BATCH);
    let held = fixture.hold().await;
    let mut queued = Box::pin(join_all([put("a", 1.0), put("b", 2.0)].map(|decide| fixture.run(decide))));
    assert!(poll_once(&mut queued).is_pending());
    let store = Arc::clone(&fixture.store);
    let closing = tokio::task::spawn_blocking(move || store.close());
    let is_closed = || fixture.store.writer.queue.push(empty_job()) == Err(PushError::Closed);
    wait_until(is_closed).await;
    let rejected = fixture.run(nothing()).await;
    assert_eq!(rejected, Err(Error::Unavailable("the server is stopping; try again".into())));
    held.release().await;
    assert_eq!(queued.await, [Ok(1), Ok(2)]);
    closing.await.expect("join");
    assert_eq!(fixture.metrics().await, [("a".into(), 1.0), ("b".into(), 2.0)]);
}

fn empty_job() -> QueuedWork {
    QueuedWork::Job(Box::new(PendingJob::new(|_: &mut Db| Ok(())).0))
}

#[tokio::test]
async fn a_command_runs_although_its_caller_stops_waiting() {
    let fixture = Fixture::new(BATCH);
    let held = fixture.hold().await;
    let mut abandoned = Box::pin(fixture.run(put("a", 1.0)));
    assert!(poll_once(&mut abandoned).is_pending());
    drop(abandoned);
    held.release().await;
    assert_eq!(fixture.run(put("b", 2.0)).await, Ok(2));
    assert_eq!(fixture.metrics().await, [("a".into(), 1.0), ("b".into(), 2.0)]);
}

/// A sink whose permissions are applied up to `position`. Each wait of the writer moves the position by one step.
struct Applying {
    steps: Vec<Cursor>,
    position: Cursor,
    waits: mpsc::Sender<Seq>,
}

impl CommitSink for Applying {
    fn committed(&mut self, _: Batch) {}

    fn position(&mut self) -> Option<Cursor> {
        Some(self.position)
    }

    fn wait(&mut self, position: Cursor, seq: Seq, _: Duration) {
        assert_eq!(position, self.position);
        self.waits.send(seq).expect("the test receives");
        self.position = self.steps.pop().unwrap_or(position);
    }
}

/// Two events that change permissions, and the log's cursors of both.
async fn with_permission_changes(fixture: &Fixture) -> (Cursor, Vec<Cursor>) {
    let begin = fixture.head().await;
    for _ in 0..2 {
        fixture.run(Box::new(|_, effects| Ok(record(effects, EventKind::AccessChanged)))).await.expect("commit");
    }
    let events =
        fixture.store.read(move |snapshot| log_pages::read(snapshot.db(), begin)).await.expect("read the log").0;
    (begin, events.iter().map(|event| event.cursor).collect())
}

#[tokio::test]
async fn a_batch_begins_only_when_the_permissions_in_memory_are_as_new_as_the_log() {
    let writing = Fixture::new(BATCH);
    let (begin, changes) = with_permission_changes(&writing).await;
    let (waits, waited) = mpsc::channel();
    let sink = Applying { steps: vec![changes[1], changes[0]], position: begin, waits };
    let reading = Store::open(&writing.options, sink).expect("open the store");
    assert_eq!(reading.write(TestCommand(nothing())).await, Ok(changes[1].seq));
    assert_eq!(waited.try_iter().collect::<Vec<_>>(), [changes[1].seq; 2]);
}

/// A command that counts how often it names its needs.
struct NamesNeeds(Arc<AtomicUsize>);

impl WriteCommand for NamesNeeds {
    type Output = ();

    fn needs(&self, _: &mut Needs) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn decide(&self, state: &BatchState) -> Result<((), Effects)> {
        Ok(((), state.effects()))
    }
}

#[tokio::test]
async fn a_command_names_its_needs_by_the_permissions_that_it_decides_on() {
    let writing = Fixture::new(BATCH);
    let (begin, changes) = with_permission_changes(&writing).await;
    let (waits, _waited) = mpsc::channel();
    let sink = Applying { steps: vec![changes[1], changes[0]], position: begin, waits };
    let reading = Store::open(&writing.options, sink).expect("open the store");
    let named = Arc::new(AtomicUsize::new(0));
    reading.write(NamesNeeds(Arc::clone(&named))).await.expect("commit");
    assert_eq!(named.load(Ordering::Relaxed), 3, "once at the beginning, and after each change of permissions");
}

#[tokio::test]
async fn a_command_is_rejected_if_the_permissions_in_memory_stay_behind_the_log() {
    let writing = Fixture::new(BATCH);
    let (begin, _) = with_permission_changes(&writing).await;
    let (waits, waited) = mpsc::channel();
    let sink = Applying { steps: Vec::new(), position: begin, waits };
    let behind = Store::open(&writing.options, sink).expect("open the store");
    let outcome = behind.write(TestCommand(nothing())).await;
    assert_eq!(outcome, Err(Error::Unavailable("this instance is behind; try again".into())));
    assert!(waited.try_iter().count() > 1, "the writer must give the log tailer several chances");
    assert_eq!(writing.run(nothing()).await, Ok(2), "a waiting writer must not keep the lock");
}

struct Panicking;

impl CommitSink for Panicking {
    fn committed(&mut self, _: Batch) {
        panic!("panic of the test");
    }
}

/// A panic of the writer thread rejects both the waiting command and later commands.
#[tokio::test]
async fn a_writer_panic_rejects_waiting_and_later_commands() {
    let fixture = Fixture::with_sink(BATCH, Panicking, mpsc::channel().1);
    let outcome = fixture.run(put("a", 1.0)).await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    let fault = fixture.options.vitals.faulted().await;
    assert_eq!((fault.part, &*fault.message), ("the writer", "panic of the test"));
    let error = fixture.run(put("b", 2.0)).await;
    assert!(matches!(error, Err(Error::Unavailable(_))), "{error:?}");
    fixture.store.close();
}
