//! The load on a cluster: clients that send the next request when they have the answer to the one before.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use futures_util::future::{try_join, try_join_all};
use tokio::time::{sleep, timeout};

use crate::Outcome;
use crate::cluster::Cluster;
use crate::counters::Statistics;
use crate::distance::Distance;
use crate::http::Connection;
use crate::options::Options;
use crate::sample::Sample;
use crate::workload::{Workload, Writer};

/// The time before the measurement, in which the server reads the sessions of the users.
const WARM_UP: Duration = Duration::from_secs(1);
/// The longest time that a measurement may take beside the measured time.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measured,
    Over,
}

/// What the clients of one thread share.
struct Progress {
    phase: Cell<Phase>,
    acknowledged: Cell<u64>,
    refused: Cell<u64>,
    /// In microseconds.
    latencies: RefCell<Vec<u32>>,
}

pub async fn run(
    cluster: &Cluster<'_>,
    workload: Workload,
    distance: &Distance,
    statistics: &Statistics,
    options: &Options,
) -> Outcome<Sample> {
    let progress = Progress {
        phase: Cell::new(Phase::WarmUp),
        acknowledged: Cell::default(),
        refused: Cell::default(),
        latencies: RefCell::default(),
    };
    let mut clients = Vec::new();
    for number in 0..options.clients {
        let connection = cluster.connection_of(number).await?;
        clients.push(write(&progress, connection, Writer::new(cluster.template, number, workload)));
    }
    let mut instances = cluster.connections().await?;
    let watch = async {
        sleep(WARM_UP).await;
        let before = statistics.read(&cluster.database, distance, &mut instances).await?;
        progress.phase.set(Phase::Measured);
        let started = Instant::now();
        sleep(options.duration).await;
        progress.phase.set(Phase::Over);
        let duration = started.elapsed();
        let after = statistics.read(&cluster.database, distance, &mut instances).await?;
        Ok((duration, after - before))
    };
    let both = timeout(options.duration + PATIENCE, try_join(try_join_all(clients), watch)).await;
    let (_, (duration, cost)) = both.map_err(|_| "a server does not answer".to_owned())??;
    let (acknowledged, refused) = (progress.acknowledged.get(), progress.refused.get());
    Ok(Sample::new(duration, acknowledged, refused, progress.latencies.into_inner(), cost))
}

async fn write(progress: &Progress, mut connection: Connection, mut writer: Writer<'_>) -> Outcome<()> {
    while progress.phase.get() != Phase::Over {
        let request = writer.next();
        let started = Instant::now();
        let answer = connection.execute(&request.body).await?;
        let latency = started.elapsed();
        let is_acknowledged = writer.check(&request, answer)?;
        if progress.phase.get() == Phase::Measured {
            let count = if is_acknowledged { &progress.acknowledged } else { &progress.refused };
            count.set(count.get() + 1);
            progress.latencies.borrow_mut().push(latency.as_micros() as u32);
        }
    }
    Ok(())
}
