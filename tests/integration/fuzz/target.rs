//! The server process to which all cases of a test are sent.

use std::net::SocketAddr;

use serde_json::json;

use crate::support::{Process, Program, with_timeout};

/// The token that grants access to `/metrics`.
pub const METRICS_TOKEN: &str = "only for Prometheus";

/// The server of all cases of a test.
pub struct Target {
    program: Program,
    _server: Process,
    /// The token of a registered user.
    pub token: String,
    /// A cursor of the log, with an event after it.
    pub cursor: String,
}

impl Target {
    pub async fn start() -> Self {
        let program = Program::new(&[
            ("TIDINGS_LOG", "error,tidings::app=info"),
            ("TIDINGS_REQUEST_TIMEOUT", "500ms"),
            // A request can leave empty lines behind. Then the connection is idle, and the client waits for its end.
            ("TIDINGS_IDLE_TIMEOUT", "5s"),
            ("TIDINGS_FRAMES_PER_SECOND", "0"),
            ("TIDINGS_METRICS_TOKEN", METRICS_TOKEN),
        ]);
        let mut server = program.start();
        server.ready().await.expect("the server starts");
        let token = program.register("ann").await;
        program.channel(&token, "general").await;
        let open = "mutation { updateChannel(input: { id: 1, publishing: MEMBERS }) { id } }";
        program.data(Some(&token), open, &json!({})).await;
        let cursor = program.cursor().await;
        program.channel(&token, "later").await;
        Self { program, _server: server, token, cursor }
    }

    pub fn address(&self) -> SocketAddr {
        self.program.address()
    }

    /// Checks that another client is served and that the server has not panicked.
    pub async fn check_health(&self) -> Result<(), String> {
        let ask = async || with_timeout("a response", self.program.execute(None, "{ cursor }", &json!({}))).await;
        let answer = match ask().await {
            Ok(answer) => answer,
            // The kept-alive connection was closed at the idle timeout, just as the request was sent. Try once more.
            Err(_) => ask().await.map_err(|error| error.to_string())?,
        };
        if !answer["data"]["cursor"].is_string() {
            return Err(format!("the background client gets {answer}"));
        }
        let log = self.program.log();
        if log.contains("panicked") { Err(log) } else { Ok(()) }
    }
}
