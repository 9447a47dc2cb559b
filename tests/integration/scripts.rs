//! A property: whatever is written, and however often a subscriber is cut off, stops reading or
//! meets a restart, what it saw over all its connections is the log, and the state it folded from
//! that is what a fresh query shows.
//!
//! 200 random scripts; `PROPTEST_CASES` says how many instead. A failing script is printed, and its
//! seed kept in the target directory and tried first the next time.

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

/// So many cases are tried at once: a case waits for the disk most of its time.
const LANES: u32 = 2;

/// What happens in one case.
#[derive(Clone)]
struct Script {
    settings: Settings,
    documents: Vec<Document>,
    steps: Vec<Step>,
}

/// A step a line, as a failing case is to be read.
impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {:?}", self.settings, self.documents)?;
        self.steps.iter().try_for_each(|step| write!(f, "\n  {step:?}"))
    }
}

/// What the server of one case is like.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// So many characters follow each text: with many of them a subscriber that does not read
    /// soon holds up the server.
    padding: usize,
    /// The server pings all the time, and the clients take its word on how far they were served.
    pings: bool,
}

/// One step; a number names a subscriber, or an object by how new it is.
#[derive(Debug, Clone)]
enum Step {
    Write(Op),
    /// Several writers at once, each with these.
    Burst(Vec<Vec<Op>>),
    /// One message is edited so often that it takes several pages of the log.
    Rush(u8),
    /// The server's memory of the newest events is flushed by one heavy edit.
    Flush(u8),
    /// A subscriber connects with its last cursor, and does not read yet.
    Come(usize),
    /// A subscriber reads from now on.
    Read(usize),
    /// A subscriber that does not read reads so many frames.
    Peek(usize, u8),
    /// A subscriber stops reading.
    Pause(usize),
    /// A subscriber's line is cut.
    Cut(usize),
    Restart,
}

/// What a writer does.
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
    /// Changes the ticket of a message, or makes it one.
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

/// Tries a property on so many random cases, or as many as `PROPTEST_CASES` says, and shows the
/// smallest that fails. Seeds of failing cases are kept in a file and tried first the next time.
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
            // Its own, so that nothing is left of a case that goes wrong, and may be tried a hundred times.
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

/// Runs one script; answers what is wrong.
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
            // Who does not read would not hear the goodbye, and hold up the restart.
            subscribers.iter_mut().filter(|subscriber| !subscriber.reading).for_each(Subscriber::cut);
            let leaving = join_all(subscribers.iter_mut().map(Subscriber::hear_goodbye));
            let ((), heard) = tokio::join!(world.server.restart(), leaving);
            heard.into_iter().collect::<Result<(), String>>()?;
        }
    }
    Ok(())
}
