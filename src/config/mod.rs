//! Every setting as plain data, with its default, and the small types that read one from text.
//!
//! Settings are made here or by the command line and passed down; no floor below `app` sees all
//! of them. Nothing here does I/O, and no `Debug` shows a secret.

mod database;
mod hosts;
mod network;
mod origin;
mod quantity;
mod secret;

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::thread::available_parallelism;
use std::time::Duration;

pub use database::DatabaseUrl;
pub use hosts::Hosts;
pub use network::{Network, Networks};
pub use origin::Origins;
pub use quantity::{Bytes, Count, Positive, Span, Switch};
pub use secret::Secret;

const SECOND: Duration = Duration::from_secs(1);

/// What an installation can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the server listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the data is.
    pub database: DatabaseUrl,
    /// Database connections for reading: queries that run at once.
    pub readers: usize,
    /// How many changes are committed together at most.
    pub commit_batch: usize,
    /// Pages of other origins that may use the server from a browser.
    pub allowed_origins: Origins,
    /// Proxies whose word on the client's address is taken.
    pub trusted_proxies: Networks,
    /// The names by which the server may be addressed; `None`: on a loopback address that no trusted proxy stands before,
    /// those of this machine and of the allowed origins; else every name.
    pub hosts: Option<Hosts>,
    /// How long a stop waits for what is in flight.
    pub shutdown_grace: Duration,
    /// Whether the schema may be asked for.
    pub introspection: bool,
    /// Whether the `GraphiQL` page is served.
    pub graphiql: bool,
    /// Who may read `/metrics`; `None`: everybody.
    pub metrics_token: Option<Secret>,
    /// What the program tells on standard error, as `tracing` filters say it (`off`, `info`,
    /// `tidings=debug`).
    pub log: String,
    /// How long the event log is kept.
    pub retention: Retention,
    /// Signing in.
    pub sessions: Sessions,
    /// Open connections.
    pub sockets: Sockets,
    /// What one client may ask for.
    pub limits: Limits,
}

/// How long an event stays in the log: it goes when it is both older than `age` and not among the
/// latest `events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Younger events stay.
    pub age: Duration,
    /// At least so many events stay.
    pub events: u32,
}

/// How users come in and how long they stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// What tokens are signed with; `None`: made and kept beside the SQLite file.
    pub secret: Option<Secret>,
    /// How long a token holds.
    pub token_lifetime: Duration,
    /// How long after signing in a session can be extended at most.
    pub session_lifetime: Duration,
    /// Whether readers without a token see public channels.
    pub anonymous_read: bool,
    /// Whether strangers may make an account.
    pub registration: Registration,
    /// Sign-in attempts per minute, address and username; 0: no limit.
    pub attempts_per_minute: u32,
    /// Sign-in attempts per minute and address, whatever the username; 0: no limit.
    pub sign_ins_per_minute: u32,
    /// Accounts that may be made per minute from one address; 0: no limit.
    pub registrations_per_minute: u32,
    /// Passwords checked at once, each on a thread of its own with 19 MiB.
    pub password_threads: usize,
}

/// Whether strangers may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Anybody may `register`.
    Open,
    /// Accounts are made by an operator only.
    Closed,
}

/// Limits of time and number for open connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    /// Connections at once; more get HTTP 503.
    pub max_connections: usize,
    /// Those of one address.
    pub per_address: PerAddress,
    /// Sockets of one user at once; 0: no limit.
    pub max_per_user: usize,
    /// Subscriptions on one connection.
    pub max_subscriptions: usize,
    /// Bytes of one inbound WebSocket frame.
    pub max_frame_bytes: usize,
    /// Inbound WebSocket frames that are read per second and connection; 0: no limit.
    pub frames_per_second: u32,
    /// Time for the head of a request, and again for its body.
    pub request_timeout: Duration,
    /// How long a connection is kept open between requests.
    pub idle_timeout: Duration,
    /// Time for `connection_init`.
    pub init_timeout: Duration,
    /// Time between the server's pings.
    pub ping_interval: Duration,
    /// A peer of which nothing is heard for so long is gone.
    pub silence_limit: Duration,
    /// A peer that takes nothing for so long is closed, and may come back.
    pub send_timeout: Duration,
}

/// How many of the open connections may be of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerAddress {
    /// So many; 0: no limit.
    pub most: usize,
    /// Whether this machine's own address counts, too.
    pub counts_loopback: bool,
}

impl PerAddress {
    /// What holds if nothing is said: half of the places, and this machine may have all. What comes from
    /// there is the operator's own, or everybody by a proxy that is not named yet.
    #[must_use]
    pub fn half_of(max_connections: usize) -> Self {
        Self { most: max_connections.div_ceil(2), counts_loopback: false }
    }

    /// Just so many, of any address; 0: no limit.
    #[must_use]
    pub fn exactly(most: usize) -> Self {
        Self { most, counts_loopback: true }
    }
}

/// What one request or user may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an HTTP body.
    pub max_body_bytes: usize,
    /// Characters of a title.
    pub max_title: usize,
    /// Characters of a content.
    pub max_content: usize,
    /// Nesting of a GraphQL document.
    pub max_depth: usize,
    /// Tokens of a GraphQL document.
    pub max_tokens: usize,
    /// Aliases in a GraphQL document.
    pub max_aliases: usize,
    /// Directives in a GraphQL document.
    pub max_directives: usize,
    /// Estimated cost of a GraphQL operation.
    pub max_cost: usize,
    /// Operations in one HTTP request.
    pub max_batch: usize,
    /// Bytes of the response to a GraphQL operation, to those of a batch together, and of an item of a subscription.
    pub max_response_bytes: usize,
    /// Bytes of memory for responses that are being made or sent, all together.
    pub response_memory_bytes: usize,
    /// How long an operation may read from the database.
    pub query_time: Duration,
    /// Mutations per second and user; 0: no limit.
    pub mutations_per_second: u32,
    /// Mutations that a user may have saved up.
    pub mutation_burst: u32,
    /// Rooms that a user may make per minute; 0: no limit.
    pub new_rooms_per_minute: u32,
}

impl Config {
    /// The names by which the server may be addressed; `None`: every name.
    #[must_use]
    pub fn known_hosts(&self) -> Option<Hosts> {
        // Every page may use it anyway.
        if self.allowed_origins.is_any() {
            return None;
        }
        let is_behind_proxy = !self.trusted_proxies.0.is_empty();
        let hosts = match &self.hosts {
            Some(hosts) => hosts.clone(),
            None if self.listen.ip().is_loopback() && !is_behind_proxy => Hosts::default(),
            None => return None,
        };
        if hosts.is_any() { None } else { Some(hosts.and(self.allowed_origins.hosts())) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8000).into(),
            database: DatabaseUrl::default(),
            readers: 4,
            commit_batch: 256,
            allowed_origins: Origins::default(),
            trusted_proxies: Networks::default(),
            hosts: None,
            shutdown_grace: 10 * SECOND,
            introspection: true,
            graphiql: true,
            metrics_token: None,
            log: "info".into(),
            retention: Retention::default(),
            sessions: Sessions::default(),
            sockets: Sockets::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: 7 * 24 * 3600 * SECOND, events: 100_000 }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            secret: None,
            token_lifetime: 12 * 3600 * SECOND,
            session_lifetime: 30 * 24 * 3600 * SECOND,
            anonymous_read: true,
            registration: Registration::Open,
            attempts_per_minute: 10,
            // An office behind one address that comes in the morning, twice over; a fifth of what one core compares.
            sign_ins_per_minute: 300,
            // More than a class that signs up together; a fifth of what one core hashes.
            registrations_per_minute: 300,
            // The other half stays with those who are already in, however many sign in.
            password_threads: available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
        }
    }
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            per_address: PerAddress::half_of(10_000),
            max_per_user: 0,
            max_subscriptions: 100,
            max_frame_bytes: 256 * 1024,
            frames_per_second: 200,
            request_timeout: 30 * SECOND,
            // Longer than what the usual balancers keep, 60 s: one that closes first is never asked on a closed line.
            idle_timeout: 75 * SECOND,
            init_timeout: 10 * SECOND,
            ping_interval: 30 * SECOND,
            // Two pings unanswered, and time for the second answer.
            silence_limit: 75 * SECOND,
            send_timeout: 30 * SECOND,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 1024 * 1024,
            max_title: 200,
            max_content: 40_000,
            max_depth: 15,
            max_tokens: 2_000,
            max_aliases: 30,
            max_directives: 50,
            max_cost: 5_000,
            max_batch: 10,
            max_response_bytes: 16 * 1024 * 1024,
            response_memory_bytes: 128 * 1024 * 1024,
            query_time: 2 * SECOND,
            mutations_per_second: 50,
            mutation_burst: 200,
            new_rooms_per_minute: 20,
        }
    }
}

impl FromStr for Registration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            _ => Err(format!("'{text}' is neither 'open' nor 'closed'")),
        }
    }
}

impl std::fmt::Display for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closed => "closed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_listener_is_known_by_its_own_names_unless_a_proxy_is_named() {
        let known = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.known_hosts()
        };
        let allows = |hosts: Option<Hosts>, host: &str| hosts.is_none_or(|hosts| hosts.allow(host));
        assert!(!allows(known(|_| {}), "evil.example"));
        assert!(allows(known(|_| {}), "localhost:8000"));
        assert!(allows(known(|config| config.trusted_proxies = "127.0.0.1".parse().unwrap()), "board.example"));
        assert!(allows(known(|config| config.listen = ([0, 0, 0, 0], 8000).into()), "board.example"));
        assert!(allows(known(|config| config.allowed_origins = "*".parse().unwrap()), "board.example"));
        assert!(allows(known(|config| config.allowed_origins = "https://a.example".parse().unwrap()), "a.example"));
        let named = known(|config| {
            config.listen = ([0, 0, 0, 0], 8000).into();
            config.hosts = Some("board.example".parse().unwrap());
        });
        assert!(allows(named.clone(), "board.example:8000") && !allows(named, "evil.example"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = |text: &str| Some(text.parse().unwrap());
        let config = Config {
            database: "postgres://zowi:hunter2@db.example/tidings".parse().unwrap(),
            metrics_token: secret("scrape-me"),
            sessions: Sessions { secret: secret("top-secret"), ..Sessions::default() },
            ..Config::default()
        };
        let shown = format!("{config:?}");
        assert!(shown.contains("db.example"), "{shown}");
        for hidden in ["hunter2", "scrape-me", "top-secret"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
}
