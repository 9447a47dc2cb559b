//! The costs of tidings in a large installation: beside 10,000 other channels with subscribers, on a log of 10 million
//! events, and on a disk that takes a millisecond to sync.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tidings::model::{ChannelId, EventBody, EventKind};
use tidings::store::{
    Batch, BatchState, CommitSink, Effects, Needs, NewEvent, Options as StoreOptions, Store, WriteCommand,
};
use tokio::time::sleep;

use crate::implementation::{Implementation, Server};
use crate::ledger::Ledger;
use crate::measure::{self, Cpu};
use crate::options::Options;
use crate::subscribers::Subscribers;
use crate::{Outcome, documents, publish};

/// How long client and server are idle before a counter is read.
const REST: Duration = Duration::from_millis(100);
/// Number of publishing connections, unless stated otherwise.
const PUBLISHERS: u64 = 16;
// Number of subscribers, and of sequential messages, for the measurement of latency.
const READERS: usize = 100;
const SEQUENTIAL: u64 = 200;
/// Number of events that one command writes while the long log is created.
const AT_ONCE: i64 = 5_000;
/// Numbers of publishing connections on the slow disk.
const SLOW_DISK_CONNECTIONS: [u64; 3] = [16, 32, 64];
/// A C library with `fsync` and `fdatasync` that take at least a millisecond, to be preloaded into the server.
const SLOW_DISK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static int slow(const char *name, int file) {
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    int done = ((int (*)(int))dlsym(RTLD_NEXT, name))(file);
    clock_gettime(CLOCK_MONOTONIC, &to);
    long rest = 1000000 - (to.tv_sec - from.tv_sec) * 1000000000L - (to.tv_nsec - from.tv_nsec);
    if (rest > 0) { struct timespec pause = {0, rest}; nanosleep(&pause, 0); }
    return done;
}
int fsync(int file) { return slow("fsync", file); }
int fdatasync(int file) { return slow("fdatasync", file); }
"#;

/// Runs the three measurements; returns their results as Markdown.
pub async fn measure(options: &Options) -> Outcome<String> {
    let mut text = String::new();
    // The long log comes last: writing it to disk keeps the machine busy for a while afterwards.
    for line in [others(options.channels).await?, slow_disk(options.requests).await?, log(options.events).await?] {
        eprint!("{line}");
        text.push_str(&line);
    }
    Ok(text)
}

/// The cost of publishing to one channel, without other channels and with many, each with a subscriber.
async fn others(count: u64) -> Outcome<String> {
    let server = Implementation::Tidings.start().await?;
    let alone = mutation(&server, 8_000).await?;
    let made = publish::answers(&server, PUBLISHERS, count, documents::make_channel).await?;
    let channels: Vec<String> = made.iter().filter_map(|answer| documents::id_in(answer)).collect();
    let ledger = Rc::new(Ledger::default());
    let _followers = Subscribers::of_channels(&server, &channels, &ledger).await?;
    let with_others = mutation(&server, 8_000).await?;
    Ok(format!(
        "- `createMessage` in one channel: {alone:.1} µs of CPU when it is the only one, {with_others:.1} beside {} others with a subscriber each\n",
        channels.len()
    ))
}

/// Latency, cost and memory on an empty log and on a long one.
async fn log(events: i64) -> Outcome<String> {
    let mut text = String::from("- Length of the log (a lone message at the last of 100 subscribers):");
    for events in [0, events] {
        let mut server = Implementation::Tidings.start().await?;
        if events > 0 {
            server.stop();
            fill(&server.database(), server.channel(), events).await?;
        }
        server.restart()?;
        let cpu = mutation(&server, 4_000).await?;
        let ledger = Rc::new(Ledger::default());
        let subscribers = Subscribers::connect(&server, READERS, &ledger).await?;
        publish::warm(&server, &subscribers, &ledger).await?;
        let mut delays = publish::sequential(&server, &subscribers, &ledger, SEQUENTIAL).await?;
        drop(subscribers);
        let back = catch_up_seconds(&server).await?;
        let resident = measure::resident(server.process())? / 1_048_576.0;
        let _ = write!(
            text,
            " {} events: p50 {:.2} ms, p99 {:.2}, `createMessage` {cpu:.1} µs, {READERS} come back with 1,000 missed in {back:.2} s, {resident:.0} MiB;",
            thousands(events),
            at(&mut delays, 0.5),
            at(&mut delays, 0.99),
        );
    }
    Ok(text + "\n")
}

/// Seconds until subscribers that missed a thousand messages are live again.
async fn catch_up_seconds(server: &Server) -> Outcome<f64> {
    let cursor = server.cursor().await?;
    publish::requests(server, 1, 1_000, |number| documents::publish(server.channel(), number)).await?;
    let ledger = Rc::new(Ledger::default());
    ledger.expect(READERS, 1);
    let started = Instant::now();
    let _subscribers = Subscribers::resume(server, READERS, &ledger, &cursor).await?;
    publish::limited(&ledger, ledger.all_have(1_000)).await?;
    Ok(started.elapsed().as_secs_f64())
}

/// A commit listener that ignores every batch.
struct IgnoreCommits;

impl CommitSink for IgnoreCommits {
    fn committed(&mut self, _: Batch) {}
}

/// A command that records [`AT_ONCE`] events in a channel.
struct RecordMany(ChannelId);

impl WriteCommand for RecordMany {
    type Output = ();

    fn needs(&self, _: &mut Needs) {}

    fn decide(&self, state: &BatchState) -> tidings::error::Result<((), Effects)> {
        let mut effects = state.effects();
        for number in 1..=AT_ONCE {
            let change = NewEvent::new(EventKind::MessageDeleted, number, None).in_channel(self.0);
            effects.record(change, EventBody::None);
        }
        Ok(((), effects))
    }
}

/// Appends events of one channel to the log of a stopped server.
async fn fill(database: &Path, channel: &str, events: i64) -> Outcome<()> {
    let wrong = |error: tidings::error::Error| error.to_string();
    let channel = ChannelId(channel.parse().map_err(|_| "a channel's id is a number")?);
    let store = Store::open(&StoreOptions::sqlite(database, 1), IgnoreCommits).map_err(wrong)?;
    for _ in 0..events / AT_ONCE {
        store.write(RecordMany(channel)).await.map_err(wrong)?;
    }
    store.close();
    Ok(())
}

/// On a disk that takes a millisecond to sync: how many mutations share a commit, and how long each takes.
async fn slow_disk(count: u64) -> Outcome<String> {
    let shim = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (source, library) = (shim.path().join("slow.c"), shim.path().join("slow.so"));
    std::fs::write(&source, SLOW_DISK).map_err(|error| error.to_string())?;
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    if !compiler.status().map_err(|error| format!("cc: {error}"))?.success() {
        return Err("the slow disk was not compiled".into());
    }
    let mut text = String::from("- On a disk that takes 1 ms to sync (`fsync` slowed down), `createMessage`:");
    for publishers in SLOW_DISK_CONNECTIONS {
        let server = Implementation::Tidings.start_with(&[("LD_PRELOAD", library.display().to_string())]).await?;
        publish::requests(&server, publishers, count / 4, |n| documents::publish(server.channel(), n)).await?;
        let before = Commits::of(&server).await?;
        let (started, cpu) = (Instant::now(), Cpu::of(server.process())?);
        let mut delays = timed(&server, publishers, count).await?;
        let took = started.elapsed().as_secs_f64();
        let cpu = Cpu::of(server.process())?.since(&cpu) / 1_000.0 / count as f64;
        let after = Commits::of(&server).await?;
        let commits = after.count - before.count;
        let _ = write!(
            text,
            " {publishers} connections: {:.0}/s, {:.1} a commit, a commit takes {:.2} ms, a change p50 {:.2} ms, p99 {:.2}, {cpu:.1} µs of CPU;",
            count as f64 / took,
            (after.commands - before.commands) / commits,
            (after.seconds - before.seconds) / commits * 1_000.0,
            at(&mut delays, 0.5),
            at(&mut delays, 0.99),
        );
    }
    Ok(text + "\n")
}

/// The commit counters of `/metrics`.
struct Commits {
    count: f64,
    commands: f64,
    seconds: f64,
}

impl Commits {
    async fn of(server: &Server) -> Outcome<Self> {
        let text = server.metrics().await?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse().ok()).ok_or_else(|| format!("/metrics has no sample {name}"))
        };
        Ok(Self {
            count: value("tidings_commit_commands_count")?,
            commands: value("tidings_commit_commands_sum")?,
            seconds: value("tidings_commit_seconds_sum")?,
        })
    }
}

/// The duration of each of `count` mutations.
async fn timed(server: &Server, publishers: u64, count: u64) -> Outcome<Vec<Duration>> {
    let connections = server.connections(publishers).await?;
    let publishers = connections.into_iter().zip(0..).map(|(mut connection, publisher)| async move {
        let mut delays = Vec::new();
        for number in (publisher..count).step_by(publishers as usize) {
            let since = Instant::now();
            connection.post(&documents::publish(server.channel(), number)).await?;
            delays.push(since.elapsed());
        }
        Outcome::Ok(delays)
    });
    Ok(try_join_all(publishers).await?.concat())
}

/// Microseconds of server CPU per mutation, averaged over `count` mutations.
async fn mutation(server: &Server, count: u64) -> Outcome<f64> {
    let publishing = |count| publish::requests(server, PUBLISHERS, count, |n| documents::publish(server.channel(), n));
    publishing(count / 4).await?;
    sleep(REST).await;
    let before = Cpu::of(server.process())?;
    publishing(count).await?;
    sleep(REST).await;
    Ok(Cpu::of(server.process())?.since(&before) / 1_000.0 / count as f64)
}

/// A quantile of the delays, in milliseconds.
fn at(delays: &mut [Duration], part: f64) -> f64 {
    delays.sort();
    let last = delays.len().saturating_sub(1);
    delays.get((last as f64 * part) as usize).map_or(f64::NAN, |delay| delay.as_secs_f64() * 1_000.0)
}

fn thousands(number: i64) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1_000), number % 1_000),
    }
}
