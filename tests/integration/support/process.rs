//! A tidings server as a separate process, for tests that kill it, signal it or measure its memory.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::oneshot;

use super::{PASSWORD, text, with_timeout};

/// How many of the last log lines are kept, to be shown when a test fails.
const LOG_LINES: usize = 60;
/// How long a client waits for an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Everything that is needed to start a server repeatedly: settings, a database, and the log of all starts.
pub struct Program {
    binary: PathBuf,
    directory: TempDir,
    address: SocketAddr,
    settings: Vec<(&'static str, String)>,
    log: Arc<Mutex<VecDeque<String>>>,
    client: reqwest::Client,
}

/// One running server process; killed when dropped.
pub struct Process {
    child: Child,
    listening: oneshot::Receiver<()>,
}

impl Program {
    /// Adds these settings to the defaults of the tests.
    pub fn new(settings: &[(&'static str, &str)]) -> Self {
        Self::of_binary(Path::new(env!("CARGO_BIN_EXE_tidings")), settings)
    }

    /// The same for another build of the server.
    pub fn of_binary(binary: &Path, settings: &[(&'static str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = free_address();
        let mut all = vec![
            ("DATABASE_URL", format!("sqlite://{}", directory.path().join("tidings.db").display())),
            ("TIDINGS_LISTEN", address.to_string()),
            ("TIDINGS_LOG", "info".into()),
            ("TIDINGS_MUTATIONS_PER_SECOND", "0".into()),
            ("TIDINGS_SIGN_IN_ATTEMPTS", "0".into()),
            ("TIDINGS_REGISTRATIONS_PER_MINUTE", "0".into()),
            ("TIDINGS_FIRST_USER_ADMIN", "false".into()),
        ];
        all.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).build().expect("a client");
        Self { binary: binary.to_owned(), directory, address, settings: all, log: Arc::default(), client }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the database, in the form that the command line takes.
    pub fn database_url(&self) -> String {
        let url = self.settings.iter().rev().find(|(name, _)| *name == "DATABASE_URL");
        url.map(|(_, url)| url.clone()).expect("a database")
    }

    /// Starts the server without waiting until it is ready.
    pub fn start(&self) -> Process {
        let mut child = self.command(&["serve"]).spawn().expect("tidings starts");
        let (listens, listening) = oneshot::channel();
        let stderr = child.stderr.take().expect("its log");
        tokio::spawn(keep_log(stderr, Arc::clone(&self.log), listens));
        Process { child, listening }
    }

    /// Runs another command of the binary; returns its standard output.
    pub async fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().await.expect("tidings runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// The last lines that the server logged.
    pub fn log(&self) -> String {
        let log = self.log.lock().expect("the log");
        log.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// The whole response to an operation; an error if there is none or it is not JSON.
    pub async fn execute(&self, token: Option<&str>, query: &str, variables: &Value) -> Result<Value, reqwest::Error> {
        self.send(token, &json!({"query": query, "variables": variables})).await
    }

    /// The response to a request body, which may be a batch.
    pub async fn send(&self, token: Option<&str>, body: &Value) -> Result<Value, reqwest::Error> {
        let mut request = self.client.post(format!("http://{}/graphql", self.address)).json(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await?.json().await
    }

    /// The data of an operation that must succeed.
    pub async fn data(&self, token: Option<&str>, query: &str, variables: &Value) -> Value {
        let mut response = self.execute(token, query, variables).await.expect("a response");
        assert!(response.get("errors").is_none(), "{query}: {response}");
        response["data"].take()
    }

    /// Registers a user; returns a token.
    pub async fn register(&self, username: &str) -> String {
        let input = json!({"username": username, "password": PASSWORD, "displayName": username});
        let query = "mutation ($input: RegisterInput!) { register(input: $input) { token } }";
        let data = self.data(None, query, &json!({"input": input})).await;
        text(&data["register"]["token"])
    }

    /// Creates a channel; returns its id.
    pub async fn channel(&self, token: &str, name: &str) -> String {
        let query = "mutation ($name: String!) { createChannel(input: { name: $name }) { id } }";
        let data = self.data(Some(token), query, &json!({"name": name})).await;
        text(&data["createChannel"]["id"])
    }

    /// The cursor of the log's head.
    pub async fn cursor(&self) -> String {
        text(&self.data(None, "{ cursor }", &json!({})).await["cursor"])
    }

    /// Starts the server with standard error connected to `log`.
    pub fn start_logging_to(&self, log: Stdio) -> Child {
        self.command(&["serve"]).stderr(log).spawn().expect("tidings starts")
    }

    /// A command of the binary, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

impl Process {
    /// Waits until the server logs that it listens; an error if the process ended instead.
    pub async fn ready(&mut self) -> Result<(), String> {
        match with_timeout("the server's listening log line", &mut self.listening).await {
            Ok(()) => Ok(()),
            Err(_) => Err(format!("the server ended by itself: {:?}", self.child.wait().await)),
        }
    }

    /// Sends SIGKILL; an error if the process had ended before.
    pub async fn kill(&mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(format!("the server ended by itself: {status}"));
        }
        self.child.kill().await.map_err(|error| format!("the server cannot be killed: {error}"))
    }

    /// Sends a signal, by the name that `kill -s` takes.
    pub fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal {name} cannot be sent");
    }

    /// Waits for the end of the process; returns the exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        with_timeout("the end of the server", self.child.wait()).await.expect("the exit status").code()
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> usize {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.id())).expect("the process runs");
        statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number of pages") * 4096
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("the process runs")
    }
}

/// Keeps the last lines of the log, and signals when the server logs that it listens.
async fn keep_log(stderr: ChildStderr, log: Arc<Mutex<VecDeque<String>>>, listens: oneshot::Sender<()>) {
    let mut listens = Some(listens);
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("tidings listens on")
            && let Some(listens) = listens.take()
        {
            let _ = listens.send(());
        }
        let mut log = log.lock().expect("the log");
        log.push_back(line);
        if log.len() > LOG_LINES {
            log.pop_front();
        }
    }
}

/// An address that stays free while the server is down. Its port is below the range of ephemeral ports, which the
/// kernel also gives to clients of this server.
fn free_address() -> SocketAddr {
    let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr());
    (0..1_000).find_map(|_| free(rand::random_range(20_000..32_000)).ok()).expect("a free port")
}
