//! Tokens and passwords never appear in the log, at any level.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{PASSWORD, Socket, text, with_timeout};

/// A server whose log goes to a file; killed when dropped.
struct Logging(Child);

impl Drop for Logging {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn no_level_of_the_log_shows_tokens_or_passwords() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let server = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .env("TIDINGS_LOG", "trace")
        .env("TIDINGS_LISTEN", "127.0.0.1:0")
        .env("DATABASE_URL", format!("sqlite://{}", directory.path().join("t.db").display()))
        .stderr(File::create(&log).expect("a file"))
        .spawn()
        .expect("tidings starts");
    let _server = Logging(server);
    let address = with_timeout("the address in the log", listening(&log)).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("http://{address}/graphql");
    let register = "mutation ($p: String!) { register(input: { username: \"ann\", password: $p }) { token } }";
    let body = json!({"query": register, "variables": {"p": PASSWORD}});
    let answer: Value = http.post(&url).json(&body).send().await.unwrap().json().await.unwrap();
    let token = text(&answer["data"]["register"]["token"]);
    let login = format!("mutation {{ login(input: {{ username: \"ann\", password: \"{PASSWORD}\" }}) {{ token }} }}");
    http.post(&url).json(&json!({"query": login})).send().await.unwrap();
    http.get(format!("{url}?query=%7Bme%7Bid%7D%7D&token={token}")).send().await.unwrap();
    http.post(&url).bearer_auth(format!("{token}x")).json(&json!({"query": "{ me { id } }"})).send().await.unwrap();
    for (path, payload) in [
        (format!("/graphql?token={token}"), json!({})),
        ("/graphql".into(), json!({"authorization": format!("Bearer {token}")})),
        ("/graphql".into(), json!({"token": format!("{token}x")})),
    ] {
        let mut socket = Socket::connect(address, &path, "graphql-transport-ws").await;
        socket.send(json!({"type": "connection_init", "payload": payload})).await;
        if socket.next().await.is_ok() {
            socket.subscribe("r", "mutation { refreshToken { token } }", json!({})).await;
            socket.item("r").await;
        }
    }
    let written = std::fs::read_to_string(&log).expect("the log");
    assert!(written.lines().count() > 10, "the trace log has lines");
    let signature = token.rsplit('.').next().expect("a signature");
    for line in written.lines() {
        assert!(!line.contains(signature) && !line.contains(&token[..60]) && !line.contains(PASSWORD), "{line}");
    }
}

/// Waits for the address in the first line of the log.
async fn listening(log: &Path) -> SocketAddr {
    loop {
        let written = std::fs::read_to_string(log).unwrap_or_default();
        let address = written.split("http://").nth(1).and_then(|rest| rest.split('"').next()?.parse().ok());
        match address {
            Some(address) => return address,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
