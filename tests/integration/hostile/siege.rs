//! The real binary under attack, beside somebody who only wants to work: what the attacker is answered
//! and how soon, how long the bystander waits meanwhile, and what is left in memory afterwards.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use rustix::process::nice;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use super::attacks::{self, Attack};
use super::bystander::Bystander;
use crate::support::{Process, Program, Report};

/// How long any answer may take, on any machine; the table has how long it took.
const ENOUGH: Duration = Duration::from_secs(10);
/// What may be left of an attack, in bytes.
const SLACK: usize = 8 << 20;
/// How long the allocator is given to hand back what was freed: it waits ten seconds whether that is needed again.
const REST: Duration = Duration::from_secs(30);
/// How long the bystander is watched before an attack.
const USUALLY: Duration = Duration::from_millis(400);
/// How long the server waits for a client that sends nothing. The attackers have the lowest priority: on a busy machine a
/// thousand of them need seconds to send their first bytes, and a shorter time would end them for being slow.
const TIMEOUT: &str = "5s";

#[tokio::test]
async fn whatever_is_sent_is_answered_and_nobody_else_notices() {
    let settings = [
        ("TIDINGS_INIT_TIMEOUT", TIMEOUT),
        ("TIDINGS_REQUEST_TIMEOUT", TIMEOUT),
        ("TIDINGS_LOG", "error,tidings::app=info"),
    ];
    besiege(&settings, attacks::all()).await;
}

/// As fast as they come, and at the pace that is usual.
#[tokio::test]
async fn pings_that_nobody_reads_pile_up_nowhere() {
    let settings = [("TIDINGS_FRAMES_PER_SECOND", "0"), ("TIDINGS_LOG", "error,tidings::app=info")];
    besiege(&settings, attacks::pings()).await;
    besiege(&settings[1..], attacks::pings()).await;
}

async fn besiege(settings: &[(&'static str, &str)], attacks: Vec<Attack>) {
    let elsewhere = elsewhere();
    let (program, other) = (Program::new(settings), Program::new(settings));
    let (mut server, mut alone) = (program.start(), other.start());
    server.ready().await.expect("it starts");
    alone.ready().await.expect("it starts");
    let watch = || Bystander::begin(program.address(), other.address());
    // What is made at first use is there.
    let bystander = watch();
    sleep(USUALLY).await;
    bystander.end();
    let start = server.resident();
    let mut report =
        Report::new("under siege, and what the others notice of it (how long they wait: median and 99th percentile):");
    report.line(format_args!(
        "{:<64} {:>25} {:>8} {:>17} {:>17} {:>17} {:>20}",
        "", "answer", "slowest", "usually", "meanwhile", "alone, meanwhile", "MiB before/peak/after"
    ));
    for attack in attacks {
        let bystander = watch();
        sleep(USUALLY).await;
        let usually = bystander.end().attacked;
        let before = server.resident();
        let bystander = watch();
        let ((times, slowest), peak) = peak_of(&server, attack.run(elsewhere.handle(), program.address())).await;
        let meanwhile = bystander.end();
        let after = settled(&server, start + SLACK).await;
        report.line(format_args!(
            "{:<64} {:>25} {slowest:>8.1?} {usually:>17} {:>17} {:>17} {:>6}/{:>5}/{:>6}",
            format!("{} ({times} times)", attack.name),
            attack.answer,
            meanwhile.attacked,
            meanwhile.alone,
            before >> 20,
            peak >> 20,
            after >> 20
        ));
        assert!(slowest < ENOUGH, "{}: {slowest:?}", attack.name);
        assert!(after <= start + SLACK, "{}: {} MiB are left", attack.name, (after - start) >> 20);
    }
    elsewhere.shutdown_background();
}

/// Where the attackers are: threads that get what the machine has left, as if they were on another. What they do to the
/// server is theirs, what they do to the machine is not.
pub(super) fn elsewhere() -> Runtime {
    let give_way = || assert!(nice(19).is_ok(), "whoever gives way asks nobody");
    let attackers = Builder::new_multi_thread().worker_threads(2).enable_all().on_thread_start(give_way).build();
    attackers.expect("a runtime")
}

/// Does something, and looks what the server holds meanwhile.
async fn peak_of<T>(server: &Process, doing: impl Future<Output = T>) -> (T, usize) {
    let mut doing = std::pin::pin!(doing);
    let mut peak = 0;
    loop {
        peak = peak.max(server.resident());
        tokio::select! {
            done = &mut doing => return (done, peak),
            () = sleep(Duration::from_millis(20)) => {}
        }
    }
}

/// What a process holds when it has come to rest: below this, or what is left after a while.
async fn settled(server: &Process, enough: usize) -> usize {
    let since = Instant::now();
    loop {
        let now = server.resident();
        if now <= enough || since.elapsed() > REST {
            return now;
        }
        sleep(Duration::from_millis(100)).await;
    }
}
