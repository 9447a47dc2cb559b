//! The delivery benchmark: what one delivery costs the server, and what memory one idle subscriber uses.
//!
//! This module only chooses the role. Without a role, this executable is the orchestrator ([`plan`]). It starts each
//! server in turn on one core, runs 1,000 subscribers and the publishers on the other core, checks every delivery, and
//! writes `benches/RESULTS.md`. The servers for comparison are roles of the same executable, so that `cargo bench`
//! needs nothing but cargo. There are no limits on time in the benchmark, so it does not fail for being slow.

mod child;
mod documents;
mod frames;
mod growth;
mod http;
mod implementation;
mod kernel;
mod ledger;
mod machine;
mod measure;
mod options;
mod plan;
mod publish;
mod record;
mod report;
mod scale;
mod stock;
mod subscribers;
mod table;

use std::process::ExitCode;

/// An error is one line of text, because every error ends the run and is printed as one line.
type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("stock") => stock::run(),
        Some("kernel-lone") => kernel::run(kernel::Writes::OnePerDelivery),
        Some("kernel-coalesced") => kernel::run(kernel::Writes::Coalesced),
        _ => options::Options::parse(&arguments).and_then(|options| plan::run(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("delivery bench: {line}");
            ExitCode::FAILURE
        }
    }
}
