//! Outputs whose reader has left, as with `head`, and outputs that cannot be written.

use std::process::Stdio;

use super::{output, printed, refused, shell, tidings};

/// A pipe whose read end is closed.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

#[tokio::test]
async fn every_command_survives_a_reader_that_has_left() {
    let directory = tempfile::tempdir().expect("a directory");
    printed(&mut tidings(directory.path(), &["user", "add", "eva"])).await;
    for words in [
        &["--help"][..],
        &["serve", "--help"],
        &["--version"],
        &["schema"],
        &["migrate"],
        &["user", "list"],
        &["token", "eva"],
        &["tail"],
    ] {
        let output = output(tidings(directory.path(), words).stdout(closed())).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("panicked"), "{words:?}: {:?} {said}", output.status);
    }
    let demo = tempfile::tempdir().expect("a directory");
    let output = output(tidings(demo.path(), &["demo"]).stdout(closed())).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = printed(&mut shell(directory.path(), "\"$TIDINGS\" schema | head -1")).await;
    assert_eq!(lines.lines().count(), 1);
}

/// With a quiet log there is nothing to write, so no write error reports that the reader has left.
#[tokio::test]
async fn following_a_quiet_log_ends_when_its_reader_has_left() {
    let directory = tempfile::tempdir().expect("a directory");
    printed(&mut tidings(directory.path(), &["demo"])).await;
    let first = printed(&mut shell(directory.path(), "\"$TIDINGS\" tail --follow | head -1")).await;
    assert_eq!(first.lines().count(), 1);
    let events = printed(&mut tidings(directory.path(), &["tail"])).await;
    let last: serde_json::Value = serde_json::from_str(events.lines().last().expect("an event")).expect("JSON");
    let cursor = last["cursor"].as_str().expect("a cursor");
    // In these cases nothing has been printed when the reader leaves.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let out = [Stdio::from(writer), Stdio::from(std::os::fd::OwnedFd::from(far))];
    let mut children = out.map(|out| {
        let mut command = tidings(directory.path(), &["tail", "--follow", "--after", cursor]);
        command.stdout(out).spawn().expect("it runs")
    });
    drop((reader, near));
    for child in &mut children {
        assert_eq!(crate::support::soon("the end", child.wait()).await.expect("an end").code(), Some(0));
    }
}

/// A generated password that was not printed is lost, so the command must not report success.
#[tokio::test]
async fn a_password_that_nobody_read_is_said_to_be_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let line = refused(tidings(directory.path(), &["user", "add", "eva"]).stdout(closed())).await;
    assert!(line.contains("its password is lost"), "{line}");
    assert!(printed(&mut tidings(directory.path(), &["user", "list"])).await.contains("eva"));
}

#[tokio::test]
async fn an_output_that_takes_nothing_is_told_in_one_line() {
    let directory = tempfile::tempdir().expect("a directory");
    printed(&mut tidings(directory.path(), &["user", "add", "eva"])).await;
    for words in [&["schema"][..], &["user", "list"], &["token", "eva"], &["migrate"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
        let line = refused(tidings(directory.path(), words).stdout(full)).await;
        assert!(line.starts_with("cannot print: "), "{words:?}: {line}");
    }
}

/// The exit code does not depend on whether the error can be written.
#[tokio::test]
async fn a_refusal_that_nobody_reads_is_still_a_refusal() {
    let directory = tempfile::tempdir().expect("a directory");
    for (words, code) in [(&["token", "nobody"][..], 1), (&["--listen", "nowhere"], 2), (&["nonsense"], 2)] {
        let output = output(tidings(directory.path(), words).stderr(closed())).await;
        assert_eq!(output.status.code(), Some(code), "{words:?}");
    }
}
