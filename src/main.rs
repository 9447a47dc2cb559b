//! The `tidings` program: starts the runtime, runs the command, and turns signals into a shutdown.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use tidings::cli::{self, args::Invocation};
use tikv_jemallocator::Jemalloc;

/// Responses consist of many small, short-lived allocations: with glibc's allocator, queries take a fifth more time.
/// jemalloc's background threads return freed memory to the system after a load peak, also when no requests follow.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let invocation = Invocation::from_process();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            cli::print_error(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::run(invocation, shutdown_signal())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            cli::print_error(&line);
            ExitCode::FAILURE
        }
    }
}

/// Waits for SIGTERM, SIGINT (Ctrl-C), or SIGHUP, which a terminal sends when it closes.
async fn shutdown_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let receive = async |kind| match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        // Without a handler, the signal ends the process, which is a shutdown as well.
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

/// Whether the program was started with SIGHUP ignored, as `nohup` does. It must then keep running when the terminal
/// closes.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGHUP is signal 1, the lowest bit.
    ignored.is_some_and(|mask| mask & 1 == 1)
}
