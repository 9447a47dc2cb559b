//! Kills a single server repeatedly.

use std::fmt;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep_until, timeout};

use crate::support::{Process, Program};

/// How long the server runs between kills, in milliseconds.
const UPTIME_MS: std::ops::Range<u64> = 300..2_500;
/// The probability that a start is killed as well.
const KILL_DURING_START: f64 = 0.3;

/// How often the server was killed.
#[derive(Debug, Clone, Copy, Default)]
pub struct KillCount {
    /// Kills while it served.
    pub running: u64,
    /// Kills while it started.
    pub starting: u64,
}

impl fmt::Display for KillCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kills {} while serving and {} while starting", self.running, self.starting)
    }
}

/// Kills and restarts the server until `until`; returns a server that runs.
pub async fn kill_until(
    program: &Program,
    mut server: Process,
    until: Instant,
    mut random: StdRng,
) -> Result<(Process, KillCount), String> {
    let mut killed = KillCount::default();
    let mut start_takes = Duration::from_millis(100);
    loop {
        let end = Instant::now() + Duration::from_millis(random.random_range(UPTIME_MS));
        sleep_until(end.min(until)).await;
        if Instant::now() >= until {
            return Ok((server, killed));
        }
        server.kill().await?;
        killed.running += 1;
        server = loop {
            let mut server = program.start();
            if random.random_bool(KILL_DURING_START) {
                // The kill falls anywhere in the start, or just after it.
                match timeout(start_takes.mul_f64(random.random_range(0.0..1.3)), server.ready()).await {
                    Err(_) => killed.starting += 1,
                    Ok(ready) => {
                        ready?;
                        killed.running += 1;
                    }
                }
                server.kill().await?;
                continue;
            }
            let since = Instant::now();
            server.ready().await?;
            start_takes = since.elapsed();
            break server;
        };
    }
}
