//! `kill -9` under load. Writers that repeat what was not acknowledged, subscribers that come back
//! with the last cursor they saw, and somebody who kills the server again and again, also while it
//! starts. In the end: nothing that was acknowledged is missing, nothing was done twice, and each
//! subscriber got each event once, in order.
//!
//! `TIDINGS_TORTURE_SECONDS` says how long (a minute if it does not), `TIDINGS_TORTURE_SEED` where
//! the random numbers begin; when what happens is up to the machine all the same.

mod killer;
mod subscriber;
mod verdict;
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
use killer::Killed;
use subscriber::{Seen, Subscriber, Wish};
use writer::{Writer, Written};

const WRITERS: u64 = 8;
const SUBSCRIBERS: u64 = 8;
const CHANNELS: [&str; 2] = ["general", "random"];
/// How often the server is killed at least.
const SECONDS_PER_KILL: u64 = 12;
/// How long it may take, after the last kill, until everybody has everything.
const SETTLING: Duration = Duration::from_secs(120);
/// The title of the last message of each channel.
const THE_END: &str = "the end";

/// How it went.
struct Story {
    /// It still serves.
    _server: Process,
    killed: Killed,
    written: Vec<Vec<Written>>,
    /// Where the subscribers began.
    start: String,
    subscribers: Vec<(Wish, Seen)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_repeated_or_done_twice_when_the_server_is_killed() {
    let length = Duration::from_secs(number("TIDINGS_TORTURE_SECONDS").unwrap_or(60));
    let seed = number("TIDINGS_TORTURE_SEED").unwrap_or_else(rand::random);
    println!("torture: {} s, seed {seed}", length.as_secs());
    let program = Program::new(&[]);
    let problems = match suffer(&program, length, seed).await {
        Ok(story) => verdict::of(&program, &story).await,
        Err(problem) => vec![problem],
    };
    assert!(
        problems.is_empty(),
        "seed {seed}\n{}\nthe end of the server's log:\n{}",
        some_of(&problems),
        program.log()
    );
}

#[tokio::test]
async fn a_first_start_that_is_killed_leaves_nothing_that_stops_the_next() {
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

/// Lets them all work until the time is over, and then until everybody has everything.
async fn suffer(program: &Program, length: Duration, seed: u64) -> Result<Story, String> {
    let mut server = program.start();
    server.ready().await?;
    let mut tokens = Vec::new();
    for number in 0..WRITERS {
        tokens.push(program.register(&format!("writer-{number}")).await);
    }
    let mut channels = Vec::new();
    for name in CHANNELS {
        channels.push(program.channel(&tokens[0], name).await);
    }
    let start = program.cursor().await;

    let chance = |of: u64| StdRng::seed_from_u64(seed.wrapping_add(of));
    let until = Instant::now() + length;
    let deadline = until + SETTLING;
    let killing = async {
        let (server, killed) = killer::torture(program, server, until, chance(0)).await?;
        let least = length.as_secs() / SECONDS_PER_KILL;
        if killed.running < least { Err(format!("{killed}, and should be {least}")) } else { Ok((server, killed)) }
    };
    // How many mutations were acknowledged; in the end more than anybody waits for.
    let (progress, acknowledged) = watch::channel(0);
    let writers = (0..WRITERS).map(|number| {
        let token = tokens[number as usize].clone();
        let channel = channels[number as usize % channels.len()].clone();
        Writer::new(program, number, token, channel, chance(100 + number)).write(until, deadline, &progress)
    });
    let writing = async {
        let written = try_join_all(writers).await?;
        let last = Writer::new(program, WRITERS, tokens[0].clone(), channels[0].clone(), chance(200));
        last.end(&channels, deadline).await?;
        progress.send_replace(usize::MAX);
        Ok(written)
    };
    let wishes = (0..SUBSCRIBERS).map(|number| wish(number, &channels));
    let following = wishes.enumerate().map(|(number, wish)| {
        // Half of them are strangers.
        let token = (number % 2 == 0).then(|| tokens[number].clone());
        let ends = if wish.channel.is_some() { 1 } else { channels.len() };
        let subscriber =
            Subscriber::new(program, wish, token, start.clone(), chance(300 + number as u64), acknowledged.clone());
        async move { subscriber.follow(ends, deadline).await.map_err(|why| format!("subscriber {number} {why}")) }
    });
    let ((server, killed), written, subscribers) = tokio::try_join!(killing, writing, try_join_all(following))?;
    Ok(Story { _server: server, killed, written, start, subscribers })
}

/// What a subscriber follows: everything, one channel, or new messages.
fn wish(number: u64, channels: &[String]) -> Wish {
    let channel = |index: usize| Some(channels[index].clone());
    let all = Wish { added: false, channel: None, often_away: false };
    match number {
        3 => Wish { often_away: true, ..all },
        4 => Wish { channel: channel(0), ..all },
        5 => Wish { added: true, channel: channel(1), ..all },
        6 => Wish { added: true, ..all },
        7 => Wish { added: true, often_away: true, ..all },
        _ => all,
    }
}

fn some_of(problems: &[String]) -> String {
    let line = |problem: &String| problem.chars().take(600).collect::<String>();
    let mut text = problems.iter().take(20).map(line).collect::<Vec<_>>().join("\n");
    if problems.len() > 20 {
        write!(text, "\n… and {} more", problems.len() - 20).expect("text");
    }
    text
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// A while, for somebody who was turned away and tries again.
async fn a_moment(random: &mut StdRng) {
    tokio::time::sleep(Duration::from_millis(random.random_range(5..60))).await;
}

/// The code of the error of a response, if it has one.
fn code(response: &serde_json::Value) -> Option<String> {
    let errors = response.get("errors")?;
    Some(errors[0]["extensions"]["code"].as_str().map_or_else(|| json!(errors).to_string(), str::to_owned))
}
