//! Resource usage of processes as the operating system reports it, and the assignment of processes to cores.

use std::{collections::BTreeMap, fs, process::Command};

use crate::Outcome;

/// The servers' core, as `taskset` numbers it.
pub const SERVER_CORE: &str = "0";
/// The load generator's core.
const GENERATOR_CORE: &str = "1";
/// Open files besides the sockets of subscribers.
const SPARE_FILES: u64 = 100;
/// Nanoseconds per tick of `/proc/<pid>/stat` (USER_HZ is 100 on every Linux).
const TICK: u64 = 10_000_000;

/// Whether there are two cores to separate servers and generator. With one core everything shares it, and the table
/// says so.
pub fn pinned() -> bool {
    fs::metadata("/sys/devices/system/cpu/cpu1").is_ok()
}

/// Pins this process to the generator's core, and raises the limit on open files to the hard limit. Child processes
/// inherit that limit.
///
/// # Errors
/// If `sockets` connections exceed the hard limit.
pub fn settle(sockets: usize) -> Outcome<()> {
    let own = std::process::id().to_string();
    if pinned() {
        run("taskset", &["-apc", GENERATOR_CORE, &own])?;
    }
    let hard = open_files().ok_or("no limit on open files in /proc/self/limits")?;
    if hard < sockets as u64 + SPARE_FILES {
        return Err(format!("{sockets} connections, but only {hard} open files are allowed: raise `ulimit -Hn`"));
    }
    run("prlimit", &["--pid", &own, &format!("--nofile={hard}:{hard}")])
}

/// The hard limit on open files of this process.
fn open_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn run(program: &str, arguments: &[&str]) -> Outcome<()> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    output
        .status
        .success()
        .then_some(())
        .ok_or_else(|| format!("{program}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The CPU time of a process so far.
pub struct Cpu {
    /// Nanoseconds by thread.
    threads: BTreeMap<String, u64>,
    /// Ticks of the whole process, including threads that have ended.
    process: u64,
}

impl Cpu {
    pub fn of(process: u32) -> Outcome<Self> {
        let gone = |error: std::io::Error| format!("the server is gone: {error}");
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{process}/task")).map_err(gone)? {
            let path = entry.map_err(gone)?.path();
            // A thread may end between listing and reading.
            let Ok(text) = fs::read_to_string(path.join("schedstat")) else {
                continue;
            };
            let used = text.split_whitespace().next().and_then(|used| used.parse().ok()).unwrap_or(0);
            threads.insert(path.to_string_lossy().into_owned(), used);
        }
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).map_err(gone)?;
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        let process = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Ok(Self { threads, process })
    }

    /// Nanoseconds used since `earlier`. Exact, unless a thread ended meanwhile: then in whole ticks.
    pub fn since(&self, earlier: &Self) -> f64 {
        let all_alive = earlier.threads.keys().all(|thread| self.threads.contains_key(thread));
        let nanoseconds = if all_alive {
            self.threads.values().sum::<u64>() - earlier.threads.values().sum::<u64>()
        } else {
            (self.process - earlier.process) * TICK
        };
        nanoseconds as f64
    }
}

/// The peak resident memory of a process, in bytes.
pub fn peak(process: u32) -> Outcome<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).map_err(|error| error.to_string())?;
    kilobytes(&text, "VmHWM:").ok_or_else(|| "no VmHWM in status".to_owned())
}

fn kilobytes(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// The resident memory of a process, in bytes. Read from `smaps_rollup`, because the counters in `status` lag.
pub fn resident(process: u32) -> Outcome<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).map_err(|error| error.to_string())?;
    kilobytes(&text, "Rss:").ok_or_else(|| "no Rss in smaps_rollup".to_owned())
}
