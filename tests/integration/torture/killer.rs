//! Who kills the server.

use std::fmt;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep_until, timeout};

use crate::support::{Process, Program};

/// How long the server is left alone, in milliseconds.
const LIFE: std::ops::Range<u64> = 300..2_500;
/// How many starts are not survived.
const STILLBORN: f64 = 0.3;

/// How often the server was killed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Killed {
    /// While it served.
    pub running: u64,
    /// While it started.
    pub starting: u64,
}

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kills {} while serving and {} while starting", self.running, self.starting)
    }
}

/// Kills and starts the server until the time is over; leaves one that serves.
pub async fn torture(
    program: &Program,
    mut server: Process,
    until: Instant,
    mut random: StdRng,
) -> Result<(Process, Killed), String> {
    let mut killed = Killed::default();
    let mut start_takes = Duration::from_millis(100);
    loop {
        let end = Instant::now() + Duration::from_millis(random.random_range(LIFE));
        sleep_until(end.min(until)).await;
        if Instant::now() >= until {
            return Ok((server, killed));
        }
        server.kill().await?;
        killed.running += 1;
        server = loop {
            let mut server = program.start();
            if random.random_bool(STILLBORN) {
                // Somewhere in its start, or when it has just begun to serve.
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
