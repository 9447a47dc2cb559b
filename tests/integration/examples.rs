//! The programs in `examples/`, against a server.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tidings::model::{Cursor, Seq};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{Server, Session, text, with_timeout};

/// Builds an example beside the binary of this test, if that is not done yet; returns its path.
pub async fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("the directory of the profile");
    let target = profile.parent().expect("the target directory");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", name, "--target-dir"]).arg(target);
    if profile.ends_with("release") {
        build.arg("--release");
    }
    let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().await.expect("cargo runs");
    assert!(status.success(), "the example {name} does not build");
    profile.join("examples").join(name)
}

/// A running `examples/resume.rs`.
struct Resume {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    cursor_file: PathBuf,
}

impl Resume {
    fn start(program: &Path, server: &Server, session: &Session, cursor_file: &Path) -> Self {
        let mut process = Command::new(program)
            .arg(format!("ws://{}/graphql", server.address()))
            .arg(cursor_file)
            .arg(&session.token)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the example starts");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        Self { process, lines, cursor_file: cursor_file.into() }
    }

    /// The next event that it prints. `None` at the end of the output.
    async fn event(&mut self) -> Option<Value> {
        let line = with_timeout("a line of output", self.lines.next_line()).await.expect("output");
        line.map(|line| serde_json::from_str(&line).expect("JSON"))
    }

    /// The texts of the next messages that it prints. The example has saved the cursor of the last one.
    async fn messages(&mut self, count: usize) -> Vec<String> {
        let mut messages = Vec::new();
        let mut last = None;
        while messages.len() < count {
            let event = self.event().await.expect("the example runs");
            messages.extend(message(&event));
            last = seq(&text(&event["cursor"]));
        }
        let is_saved = || std::fs::read_to_string(&self.cursor_file).is_ok_and(|saved| seq(&saved) >= last);
        with_timeout("the saved cursor", async {
            while !is_saved() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        messages
    }

    /// Stops the example as `kill -9` does. Fails if it has printed another message.
    async fn kill(mut self) {
        self.process.kill().await.expect("the example runs");
        while let Some(event) = self.event().await {
            assert_eq!(message(&event), None, "the example repeated an event");
        }
    }
}

/// The text of the message that an event shows. Other events are checkpoints, which have only a cursor.
fn message(event: &Value) -> Option<String> {
    (event["__typename"] == "MessageAdded").then(|| text(&event["message"]["content"]))
}

/// The position of a cursor. `None` if the text is no cursor, for example because the file is being written.
fn seq(cursor: &str) -> Option<Seq> {
    cursor.parse::<Cursor>().ok().map(|cursor| cursor.seq)
}

async fn post_all(server: &Server, session: &Session, channel: &str, texts: &[&str]) {
    for text in texts {
        server.post(session, channel, text).await;
    }
}

/// The example promises to lose and repeat nothing, over restarts of the server and of itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_resuming_client_prints_each_event_once_over_restarts_of_the_server_and_of_itself() {
    let program = example("resume").await;
    let mut server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let cursor_file = server.directory().join("cursor.txt");
    std::fs::write(&cursor_file, server.cursor(Some(&ann)).await).expect("a cursor");

    let mut first = Resume::start(&program, &server, &ann, &cursor_file);
    post_all(&server, &ann, &channel, &["1", "2", "3"]).await;
    assert_eq!(first.messages(3).await, ["1", "2", "3"]);
    server.restart().await;
    post_all(&server, &ann, &channel, &["4", "5"]).await;
    assert_eq!(first.messages(2).await, ["4", "5"]);
    first.kill().await;

    post_all(&server, &ann, &channel, &["6", "7"]).await;
    let mut second = Resume::start(&program, &server, &ann, &cursor_file);
    assert_eq!(second.messages(2).await, ["6", "7"]);
    post_all(&server, &ann, &channel, &["8"]).await;
    assert_eq!(second.messages(1).await, ["8"]);
    second.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_resuming_client_ends_with_an_error_if_its_cursor_is_of_another_history() {
    let program = example("resume").await;
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let cursor_file = server.directory().join("cursor.txt");
    std::fs::write(&cursor_file, "c1-00000000000000ff").expect("a cursor");
    let client = Resume::start(&program, &server, &ann, &cursor_file);
    let output = with_timeout("the end of the example", client.process.wait_with_output()).await.expect("an exit");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && log.contains("CURSOR_EXPIRED"), "{log}");
}
