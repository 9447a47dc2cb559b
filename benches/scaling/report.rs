//! The tables of a run.

use std::fmt;

use crate::distance::Distance;
use crate::options::BASE;
use crate::sample::Sample;
use crate::table;

const HEAD: [&str; 11] = [
    "round trip, ms (measured)",
    "server",
    "instances",
    "writes",
    "changes/s",
    "refused/s",
    "p50 ms",
    "p99 ms",
    "statements a change",
    "round trips a change",
    "changes a batch",
];
const RATIOS: [&str; 8] = [
    "round trip, ms (measured)",
    "server",
    "instances",
    "creates ÷ pgbench",
    "creates ÷ fewest instances",
    "creates ÷ base",
    "mixed ÷ creates",
    "mixed with refusals ÷ creates",
];

/// The rows that are complete.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

struct Row {
    /// The time that the proxy adds, and the measured one.
    round_trip: String,
    server: String,
    instances: Option<usize>,
    writes: &'static str,
    sample: Sample,
}

impl Report {
    /// Adds a row, and shows on standard error that it is complete.
    pub fn add(
        &mut self,
        distance: &Distance,
        server: &str,
        instances: Option<usize>,
        writes: &'static str,
        sample: Sample,
    ) {
        let (added, measured) = (distance.added.as_secs_f64() * 1e3, distance.measured.as_secs_f64() * 1e3);
        let round_trip = format!("{added} ({measured:.2})");
        let row = Row { round_trip, server: server.to_owned(), instances, writes, sample };
        eprintln!("{}", row.cells().join("  "));
        self.rows.push(row);
    }

    /// The rows that compare the numbers of changes per second.
    fn ratios(&self) -> Vec<Vec<String>> {
        self.rows.iter().filter(|row| row.writes == "creates").map(|creates| self.ratios_of(creates)).collect()
    }

    fn ratios_of(&self, creates: &Row) -> Vec<String> {
        let here = || self.rows.iter().filter(|row| row.round_trip == creates.round_trip);
        let same_server = || here().filter(|row| row.server == creates.server);
        let pgbench = here().find(|row| row.instances.is_none());
        let fewest = same_server().filter(|row| row.writes == "creates").min_by_key(|row| row.instances);
        let same_cluster = |row: &&Row| row.instances == creates.instances;
        let base = here().filter(same_cluster).find(|row| row.server == BASE && row.writes == "creates");
        let mixed = same_server().filter(same_cluster).find(|row| row.writes == "mixed");
        let rate = creates.sample.rate();
        let times = |ratio: Option<f64>| ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
        vec![
            creates.round_trip.clone(),
            creates.server.clone(),
            creates.instances_cell(),
            times(pgbench.map(|row| rate / row.sample.rate())),
            times(fewest.map(|row| rate / row.sample.rate())),
            times(base.map(|row| rate / row.sample.rate())),
            times(mixed.map(|row| row.sample.rate() / rate)),
            times(mixed.map(|row| row.sample.answer_rate() / rate)),
        ]
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let Self { sample, .. } = self;
        let (answers, cost) = (sample.answers(), sample.cost);
        let batch = if cost.commits > 0.0 { format!("{:.1}", cost.commands / cost.commits) } else { "–".to_owned() };
        vec![
            self.round_trip.clone(),
            self.server.clone(),
            self.instances_cell(),
            self.writes.to_owned(),
            format!("{:.0}", sample.rate()),
            format!("{:.0}", sample.refused as f64 / sample.duration.as_secs_f64()),
            format!("{:.1}", sample.percentile(50)),
            format!("{:.1}", sample.percentile(99)),
            format!("{:.2}", cost.statements / answers),
            format!("{:.2}", cost.round_trips / answers),
            batch,
        ]
    }

    fn instances_cell(&self) -> String {
        self.instances.map_or("–".to_owned(), |instances| instances.to_string())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = self.rows.iter().map(Row::cells).collect();
        writeln!(out, "{}", table::markdown(&HEAD, rows))?;
        writeln!(out, "The last three columns count acknowledged and refused changes alike.\n")?;
        write!(out, "{}", table::markdown(&RATIOS, self.ratios()))
    }
}
