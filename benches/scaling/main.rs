//! The scaling benchmark: how many changes per second several instances write to one PostgreSQL, by the distance to the
//! database.
//!
//! `make bench-scaling` (or `cargo bench --bench scaling`) starts a PostgreSQL with `fsync`, and for each distance a
//! proxy that adds the round-trip time. Clients on keep-alive HTTP connections each wait for their answer before they
//! send the next request. One run measures, through the same proxy:
//!
//! - `pgbench`: single-row inserts, each in its own transaction, with as many clients.
//! - `creates`: only `createMessage`.
//! - `mixed`: edits, comments, tickets with an assignee and a mention, read markers; every fifth request is refused.
//!
//! The two tables are Markdown, for `docs/scaling.md`. There are no limits on time, so the benchmark does not fail for
//! being slow. It fails if a change is refused that must be accepted, or the reverse.
//!
//! | variable | default | meaning |
//! | --- | --- | --- |
//! | `TIDINGS_BENCH_SECONDS` | 8 | measured seconds of each row, after one second of warming up |
//! | `TIDINGS_BENCH_CLIENTS` | 64 | clients, each a user of its own; 1 shows the latency of a single change |
//! | `TIDINGS_BENCH_ROUND_TRIPS` | 0,0.5,1 | the distances: milliseconds that the proxy adds to a round trip |
//! | `TIDINGS_BENCH_INSTANCES` | 1,4 | the numbers of instances |
//! | `TIDINGS_BENCH_BASE` | none | another binary, for example of an earlier version, that takes turns with this one |
//! | `TIDINGS_BENCH_BINARY` | that of this build | the measured binary |

mod cluster;
mod counters;
mod distance;
#[path = "../delivery/http.rs"]
#[expect(dead_code, reason = "the delivery benchmark uses the rest")]
mod http;
mod load;
mod options;
mod pgbench;
mod report;
mod sample;
#[path = "../../tests/integration/support/mod.rs"]
#[allow(dead_code, unused_imports)] // the tests use the rest
mod support;
#[path = "../delivery/table.rs"]
mod table;
mod workload;

use std::process::ExitCode;

use cluster::{Cluster, Template};
use counters::Statistics;
use distance::Distance;
use options::Options;
use report::Report;
use support::database::Postgres;
use workload::Workload;

/// An error is one line of text, because every error ends the run and is printed as one line.
type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    // The arguments that cargo passes are ignored. One thread is enough for the clients, and leaves the processor to
    // the servers.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut report = Report::default();
    let outcome = Options::from_environment().and_then(|options| runtime.block_on(measure(&options, &mut report)));
    // After an error, the rows that are complete are still printed.
    print!("{report}");
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("scaling bench: {line}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: &Options, report: &mut Report) -> Outcome<()> {
    let postgres = Postgres::start("scaling", &["max_connections=300", "shared_preload_libraries=pg_stat_statements"]);
    let statistics = Statistics::connect(&postgres).await?;
    let mut templates = Vec::new();
    for server in &options.servers {
        templates.push(Template::create(&postgres, server, options.clients).await?);
    }
    for round_trip in &options.round_trips {
        let distance = Distance::start(&postgres, *round_trip).await?;
        let single_rows = pgbench::run(&postgres, &distance, &statistics, options).await?;
        report.add(&distance, "pgbench", None, "single rows", single_rows);
        for instances in &options.instances {
            for template in &templates {
                let cluster = Cluster::start(&postgres, &distance, template, *instances).await?;
                for workload in [Workload::Creates, Workload::Mixed] {
                    let sample = load::run(&cluster, workload, &distance, &statistics, options).await?;
                    report.add(&distance, &template.server.label, Some(*instances), workload.name(), sample);
                }
            }
        }
    }
    Ok(())
}
