//! The `tidings` program.

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
            eprintln!("tidings: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::run(invocation, stopped())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("tidings: {line}");
            ExitCode::FAILURE
        }
    }
}

/// Waits until somebody asks the program to stop.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}
