//! Runs the attacks against the real binary, beside a background client. It checks the attackers' answers and their
//! duration, and the memory afterwards; it prints the response times of the background client.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use rustix::process::nice;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use super::attacks::{self, Attack};
use super::background_client::BackgroundClient;
use crate::support::{Process, Program, Report};

/// The longest accepted duration of an attack's answer; the report shows the measured one.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(10);
/// How much memory may remain after an attack, in bytes.
const SLACK: usize = 8 << 20;
/// How long to wait until the allocator returns freed memory to the kernel. It keeps freed memory for ten seconds for
/// reuse.
const RELEASE_TIME: Duration = Duration::from_secs(30);
/// How long the background client is measured before an attack.
const BASELINE_TIME: Duration = Duration::from_millis(400);
/// How long the server waits for a client that sends nothing. The attackers run with the lowest priority: on a busy
/// machine a thousand of them need seconds to send their first bytes, and a shorter timeout would close them too early.
const TIMEOUT: &str = "5s";

#[tokio::test]
#[ignore = "takes about a minute or more: `make test-long` runs it"]
async fn every_attack_is_answered_within_ten_seconds_and_its_memory_is_freed() {
    let settings = [
        ("TIDINGS_INIT_TIMEOUT", TIMEOUT),
        ("TIDINGS_REQUEST_TIMEOUT", TIMEOUT),
        ("TIDINGS_LOG", "error,tidings::app=info"),
    ];
    run_attacks(&settings, |token| attacks::all().into_iter().chain(attacks::publishing(token)).collect()).await;
}

/// With the limit on frames per second switched off, and with the default limit.
#[tokio::test]
async fn ping_floods_whose_pongs_are_not_read_are_blocked_and_their_memory_is_freed() {
    let settings = [("TIDINGS_FRAMES_PER_SECOND", "0"), ("TIDINGS_LOG", "error,tidings::app=info")];
    run_attacks(&settings, |_| attacks::pings()).await;
    run_attacks(&settings[1..], |_| attacks::pings()).await;
}

/// `attacks` makes the attacks. It gets the token of a user who may publish in the channel `general`.
async fn run_attacks(settings: &[(&'static str, &str)], attacks: impl FnOnce(&str) -> Vec<Attack>) {
    let attacker_runtime = attacker_runtime();
    let (program, other) = (Program::new(settings), Program::new(settings));
    let (mut server, mut alone) = (program.start(), other.start());
    server.ready().await.expect("the server starts");
    alone.ready().await.expect("the server starts");
    let token = program.register("mallory").await;
    program.channel(&token, "general").await;
    let open = "mutation { updateChannel(input: { id: 1, publishing: MEMBERS }) { id } }";
    program.data(Some(&token), open, &json!({})).await;
    let watch = || BackgroundClient::begin(program.address(), other.address());
    // The first requests allocate memory that is kept. They are made before the baseline is measured.
    let background_client = watch();
    sleep(BASELINE_TIME).await;
    background_client.end();
    let start = server.resident();
    let mut report =
        Report::new("attacks, and the response times of a background client (median and 99th percentile):");
    report.line(format_args!(
        "{:<64} {:>25} {:>8} {:>17} {:>17} {:>17} {:>20}",
        "", "answer", "slowest", "before", "during", "idle server, during", "MiB before/peak/after"
    ));
    for attack in attacks(&token) {
        let background_client = watch();
        sleep(BASELINE_TIME).await;
        let before_attack = background_client.end().attacked;
        let before = server.resident();
        let background_client = watch();
        let ((times, slowest), peak) =
            with_peak_memory(&server, attack.run(attacker_runtime.handle(), program.address())).await;
        let during_attack = background_client.end();
        let after = wait_for_memory(&server, start + SLACK).await;
        report.line(format_args!(
            "{:<64} {:>25} {slowest:>8.1?} {before_attack:>17} {:>17} {:>17} {:>6}/{:>5}/{:>6}",
            format!("{} ({times} times)", attack.name),
            attack.answer,
            during_attack.attacked,
            during_attack.alone,
            before >> 20,
            peak >> 20,
            after >> 20
        ));
        assert!(slowest < MAX_ANSWER_TIME, "{}: {slowest:?}", attack.name);
        assert!(after <= start + SLACK, "{}: {} MiB more memory than before", attack.name, (after - start) >> 20);
    }
    attacker_runtime.shutdown_background();
}

/// A runtime for attackers. Its threads have the lowest priority, as if the attackers were on another machine: they
/// load the server but do not take the processor from it.
pub(super) fn attacker_runtime() -> Runtime {
    let lower_priority = || assert!(nice(19).is_ok(), "lowering the own priority needs no permission");
    let attackers = Builder::new_multi_thread().worker_threads(2).enable_all().on_thread_start(lower_priority).build();
    attackers.expect("a runtime")
}

/// Polls a future to its end; returns its output and the peak memory of the server meanwhile.
async fn with_peak_memory<T>(server: &Process, operation: impl Future<Output = T>) -> (T, usize) {
    let mut operation = std::pin::pin!(operation);
    let mut peak = 0;
    loop {
        peak = peak.max(server.resident());
        tokio::select! {
            done = &mut operation => return (done, peak),
            () = sleep(Duration::from_millis(20)) => {}
        }
    }
}

/// The resident memory of a process once it is at most `enough`, or after [`RELEASE_TIME`].
async fn wait_for_memory(server: &Process, enough: usize) -> usize {
    let since = Instant::now();
    loop {
        let now = server.resident();
        if now <= enough || since.elapsed() > RELEASE_TIME {
            return now;
        }
        sleep(Duration::from_millis(100)).await;
    }
}
