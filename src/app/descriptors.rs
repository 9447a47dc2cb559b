//! File descriptors: every connection takes one, and the usual limit is 1,024.

use std::os::fd::RawFd;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// So many are used for other things than connections.
const OTHERS: u64 = 100;

/// Gets ready for so many connections.
pub fn prepare(connections: usize) {
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    raise_limit(needed, connections);
    reserve(needed);
}

/// Has the kernel make its table as long as it will ever be. It doubles it whenever it is full, and each time a process of
/// several threads waits for all processors meanwhile: whoever accepts a connection then, and everybody behind it,
/// would wait for 5 to 20 ms.
fn reserve(needed: u64) {
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(needed);
    let Ok(last) = RawFd::try_from(needed.min(allowed).saturating_sub(1)) else { return };
    if let Err(error) = fcntl_dupfd_cloexec(std::io::stderr(), last) {
        tracing::debug!(%error, "the table of file descriptors will grow as it is needed");
    }
}

/// Raises the limit as far as the system lets us; says what to set if that is not enough.
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
            "only {allowed} files may be open at once, {connections} connections need {needed}: \
             set `ulimit -n {needed}` (systemd: LimitNOFILE={needed}), or lower TIDINGS_MAX_CONNECTIONS"
        );
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_long_as_it_will_be_before_anybody_comes() {
        let connections = 3_000;
        prepare(connections);
        let status = std::fs::read_to_string("/proc/self/status").expect("it is Linux");
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).expect("it is known");
        let size: u64 = size.trim().parse().expect("a number");
        let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(size >= allowed.min(connections as u64 + OTHERS), "{size}");
    }
}
