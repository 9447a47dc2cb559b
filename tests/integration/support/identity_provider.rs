//! A real OpenID Connect provider: npm `oidc-provider`, in a process of its own (`tests/identity-provider/`).

use std::path::Path;
use std::process::{Command as BlockingCommand, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::{TIMEOUT, text, with_timeout};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/identity-provider");

/// A running provider. It ends when this value is dropped.
pub struct IdentityProvider {
    /// The issuer, as its tokens name it.
    pub issuer: String,
    control: String,
    client: reqwest::Client,
    _process: Child,
    _reading: JoinHandle<()>,
}

/// The lines that a provider prints.
type ProviderLines = Lines<BufReader<ChildStdout>>;

/// Starts the process; returns it with its first line. On a busy machine, Node sometimes needs very long to start; then the
/// process is started again.
async fn started() -> (Child, ProviderLines, String) {
    for _ in 0..4 {
        let mut process = Command::new("node")
            .arg("provider.mjs")
            .current_dir(DIRECTORY)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("node runs");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        if let Ok(line) = tokio::time::timeout(TIMEOUT, lines.next_line()).await {
            return (process, lines, line.expect("a line").expect("a line"));
        }
    }
    panic!("the provider does not start");
}

impl IdentityProvider {
    /// Starts a provider with an RS256 key. Installs its packages first, if they are missing.
    pub async fn start() -> Self {
        tokio::task::spawn_blocking(install).await.expect("installed");
        let (process, mut lines, line) = started().await;
        // Read the rest, too: the provider ends if it cannot write.
        let reading = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let addresses: Value = serde_json::from_str(&line).expect("JSON");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self {
            issuer: text(&addresses["issuer"]),
            control: text(&addresses["control"]),
            client,
            _process: process,
            _reading: reading,
        }
    }

    /// Asks the provider's control address; see `provider.mjs`.
    async fn ask(&self, method: reqwest::Method, path: &str, query: &[(&str, &str)]) -> String {
        let request = self.client.request(method, format!("{}{path}", self.control)).query(query);
        let response = with_timeout("an answer of the provider", request.send()).await.expect("an answer");
        let status = response.status();
        let body = response.text().await.expect("a text");
        assert!(status.is_success(), "{path}: {body}");
        body
    }

    async fn post(&self, path: &str, query: &[(&str, &str)]) {
        self.ask(reqwest::Method::POST, path, query).await;
    }

    /// An access token of a user, for the audience `tidings`.
    pub async fn access_token(&self, user: &str) -> String {
        self.ask(reqwest::Method::GET, "/token", &[("user", user)]).await
    }

    /// An ID token of a user, for the client `web`.
    pub async fn id_token(&self, user: &str) -> String {
        self.ask(reqwest::Method::GET, "/token", &[("user", user), ("kind", "id")]).await
    }

    /// Adds a key for this algorithm, and removes the others unless `keep` is true.
    pub async fn rotate(&self, algorithm: &str, keep: bool) {
        self.post("/keys", &[("alg", algorithm), ("keep", if keep { "1" } else { "" })]).await;
    }

    /// Registers an address to which the provider may send browsers back.
    pub async fn register(&self, redirect: &str) {
        self.post("/client", &[("redirect", redirect)]).await;
    }

    /// Signs a user in, beginning at this address, until the browser is sent to an address that begins with `until`.
    /// Returns the last address.
    pub async fn sign_in(&self, url: &str, user: &str, until: &str) -> String {
        let query = [("url", url), ("user", user), ("until", until)];
        let last: Value =
            serde_json::from_str(&self.ask(reqwest::Method::GET, "/sign-in", &query).await).expect("JSON");
        text(&last["url"])
    }

    pub async fn stop(&self) {
        self.post("/stop", &[]).await;
    }

    pub async fn restart(&self) {
        self.post("/start", &[]).await;
    }
}

/// Installs the packages from the lock file, if that has not been done.
fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let (lock, stamp) =
            (Path::new(DIRECTORY).join("package-lock.json"), Path::new(DIRECTORY).join("node_modules/.installed"));
        let wanted = std::fs::read(lock).expect("package-lock.json");
        if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
            return;
        }
        let output =
            BlockingCommand::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(DIRECTORY).output();
        let output = output.expect("npm runs");
        assert!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(stamp, wanted).expect("a file");
    });
}
