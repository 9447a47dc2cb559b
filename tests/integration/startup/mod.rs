//! The program as operators start it: with wrong settings, damaged files, readers that have left. Each refusal is one
//! line that says what to do.

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

/// The program in this directory, with none of the settings of whoever runs the tests.
fn tidings(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    prepared(&mut command, directory).args(words);
    command
}

/// The same, by a line of a shell in which `$TIDINGS` is the program.
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

/// What a command prints that ends by itself.
async fn output(command: &mut Command) -> Output {
    // Not `output`, which would read from where a test has nobody read.
    let child = command.spawn().expect("it runs");
    soon("the end of a command", child.wait_with_output()).await.expect("it ran")
}

/// The standard output of a command that must succeed.
async fn printed(command: &mut Command) -> String {
    let output = output(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The last line of a command that must refuse to go on; what comes before it are lines of the log.
async fn refused(command: &mut Command) -> String {
    let output = output(command).await;
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(!said.contains("panicked"), "{said}");
    assert!(matches!(output.status.code(), Some(1 | 2)), "{:?}: {said}", output.status);
    let lines: Vec<&str> = said.lines().collect();
    let (last, log) = lines.split_last().expect("a line");
    assert!(log.iter().all(|line| line.starts_with('{')), "one line, and else only the log: {said}");
    last.strip_prefix("tidings: ").unwrap_or_else(|| panic!("{said}")).to_owned()
}
