//! How the costs of tidings grow: all subscribers reconnecting after a restart with much to catch up, and deliveries to
//! few and to many subscribers.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{
    Outcome, documents,
    implementation::Implementation,
    ledger::Ledger,
    measure::{self, Cpu},
    options::Options,
    publish,
    subscribers::Subscribers,
};

/// How long client and server are idle before a counter is read.
const REST: Duration = Duration::from_millis(100);
/// Number of deliveries by which each audience size is measured.
const DELIVERIES: u64 = 200_000;

/// The results.
pub struct Scale {
    back: Return,
    audiences: Vec<(usize, f64)>,
}

/// The result of all subscribers reconnecting at once.
struct Return {
    subscribers: usize,
    missed: u64,
    /// The time until all subscribers have every event and are live.
    took: Duration,
    /// Seconds of server CPU, connecting included.
    cpu: f64,
    /// Resident memory in MiB: before the subscribers connect, at its peak, and when all are live.
    memory: [f64; 3],
}

impl Scale {
    /// Runs both measurements.
    pub async fn measure(options: &Options) -> Outcome<Self> {
        let back = measure_return(options).await?;
        eprintln!("{}", back.line());
        let mut audiences = Vec::new();
        for count in [10, 100, 1_000, 10_000].into_iter().filter(|count| *count <= options.returning) {
            let cost = audience(count).await?;
            eprintln!("{count} subscribers: {cost:.2} µs per delivery");
            audiences.push((count, cost));
        }
        Ok(Self { back, audiences })
    }

    /// The results as Markdown.
    pub fn text(&self) -> String {
        let audiences: Vec<String> =
            self.audiences.iter().map(|(count, cost)| format!("{cost:.2} µs at {count}")).collect();
        format!(
            "- {}\n- CPU per delivery, 8 mutations in flight, less what the mutations cost by themselves, by the number of subscribers: {}\n",
            self.back.line(),
            audiences.join(", ")
        )
    }
}

impl Return {
    fn line(&self) -> String {
        let [before, peak, live] = self.memory;
        format!(
            "{} subscribers come back after a restart, each with a cursor and {} events missed: all live after {:.1} s, for {:.1} s \
             of the server's CPU ({:.2} µs an event, connecting included), each event once and in order; memory {before:.0} MiB \
             before, {peak:.0} at its highest, {live:.0} when all are live",
            self.subscribers,
            self.missed,
            self.took.as_secs_f64(),
            self.cpu,
            self.cpu * 1e6 / (self.subscribers as f64 * self.missed as f64),
        )
    }
}

async fn measure_return(options: &Options) -> Outcome<Return> {
    let (subscribers, missed) = (options.returning, options.missed);
    let mut server = Implementation::Tidings.start().await?;
    let cursor = server.cursor().await?;
    publish::requests(&server, 1, missed, |number| documents::publish(server.channel(), number)).await?;
    server.restart()?;
    let ledger = Rc::new(Ledger::default());
    ledger.expect(subscribers, 1);
    sleep(REST).await;
    let (before, empty) = (Cpu::of(server.process())?, measure::resident(server.process())?);
    let started = Instant::now();
    let _subscribers = Subscribers::resume(&server, subscribers, &ledger, &cursor).await?;
    publish::limited(&ledger, ledger.all_have(missed)).await?;
    let took = started.elapsed();
    sleep(REST).await;
    let cpu = Cpu::of(server.process())?.since(&before) / 1e9;
    let memory = [empty, measure::peak(server.process())?, measure::resident(server.process())?];
    Ok(Return { subscribers, missed, took, cpu, memory: memory.map(|bytes| bytes / 1_048_576.0) })
}

/// Microseconds of server CPU per delivery to `count` subscribers.
async fn audience(count: usize) -> Outcome<f64> {
    let server = Implementation::Tidings.start().await?;
    let messages = (DELIVERIES / count as u64).clamp(100, 4_000);
    publish::requests(&server, publish::PUBLISHERS, messages / 4, |n| documents::publish(server.channel(), n)).await?;
    sleep(REST).await;
    let before = Cpu::of(server.process())?;
    publish::requests(&server, publish::PUBLISHERS, messages, |n| documents::publish(server.channel(), n)).await?;
    sleep(REST).await;
    let alone = Cpu::of(server.process())?.since(&before);
    let ledger = Rc::new(Ledger::default());
    let subscribers = Subscribers::connect(&server, count, &ledger).await?;
    publish::warm(&server, &subscribers, &ledger).await?;
    sleep(REST).await;
    let before = Cpu::of(server.process())?;
    publish::streamed(&server, &subscribers, &ledger, messages).await?;
    sleep(REST).await;
    let all = Cpu::of(server.process())?.since(&before);
    Ok((all - alone) / 1_000.0 / (messages * count as u64) as f64)
}
