//! Resource usage of this process. Available on Linux only.

use std::fs;

/// Resource usage of a process.
pub struct Process {
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// CPU time in user and kernel mode, in seconds.
    pub cpu_seconds: f64,
    /// Open file descriptors, including sockets.
    pub open_files: usize,
}

/// Units per second of the times in `/proc`: always 100 on Linux, whatever the frequency of the kernel's timer.
const TICKS_PER_SECOND: f64 = 100.0;

impl Process {
    /// The usage of this process; `None` if the system does not report it.
    pub fn read() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = resident.trim().strip_suffix(" kB")?.parse().ok()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the name in parentheses and may contain spaces. Field numbers count from behind it.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<f64>().ok();
        let cpu_seconds = (ticks()? + ticks()?) / TICKS_PER_SECOND;
        let open_files = fs::read_dir("/proc/self/fd").ok()?.count();
        Some(Self { resident_bytes: kilobytes * 1024, cpu_seconds, open_files })
    }
}
