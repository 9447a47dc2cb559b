//! The report of a run: medians over the rounds, the tables, and the page `benches/RESULTS.md`.

use std::fmt::Write as _;

use crate::{
    documents,
    implementation::Implementation,
    machine::Machine,
    options::Options,
    publish::{BACKLOG, PUBLISHERS},
    record::{Memory, Turn},
    scale::Scale,
    table::markdown,
};

/// All results of a run.
pub struct Report {
    options: Options,
    machine: Machine,
    pub turns: Vec<(Implementation, Turn)>,
    pub memory: Vec<(Implementation, Memory)>,
    /// Costs by size, if tidings took part.
    pub scale: Option<Scale>,
    /// Costs in a large installation, as Markdown.
    pub growth: String,
}

impl Report {
    pub fn new(options: Options, machine: Machine) -> Self {
        Self { options, machine, turns: Vec::new(), memory: Vec::new(), scale: None, growth: String::new() }
    }

    /// The tables, as Markdown that is readable on a terminal.
    pub fn table(&self) -> String {
        let scale = self.scale.as_ref().map(Scale::text).unwrap_or_default();
        [self.costs(), self.circumstances(), self.comparison() + &scale + &self.growth].join("\n")
    }

    /// The costs by which the servers are compared.
    fn costs(&self) -> String {
        let head = [
            "server",
            "8 in flight: µs CPU",
            "net",
            "one at a time: µs CPU",
            "net",
            "KiB/conn idle",
            "after a burst",
            "query µs",
            "mutation µs",
        ];
        markdown(
            &head,
            self.rows(|one| {
                let memory = |of: fn(&Memory) -> f64| {
                    self.memory_of(one).map_or("-".to_owned(), |memory| format!("{:.1}", of(memory)))
                };
                vec![
                    self.spread(one, |turn| turn.streamed),
                    format!("{:.2}", self.median(one, |turn| turn.streamed_net)),
                    self.spread(one, |turn| turn.sequential),
                    format!("{:.2}", self.median(one, |turn| turn.sequential_net)),
                    memory(|memory| memory.idle),
                    memory(|memory| memory.burst),
                    format!("{:.1}", self.median(one, |turn| turn.query)),
                    format!("{:.1}", self.median(one, |turn| turn.mutation)),
                ]
            }),
        )
    }

    /// Figures that help to interpret the costs.
    fn circumstances(&self) -> String {
        let head = [
            "server",
            "deliveries/s, 8 in flight",
            "lone message at the last subscriber, p50 ms",
            "p99 ms",
            "mutation µs at 8",
            "at 1",
            "empty server MiB",
        ];
        markdown(
            &head,
            self.rows(|one| {
                let memory = self.memory_of(one).map_or(0.0, |memory| memory.empty);
                vec![
                    format!("{:.0}", self.median(one, |turn| turn.rate)),
                    format!("{:.1}", self.delay(one, 0.50)),
                    format!("{:.1}", self.delay(one, 0.99)),
                    format!("{:.1}", self.median(one, |turn| turn.streamed_mutation)),
                    format!("{:.1}", self.median(one, |turn| turn.sequential_mutation)),
                    format!("{memory:.1}"),
                ]
            }),
        )
    }

    /// A row for each server: its name, then its cells.
    fn rows(&self, cells: impl Fn(Implementation) -> Vec<String>) -> Vec<Vec<String>> {
        let row = |one: Implementation| [vec![one.name().to_owned()], cells(one)].concat();
        self.options.implementations.iter().copied().map(row).collect()
    }

    /// The page `benches/RESULTS.md`.
    pub fn page(&self) -> String {
        let Options { quick, rounds, subscribers, idle, streamed, sequential, requests, .. } = &self.options;
        let form = if *quick { "quick" } else { "full" };
        format!(
            "# What a delivery costs\n\n\
             Written by `cargo bench --bench delivery` ({form} form) on {when}; do not edit.\n\n\
             {machine}\n\
             ## Results\n\n{table}\n\
             Each number is the median of {rounds} rounds, in brackets the lowest and the highest; memory is from one \
             run. *net*: less the mutation's own cost, measured on the same server without subscribers.\n\n\
             ## How it was measured\n\n\
             - Every server is a fresh process on core 0; the load generator has core 1. The servers take turns within \
               each round. CPU is the sum of all its threads' run time as the scheduler counts it \
               (`/proc/<pid>/task/*/schedstat`), the kernel's work for its system calls and the loopback receive included.\n\
             - {subscribers} subscribers over `graphql-transport-ws` run\n  `{subscription}`;\n  content has {content} characters. \
               {streamed} messages are published over {publishers} keep-shutdown_signal HTTP connections, one mutation in flight on each (the \
               slowest subscriber may be {backlog} messages behind before publishers wait), then {sequential} messages one at a time, each sent \
               when all subscribers have the one before.\n\
             - Each delivery is checked: every message reaches every subscriber once, in the same order for all, whole. A \
               loss, a repeat or a wrong order ends the run without a table.\n\
             - Memory: resident set before and after {idle} subscribed connections were opened, per connection; then again \
               after a burst of messages to all of them; of tidings the first and the last after twenty seconds of rest, in which it gives back what was used once.\n\
             - Queries (`messages(first: 20) {{ nodes {{ id title content authorId createdAt }} }}`) and `createMessage`: {requests} each \
               over 16 keep-shutdown_signal connections, no subscribers.\n\
             - tidings runs on its default, durable settings on an SQLite file. Stock juniper keeps messages in memory; it \
               is its documentation's server, except that it does not close clients that send no pings. The kernel \
               references are no GraphQL servers: they send prepared bytes, and mark what any server must pay.\n",
            when = self.machine.date(),
            machine = self.machine,
            table = self.table(),
            subscription = documents::SUBSCRIPTION,
            content = documents::CONTENT,
            publishers = PUBLISHERS,
            backlog = BACKLOG,
        )
    }

    /// The costs of tidings as a multiple of the others', if tidings took part.
    fn comparison(&self) -> String {
        if !self.options.implementations.contains(&Implementation::Tidings) {
            return String::new();
        }
        let mut text = String::new();
        for &other in self.options.implementations.iter().filter(|one| **one != Implementation::Tidings) {
            let times = |of: fn(&Turn) -> f64| self.median(Implementation::Tidings, of) / self.median(other, of);
            let _ = writeln!(
                text,
                "- tidings costs {:.2} times as much as \"{}\" with 8 in flight, {:.2} times one at a time",
                times(|turn| turn.streamed),
                other.name(),
                times(|turn| turn.sequential)
            );
        }
        text
    }

    fn of(&self, implementation: Implementation) -> impl Iterator<Item = &Turn> {
        self.turns.iter().filter(move |(one, _)| *one == implementation).map(|(_, turn)| turn)
    }

    fn memory_of(&self, implementation: Implementation) -> Option<&Memory> {
        self.memory.iter().find(|(one, _)| *one == implementation).map(|(_, memory)| memory)
    }

    fn median(&self, implementation: Implementation, of: impl Fn(&Turn) -> f64) -> f64 {
        quantile(self.of(implementation).map(of).collect(), 0.5)
    }

    fn spread(&self, implementation: Implementation, of: impl Fn(&Turn) -> f64) -> String {
        let all: Vec<f64> = self.of(implementation).map(of).collect();
        let (low, high) = (quantile(all.clone(), 0.0), quantile(all.clone(), 1.0));
        format!("{:.2} ({low:.2}–{high:.2})", quantile(all, 0.5))
    }

    fn delay(&self, implementation: Implementation, at: f64) -> f64 {
        quantile(
            self.of(implementation).flat_map(|turn| &turn.delays).map(|delay| delay.as_secs_f64() * 1_000.0).collect(),
            at,
        )
    }
}

/// The `at` quantile of the values; 0 if there are none.
fn quantile(mut all: Vec<f64>, at: f64) -> f64 {
    all.sort_by(f64::total_cmp);
    let last = all.len().saturating_sub(1);
    all.get((last as f64 * at).round() as usize).copied().unwrap_or_default()
}
