//! Every recipe of `docs/clients.md`, with the real client libraries from npm and PyPI.

use std::process::{Command, Stdio};

#[test]
fn the_client_libraries_lose_and_repeat_nothing() {
    let run = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/run.mjs"))
        .arg(env!("CARGO_BIN_EXE_tidings"))
        .stdin(Stdio::null())
        .output()
        .expect("node runs");
    let said = String::from_utf8_lossy(&run.stdout);
    println!("{said}");
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
}
