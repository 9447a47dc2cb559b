//! The command line of the benchmark, and the two sizes of a run.

use crate::{Outcome, implementation::Implementation};

const USAGE: &str = "usage: cargo bench --bench delivery -- [--quick] [--rounds N] [--subscribers N] [--idle N] [--returning N] \
                     [--only ours,stock,kernel-lone,kernel-coalesced]";

/// The size of a run. Everything is a count, so a run ends by itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// The small size, which takes two minutes.
    pub quick: bool,
    /// The number of rounds, of which the median is taken. Each server has one turn per round.
    pub rounds: usize,
    /// Subscribers of the fan-out measurement.
    pub subscribers: usize,
    /// Subscribers of the memory measurement.
    pub idle: usize,
    /// Subscribers that reconnect after a restart; also the maximum for the measurement of deliveries.
    pub returning: usize,
    /// Messages that each of them missed.
    pub missed: u64,
    /// Messages published with several mutations in flight.
    pub streamed: u64,
    /// Messages published one at a time.
    pub sequential: u64,
    /// Mutations, and queries, of the measurements without subscribers.
    pub requests: u64,
    /// Other channels, each with a subscriber, in the measurement with many channels.
    pub channels: u64,
    /// Events of the long log.
    pub events: i64,
    /// The compared servers.
    pub implementations: Vec<Implementation>,
}

impl Options {
    /// Parses the command line.
    ///
    /// # Errors
    /// The usage line, if an argument is unknown or not a positive number; the name, if a server is unknown.
    pub fn parse(arguments: &[String]) -> Outcome<Self> {
        let mut options = Self::sized(arguments.iter().any(|argument| argument == "--quick"));
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| USAGE.to_owned());
            match argument.as_str() {
                // `cargo bench` passes `--bench` to every bench target.
                "--quick" | "--bench" => {}
                "--rounds" => options.rounds = number(value()?)?,
                "--subscribers" => options.subscribers = number(value()?)?,
                "--returning" => options.returning = number(value()?)?,
                "--idle" => options.idle = number(value()?)?,
                "--only" => options.implementations = named(value()?)?,
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }

    fn sized(quick: bool) -> Self {
        let (rounds, streamed, sequential, requests) =
            if quick { (3, 400, 100, 2_000) } else { (5, 1_600, 400, 8_000) };
        Self {
            quick,
            rounds,
            subscribers: 1_000,
            idle: 5_000,
            returning: 10_000,
            missed: 1_000,
            streamed,
            sequential,
            requests,
            channels: if quick { 1_000 } else { 10_000 },
            events: if quick { 100_000 } else { 10_000_000 },
            implementations: Implementation::all(),
        }
    }
}

fn number(text: &str) -> Outcome<usize> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| USAGE.to_owned())
}

fn named(list: &str) -> Outcome<Vec<Implementation>> {
    list.split(',')
        .map(|name| {
            Implementation::all()
                .into_iter()
                .find(|implementation| implementation.role() == name)
                .ok_or_else(|| format!("no server named {name:?} in this build; {USAGE}"))
        })
        .collect()
}
