//! The `tidings` program.

fn main() {
    let _invocation = tidings::cli::args::Invocation::from_process();
}
