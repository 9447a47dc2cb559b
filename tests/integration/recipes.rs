//! Runs every recipe of `docs/clients.md` with the real client libraries from npm and PyPI, and the audits of
//! `graphql-http`.

use std::process::{Command, Stdio};

use crate::support::Report;

#[test]
#[ignore = "takes about a minute or more: `make test-long` runs it"]
fn client_libraries_lose_and_repeat_no_event_and_the_http_audits_pass() {
    let run = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/run.mjs"))
        .arg(env!("CARGO_BIN_EXE_tidings"))
        .stdin(Stdio::null())
        .output()
        .expect("node runs");
    let stdout = String::from_utf8_lossy(&run.stdout);
    let mut report = Report::new("client libraries, and the audits of GraphQL over HTTP:");
    stdout.lines().for_each(|line| report.line(line));
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
