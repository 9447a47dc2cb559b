//! Two instances on one PostgreSQL on this machine: the delay of an event from one instance to another. Prints the delays
//! and asserts no limits.

#[path = "../tests/integration/support/mod.rs"]
#[allow(dead_code, unused_imports)] // the tests use the rest
mod support;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use support::database::{Postgres, SECRET};
use support::{Process, Program, TestSubscription};

const POST: &str =
    "mutation ($channel: ID!) { createMessage(input: { channelId: $channel, content: \"hello\" }) { id } }";
const ADDED: &str = "subscription { messageAdded { id } }";
/// Number of sequential mutations; the first tenth is not counted.
const SEQUENTIAL: usize = 1_100;

fn main() {
    // The arguments that cargo passes are ignored.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(measure());
}

async fn measure() {
    let postgres = Postgres::start("bench", &["max_connections=300"]);
    println!("PostgreSQL with fsync on this machine; release build; every client waits for its answer\n");
    let cluster = Cluster::start(&postgres, 2).await;
    let (same_instance, other_instance) = cluster.latency().await;
    println!("from the acknowledgement on A to the delivery, {} changes:", same_instance.len());
    println!("  on A: {}", describe(same_instance));
    println!("  on B: {}", describe(other_instance));
}

/// Instances on a new database, with a user and a channel.
struct Cluster {
    programs: Vec<Program>,
    _processes: Vec<Process>,
    token: String,
    channel: String,
}

impl Cluster {
    async fn start(postgres: &Postgres, count: usize) -> Self {
        let url = postgres.url(postgres.port(), &postgres.create_database());
        let settings = [("DATABASE_URL", &*url), ("TIDINGS_JWT_SECRET", SECRET)];
        let (mut programs, mut processes) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let program = Program::new(&settings);
            let mut process = program.start();
            process.ready().await.expect("a server");
            programs.push(program);
            processes.push(process);
        }
        let token = programs[0].register("ann").await;
        let channel = programs[0].channel(&token, "general").await;
        Self { programs, _processes: processes, token, channel }
    }

    async fn post(&self, instance: usize) -> Instant {
        let answer = self.programs[instance].data(Some(&self.token), POST, &json!({"channel": self.channel})).await;
        assert!(answer["createMessage"]["id"].is_string(), "{answer}");
        Instant::now()
    }

    /// Delays in microseconds from the acknowledgement to the delivery, on the same instance and on another one.
    /// Negative if the event arrived before the acknowledgement.
    async fn latency(&self) -> (Vec<i64>, Vec<i64>) {
        let mut subscriptions = Vec::new();
        for program in &self.programs {
            subscriptions.push(
                TestSubscription::open(program.address(), Some(&self.token), ADDED, &Value::Null)
                    .await
                    .expect("a connection"),
            );
        }
        // Wait until both subscriptions are live.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let receive_times = async |mut subscription: TestSubscription| {
            let mut times = Vec::new();
            while times.len() < SEQUENTIAL {
                subscription.next_frame().await.expect("an event");
                times.push(Instant::now());
            }
            times
        };
        let other_instance = subscriptions.pop().expect("two subscriptions");
        let same_instance = subscriptions.pop().expect("two subscriptions");
        let acknowledged = async {
            let mut times = Vec::new();
            for _ in 0..SEQUENTIAL {
                times.push(self.post(0).await);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            times
        };
        let (acknowledged, same_instance, other_instance) =
            tokio::join!(acknowledged, receive_times(same_instance), receive_times(other_instance));
        let delays = |received: Vec<Instant>| {
            let since = |(received, acknowledged): (Instant, &Instant)| {
                let (after, before) = (
                    received.saturating_duration_since(*acknowledged),
                    acknowledged.saturating_duration_since(received),
                );
                i64::try_from(after.as_micros()).unwrap_or(0) - i64::try_from(before.as_micros()).unwrap_or(0)
            };
            received.into_iter().zip(&acknowledged).skip(SEQUENTIAL / 10).map(since).collect()
        };
        (delays(same_instance), delays(other_instance))
    }
}

fn describe(mut delays: Vec<i64>) -> String {
    delays.sort_unstable();
    let at = |share: usize| delays[(delays.len() - 1) * share / 100];
    format!("median {} µs, p99 {} µs, worst {} µs", at(50), at(99), at(100))
}
