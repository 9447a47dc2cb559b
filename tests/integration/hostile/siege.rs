//! The real binary under attack, beside somebody who only wants to work: what the attacker is answered
//! and how soon, how long the bystander waits meanwhile, and what is left in memory afterwards.
#![cfg(target_os = "linux")]

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use super::attacks::{self, Attack};
use crate::support::{Process, Program, soon};

/// How long any answer may take, on any machine; the table has how long it took.
const ENOUGH: Duration = Duration::from_secs(10);
/// What may be left of an attack, in bytes: the allocator keeps some of what was freed, in pieces.
const SLACK: usize = 32 << 20;
/// What may be left of thousands of lines at once, however often they come: the allocator keeps pages of which a
/// piece is in use, for the next thousands.
const CROWD: usize = 160 << 20;
/// How long the allocator is given to hand back what was freed.
const REST: Duration = Duration::from_secs(15);
/// How long the bystander is watched before an attack.
const USUALLY: Duration = Duration::from_millis(200);
/// How long the server is told to wait for those who say nothing.
const TIMEOUT: &str = "1500ms";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_is_answered_and_nobody_else_notices() {
    let settings = [
        ("TIDINGS_INIT_TIMEOUT", TIMEOUT),
        ("TIDINGS_REQUEST_TIMEOUT", TIMEOUT),
        ("TIDINGS_LOG", "error,tidings::app=info"),
    ];
    besiege(&settings, attacks::all()).await;
}

/// As fast as they come, and at the pace that is usual.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_that_nobody_reads_pile_up_nowhere() {
    let settings = [("TIDINGS_FRAMES_PER_SECOND", "0"), ("TIDINGS_LOG", "error,tidings::app=info")];
    besiege(&settings, attacks::pings()).await;
    besiege(&settings[1..], attacks::pings()).await;
}

async fn besiege(settings: &[(&'static str, &str)], attacks: Vec<Attack>) {
    let program = Program::new(settings);
    let mut server = program.start();
    server.ready().await.expect("it starts");
    // What is made at first use is there.
    watched(&program, sleep(USUALLY)).await;
    let start = memory(&server);
    println!(
        "{:<58} {:>24} {:>8} {:>17} {:>17} {:>20}",
        "", "answer", "slowest", "usually", "meanwhile", "MiB before/peak/after"
    );
    for attack in attacks {
        let (usually, ()) = watched(&program, sleep(USUALLY)).await;
        let before = memory(&server);
        let mut peak = before;
        let (meanwhile, slowest) = {
            let attacking = watched(&program, attack.run(program.address()));
            let mut attacking = std::pin::pin!(attacking);
            loop {
                peak = peak.max(memory(&server));
                tokio::select! {
                    done = &mut attacking => break done,
                    () = sleep(Duration::from_millis(20)) => {}
                }
            }
        };
        // It looks for what it can give back when it is asked for something.
        let (_, after) = watched(&program, settled(&server, before + SLACK)).await;
        println!(
            "{:<58} {:>24} {slowest:>8.1?} {usually:>17} {meanwhile:>17} {:>6}/{:>5}/{:>6}",
            format!("{} ({} times)", attack.name, attack.times),
            attack.answer,
            before >> 20,
            peak >> 20,
            after >> 20
        );
        assert!(slowest < ENOUGH, "{}: {slowest:?}", attack.name);
        let bound = if attack.is_crowd { start + CROWD } else { before + SLACK };
        assert!(after <= bound, "{}: {} MiB are left", attack.name, (after - before) >> 20);
    }
    drop(server);
}

/// What a process holds when it has come to rest: below this, or what is left after a while.
async fn settled(server: &Process, enough: usize) -> usize {
    let since = Instant::now();
    loop {
        let now = memory(server);
        if now <= enough || since.elapsed() > REST {
            return now;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// What the bystander waited: the median and the longest, in milliseconds.
struct Waits(Vec<Duration>);

impl std::fmt::Display for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort();
        let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part) as usize].as_secs_f64() * 1_000.0;
        f.pad(&format!("{:.1} / {:.1} ms", at(0.5), at(0.99)))
    }
}

/// Somebody asks something small, again and again, until this is done.
async fn watched<T>(program: &Program, done: impl Future<Output = T>) -> (Waits, T) {
    let (finished, mut is_finished) = watch::channel(false);
    let asking = async {
        let mut waits = Vec::new();
        while waits.is_empty() || !*is_finished.borrow_and_update() {
            let since = Instant::now();
            let answer = soon("an answer", program.ask(None, "{ cursor }", &json!({}))).await.expect("an answer");
            assert!(answer["data"]["cursor"].is_string(), "{answer}");
            waits.push(since.elapsed());
            sleep(Duration::from_millis(2)).await;
        }
        Waits(waits)
    };
    let doing = async {
        let done = done.await;
        finished.send_replace(true);
        done
    };
    tokio::join!(asking, doing)
}

/// What a process holds, in bytes.
fn memory(server: &Process) -> usize {
    let statm = fs::read_to_string(format!("/proc/{}/statm", server.id())).expect("its memory");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a figure") * 4096
}
