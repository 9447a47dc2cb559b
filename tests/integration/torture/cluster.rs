//! Four instances on one PostgreSQL, two of them at a distance, with faults in the instances, the database and the network
//! between them.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::faults;
use super::{Load, env_number, run, seeded_rng, verify};
use crate::support::database::{Postgres, SECRET};
use crate::support::delay_proxy::DelayProxy;
use crate::support::{Process, Program, Proxy};

const INSTANCES: usize = 4;
const LOAD: Load = Load { writers: 16, subscribers: 64 };
/// How long an instance may take to acknowledge a mutation after a fault has ended.
const TIMEOUT: Duration = Duration::from_secs(60);
// `commit_delay` slows commits down, so that a connection can be terminated during COMMIT.
const SETTINGS: [&str; 3] = ["max_connections=300", "commit_delay=2000", "commit_siblings=0"];

/// The round-trip time between each instance and the database, in microseconds. `TIDINGS_TORTURE_ROUND_TRIP` sets it for
/// all instances.
const ROUND_TRIPS: [u64; INSTANCES] = [0, 0, 500, 1_000];

/// The instances, the proxies between them and the database, and the database.
pub struct Cluster {
    pub programs: Vec<Program>,
    /// The proxies that inject faults, one for each instance.
    pub proxies: Vec<Proxy>,
    /// The proxies that delay the traffic of distant instances.
    _distances: Vec<DelayProxy>,
    pub postgres: Postgres,
    pub database: String,
    /// The token of an admin.
    token: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes about a minute or more: `make test-long` runs it"]
async fn nothing_is_lost_repeated_or_applied_twice_when_parts_of_a_cluster_fail() {
    let length = Duration::from_secs(env_number("TIDINGS_TORTURE_SECONDS").unwrap_or(60));
    let seed = env_number("TIDINGS_TORTURE_SEED").unwrap_or_else(rand::random);
    println!("torture of a cluster: {} s, seed {seed}", length.as_secs());
    let cluster = Cluster::new().await;
    let until = Instant::now() + length;
    let torture = async |servers: Vec<Process>| {
        let (servers, fault_report) = faults::inject_until(&cluster, servers, until, seeded_rng(seed, 0)).await?;
        Ok((servers, fault_report.to_string()))
    };
    let report = run(&cluster.programs, LOAD, until, seed, torture).await;
    verify(&cluster.programs, report, seed).await;
}

impl Cluster {
    /// Creates a database with an admin in it; starts no instance.
    pub async fn new() -> Self {
        let (postgres, database) = tokio::task::spawn_blocking(|| {
            let postgres = Postgres::start("cluster", &SETTINGS);
            let database = postgres.create_database();
            (postgres, database)
        })
        .await
        .expect("a database");
        let (mut programs, mut proxies, mut distances) = (Vec::new(), Vec::new(), Vec::new());
        let same_for_all = env_number("TIDINGS_TORTURE_ROUND_TRIP");
        for round_trip in ROUND_TRIPS.map(|own| same_for_all.unwrap_or(own)) {
            let mut port = postgres.port();
            if round_trip > 0 {
                let distance = DelayProxy::start(port, Duration::from_micros(round_trip));
                port = distance.port();
                distances.push(distance);
            }
            let proxy = Proxy::start(port).await;
            let url = postgres.url(proxy.port(), &database);
            programs.push(Program::new(&[("DATABASE_URL", &url), ("TIDINGS_JWT_SECRET", SECRET)]));
            proxies.push(proxy);
        }
        programs[0].run(&["user", "add", "boss", "--admin"]).await;
        let token = programs[0].run(&["token", "boss"]).await.trim().to_owned();
        Self { programs, proxies, _distances: distances, postgres, database, token }
    }

    /// How long it takes until an instance acknowledges a mutation. The mutation creates an organization, which no
    /// subscriber follows.
    pub async fn recovery(&self, instance: usize) -> Result<Duration, String> {
        let since = Instant::now();
        let mut last = String::new();
        while since.elapsed() < TIMEOUT {
            let query = "mutation ($name: String!) { createOrganization(input: { name: $name }) { id } }";
            let name = json!({"name": format!("probe {}", rand::random::<u64>())});
            match self.programs[instance].execute(Some(&self.token), query, &name).await {
                Ok(answer) if answer.get("errors").is_none() => return Ok(since.elapsed()),
                other => last = format!("{other:?}"),
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err(format!("instance {instance} did not recover: {last}"))
    }
}
