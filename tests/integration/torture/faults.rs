//! Faults that are injected into a cluster, and how long recovery takes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures_util::future::try_join_all;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use tokio::time::{Instant, sleep, timeout};

use super::cluster::Cluster;
use crate::support::{NetworkFault, Process};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An instance is killed and started again.
    Kill,
    /// An instance is killed, started, killed during that start, and started again.
    KillTwice,
    /// An instance is stopped by SIGSTOP for a while.
    Pause,
    /// PostgreSQL terminates the LISTEN connections of the instances.
    EndListening,
    /// PostgreSQL terminates connections during COMMIT.
    EndCommits,
    /// PostgreSQL crashes and is started again.
    CrashDatabase,
    /// The connections between an instance and the database are reset.
    Cut,
    /// The traffic between an instance and the database is delayed.
    Slow,
    /// The traffic between an instance and the database stalls without an error.
    Silence,
}

const ALL: [Fault; 9] = [
    Fault::Kill,
    Fault::KillTwice,
    Fault::Pause,
    Fault::EndListening,
    Fault::EndCommits,
    Fault::CrashDatabase,
    Fault::Cut,
    Fault::Slow,
    Fault::Silence,
];

/// How many times a run of the script looks for connections during COMMIT.
const TERMINATE_ATTEMPTS: usize = 150;
/// Runs shorter than this use shorter faults.
const LONG_RUN: Duration = Duration::from_secs(300);

/// The recoveries, by kind of fault.
#[derive(Default)]
pub struct FaultReport(BTreeMap<Fault, Vec<Recovery>>);

/// One fault and the recovery from it.
struct Recovery {
    /// From the end of the fault until every instance had acknowledged a mutation.
    after: Duration,
    /// The longest time that another instance took to acknowledge a mutation during the fault.
    others: Duration,
    /// How many connections were terminated.
    ended: usize,
}

impl fmt::Display for FaultReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: usize = self.0.values().map(Vec::len).sum();
        write!(f, "{all} faults")?;
        for (fault, recoveries) in &self.0 {
            let mut after: Vec<Duration> = recoveries.iter().map(|recovery| recovery.after).collect();
            after.sort_unstable();
            let others = recoveries.iter().map(|recovery| recovery.others).max().unwrap_or_default();
            let ended: usize = recoveries.iter().map(|recovery| recovery.ended).sum();
            let (count, median, worst) = (after.len(), after[after.len() / 2], after[after.len() - 1]);
            write!(f, "\n  {fault:?} {count}: recovered within {median:.0?} (median), {worst:.0?} (worst)")?;
            if !others.is_zero() {
                write!(f, "; meanwhile the others waited {others:.1?} at most")?;
            }
            if ended > 0 {
                write!(f, "; connections ended: {ended}")?;
            }
        }
        Ok(())
    }
}

/// Injects one fault after the other until `until`, each kind equally often. Returns servers that run.
pub async fn inject_until(
    cluster: &Cluster,
    mut servers: Vec<Process>,
    until: Instant,
    mut random: StdRng,
) -> Result<(Vec<Process>, FaultReport), String> {
    let mut fault_report = FaultReport::default();
    let scale = if until - Instant::now() < LONG_RUN { 0.25 } else { 1.0 };
    let mut round = Vec::new();
    while Instant::now() < until {
        sleep(Duration::from_millis(random.random_range(200..1500))).await;
        if round.is_empty() {
            round = ALL.to_vec();
            round.shuffle(&mut random);
        }
        let Some(fault) = round.pop() else { continue };
        let instance = random.random_range(0..servers.len());
        let (others, ended) = inject(fault, cluster, instance, &mut servers, scale, &mut random)
            .await
            .map_err(|why| format!("{fault:?}: {why}"))?;
        let since = Instant::now();
        try_join_all((0..servers.len()).map(|instance| cluster.recovery(instance)))
            .await
            .map_err(|why| format!("after {fault:?}: {why}"))?;
        fault_report.0.entry(fault).or_default().push(Recovery { after: since.elapsed(), others, ended });
    }
    Ok((servers, fault_report))
}

/// Injects one fault and ends it. Returns the longest recovery of other instances, and how many connections were
/// terminated.
async fn inject(
    fault: Fault,
    cluster: &Cluster,
    instance: usize,
    servers: &mut [Process],
    scale: f64,
    random: &mut StdRng,
) -> Result<(Duration, usize), String> {
    let mut span = |seconds: std::ops::Range<f64>| Duration::from_secs_f64(random.random_range(seconds) * scale);
    let unmeasured = (Duration::ZERO, 0);
    match fault {
        Fault::Kill | Fault::KillTwice => {
            let program = &cluster.programs[instance];
            let server = &mut servers[instance];
            server.kill().await?;
            *server = program.start();
            if fault == Fault::KillTwice {
                drop(timeout(span(0.0..0.6), server.ready()).await);
                server.kill().await?;
                *server = program.start();
            }
            server.ready().await?;
            Ok(unmeasured)
        }
        Fault::Pause => {
            servers[instance].signal("STOP");
            let others = longest_recovery_of_others(cluster, instance, span(18.0..20.0)).await;
            servers[instance].signal("CONT");
            Ok((others?, 0))
        }
        Fault::EndListening => {
            Ok((Duration::ZERO, terminate_connections(cluster, "application_name = 'tidings listener'", 1).await?))
        }
        Fault::EndCommits => {
            // Most batches are one statement, which is also the transaction.
            let during_commit = "application_name = 'tidings' AND state = 'active' \
                AND (query = 'COMMIT' OR query LIKE 'WITH input AS %')";
            Ok((Duration::ZERO, terminate_connections(cluster, during_commit, TERMINATE_ATTEMPTS).await?))
        }
        Fault::CrashDatabase => {
            let downtime = span(0.0..4.0);
            tokio::task::block_in_place(|| {
                cluster.postgres.stop();
                std::thread::sleep(downtime);
                cluster.postgres.start_again();
            });
            Ok(unmeasured)
        }
        Fault::Cut => Ok((run_network_fault(cluster, instance, NetworkFault::Cut, span(1.0..6.0)).await?, 0)),
        Fault::Slow => {
            let delay = Duration::from_millis(random.random_range(20..200));
            let length = Duration::from_secs_f64(random.random_range(4.0..10.0) * scale);
            Ok((run_network_fault(cluster, instance, NetworkFault::Slow(delay), length).await?, 0))
        }
        Fault::Silence => Ok((run_network_fault(cluster, instance, NetworkFault::Stall, span(6.0..20.0)).await?, 0)),
    }
}

async fn run_network_fault(
    cluster: &Cluster,
    instance: usize,
    fault: NetworkFault,
    length: Duration,
) -> Result<Duration, String> {
    cluster.proxies[instance].set_fault(fault);
    let others = longest_recovery_of_others(cluster, instance, length).await;
    cluster.proxies[instance].set_fault(NetworkFault::None);
    others
}

/// The longest time that another instance takes to acknowledge a mutation, measured for `length`.
async fn longest_recovery_of_others(cluster: &Cluster, but: usize, length: Duration) -> Result<Duration, String> {
    let (since, mut longest) = (Instant::now(), Duration::ZERO);
    while since.elapsed() < length {
        let other = (but + 1) % cluster.programs.len();
        longest = longest.max(cluster.recovery(other).await?);
    }
    Ok(longest)
}

/// Terminates the database connections that match `which`, in `times` attempts; returns how many it terminated.
async fn terminate_connections(cluster: &Cluster, which: &str, times: usize) -> Result<usize, String> {
    let terminate = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND {which};\nSELECT pg_sleep(0.002);\n",
        cluster.database
    );
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let script = directory.path().join("shots.sql");
    std::fs::write(&script, terminate.repeat(times)).map_err(|error| error.to_string())?;
    let printed = tokio::task::block_in_place(|| {
        let script = script.to_str().expect("a path");
        cluster.postgres.run("psql", &["-qAt", "-d", &cluster.database, "-f", script])
    });
    Ok(printed.lines().filter(|line| *line == "t").count())
}
