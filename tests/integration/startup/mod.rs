//! The binary as operators start it: with invalid settings, damaged files, or closed outputs. Each error is one line
//! that says how to fix it.

mod files;
mod pipes;
mod postgres;
mod secrets;
mod settings;
mod stalled;
mod trouble;

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;

use crate::support::soon;

/// The binary in this directory, without the settings in the environment of the test run.
fn tidings(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    prepared(&mut command, directory).args(words);
    command
}

/// A shell command in this directory; `$TIDINGS` is the path of the binary.
fn shell(directory: &Path, line: &str) -> Command {
    let mut command = Command::new("sh");
    prepared(&mut command, directory).args(["-c", line]).env("TIDINGS", env!("CARGO_BIN_EXE_tidings"));
    command
}

fn prepared<'c>(command: &'c mut Command, directory: &Path) -> &'c mut Command {
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
    let child = command.spawn().expect("it runs");
    soon("the end of a command", child.wait_with_output()).await.expect("it ran")
}

/// The standard output of a command that must succeed.
async fn printed(command: &mut Command) -> String {
    let output = output(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The last line on standard error of a command that must fail. The lines before it must be log lines.
async fn refused(command: &mut Command) -> String {
    let output = output(command).await;
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(!said.contains("panicked"), "{said}");
    assert!(matches!(output.status.code(), Some(1 | 2)), "{:?}: {said}", output.status);
    let lines: Vec<&str> = said.lines().collect();
    let (last, log) = lines.split_last().expect("a line");
    assert!(log.iter().all(|line| line.starts_with('{')), "only the last line may be no log line: {said}");
    last.strip_prefix("tidings: ").unwrap_or_else(|| panic!("{said}")).to_owned()
}
