//! Readers that leave early, as `head` does, and outputs that take nothing.

use std::process::Stdio;

use super::{output, printed, refused, shell, tidings};

/// Where nobody reads any more.
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

/// A log in which nothing happens leaves nothing to be written, so no write can fail.
#[tokio::test]
async fn following_a_quiet_log_ends_when_its_reader_has_left() {
    let directory = tempfile::tempdir().expect("a directory");
    printed(&mut tidings(directory.path(), &["demo"])).await;
    let first = printed(&mut shell(directory.path(), "\"$TIDINGS\" tail --follow | head -1")).await;
    assert_eq!(first.lines().count(), 1);
    let events = printed(&mut tidings(directory.path(), &["tail"])).await;
    let last: serde_json::Value = serde_json::from_str(events.lines().last().expect("an event")).expect("JSON");
    let cursor = last["cursor"].as_str().expect("a cursor");
    // Nothing was printed at all when the reader leaves.
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

/// A password that was made up and printed nowhere is lost, which must not look like success.
#[tokio::test]
async fn a_generated_password_that_cannot_be_printed_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let line = refused(tidings(directory.path(), &["user", "add", "eva"]).stdout(closed())).await;
    assert!(line.contains("its password could not be shown"), "{line}");
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

/// The exit code is the same when nobody reads why.
#[tokio::test]
async fn a_refusal_that_nobody_reads_is_still_a_refusal() {
    let directory = tempfile::tempdir().expect("a directory");
    for (words, code) in [(&["token", "nobody"][..], 1), (&["--listen", "nowhere"], 2), (&["nonsense"], 2)] {
        let output = output(tidings(directory.path(), words).stderr(closed())).await;
        assert_eq!(output.status.code(), Some(code), "{words:?}");
    }
}
