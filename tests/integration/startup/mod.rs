//! The binary as operators start it: with invalid settings, damaged files, or closed outputs. Each error is one line
//! that says how to fix it.

mod closed_output;
mod files;
mod postgres;
mod runtime_failures;
mod secrets;
mod settings;
mod stalled_stderr;

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;

use crate::support::with_timeout;

/// The binary in this directory, without the settings in the environment of the test run.
fn tidings(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    configure(&mut command, directory).args(arguments);
    command
}

/// A shell command in this directory; `$TIDINGS` is the path of the binary.
fn shell(directory: &Path, line: &str) -> Command {
    let mut command = Command::new("sh");
    configure(&mut command, directory).args(["-c", line]).env("TIDINGS", env!("CARGO_BIN_EXE_tidings"));
    command
}

fn configure<'c>(command: &'c mut Command, directory: &Path) -> &'c mut Command {
    let inherited = std::env::vars_os().map(|(name, _)| name);
    for name in inherited.filter(|name| name.to_string_lossy().starts_with("TIDINGS_") || name == "DATABASE_URL") {
        command.env_remove(name);
    }
    command
        .env("TIDINGS_LISTEN", "127.0.0.1:0")
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
}

/// Runs a command to its end; returns its output.
async fn output(command: &mut Command) -> Output {
    // `Command::output` would replace stdout and stderr by pipes, but tests redirect them.
    let child = command.spawn().expect("the process runs");
    with_timeout("the end of a command", child.wait_with_output()).await.expect("the command runs")
}

/// The standard output of a command that must succeed.
async fn success_output(command: &mut Command) -> String {
    let output = output(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The last line on standard error of a command that must fail. The lines before it must be log lines.
async fn failure_line(command: &mut Command) -> String {
    let output = output(command).await;
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(matches!(output.status.code(), Some(1 | 2)), "{:?}: {stderr}", output.status);
    let lines: Vec<&str> = stderr.lines().collect();
    let (last, log) = lines.split_last().expect("a connection");
    assert!(log.iter().all(|line| line.starts_with('{')), "only the last line may be no log line: {stderr}");
    last.strip_prefix("tidings: ").unwrap_or_else(|| panic!("{stderr}")).to_owned()
}
