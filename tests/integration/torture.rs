//! `kill -9` under load. Writers repeat each mutation until it is acknowledged. Subscribers reconnect with the last
//! cursor they received. Meanwhile the server is killed repeatedly, also while it starts. At the end no acknowledged
//! mutation is missing, none was applied twice, and each subscriber received each event once and in order.
//!
//! `TIDINGS_TORTURE_SECONDS` sets the duration (default: 60 s), `TIDINGS_TORTURE_SEED` the seed of the random numbers.
//! The timing of faults still depends on the machine.

mod assertions;
mod cluster;
mod faults;
mod killer;
mod subscriber;
mod writer;

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::try_join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::support::{Process, Program};
use subscriber::{Profile, Received, Subscriber};
use writer::{Writer, WrittenMessage};

/// The clients of the single-server test.
const LOAD: Load = Load { writers: 8, subscribers: 8 };
const CHANNELS: [&str; 2] = ["general", "random"];
/// The server must be killed at least once per this many seconds.
const SECONDS_PER_KILL: u64 = 12;
/// How long, after the last fault, writers and subscribers may take to finish.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(120);
/// The title of the last message of each channel.
const LAST_TITLE: &str = "the end";

/// The number of clients.
#[derive(Clone, Copy)]
struct Load {
    writers: u64,
    subscribers: u64,
}

/// The result of a run.
struct RunReport {
    /// Kept so that the servers run until the checks are done.
    _servers: Vec<Process>,
    /// A summary of the injected faults.
    injected_faults: String,
    written: Vec<Vec<WrittenMessage>>,
    /// The cursor from which the subscribers began.
    start: String,
    subscribers: Vec<(Profile, Received)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes about a minute or more: `make test-long` runs it"]
async fn nothing_is_lost_repeated_or_applied_twice_when_the_server_is_killed() {
    let length = Duration::from_secs(env_number("TIDINGS_TORTURE_SECONDS").unwrap_or(60));
    let seed = env_number("TIDINGS_TORTURE_SEED").unwrap_or_else(rand::random);
    println!("torture: {} s, seed {seed}", length.as_secs());
    let programs = [Program::new(&[])];
    let until = Instant::now() + length;
    let killing = async |servers: Vec<Process>| {
        let server = servers.into_iter().next().ok_or("no server")?;
        let (server, killed) = killer::kill_until(&programs[0], server, until, seeded_rng(seed, 0)).await?;
        let least = length.as_secs() / SECONDS_PER_KILL;
        if killed.running < least {
            return Err(format!("{killed}, but at least {least} kills while serving are required"));
        }
        Ok((vec![server], killed.to_string()))
    };
    verify(&programs, run(&programs, LOAD, until, seed, killing).await, seed).await;
}

/// Fails the test if the run failed or its result is wrong.
async fn verify(programs: &[Program], report: Result<RunReport, String>, seed: u64) {
    let problems = match report {
        Ok(report) => assertions::check(&programs[0], &report).await,
        Err(problem) => vec![problem],
    };
    let logs: Vec<String> = programs.iter().map(Program::log).collect();
    assert!(
        problems.is_empty(),
        "seed {seed}\n{}\nthe last log lines of the servers:\n{}",
        first_problems(&problems),
        logs.join("\n--\n")
    );
}

#[tokio::test]
async fn a_killed_first_start_does_not_prevent_later_starts() {
    for round in 0..25 {
        let program = Program::new(&[]);
        let mut takes = Duration::from_millis(400);
        for _ in 0..2 {
            let mut server = program.start();
            let since = Instant::now();
            if tokio::time::timeout(takes.mul_f64(rand::random()), server.ready()).await.is_ok() {
                takes = since.elapsed();
            }
            server.kill().await.unwrap_or_else(|why| panic!("round {round}: {why}\n{}", program.log()));
        }
        let mut server = program.start();
        server.ready().await.unwrap_or_else(|why| panic!("round {round}: {why}\n{}", program.log()));
        program.channel(&program.register("ann").await, "general").await;
    }
}

/// Runs all clients until `until`, and then until writers and subscribers have finished. Meanwhile `torture` injects
/// faults; it returns the servers that run at the end.
async fn run(
    programs: &[Program],
    load: Load,
    until: Instant,
    seed: u64,
    torture: impl AsyncFnOnce(Vec<Process>) -> Result<(Vec<Process>, String), String>,
) -> Result<RunReport, String> {
    let mut servers = Vec::new();
    for program in programs {
        let mut server = program.start();
        server.ready().await?;
        servers.push(server);
    }
    let mut tokens = Vec::new();
    for number in 0..load.writers {
        tokens.push(programs[0].register(&format!("writer-{number}")).await);
    }
    let mut channels = Vec::new();
    for name in CHANNELS {
        channels.push(programs[0].channel(&tokens[0], name).await);
    }
    let start = programs[0].cursor().await;

    let deadline = until + CATCH_UP_LIMIT;
    // How many mutations were acknowledged. At the end it is `usize::MAX`, so that no subscriber waits for more.
    let (progress, acknowledged) = watch::channel(0);
    let writers = (0..load.writers).map(|number| {
        let token = tokens[number as usize].clone();
        let channel = channels[number as usize % channels.len()].clone();
        Writer::new(programs, number, token, channel, seeded_rng(seed, 100 + number)).write(until, deadline, &progress)
    });
    let writing = async {
        let written = try_join_all(writers).await?;
        let last = Writer::new(programs, load.writers, tokens[0].clone(), channels[0].clone(), seeded_rng(seed, 200));
        last.end(&channels, deadline).await?;
        progress.send_replace(usize::MAX);
        Ok(written)
    };
    let profiles = (0..load.subscribers).map(|number| profile(number, &channels));
    let following = profiles.enumerate().map(|(number, profile)| {
        // Every other subscriber is anonymous.
        let token = (number % 2 == 0).then(|| tokens[number % tokens.len()].clone());
        let ends = if profile.channel.is_some() { 1 } else { channels.len() };
        let random = seeded_rng(seed, 300 + number as u64);
        let subscriber = Subscriber::new(programs, profile, token, start.clone(), random, acknowledged.clone());
        async move { subscriber.follow(ends, deadline).await.map_err(|why| format!("subscriber {number} {why}")) }
    });
    let ((servers, injected_faults), written, subscribers) =
        tokio::try_join!(torture(servers), writing, try_join_all(following))?;
    Ok(RunReport { _servers: servers, injected_faults, written, start, subscribers })
}

/// A random number generator for one client, derived from the seed of the run.
fn seeded_rng(seed: u64, of: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_add(of))
}

/// A random instance.
fn random_program<'p>(programs: &'p [Program], random: &mut StdRng) -> &'p Program {
    &programs[random.random_range(0..programs.len())]
}

/// What a subscriber follows: all events, one channel, or new messages.
fn profile(number: u64, channels: &[String]) -> Profile {
    let channel = |index: usize| Some(channels[index].clone());
    let all = Profile { only_added: false, channel: None, long_absences: false };
    match number % 8 {
        3 => Profile { long_absences: true, ..all },
        4 => Profile { channel: channel(0), ..all },
        5 => Profile { only_added: true, channel: channel(1), ..all },
        6 => Profile { only_added: true, ..all },
        7 => Profile { only_added: true, long_absences: true, ..all },
        _ => all,
    }
}

fn first_problems(problems: &[String]) -> String {
    let line = |problem: &String| problem.chars().take(600).collect::<String>();
    let mut text = problems.iter().take(20).map(line).collect::<Vec<_>>().join("\n");
    if problems.len() > 20 {
        write!(text, "\n… and {} more", problems.len() - 20).expect("text");
    }
    text
}

fn env_number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// A random pause before a retry.
async fn retry_delay(random: &mut StdRng) {
    tokio::time::sleep(Duration::from_millis(random.random_range(5..60))).await;
}

/// The code of the first error of a response, if it has one.
fn code(response: &serde_json::Value) -> Option<String> {
    let errors = response.get("errors")?;
    Some(errors[0]["extensions"]["code"].as_str().map_or_else(|| json!(errors).to_string(), str::to_owned))
}
