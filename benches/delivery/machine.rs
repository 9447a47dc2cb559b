//! A description of the machine on which a run was made, for readers of the results.

use std::{fmt, fs, io::Write as _, process::Command, time::Instant};

use crate::{Outcome, measure};

/// The number of syncs of which the median is taken.
const SYNCS: usize = 51;

/// Properties of the machine.
pub struct Machine {
    date: String,
    processor: String,
    cores: usize,
    kernel: String,
    memory: u64,
    rust: String,
    /// Milliseconds that a small write with `fdatasync` takes.
    sync: f64,
}

impl Machine {
    /// # Errors
    /// If the temporary directory cannot be written to.
    pub fn describe() -> Outcome<Self> {
        Ok(Self {
            date: output_of("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: fs::read_to_string("/proc/cpuinfo").map_or(0, |text| text.matches("model name").count()),
            kernel: output_of("uname", &["-srm"]),
            memory: field("/proc/meminfo", "MemTotal")
                .and_then(|total| total.trim_end_matches(" kB").parse::<u64>().ok())
                .map_or(0, |kilobytes| kilobytes / 1_048_576),
            rust: output_of("rustc", &["--version"]),
            sync: sync_time().map_err(|error| format!("the temporary directory: {error}"))?,
        })
    }

    pub fn date(&self) -> &str {
        &self.date
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pinned =
            if measure::pinned() { "servers and generator pinned apart" } else { "nothing pinned: one core only" };
        writeln!(out, "- Machine: {}, {} cores ({pinned}), {} GiB of memory", self.processor, self.cores, self.memory)?;
        writeln!(
            out,
            "- Kernel: {}; a small write and `fdatasync` in the temporary directory takes {:.2} ms",
            self.kernel, self.sync
        )?;
        writeln!(
            out,
            "- Versions: tidings {}, juniper 0.18, juniper_warp 0.10, juniper_graphql_ws 0.6, warp 0.4, tokio 1; {}",
            env!("CARGO_PKG_VERSION"),
            self.rust
        )
    }
}

/// The output of a command, or `unknown` if it fails.
fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
    output.map_or("unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The value of the first `name: value` line in a file of `/proc`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn sync_time() -> std::io::Result<f64> {
    let mut file = tempfile::tempfile()?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(times[SYNCS / 2].as_secs_f64() * 1_000.0)
}
