//! The `tidings` program.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use tidings::cli::{self, args::Invocation};
use tikv_jemallocator::Jemalloc;

/// Answers are many small pieces that live for a moment: glibc's allocator takes a fifth more of a query's time.
/// Its background threads hand back what was freed after a storm, when nobody asks it for anything.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let invocation = Invocation::from_process();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            cli::complain(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::run(invocation, stopped())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            cli::complain(&line);
            ExitCode::FAILURE
        }
    }
}

/// Waits until the program is asked to stop: SIGTERM, SIGINT (Ctrl-C), or SIGHUP, which a terminal sends when it closes.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let receive = async |kind| match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        // The signal then ends the process at once, which needs no help.
        Err(_) => std::future::pending().await,
    };
    let hangup = async {
        if ignores_hangup() {
            std::future::pending::<()>().await;
        }
        receive(SignalKind::hangup()).await;
    };
    tokio::select! {
        () = receive(SignalKind::terminate()) => {}
        () = receive(SignalKind::interrupt()) => {}
        () = hangup => {}
    }
}

/// Whether the program was started with SIGHUP ignored, as `nohup` does: it is meant to outlive the terminal.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGHUP is signal 1, the lowest bit.
    ignored.is_some_and(|mask| mask & 1 == 1)
}
