//! File descriptors: every connection takes one, and the usual limit is 1,024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// So many are used for other things than connections.
const OTHERS: u64 = 100;

/// Raises the limit as far as the system lets us; says what to set if that is not enough.
pub fn raise_limit(connections: usize) {
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
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
