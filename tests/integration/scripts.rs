//! A property over random scripts of writes, disconnects, pauses and restarts: what a subscriber receives over all its
//! connections equals the log, and the state that it folds from the events equals a fresh query.
//!
//! 200 scripts; `PROPTEST_CASES` sets another number. A failing script is printed, and its seed is kept in the target
//! directory and tried first in the next run.

mod assertions;
mod client_state;
mod fixture;
mod subscriber;

use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestError, TestRunner};

use fixture::Fixture;
pub use fixture::unused_loopback_address;
use subscriber::{Document, Subscriber};

/// Number of cases that run concurrently: a case waits for the disk most of the time.
const CONCURRENT_CASES: u32 = 2;

/// The steps of one case.
#[derive(Clone)]
struct Script {
    settings: Settings,
    documents: Vec<Document>,
    steps: Vec<Step>,
}

/// Prints one step per line, so that a failing case can be read.
impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {:?}", self.settings, self.documents)?;
        self.steps.iter().try_for_each(|step| write!(f, "\n  {step:?}"))
    }
}

/// The server settings of one case.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// This many characters are appended to each text. With many, a subscriber that does not read soon fills the send
    /// buffer of the server.
    padding: usize,
    /// The server pings every 15 ms, and clients advance to the cursors in the pings.
    pings: bool,
}

/// One step. A number is the index of a subscriber, or of an object counted from the newest.
#[derive(Debug, Clone)]
enum Step {
    Write(Op),
    /// Several concurrent writers, each with these operations.
    Burst(Vec<Vec<Op>>),
    /// One message is edited 300 times, which takes several pages of the log.
    EditRepeatedly(u8),
    /// One heavy edit evicts everything from the server's window of recent events.
    EvictWindow(u8),
    /// A subscriber connects with its last cursor, but does not read yet.
    Connect(usize),
    /// A subscriber reads from now on.
    StartReading(usize),
    /// A subscriber that does not read reads this many frames.
    ReadFrames(usize, u8),
    /// A subscriber stops reading.
    StopReading(usize),
    /// A subscriber's connection is dropped.
    Disconnect(usize),
    Restart,
}

/// One write operation. A number selects an object, counted from the newest.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    MakeChannel,
    EditChannel(u8),
    DeleteChannel(u8),
    Post {
        channel: u8,
        ticket: bool,
    },
    Edit(u8),
    /// Changes the status of a message's ticket; adds a ticket if there is none.
    Move(u8),
    Delete(u8),
    Comment(u8),
    EditComment(u8),
    DeleteComment(u8),
    /// Publishes an application event in a channel.
    Publish(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => Just(Op::MakeChannel),
        2 => any::<u8>().prop_map(Op::EditChannel),
        1 => any::<u8>().prop_map(Op::DeleteChannel),
        12 => (any::<u8>(), any::<bool>()).prop_map(|(channel, ticket)| Op::Post { channel, ticket }),
        6 => any::<u8>().prop_map(Op::Edit),
        3 => any::<u8>().prop_map(Op::Move),
        5 => any::<u8>().prop_map(Op::Delete),
        7 => any::<u8>().prop_map(Op::Comment),
        4 => any::<u8>().prop_map(Op::EditComment),
        3 => any::<u8>().prop_map(Op::DeleteComment),
        6 => any::<u8>().prop_map(Op::Publish),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let subscriber = || 0..3_usize;
    prop_oneof![
        80 => op().prop_map(Step::Write),
        16 => vec(vec(op(), 1..6), 2..5).prop_map(Step::Burst),
        1 => any::<u8>().prop_map(Step::EditRepeatedly),
        3 => any::<u8>().prop_map(Step::EvictWindow),
        18 => subscriber().prop_map(Step::Connect),
        20 => subscriber().prop_map(Step::StartReading),
        9 => (subscriber(), 1..6_u8).prop_map(|(index, frames)| Step::ReadFrames(index, frames)),
        9 => subscriber().prop_map(Step::StopReading),
        18 => subscriber().prop_map(Step::Disconnect),
        6 => Just(Step::Restart),
    ]
}

fn scripts() -> impl Strategy<Value = Script> {
    let document = prop_oneof![3 => Just(Document::Events), 2 => Just(Document::Nested), 2 => Just(Document::Added), 3 => Just(Document::Channel), 2 => Just(Document::Published)];
    let padding = prop_oneof![4 => Just(0), 1 => Just(100_000_usize)];
    let settings = (padding, proptest::bool::weighted(0.2)).prop_map(|(padding, pings)| Settings { padding, pings });
    (settings, vec(document, 1..4), vec(step(), 10..36)).prop_map(|(settings, documents, steps)| Script {
        settings,
        documents,
        steps,
    })
}

/// Checks a property on `cases` random cases, or on as many as `PROPTEST_CASES` says, and prints the smallest failing
/// one. Seeds of failing cases are kept in the file `seeds` and tried first in the next run.
pub fn check_property<S: Strategy>(
    cases: u32,
    seeds: &'static str,
    strategy: impl Fn() -> S + Sync,
    run_script: impl AsyncFn(S::Value) -> Result<(), String> + Sync,
) {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    let config = ProptestConfig {
        cases: cases.div_ceil(CONCURRENT_CASES),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        max_shrink_iters: default.max_shrink_iters.min(400),
        max_shrink_time: 120_000,
        ..default
    };
    let run_cases = || {
        let try_one = |case| {
            // Each case has its own runtime, so that no task of a failed case survives. Shrinking may run a hundred
            // cases.
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(run_script(case)).map_err(TestCaseError::fail)
        };
        TestRunner::new(config.clone()).run(&strategy(), try_one).map_err(|failure| match failure {
            TestError::Fail(reason, case) => format!("{reason}\n{case:?}"),
            TestError::Abort(reason) => reason.to_string(),
        })
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONCURRENT_CASES).map(|_| scope.spawn(run_cases)).collect();
        for worker in workers {
            worker.join().expect("no case panics").unwrap_or_else(|failure| panic!("{failure}"));
        }
    });
}

#[test]
#[ignore = "takes about a minute or more: `make test-long` runs it"]
fn subscribers_receive_exactly_the_log_and_their_state_equals_a_fresh_query() {
    check_property(200, concat!(env!("CARGO_TARGET_TMPDIR"), "/scripts.seeds"), scripts, run_script);
}

/// Runs one script; an error describes the first violation.
async fn run_script(script: Script) -> Result<(), String> {
    let mut fixture = Fixture::new(script.settings).await;
    let mut subscribers: Vec<_> =
        script.documents.iter().map(|document| Subscriber::new(*document, &fixture)).collect();
    for step in script.steps {
        run_step(step, &mut fixture, &mut subscribers).await?;
        fixture.settle().await;
        for subscriber in &mut subscribers {
            subscriber.read_to_head(&fixture).await?;
        }
    }
    for subscriber in &mut subscribers {
        subscriber.catch_up(&fixture).await?;
        subscriber.compare(&fixture).await?;
    }
    assertions::acknowledged(&fixture)?;
    subscribers.iter().try_for_each(|subscriber| assertions::received(subscriber, &fixture))?;
    drop(subscribers);
    fixture.server.close().await;
    Ok(())
}

async fn run_step(step: Step, fixture: &mut Fixture, subscribers: &mut [Subscriber]) -> Result<(), String> {
    let count = subscribers.len();
    match step {
        Step::Write(op) => fixture.write(op, false).await?,
        Step::Burst(writers) => {
            let fixture = &*fixture;
            let writing = writers.into_iter().map(|ops| async move {
                for op in ops {
                    fixture.write(op, true).await?;
                }
                Ok(())
            });
            join_all(writing).await.into_iter().collect::<Result<(), String>>()?;
        }
        Step::EditRepeatedly(message) => fixture.edit_repeatedly(message).await?,
        Step::EvictWindow(message) => fixture.evict_window(message).await?,
        Step::Connect(index) => subscribers[index % count].connect(fixture).await?,
        Step::StartReading(index) => {
            subscribers[index % count].connect(fixture).await?;
            subscribers[index % count].reading = true;
        }
        Step::ReadFrames(index, frames) => subscribers[index % count].read_frames(fixture, frames).await?,
        Step::StopReading(index) => subscribers[index % count].reading = false,
        Step::Disconnect(index) => subscribers[index % count].disconnect(),
        Step::Restart => {
            // A subscriber that does not read would delay the restart, because it does not receive the close frame.
            subscribers.iter_mut().filter(|subscriber| !subscriber.reading).for_each(Subscriber::disconnect);
            let leaving = join_all(subscribers.iter_mut().map(Subscriber::read_until_shutdown));
            let ((), received) = tokio::join!(fixture.server.restart(), leaving);
            received.into_iter().collect::<Result<(), String>>()?;
        }
    }
    Ok(())
}
