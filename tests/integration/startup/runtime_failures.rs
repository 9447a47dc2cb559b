//! A server whose disk fills up, or whose database files are moved, while it runs: it answers `UNAVAILABLE` and
//! `/readyz` fails, and it recovers without a restart.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{shell, success_output, tidings};
use crate::support::{Report, text, with_timeout};

/// A server process with the database of one directory.
struct Server {
    child: Child,
    url: String,
    client: reqwest::Client,
    token: String,
}

impl Server {
    /// Runs a command that starts the server, in a directory whose database has the user `eva`.
    async fn start(directory: &Path, command: &mut Command) -> Self {
        let token = success_output(&mut tidings(directory, &["token", "eva"])).await.trim().to_owned();
        let log = directory.join("log");
        let file = std::fs::File::create(&log).expect("a file");
        let child = command.stderr(file).stdout(Stdio::null()).spawn().expect("the server starts");
        let address = with_timeout("the server's listening log line", async {
            loop {
                let written = std::fs::read_to_string(&log).unwrap_or_default();
                if let Some(rest) = written.split("tidings listens on http://").nth(1) {
                    break rest.split('"').next().expect("an address").to_owned();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let url = format!("http://{}", address.await);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { child, url, client, token }
    }

    /// The error code of an operation, or `OK`.
    async fn execute(&self, query: &str, variables: Value) -> String {
        let body = json!({"query": query, "variables": variables});
        let request = self.client.post(format!("{}/graphql", self.url)).bearer_auth(&self.token).json(&body);
        let answer: Value =
            with_timeout("a response", request.send()).await.expect("a response").json().await.expect("JSON");
        let code = &answer["errors"][0]["extensions"]["code"];
        if code.is_null() { "OK".into() } else { text(code) }
    }

    async fn post(&self) -> String {
        let post = "mutation ($c: String!) { createMessage(input: { channelId: 1, content: $c }) { id } }";
        self.execute(post, json!({"c": "x".repeat(30_000)})).await
    }

    async fn login(&self) -> String {
        let login = "mutation { login(input: { username: \"eva\", password: \"wrong password\" }) { token } }";
        self.execute(login, json!({})).await
    }

    async fn ready(&self) -> (u16, String) {
        let answer = with_timeout("a response", self.client.get(format!("{}/readyz", self.url)).send())
            .await
            .expect("a response");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    }

    async fn wait_until_ready(&self) {
        with_timeout("a server that is ready again", async {
            while self.ready().await.0 != 200 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
    }
}

async fn create_database(directory: &Path) {
    success_output(&mut tidings(directory, &["user", "add", "eva"])).await;
}

/// Fills the disk, checks the answers, frees the disk, and checks the recovery.
async fn fill_and_free_disk(server: &Server, free: impl AsyncFnOnce()) {
    assert_eq!(server.execute("mutation { createChannel(input: { name: \"c\" }) { id } }", json!({})).await, "OK");
    let failure = with_timeout("a full disk", async {
        loop {
            match server.post().await {
                code if code == "OK" => {}
                code => return code,
            }
        }
    });
    assert_eq!(failure.await, "UNAVAILABLE");
    for _ in 0..3 {
        assert_eq!(server.post().await, "UNAVAILABLE");
    }
    // A small write may still fit on the disk.
    assert_ne!(server.login().await, "INTERNAL_SERVER_ERROR");
    assert_eq!(server.ready().await, (503, "the database takes no changes\n".into()));
    assert_eq!(server.execute("{ messages(first: 1) { nodes { id } } }", json!({})).await, "OK", "reading still works");
    free().await;
    server.wait_until_ready().await;
    assert_eq!(server.post().await, "OK");
    assert_eq!(server.login().await, "UNAUTHENTICATED");
}

/// A limit on the size of its files has the effect of a full disk and needs no privileges.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_makes_writes_unavailable_until_space_is_freed() {
    let directory = tempfile::tempdir().expect("a directory");
    create_database(directory.path()).await;
    let line = "trap '' XFSZ; ulimit -S -f 4096; exec \"$TIDINGS\" serve";
    let server = Server::start(directory.path(), &mut shell(directory.path(), line)).await;
    let id = server.child.id().expect("the process runs").to_string();
    fill_and_free_disk(&server, async || {
        let freed = std::process::Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited:unlimited"]).status();
        assert!(freed.is_ok_and(|status| status.success()));
    })
    .await;
}

/// The same on a small file system, where mounting is permitted: SQLite reports another error there.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_file_system_makes_writes_unavailable_until_space_is_freed() {
    let directory = tempfile::tempdir().expect("a directory");
    create_database(directory.path()).await;
    let unshare = "unshare -m $([ $(id -u) = 0 ] || echo -r)";
    let mounted = "mkdir -p small && mount -t tmpfs -o size=8m tmpfs small && cp tidings.* small && cd small && \
        head -c 4000000 /dev/zero > filler";
    let probe = shell(directory.path(), &format!("{unshare} sh -c '{mounted}'")).stderr(Stdio::null()).status().await;
    if !probe.is_ok_and(|status| status.success()) {
        return Report::new("A small disk").line("skipped: mounting is not permitted on this machine");
    }
    let line = format!("exec {unshare} sh -c '{mounted} && exec \"$TIDINGS\" serve'");
    let server = Server::start(directory.path(), &mut shell(directory.path(), &line)).await;
    let filler = format!("/proc/{}/cwd/filler", server.child.id().expect("the process runs"));
    fill_and_free_disk(&server, async || std::fs::remove_file(filler).expect("the filler")).await;
    // A start on a full disk fails with one line.
    let full = format!("{mounted} && head -c 9000000 /dev/zero > more");
    let line = format!("{unshare} sh -c '{full}; exec \"$TIDINGS\" serve'");
    let output = super::output(&mut shell(directory.path(), &line)).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("make room"), "{stderr}");
}

#[tokio::test]
async fn moved_or_replaced_database_files_make_the_server_unavailable() {
    let directory = tempfile::tempdir().expect("a directory");
    create_database(directory.path()).await;
    let server = Server::start(directory.path(), &mut tidings(directory.path(), &["serve"])).await;
    let at = |name: &str| directory.path().join(name);
    assert_eq!(server.execute("mutation { createChannel(input: { name: \"c\" }) { id } }", json!({})).await, "OK");
    for name in ["tidings.db", "tidings.db-wal"] {
        std::fs::rename(at(name), at("moved")).expect("a file that moves");
        assert_eq!(server.post().await, "UNAVAILABLE", "{name} is gone");
        assert_eq!(server.ready().await.0, 503, "{name} is gone");
        std::fs::copy(at("moved"), at(name)).expect("a copy");
        assert_eq!(server.post().await, "UNAVAILABLE", "another file is in its place");
        assert_eq!(server.execute("{ me { id } messages { nodes { id } } }", json!({})).await, "UNAVAILABLE", "{name}");
        std::fs::rename(at("moved"), at(name)).expect("a file that comes back");
        server.wait_until_ready().await;
        assert_eq!(server.post().await, "OK", "{name} is back");
    }
    let log = std::fs::read_to_string(at("log")).expect("the log");
    assert!(log.contains("was moved, deleted or replaced"), "{log}");
}
