//! The servers that are compared: how each is started and made ready for the same load.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Outcome, child::Child, http::Connection};

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    /// The `tidings` binary: SQLite file, access rules, log and all.
    Ours,
    /// juniper and juniper_warp as their documentation says, in memory.
    Stock,
    /// The kernel's price: one prepared frame, one write per delivery.
    KernelLone,
    /// The same, with the frames in flight written together.
    KernelCoalesced,
}

/// Ours, when cargo has built it: always, except where these files are worked on in a crate of their own.
const OURS: Option<&str> = option_env!("CARGO_BIN_EXE_tidings");

impl Contestant {
    pub fn all() -> Vec<Self> {
        let ours = OURS.map(|_| Self::Ours);
        ours.into_iter().chain([Self::Stock, Self::KernelLone, Self::KernelCoalesced]).collect()
    }

    /// Its name on the command line; for all but ours also the role that runs it.
    pub fn role(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Stock => "stock",
            Self::KernelLone => "kernel-lone",
            Self::KernelCoalesced => "kernel-coalesced",
        }
    }

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "tidings (durable, access-checked)",
            Self::Stock => "juniper + juniper_warp as documented (in memory)",
            Self::KernelLone => "kernel: one prepared frame, one write per delivery",
            Self::KernelCoalesced => "kernel: the same, frames in flight coalesced",
        }
    }

    /// Starts it with nothing in it but a channel.
    pub async fn start(self) -> Outcome<Server> {
        self.start_with(&[]).await
    }

    /// The same with this in its environment, if it is ours.
    pub async fn start_with(self, environment: &[(&'static str, String)]) -> Outcome<Server> {
        let home = tempfile::tempdir().map_err(|error| error.to_string())?;
        let log = home.path().join("server.log");
        if self == Self::Ours {
            return prepared(ours(home.path(), environment)?, home).await;
        }
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let child = Child::start(&[&own.to_string_lossy(), self.role()], &[], &log)?;
        Ok(Server { child, token: None, channel: "1".to_owned(), home })
    }
}

fn ours(home: &Path, environment: &[(&'static str, String)]) -> Outcome<Child> {
    let program = OURS.ok_or("the tidings binary was not built")?;
    Child::start(&[program], &[&settings(home), environment].concat(), &home.join("server.log"))
}

/// Ours on its default settings, but for the limit on mutations per user, as there is only one user here, and for that on
/// connections, as publishers come on top of 10,000 subscribers, and on new rooms.
fn settings(home: &Path) -> [(&'static str, String); 6] {
    [
        ("TIDINGS_LISTEN", "127.0.0.1:0".to_owned()),
        ("DATABASE_URL", format!("sqlite://{}/bench.db", home.display())),
        ("TIDINGS_LOG", "info".to_owned()),
        ("TIDINGS_MUTATIONS_PER_SECOND", "0".to_owned()),
        ("TIDINGS_MAX_CONNECTIONS", "11000".to_owned()),
        ("TIDINGS_NEW_ROOMS_PER_MINUTE", "0".to_owned()),
    ]
}

/// A user and a public channel in it.
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

/// A server that is ready for subscribers and publishers. Dropping it ends it and removes its files.
pub struct Server {
    child: Child,
    token: Option<String>,
    channel: String,
    /// Dropped after `child`, so the files outlive the process.
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

    /// Kills it and starts it again with what is on its disk. Ours only: the others keep nothing.
    pub fn restart(&mut self) -> Outcome<()> {
        self.stop();
        self.child = ours(self.home.path(), &[])?;
        Ok(())
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.child.kill();
    }

    /// Its database.
    pub fn database(&self) -> PathBuf {
        self.home.path().join("bench.db")
    }

    /// What it has counted, as it says itself.
    pub async fn metrics(&self) -> Outcome<String> {
        Connection::open(self.address(), None).await?.get("/metrics").await.map(str::to_owned)
    }

    /// Where its log stands.
    pub async fn cursor(&self) -> Outcome<String> {
        let mut connection = Connection::open(self.address(), self.token()).await?;
        text(&answer(&mut connection, r#"{"query":"{ cursor }"}"#).await?["cursor"])
    }

    /// `count` HTTP connections, signed in.
    pub async fn connections(&self, count: u64) -> Outcome<Vec<Connection>> {
        let mut connections = Vec::new();
        for _ in 0..count {
            connections.push(Connection::open(self.address(), self.token()).await?);
        }
        Ok(connections)
    }
}
