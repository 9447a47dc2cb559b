//! The log of the program: for people on a terminal, as JSON otherwise. Always on standard error.

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

/// These would print what clients send, tokens and passwords included, at the levels below.
const QUIET: [&str; 3] = ["hyper=info", "tungstenite=warn", "tokio_tungstenite=warn"];
/// How long the end of the program waits for lines that are not written yet.
const PATIENCE: Duration = Duration::from_secs(1);

/// The log, once it has started.
pub struct Log(Lines);

/// Starts the log, and reports panics there.
///
/// # Errors
/// One line if the filter cannot be understood, or the log cannot start.
pub fn start(filter: &str) -> Result<Log, String> {
    let warnings = log_filter::unknown_targets(filter);
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("TIDINGS_LOG: {error}"))?;
    let quiet = QUIET.iter().filter_map(|directive| directive.parse().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    let form = if std::io::stderr().is_terminal() { Form::Text } else { Form::Json };
    let notice =
        move |dropped| form.line("WARN", &format!("{dropped} lines of the log were dropped: its reader was slow"));
    let lines = Lines::start(std::io::stderr(), notice).map_err(|error| format!("cannot start the log: {error}"))?;
    let make_writer = {
        let lines = lines.clone();
        move || lines.clone()
    };
    let log = fmt().log_internal_errors(false).with_env_filter(filter).with_writer(make_writer).with_target(false);
    let started = match form {
        Form::Text => log.compact().try_init(),
        Form::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| error.to_string())?;
    report_panics(lines.clone(), form);
    // Not by `tracing`: the filter that names nothing of the program would leave the warning out.
    warnings.iter().for_each(|warning| lines.push(form.line("WARN", warning).into_bytes()));
    Ok(Log(lines))
}

impl Log {
    /// Waits a moment for the lines that are not written yet.
    pub fn flush(&self) {
        self.0.flush_within(PATIENCE);
    }
}

/// The hook of the standard library writes to standard error itself, and would block there.
fn report_panics(lines: Lines, form: Form) {
    panic::set_hook(Box::new(move |panic| lines.push(form.line("ERROR", &told(panic)).into_bytes())));
}

/// What the hook of the standard library would print.
fn told(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("no message");
    let place = panic.location().map_or_else(|| "an unknown place".into(), ToString::to_string);
    let current = thread::current();
    let name = current.name().unwrap_or("<unnamed>");
    let told = format!("thread '{name}' panicked at {place}: {message}");
    // Empty unless RUST_BACKTRACE is set.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured { format!("{told}\n{backtrace}") } else { told }
}

/// What a line of the log looks like.
#[derive(Debug, Clone, Copy)]
enum Form {
    Text,
    Json,
}

/// A line as `tracing_subscriber` writes it in JSON.
#[derive(Serialize)]
struct JsonLine<'m> {
    timestamp: &'m str,
    level: &'m str,
    message: &'m str,
}

impl Form {
    /// A line that does not go through `tracing`.
    fn line(self, level: &str, message: &str) -> String {
        let timestamp = &Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        match self {
            Self::Text => {
                let shown = message.replace(|c: char| c.is_control() && c != '\n', "\u{FFFD}");
                format!("{timestamp} {level:>5} {shown}\n")
            }
            Self::Json => {
                let line = JsonLine { timestamp, level, message };
                // A struct of texts is always JSON.
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
    fn a_panic_is_reported_in_the_log_and_never_blocks_its_thread() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let lines = Lines::start(writer, |_| String::new()).expect("a thread");
        // More than the pipe takes, so that the thread of the log stands.
        lines.push(vec![b'\n'; 256 * 1024]);
        let before = panic::take_hook();
        report_panics(lines.clone(), Form::Json);
        let ended = thread::Builder::new().name("ill-fated".into()).spawn(|| panic!("on purpose")).expect("a thread");
        assert!(ended.join().is_err());
        panic::set_hook(before);
        drop(lines);
        let mut log = String::new();
        reader.read_to_string(&mut log).expect("text");
        let line = log.lines().find(|line| line.contains("ill-fated")).expect("a line");
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let message = line["message"].as_str().expect("a message");
        assert!(message.starts_with("thread 'ill-fated' panicked at src/cli/log.rs:"), "{message}");
        assert!(message.contains(": on purpose") && line["level"] == "ERROR", "{line}");
    }

    #[test]
    fn a_line_that_does_not_go_through_tracing_looks_like_the_others() {
        let json: serde_json::Value = serde_json::from_str(&Form::Json.line("WARN", "a \"b\"\nc")).expect("JSON");
        assert_eq!((&json["level"], &json["message"]), (&"WARN".into(), &"a \"b\"\nc".into()));
        let text = Form::Text.line("WARN", "a\u{1b}[31mb");
        assert!(text.ends_with("Z  WARN a\u{FFFD}[31mb\n"), "{text:?}");
        assert_eq!(text.lines().count(), 1);
    }
}
