//! The benchmark of the main job: what one delivery costs the server, and what one idle subscriber holds.
//!
//! Owns the choice of role only. Without a role this executable is the orchestrator ([`plan`]): it starts each
//! server in turn on one core, plays its 1,000 subscribers and its publishers on the other, checks every single
//! delivery, and writes `benches/RESULTS.md`. The servers we compare with are roles of the same executable, so
//! that one `cargo bench` needs nothing but cargo. It judges nothing: there are no limits on time in here.

mod child;
mod contestant;
mod documents;
mod frames;
mod growth;
mod http;
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

/// Everything that goes wrong here ends the run with one line, so a line is all an error has to be.
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
