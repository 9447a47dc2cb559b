//! The compared servers: how each is started and prepared for the same load.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Outcome, child::Child, http::Connection};

/// A compared server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implementation {
    /// The `tidings` binary with its default, durable settings on an SQLite file.
    Tidings,
    /// juniper and juniper_warp as documented, in memory.
    Stock,
    /// Reference without a server's work: one prepared frame, one write per delivery.
    KernelLone,
    /// The same reference, with the pending frames written together.
    KernelCoalesced,
}

/// The path of the tidings binary. `None` only if these files are compiled in another crate.
const TIDINGS_BINARY: Option<&str> = option_env!("CARGO_BIN_EXE_tidings");

impl Implementation {
    pub fn all() -> Vec<Self> {
        let tidings = TIDINGS_BINARY.map(|_| Self::Tidings);
        tidings.into_iter().chain([Self::Stock, Self::KernelLone, Self::KernelCoalesced]).collect()
    }

    /// The name on the command line. For all but `Tidings` it is also the role of this executable that runs the server.
    pub fn role(self) -> &'static str {
        match self {
            Self::Tidings => "ours",
            Self::Stock => "stock",
            Self::KernelLone => "kernel-lone",
            Self::KernelCoalesced => "kernel-coalesced",
        }
    }

    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tidings => "tidings (durable, access-checked)",
            Self::Stock => "juniper + juniper_warp as documented (in memory)",
            Self::KernelLone => "kernel: one prepared frame, one write per delivery",
            Self::KernelCoalesced => "kernel: the same, frames in flight coalesced",
        }
    }

    /// Starts the server with an empty channel.
    pub async fn start(self) -> Outcome<Server> {
        self.start_with(&[]).await
    }

    /// The same with additional environment variables, which only tidings gets.
    pub async fn start_with(self, environment: &[(&'static str, String)]) -> Outcome<Server> {
        let home = tempfile::tempdir().map_err(|error| error.to_string())?;
        let log = home.path().join("server.log");
        if self == Self::Tidings {
            return prepared(start_tidings(home.path(), environment)?, home).await;
        }
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let child = Child::start(&[&own.to_string_lossy(), self.role()], &[], &log)?;
        Ok(Server { child, token: None, channel: "1".to_owned(), home })
    }
}

fn start_tidings(home: &Path, environment: &[(&'static str, String)]) -> Outcome<Child> {
    let program = TIDINGS_BINARY.ok_or("the tidings binary was not built")?;
    Child::start(&[program], &[&settings(home), environment].concat(), &home.join("server.log"))
}

/// The settings of tidings: the defaults, except for three limits. All requests come from one user, so the limits on
/// mutations and on new rooms are off. Publishers come in addition to 10,000 subscribers, so more connections are
/// allowed.
fn settings(home: &Path) -> [(&'static str, String); 7] {
    [
        ("TIDINGS_LISTEN", "127.0.0.1:0".to_owned()),
        ("DATABASE_URL", format!("sqlite://{}/bench.db", home.display())),
        ("TIDINGS_LOG", "info".to_owned()),
        ("TIDINGS_MUTATIONS_PER_SECOND", "0".to_owned()),
        ("TIDINGS_MAX_CONNECTIONS", "11000".to_owned()),
        ("TIDINGS_NEW_ROOMS_PER_MINUTE", "0".to_owned()),
        ("TIDINGS_FIRST_USER_ADMIN", "false".to_owned()),
    ]
}

/// Creates a user and a public channel.
async fn prepared(child: Child, home: TempDir) -> Outcome<Server> {
    const REGISTER: &str = r#"{"query":"mutation { register(input: { username: \"bench\", password: \"a long bench password\", displayName: \"Bench\" }) { token } }"}"#;
    const CREATE: &str =
        r#"{"query":"mutation { createChannel(input: { name: \"bench\", visibility: PUBLIC }) { id } }"}"#;
    let registered = answer(&mut Connection::open(child.address(), None).await?, REGISTER).await?;
    let token = text(&registered["register"]["token"])?;
    let created = answer(&mut Connection::open(child.address(), Some(&token)).await?, CREATE).await?;
    let channel = text(&created["createChannel"]["id"])?;
    Ok(Server { child, token: Some(token), channel, home })
}

async fn answer(connection: &mut Connection, body: &str) -> Outcome<Value> {
    let answer: Value = serde_json::from_str(connection.post(body).await?).map_err(|error| error.to_string())?;
    Ok(answer["data"].clone())
}

fn text(value: &Value) -> Outcome<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("expected a string, got {value}"))
}

/// A server that is ready for subscribers and publishers. Dropping it kills the process and removes its files.
pub struct Server {
    child: Child,
    token: Option<String>,
    channel: String,
    /// Declared after `child`, so that it is dropped later: the files outlive the process.
    home: TempDir,
}

impl Server {
    pub fn address(&self) -> SocketAddr {
        self.child.address()
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Kills the server and starts it again on the same database. Only for tidings: the others store nothing.
    pub fn restart(&mut self) -> Outcome<()> {
        self.stop();
        self.child = start_tidings(self.home.path(), &[])?;
        Ok(())
    }

    /// Kills the server.
    pub fn stop(&mut self) {
        self.child.kill();
    }

    /// The path of the database.
    pub fn database(&self) -> PathBuf {
        self.home.path().join("bench.db")
    }

    /// The page of `/metrics`.
    pub async fn metrics(&self) -> Outcome<String> {
        Connection::open(self.address(), None).await?.get("/metrics").await.map(str::to_owned)
    }

    /// The cursor of the log's head.
    pub async fn cursor(&self) -> Outcome<String> {
        let mut connection = Connection::open(self.address(), self.token()).await?;
        text(&answer(&mut connection, r#"{"query":"{ cursor }"}"#).await?["cursor"])
    }

    /// Opens `count` HTTP connections with the token of the user.
    pub async fn connections(&self, count: u64) -> Outcome<Vec<Connection>> {
        let mut connections = Vec::new();
        for _ in 0..count {
            connections.push(Connection::open(self.address(), self.token()).await?);
        }
        Ok(connections)
    }
}
