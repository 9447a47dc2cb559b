//! Runs every recipe of `docs/clients.md` with the real client libraries from npm and PyPI, and the audits of
//! `graphql-http`.

use std::process::{Command, Stdio};

use crate::support::Report;

#[test]
fn the_client_libraries_lose_and_repeat_nothing_and_the_audits_find_nothing() {
    let run = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/run.mjs"))
        .arg(env!("CARGO_BIN_EXE_tidings"))
        .stdin(Stdio::null())
        .output()
        .expect("node runs");
    let said = String::from_utf8_lossy(&run.stdout);
    let mut report = Report::new("client libraries, and the audits of GraphQL over HTTP:");
    said.lines().for_each(|line| report.line(line));
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
