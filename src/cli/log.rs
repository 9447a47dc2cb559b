//! The program's log on standard error: text if that is a terminal, JSON lines otherwise.

mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;
use std::panic::{self, PanicHookInfo};
use std::thread;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use serde::Serialize;
use tracing_subscriber::{EnvFilter, fmt};
use writer::Lines;

use crate::config::log_filter;

/// Targets whose level is capped. At lower levels these crates would log what clients send, including tokens and
/// passwords.
const LEVEL_CAPS: [&str; 3] = ["hyper=info", "tungstenite=warn", "tokio_tungstenite=warn"];
/// Maximum time that the end of the program waits for unwritten log lines.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// A handle to the running log.
pub struct Log(Lines);

/// Starts the log, and installs a panic hook that reports panics to it.
///
/// # Errors
/// One line for the operator if the filter is not valid, or the log cannot start.
pub fn start(filter: &str) -> Result<Log, String> {
    let warnings = log_filter::unknown_targets(filter);
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("TIDINGS_LOG: {error}"))?;
    let caps = LEVEL_CAPS.iter().filter_map(|directive| directive.parse().ok());
    let filter = caps.fold(filter, EnvFilter::add_directive);
    let format = if std::io::stderr().is_terminal() { LineFormat::Text } else { LineFormat::Json };
    let notice =
        move |dropped| format.line("WARN", &format!("{dropped} lines of the log were dropped: its reader was slow"));
    let lines = Lines::start(std::io::stderr(), notice).map_err(|error| format!("cannot start the log: {error}"))?;
    let make_writer = {
        let lines = lines.clone();
        move || lines.clone()
    };
    let log = fmt().log_internal_errors(false).with_env_filter(filter).with_writer(make_writer).with_target(false);
    let started = match format {
        LineFormat::Text => log.compact().try_init(),
        LineFormat::Json => log.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| error.to_string())?;
    report_panics(lines.clone(), format);
    // These warnings are about a filter that may suppress all lines of tidings. So they bypass `tracing`.
    warnings.iter().for_each(|warning| lines.push(format.line("WARN", warning).into_bytes()));
    Ok(Log(lines))
}

impl Log {
    /// Waits until all log lines are written, for at most one second.
    pub fn flush(&self) {
        self.0.flush_within(FLUSH_WAIT);
    }
}

/// Installs a panic hook that writes to the log's queue. The standard hook writes to standard error on the panicking
/// thread, and would block it if standard error is a full pipe.
fn report_panics(lines: Lines, format: LineFormat) {
    panic::set_hook(Box::new(move |panic| lines.push(format.line("ERROR", &panic_message(panic)).into_bytes())));
}

/// The text that the standard panic hook would print.
fn panic_message(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("no message");
    let location = panic.location().map_or_else(|| "an unknown place".into(), ToString::to_string);
    let current = thread::current();
    let name = current.name().unwrap_or("<unnamed>");
    let text = format!("thread '{name}' panicked at {location}: {message}");
    // The backtrace is captured only if RUST_BACKTRACE is set.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured { format!("{text}\n{backtrace}") } else { text }
}

/// The format of a log line.
#[derive(Debug, Clone, Copy)]
enum LineFormat {
    Text,
    Json,
}

/// A log line in the JSON form of `tracing_subscriber`.
#[derive(Serialize)]
struct JsonLine<'m> {
    timestamp: &'m str,
    level: &'m str,
    message: &'m str,
}

impl LineFormat {
    /// Formats a line that does not go through `tracing`.
    fn line(self, level: &str, message: &str) -> String {
        let timestamp = &Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        match self {
            Self::Text => {
                let shown = message.replace(|c: char| c.is_control() && c != '\n', "\u{FFFD}");
                format!("{timestamp} {level:>5} {shown}\n")
            }
            Self::Json => {
                let line = JsonLine { timestamp, level, message };
                // Serializing a struct of strings to JSON cannot fail.
                serde_json::to_string(&line).map(|line| line + "\n").unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_panic_is_logged_and_never_blocks_its_thread() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let lines = Lines::start(writer, |_| String::new()).expect("a thread");
        // This is more than the pipe holds, so the log's thread blocks.
        lines.push(vec![b'\n'; 256 * 1024]);
        let before = panic::take_hook();
        report_panics(lines.clone(), LineFormat::Json);
        let ended = thread::Builder::new().name("panicking".into()).spawn(|| panic!("on purpose")).expect("a thread");
        assert!(ended.join().is_err());
        panic::set_hook(before);
        drop(lines);
        let mut log = String::new();
        reader.read_to_string(&mut log).expect("text");
        let line = log.lines().find(|line| line.contains("panicking")).expect("a line");
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let message = line["message"].as_str().expect("a message");
        assert!(message.starts_with("thread 'panicking' panicked at src/cli/log.rs:"), "{message}");
        assert!(message.contains(": on purpose") && line["level"] == "ERROR", "{line}");
    }

    #[test]
    fn lines_that_bypass_tracing_have_the_same_format() {
        let json: serde_json::Value = serde_json::from_str(&LineFormat::Json.line("WARN", "a \"b\"\nc")).expect("JSON");
        assert_eq!((&json["level"], &json["message"]), (&"WARN".into(), &"a \"b\"\nc".into()));
        let text = LineFormat::Text.line("WARN", "a\u{1b}[31mb");
        assert!(text.ends_with("Z  WARN a\u{FFFD}[31mb\n"), "{text:?}");
        assert_eq!(text.lines().count(), 1);
    }
}
