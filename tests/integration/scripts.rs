//! A property over random scripts of writes, disconnects, pauses and restarts: what a subscriber receives over all its
//! connections equals the log, and the state that it folds from the events equals a fresh query.
//!
//! 200 scripts; `PROPTEST_CASES` sets another number. A failing script is printed, and its seed is kept in the target
//! directory and tried first in the next run.

mod fold;
mod subscriber;
mod verdict;
mod world;

use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestError, TestRunner};

use subscriber::{Document, Subscriber};
use world::World;
pub use world::own_address;

/// Number of cases that run concurrently: a case waits for the disk most of the time.
const LANES: u32 = 2;

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
    Rush(u8),
    /// One heavy edit evicts everything from the server's window of recent events.
    Flush(u8),
    /// A subscriber connects with its last cursor, but does not read yet.
    Come(usize),
    /// A subscriber reads from now on.
    Read(usize),
    /// A subscriber that does not read reads this many frames.
    Peek(usize, u8),
    /// A subscriber stops reading.
    Pause(usize),
    /// A subscriber's connection is dropped.
    Cut(usize),
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
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let subscriber = || 0..3_usize;
    prop_oneof![
        80 => op().prop_map(Step::Write),
        16 => vec(vec(op(), 1..6), 2..5).prop_map(Step::Burst),
        1 => any::<u8>().prop_map(Step::Rush),
        3 => any::<u8>().prop_map(Step::Flush),
        18 => subscriber().prop_map(Step::Come),
        20 => subscriber().prop_map(Step::Read),
        9 => (subscriber(), 1..6_u8).prop_map(|(who, frames)| Step::Peek(who, frames)),
        9 => subscriber().prop_map(Step::Pause),
        18 => subscriber().prop_map(Step::Cut),
        6 => Just(Step::Restart),
    ]
}

fn scripts() -> impl Strategy<Value = Script> {
    let document = prop_oneof![3 => Just(Document::Events), 2 => Just(Document::Nested), 2 => Just(Document::Added), 3 => Just(Document::Channel)];
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
pub fn prove<S: Strategy>(
    cases: u32,
    seeds: &'static str,
    strategy: impl Fn() -> S + Sync,
    play: impl AsyncFn(S::Value) -> Result<(), String> + Sync,
) {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    let config = ProptestConfig {
        cases: cases.div_ceil(LANES),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        max_shrink_iters: default.max_shrink_iters.min(400),
        max_shrink_time: 120_000,
        ..default
    };
    let lane = || {
        let try_one = |case| {
            // Each case has its own runtime, so that no task of a failed case survives. Shrinking may run a hundred
            // cases.
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(play(case)).map_err(TestCaseError::fail)
        };
        TestRunner::new(config.clone()).run(&strategy(), try_one).map_err(|failure| match failure {
            TestError::Fail(reason, case) => format!("{reason}\n{case:?}"),
            TestError::Abort(reason) => reason.to_string(),
        })
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        for lane in lanes {
            lane.join().expect("no case panics").unwrap_or_else(|failure| panic!("{failure}"));
        }
    });
}

#[test]
fn what_subscribers_saw_is_the_log_and_their_state_is_what_a_query_shows() {
    prove(200, concat!(env!("CARGO_TARGET_TMPDIR"), "/scripts.seeds"), scripts, play);
}

/// Runs one script; an error describes the first violation.
async fn play(script: Script) -> Result<(), String> {
    let mut world = World::new(script.settings).await;
    let mut subscribers: Vec<_> = script.documents.iter().map(|document| Subscriber::new(*document, &world)).collect();
    for step in script.steps {
        act(step, &mut world, &mut subscribers).await?;
        world.settle().await;
        for subscriber in &mut subscribers {
            subscriber.keep_up(&world).await?;
        }
    }
    for subscriber in &mut subscribers {
        subscriber.catch_up(&world).await?;
        subscriber.compare(&world).await?;
    }
    verdict::acknowledged(&world)?;
    subscribers.iter().try_for_each(|subscriber| verdict::seen(subscriber, &world))?;
    drop(subscribers);
    world.server.close().await;
    Ok(())
}

async fn act(step: Step, world: &mut World, subscribers: &mut [Subscriber]) -> Result<(), String> {
    let count = subscribers.len();
    match step {
        Step::Write(op) => world.write(op, false).await?,
        Step::Burst(writers) => {
            let world = &*world;
            let writing = writers.into_iter().map(|ops| async move {
                for op in ops {
                    world.write(op, true).await?;
                }
                Ok(())
            });
            join_all(writing).await.into_iter().collect::<Result<(), String>>()?;
        }
        Step::Rush(message) => world.rush(message).await?,
        Step::Flush(message) => world.flush(message).await?,
        Step::Come(who) => subscribers[who % count].come(world).await?,
        Step::Read(who) => {
            subscribers[who % count].come(world).await?;
            subscribers[who % count].reading = true;
        }
        Step::Peek(who, frames) => subscribers[who % count].peek(world, frames).await?,
        Step::Pause(who) => subscribers[who % count].reading = false,
        Step::Cut(who) => subscribers[who % count].cut(),
        Step::Restart => {
            // A subscriber that does not read would delay the restart, because it does not receive the close frame.
            subscribers.iter_mut().filter(|subscriber| !subscriber.reading).for_each(Subscriber::cut);
            let leaving = join_all(subscribers.iter_mut().map(Subscriber::hear_goodbye));
            let ((), heard) = tokio::join!(world.server.restart(), leaving);
            heard.into_iter().collect::<Result<(), String>>()?;
        }
    }
    Ok(())
}
