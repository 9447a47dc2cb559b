//! The limit of open file descriptors. Every connection takes one descriptor, and the usual limit is 1,024.

use std::os::fd::RawFd;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are reserved for other uses than connections: database files, database connections and the
/// listener.
const OTHER_DESCRIPTORS: u64 = 100;

/// Prepares the process for this many connections.
pub fn prepare(connections: usize) {
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_DESCRIPTORS);
    raise_limit(needed, connections);
    reserve_table(needed);
}

/// Makes the kernel allocate the descriptor table in its final size, by opening the highest descriptor once. Otherwise
/// the kernel doubles the table whenever it is full. In a process with several threads, each doubling blocks the thread
/// that accepts connections for 5 to 20 ms.
fn reserve_table(needed: u64) {
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(needed);
    let Ok(last) = RawFd::try_from(needed.min(allowed).saturating_sub(1)) else { return };
    if let Err(error) = fcntl_dupfd_cloexec(std::io::stderr(), last) {
        tracing::debug!(%error, "cannot reserve the table of file descriptors; it will grow when needed");
    }
}

/// Raises the limit as far as the system allows. Logs the setting to change if that is not enough.
fn raise_limit(needed: u64, connections: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return;
    }
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
    let allowed = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => raised,
        Err(_) => current.unwrap_or(0),
    };
    if allowed < needed {
        tracing::warn!(
            allowed,
            needed,
            connections,
            "the process may open fewer files than its connections need: raise the limit with `ulimit -n` (systemd: \
             LimitNOFILE), or lower TIDINGS_MAX_CONNECTIONS"
        );
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_table_has_its_final_size_after_preparation() {
        let connections = 3_000;
        prepare(connections);
        let status = std::fs::read_to_string("/proc/self/status").expect("the file exists on Linux");
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).expect("the kernel reports FDSize");
        let size: u64 = size.trim().parse().expect("a number");
        let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(size >= allowed.min(connections as u64 + OTHER_DESCRIPTORS), "{size}");
    }
}
