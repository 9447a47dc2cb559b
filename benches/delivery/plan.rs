//! The run: who has a turn when, and what is taken down at each point.
//!
//! Every turn is a fresh process, so that no server lives off, or suffers from, an earlier turn; the turns go
//! round and round, so that whatever else the machine does hits all alike.

use std::{rc::Rc, time::Duration};

use tokio::{
    runtime,
    task::{LocalSet, yield_now},
    time::sleep,
};

use crate::{
    Outcome,
    contestant::{Contestant, Server},
    documents, growth,
    ledger::Ledger,
    machine::Machine,
    measure::{self, Cpu},
    options::Options,
    publish::{self, LANES},
    record::{Memory, Turn},
    report::Report,
    scale::Scale,
    subscribers::Subscribers,
};

/// Keep-alive connections of the query and mutation columns.
const CONNECTIONS: u64 = 16;
/// Both ends come to rest before a counter is read: the kernel brings a running thread's counter up to date
/// only every few milliseconds.
const REST: Duration = Duration::from_millis(30);
/// Messages of the burst after which idle memory is looked at again.
const BURST: u64 = 40;

/// Runs everything, prints the table and writes it beside these sources.
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

/// Keeps the generator's core from ever going to sleep. Waking it would be the sender's work: 10 to 30 % of a
/// delivery on a virtual machine, and noise that has to do with the generator, not with the server.
async fn stay_awake() {
    loop {
        yield_now().await;
    }
}

async fn all(options: &Options, machine: Machine) -> Outcome<Report> {
    let mut report = Report::new(options.clone(), machine);
    for round in 1..=options.rounds {
        for &contestant in &options.contestants {
            let turn = turn(contestant, options).await.map_err(|why| format!("{}: {why}", contestant.name()))?;
            eprintln!("round {round} of {}, {}: {}", options.rounds, contestant.role(), turn.line());
            report.turns.push((contestant, turn));
        }
    }
    for &contestant in &options.contestants {
        let memory = memory(contestant, options).await.map_err(|why| format!("{}: {why}", contestant.name()))?;
        eprintln!("memory, {}: {}", contestant.role(), memory.line());
        report.memory.push((contestant, memory));
    }
    if options.contestants.contains(&Contestant::Ours) {
        report.scale = Some(Scale::measure(options).await?);
        report.growth = growth::measure(options).await?;
    }
    Ok(report)
}

/// One turn: the requests without subscribers, then the fan-out.
async fn turn(contestant: Contestant, options: &Options) -> Outcome<Turn> {
    let server = contestant.start().await?;
    let count = options.requests;
    let publish = |number| documents::publish(server.channel(), number);
    // The first requests pay for code and caches being cold.
    publish::requests(&server, CONNECTIONS, count / 10, publish).await?;
    let mutation = cost(&server, count, publish::requests(&server, CONNECTIONS, count, publish)).await?.0;
    let query = cost(&server, count, publish::requests(&server, CONNECTIONS, count, |_| documents::read())).await?.0;
    let streamed_mutation = cost(&server, count, publish::requests(&server, LANES, count, publish)).await?.0;
    // One at a time waits for a disk sync each, so fewer of them.
    let count = count / 4;
    let lone_mutation = cost(&server, count, publish::requests(&server, 1, count, publish)).await?.0;

    let ledger = Rc::new(Ledger::default());
    let subscribers = Subscribers::connect(&server, options.subscribers, &ledger).await?;
    publish::warm(&server, &subscribers, &ledger).await?;
    let readers = options.subscribers as u64;
    let part = publish::streamed(&server, &subscribers, &ledger, options.streamed);
    let (streamed, took) = cost(&server, options.streamed * readers, part).await?;
    let part = publish::lone(&server, &subscribers, &ledger, options.lone);
    let (lone, delays) = cost(&server, options.lone * readers, part).await?;
    Ok(Turn {
        streamed,
        streamed_net: streamed - streamed_mutation / readers as f64,
        rate: (options.streamed * readers) as f64 / took.as_secs_f64(),
        lone,
        lone_net: lone - lone_mutation / readers as f64,
        delays,
        query,
        mutation,
        streamed_mutation,
        lone_mutation,
    })
}

/// Microseconds of the server's CPU for each of the `count` things that `part` does.
async fn cost<T>(server: &Server, count: u64, part: impl Future<Output = Outcome<T>>) -> Outcome<(f64, T)> {
    sleep(REST).await;
    let before = Cpu::of(server.process())?;
    let outcome = part.await?;
    sleep(REST).await;
    let used = Cpu::of(server.process())?.since(&before);
    Ok((used / 1_000.0 / count as f64, outcome))
}

/// Bytes that a server holds after it had nothing to do for a while: ours gives back within fifteen seconds what was used once,
/// such as the memory that a password was hashed in.
async fn at_rest(contestant: Contestant, server: &Server) -> Outcome<f64> {
    sleep(Duration::from_secs(if contestant == Contestant::Ours { 20 } else { 1 })).await;
    measure::resident(server.process())
}

/// What many idle subscribers hold, before anything was ever delivered to them and after a burst.
async fn memory(contestant: Contestant, options: &Options) -> Outcome<Memory> {
    let server = contestant.start().await?;
    // Whatever is made on the first request belongs to the server, not to the subscribers.
    publish::requests(&server, LANES, 100, |number| documents::publish(server.channel(), number)).await?;
    let empty = at_rest(contestant, &server).await?;
    let ledger = Rc::new(Ledger::default());
    ledger.expect(options.idle, 1);
    let subscribers = Subscribers::connect(&server, options.idle, &ledger).await?;
    sleep(Duration::from_secs(1)).await;
    let idle = measure::resident(server.process())?;
    publish::warm(&server, &subscribers, &ledger).await?;
    publish::streamed(&server, &subscribers, &ledger, BURST).await?;
    let burst = at_rest(contestant, &server).await?;
    let each = |total: f64| (total - empty) / options.idle as f64 / 1024.0;
    Ok(Memory { empty: empty / 1_048_576.0, idle: each(idle), burst: each(burst) })
}
