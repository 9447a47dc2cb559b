//! The sequence of a run: when each server has its turn, and what is measured.
//!
//! Every turn uses a new process, so that no server is affected by an earlier turn. The servers take turns in every
//! round, so that other load on the machine affects all of them equally.

use std::{rc::Rc, time::Duration};

use tokio::{
    runtime,
    task::{LocalSet, yield_now},
    time::sleep,
};

use crate::{
    Outcome, documents, growth,
    implementation::{Implementation, Server},
    ledger::Ledger,
    machine::Machine,
    measure::{self, Cpu},
    options::Options,
    publish::{self, PUBLISHERS},
    record::{Memory, Turn},
    report::Report,
    scale::Scale,
    subscribers::Subscribers,
};

/// Keep-alive connections for the query and mutation columns.
const CONNECTIONS: u64 = 16;
/// How long client and server are idle before a counter is read: the kernel updates the counter of a running thread
/// only every few milliseconds.
const REST: Duration = Duration::from_millis(30);
/// Messages in the burst after which idle memory is measured again.
const BURST: u64 = 40;

/// Runs everything, prints the tables, and writes `benches/RESULTS.md`.
pub fn run(options: &Options) -> Outcome<()> {
    measure::settle(options.idle.max(options.subscribers).max(options.returning))?;
    let machine = Machine::describe()?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let local = LocalSet::new();
    local.spawn_local(stay_awake());
    let report = local.block_on(&runtime, all(options, machine))?;
    println!("{}", report.table());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md");
    std::fs::write(path, report.page()).map_err(|error| format!("{path}: {error}"))?;
    println!("written to {path}");
    Ok(())
}

/// Keeps the generator's core from going to sleep. Otherwise the server would pay for waking it: 10 to 30 % of a
/// delivery on a virtual machine, and noise that is unrelated to the server.
async fn stay_awake() {
    loop {
        yield_now().await;
    }
}

async fn all(options: &Options, machine: Machine) -> Outcome<Report> {
    let mut report = Report::new(options.clone(), machine);
    for round in 1..=options.rounds {
        for &implementation in &options.implementations {
            let turn =
                turn(implementation, options).await.map_err(|why| format!("{}: {why}", implementation.name()))?;
            eprintln!("round {round} of {}, {}: {}", options.rounds, implementation.role(), turn.line());
            report.turns.push((implementation, turn));
        }
    }
    for &implementation in &options.implementations {
        let memory =
            memory(implementation, options).await.map_err(|why| format!("{}: {why}", implementation.name()))?;
        eprintln!("memory, {}: {}", implementation.role(), memory.line());
        report.memory.push((implementation, memory));
    }
    if options.implementations.contains(&Implementation::Tidings) {
        report.scale = Some(Scale::measure(options).await?);
        report.growth = growth::measure(options).await?;
    }
    Ok(report)
}

/// One turn: the requests without subscribers, then the fan-out.
async fn turn(implementation: Implementation, options: &Options) -> Outcome<Turn> {
    let server = implementation.start().await?;
    let count = options.requests;
    let publish = |number| documents::publish(server.channel(), number);
    // The first requests are slower, because code and caches are cold.
    publish::requests(&server, CONNECTIONS, count / 10, publish).await?;
    let mutation = cost(&server, count, publish::requests(&server, CONNECTIONS, count, publish)).await?.0;
    let query = cost(&server, count, publish::requests(&server, CONNECTIONS, count, |_| documents::read())).await?.0;
    let streamed_mutation = cost(&server, count, publish::requests(&server, PUBLISHERS, count, publish)).await?.0;
    // Each sequential mutation waits for a disk sync, so there are fewer of them.
    let count = count / 4;
    let sequential_mutation = cost(&server, count, publish::requests(&server, 1, count, publish)).await?.0;

    let ledger = Rc::new(Ledger::default());
    let subscribers = Subscribers::connect(&server, options.subscribers, &ledger).await?;
    publish::warm(&server, &subscribers, &ledger).await?;
    let readers = options.subscribers as u64;
    let part = publish::streamed(&server, &subscribers, &ledger, options.streamed);
    let (streamed, took) = cost(&server, options.streamed * readers, part).await?;
    let part = publish::sequential(&server, &subscribers, &ledger, options.sequential);
    let (sequential, delays) = cost(&server, options.sequential * readers, part).await?;
    Ok(Turn {
        streamed,
        streamed_net: streamed - streamed_mutation / readers as f64,
        rate: (options.streamed * readers) as f64 / took.as_secs_f64(),
        sequential,
        sequential_net: sequential - sequential_mutation / readers as f64,
        delays,
        query,
        mutation,
        streamed_mutation,
        sequential_mutation,
    })
}

/// Microseconds of server CPU per operation, for the `count` operations that `part` executes.
async fn cost<T>(server: &Server, count: u64, part: impl Future<Output = Outcome<T>>) -> Outcome<(f64, T)> {
    sleep(REST).await;
    let before = Cpu::of(server.process())?;
    let outcome = part.await?;
    sleep(REST).await;
    let used = Cpu::of(server.process())?.since(&before);
    Ok((used / 1_000.0 / count as f64, outcome))
}

/// Resident bytes of a server after it was idle. tidings returns memory that was used once, for example for hashing a
/// password, within fifteen seconds.
async fn at_rest(implementation: Implementation, server: &Server) -> Outcome<f64> {
    sleep(Duration::from_secs(if implementation == Implementation::Tidings { 20 } else { 1 })).await;
    measure::resident(server.process())
}

/// The memory of many idle subscribers, before any delivery and after a burst.
async fn memory(implementation: Implementation, options: &Options) -> Outcome<Memory> {
    let server = implementation.start().await?;
    // Allocations of the first requests belong to the server and not to the subscribers.
    publish::requests(&server, PUBLISHERS, 100, |number| documents::publish(server.channel(), number)).await?;
    let empty = at_rest(implementation, &server).await?;
    let ledger = Rc::new(Ledger::default());
    ledger.expect(options.idle, 1);
    let subscribers = Subscribers::connect(&server, options.idle, &ledger).await?;
    sleep(Duration::from_secs(1)).await;
    let idle = measure::resident(server.process())?;
    publish::warm(&server, &subscribers, &ledger).await?;
    publish::streamed(&server, &subscribers, &ledger, BURST).await?;
    let burst = at_rest(implementation, &server).await?;
    let each = |total: f64| (total - empty) / options.idle as f64 / 1024.0;
    Ok(Memory { empty: empty / 1_048_576.0, idle: each(idle), burst: each(burst) })
}
