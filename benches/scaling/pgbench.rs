//! The reference: pgbench inserts single rows, each in its own transaction, over the same distance.

use std::path::Path;
use std::time::Duration;

use crate::Outcome;
use crate::counters::Statistics;
use crate::distance::Distance;
use crate::options::Options;
use crate::sample::Sample;
use crate::support::database::Postgres;
use crate::workload::TEXT;

/// Threads of pgbench. The machine also runs PostgreSQL and the proxy.
const THREADS: usize = 2;

pub async fn run(
    postgres: &Postgres,
    distance: &Distance,
    statistics: &Statistics,
    options: &Options,
) -> Outcome<Sample> {
    let database = postgres.create_database();
    let table = "CREATE TABLE notes (id bigserial PRIMARY KEY, author_id bigint NOT NULL, content text NOT NULL)";
    postgres.run("psql", &["-qAt", "-d", &database, "-c", table]);
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let script = directory.path().join("insert.sql");
    let insert = format!("INSERT INTO notes (author_id, content) VALUES (:client_id, '{TEXT}');\n");
    std::fs::write(&script, insert).map_err(|error| error.to_string())?;
    let (port, clients) = (distance.proxy.port().to_string(), options.clients.to_string());
    let (threads, seconds) = (THREADS.min(options.clients).to_string(), options.duration.as_secs().to_string());
    let script = script.display().to_string();
    let latencies = directory.path().join("latencies").display().to_string();
    let sizes = ["-p", &port, "-c", &clients, "-j", &threads, "-T", &seconds];
    // Writing every latency to a file would use the processor that pgbench and PostgreSQL need.
    let log = ["-l", "--sampling-rate", "0.1", "--log-prefix", &latencies];
    let arguments = [&sizes[..], &log, &["-n", "-M", "prepared", "-f", &script, &database]].concat();

    let before = statistics.read(&database, distance, &mut []).await?;
    let printed = postgres.run("pgbench", &arguments);
    let cost = statistics.read(&database, distance, &mut []).await? - before;
    let count = figure(&printed, "number of transactions actually processed:")?;
    let seconds = count / figure(&printed, "tps =")?;
    let latencies = read_latencies(directory.path())?;
    Ok(Sample::new(Duration::from_secs_f64(seconds), count as u64, 0, latencies, cost))
}

/// The number after a label in the output of pgbench.
fn figure(printed: &str, label: &str) -> Outcome<f64> {
    let rest = printed.lines().find_map(|line| line.strip_prefix(label));
    let number = rest.and_then(|rest| rest.split_whitespace().next()?.split('/').next()?.parse().ok());
    number.ok_or_else(|| format!("pgbench printed no {label:?}: {printed}"))
}

/// The latencies that pgbench logged, in microseconds. Each of its threads writes a file.
fn read_latencies(directory: &Path) -> Outcome<Vec<u32>> {
    let mut latencies = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|error| error.to_string())?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("latencies") {
            let text = std::fs::read_to_string(entry.path()).map_err(|error| error.to_string())?;
            latencies.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<u32>().ok()));
        }
    }
    Ok(latencies)
}
