//! Runs the attacks against the real binary, beside a background client. It checks the attackers' answers and their
//! duration, and the memory afterwards; it prints the response times of the background client.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use rustix::process::nice;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use super::attacks::{self, Attack};
use super::bystander::Bystander;
use crate::support::{Process, Program, Report};

/// The longest accepted duration of an attack's answer; the report shows the measured one.
const ENOUGH: Duration = Duration::from_secs(10);
/// How much memory may remain after an attack, in bytes.
const SLACK: usize = 8 << 20;
/// How long to wait until the allocator returns freed memory to the kernel. It keeps freed memory for ten seconds for
/// reuse.
const REST: Duration = Duration::from_secs(30);
/// How long the background client is measured before an attack.
const USUALLY: Duration = Duration::from_millis(400);
/// How long the server waits for a client that sends nothing. The attackers run with the lowest priority: on a busy
/// machine a thousand of them need seconds to send their first bytes, and a shorter timeout would close them too early.
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

/// With the limit on frames per second switched off, and with the default limit.
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
    // The first requests allocate memory that is kept. They are made before the baseline is measured.
    let bystander = watch();
    sleep(USUALLY).await;
    bystander.end();
    let start = server.resident();
    let mut report =
        Report::new("attacks, and the response times of a background client (median and 99th percentile):");
    report.line(format_args!(
        "{:<64} {:>25} {:>8} {:>17} {:>17} {:>17} {:>20}",
        "", "answer", "slowest", "before", "during", "idle server, during", "MiB before/peak/after"
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
        assert!(after <= start + SLACK, "{}: {} MiB more memory than before", attack.name, (after - start) >> 20);
    }
    elsewhere.shutdown_background();
}

/// A runtime for attackers. Its threads have the lowest priority, as if the attackers were on another machine: they
/// load the server but do not take the processor from it.
pub(super) fn elsewhere() -> Runtime {
    let give_way = || assert!(nice(19).is_ok(), "lowering the own priority needs no permission");
    let attackers = Builder::new_multi_thread().worker_threads(2).enable_all().on_thread_start(give_way).build();
    attackers.expect("a runtime")
}

/// Polls a future to its end; returns its output and the peak memory of the server meanwhile.
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

/// The resident memory of a process once it is at most `enough`, or after [`REST`].
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
