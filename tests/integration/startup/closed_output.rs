//! Outputs whose reader has left, as with `head`, and outputs that cannot be written.

use std::process::Stdio;

use super::{failure_line, output, shell, success_output, tidings};

/// A pipe whose read end is closed.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

#[tokio::test]
async fn commands_succeed_when_the_reader_of_their_output_has_left() {
    let directory = tempfile::tempdir().expect("a directory");
    success_output(&mut tidings(directory.path(), &["user", "add", "eva"])).await;
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["--version"],
        &["schema"],
        &["migrate"],
        &["user", "list"],
        &["token", "eva"],
        &["tail"],
    ] {
        let output = output(tidings(directory.path(), arguments).stdout(closed_pipe())).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !stderr.contains("panicked"), "{arguments:?}: {:?} {stderr}", output.status);
    }
    let demo = tempfile::tempdir().expect("a directory");
    let output = output(tidings(demo.path(), &["demo"]).stdout(closed_pipe())).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = success_output(&mut shell(directory.path(), "\"$TIDINGS\" schema | head -1")).await;
    assert_eq!(lines.lines().count(), 1);
}

/// With a quiet log there is nothing to write, so no write error reports that the reader has left.
#[tokio::test]
async fn tail_follow_ends_when_its_reader_has_left() {
    let directory = tempfile::tempdir().expect("a directory");
    success_output(&mut tidings(directory.path(), &["demo"])).await;
    let first = success_output(&mut shell(directory.path(), "\"$TIDINGS\" tail --follow | head -1")).await;
    assert_eq!(first.lines().count(), 1);
    let events = success_output(&mut tidings(directory.path(), &["tail"])).await;
    let last: serde_json::Value = serde_json::from_str(events.lines().last().expect("an event")).expect("JSON");
    let cursor = last["cursor"].as_str().expect("a cursor");
    // In these cases nothing has been printed when the reader leaves.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let out = [Stdio::from(writer), Stdio::from(std::os::fd::OwnedFd::from(far))];
    let mut children = out.map(|out| {
        let mut command = tidings(directory.path(), &["tail", "--follow", "--after", cursor]);
        command.stdout(out).spawn().expect("the process runs")
    });
    drop((reader, near));
    for child in &mut children {
        assert_eq!(
            crate::support::with_timeout("the end of the process", child.wait()).await.expect("the exit status").code(),
            Some(0)
        );
    }
}

/// A generated password that was not printed is lost, so the command must not report success.
#[tokio::test]
async fn a_generated_password_that_cannot_be_printed_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let line = failure_line(tidings(directory.path(), &["user", "add", "eva"]).stdout(closed_pipe())).await;
    assert!(line.contains("its password could not be shown"), "{line}");
    assert!(success_output(&mut tidings(directory.path(), &["user", "list"])).await.contains("eva"));
}

#[tokio::test]
async fn unwritable_output_is_reported_in_one_line() {
    let directory = tempfile::tempdir().expect("a directory");
    success_output(&mut tidings(directory.path(), &["user", "add", "eva"])).await;
    for arguments in [&["schema"][..], &["user", "list"], &["token", "eva"], &["migrate"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
        let line = failure_line(tidings(directory.path(), arguments).stdout(full)).await;
        assert!(line.starts_with("cannot print: "), "{arguments:?}: {line}");
    }
}

/// The exit code does not depend on whether the error can be written.
#[tokio::test]
async fn failing_commands_keep_their_exit_code_without_a_reader() {
    let directory = tempfile::tempdir().expect("a directory");
    for (arguments, code) in [(&["token", "nobody"][..], 1), (&["--listen", "nowhere"], 2), (&["nonsense"], 2)] {
        let output = output(tidings(directory.path(), arguments).stderr(closed_pipe())).await;
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
}
