//! What operators see: the lines of the log, the ids in them, and the counters of refusals.

mod context;
mod privacy;
mod refusals;
mod request_lines;

use std::fs::{File, read_to_string};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;

use crate::support::{Program, Session, with_timeout};

/// A server process whose whole log is in a file.
struct LoggedServer {
    program: Program,
    process: Child,
    log: PathBuf,
    _directory: TempDir,
}

impl LoggedServer {
    /// Starts a server, and waits until it listens.
    async fn start(settings: &[(&'static str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        let program = Program::new(settings);
        let process = program.start_logging_to(File::create(&log).expect("a file").into());
        let server = Self { program, process, log, _directory: directory };
        server.line(|line| line["message"].as_str().is_some_and(|message| message.contains("listens on"))).await;
        server
    }

    fn text(&self) -> String {
        read_to_string(&self.log).expect("the log")
    }

    /// All complete lines of the log.
    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("JSON: {line}"))).collect()
    }

    /// Waits for a line of the log.
    async fn line(&self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        with_timeout("the line in the log", async {
            loop {
                if let Some(line) = self.lines().into_iter().find(&is_wanted) {
                    return line;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// Registers a user over HTTP.
    async fn register(&self, username: &str) -> Session {
        let token = self.program.register(username).await;
        let me = self.program.data(Some(&token), "{ me { id } }", &Value::Null).await;
        Session { id: crate::support::text(&me["me"]["id"]), username: username.into(), token }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.program.address())
    }
}
