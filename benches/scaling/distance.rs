//! A distance to the database: a proxy that adds a round-trip time.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::counters::connect;
use crate::support::database::Postgres;
use crate::support::delay_proxy::DelayProxy;

/// Queries whose median is the measured round trip.
const QUERIES: usize = 101;

pub struct Distance {
    /// The time that the proxy adds to a round trip.
    pub added: Duration,
    /// The time that a query without any work takes through the proxy while nothing else runs.
    pub measured: Duration,
    pub proxy: DelayProxy,
}

impl Distance {
    pub async fn start(postgres: &Postgres, added: Duration) -> Outcome<Self> {
        let proxy = DelayProxy::start(postgres.port(), added);
        let client = connect(&postgres.url(proxy.port(), "postgres")).await?;
        let mut times = Vec::new();
        for _ in 0..QUERIES {
            let started = Instant::now();
            client.simple_query("").await.map_err(|error| format!("the proxy: {error}"))?;
            times.push(started.elapsed());
        }
        times.sort_unstable();
        Ok(Self { added, measured: times[QUERIES / 2], proxy })
    }
}
