//! What the system says of this process. Only Linux says it here; elsewhere these metrics are missing.

use std::fs;

/// What the process takes.
pub struct Process {
    /// Memory, in bytes.
    pub resident_bytes: u64,
    /// Time on all processors, in seconds.
    pub cpu_seconds: f64,
    /// Open files, connections among them.
    pub open_files: usize,
}

/// Linux shows times in hundredths of a second, whatever its own clock is.
const TICKS: f64 = 100.0;

impl Process {
    /// This one, as far as the system tells.
    pub fn look() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = resident.trim().strip_suffix(" kB")?.parse().ok()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the name in parentheses, and may have spaces: fields are counted from behind it.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<f64>().ok();
        let cpu_seconds = (ticks()? + ticks()?) / TICKS;
        let open_files = fs::read_dir("/proc/self/fd").ok()?.count();
        Some(Self { resident_bytes: kilobytes * 1024, cpu_seconds, open_files })
    }
}
