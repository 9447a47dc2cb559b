//! The log of the program: for people on a terminal, as JSON otherwise. Always on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

/// These would print what clients send, tokens and passwords included, at the levels below.
const QUIET: [&str; 3] = ["hyper=info", "tungstenite=warn", "tokio_tungstenite=warn"];

/// Starts the log.
///
/// # Errors
/// If the filter cannot be understood.
pub fn start(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("TIDINGS_LOG: {error}"))?;
    let quiet = QUIET.iter().filter_map(|directive| directive.parse().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    // A line that cannot be written (a full disk, a pipe without a reader) is dropped. By itself the library would say so
    // by `eprintln!`, which panics where the same error meets it again, and ends the thread that had something to say.
    let log = fmt().log_internal_errors(false);
    let log = log.with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let started = if std::io::stderr().is_terminal() {
        log.compact().try_init()
    } else {
        log.json().flatten_event(true).try_init()
    };
    started.map_err(|error| error.to_string())
}
