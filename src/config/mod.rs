//! Every setting: its name, variable, default, range and description are declared here, once.
//!
//! The structs are groups of clap arguments. The documentation of a field is its text in `tidings serve --help`, and
//! `Config::default` has the declared defaults. `cli` fills in a `Config` and `app` passes the values down; no other
//! module sees all of them. Nothing here does I/O except [`secret_file`], and no `Debug` shows a secret.

mod database;
mod hosts;
mod issuers;
pub(crate) mod log_filter;
mod network;
mod origin;
mod parse;
mod secret;
mod secret_file;

use std::net::SocketAddr;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};
use humantime::format_duration;

use self::parse::{address, number, size, web_address};
pub use database::DatabaseUrl;
pub use hosts::Hosts;
pub use issuers::{AdminClaim, IssuerSettings, Issuers};
pub use network::Networks;
pub use origin::Origins;
pub use parse::duration;
pub use secret::Secret;

const MILLISECOND: Duration = Duration::from_millis(1);
/// With shorter timeouts every client would be disconnected before it can do anything.
const MIN_TIMEOUT: Duration = Duration::from_millis(100);
/// Tokens count whole seconds.
const MIN_TOKEN_LIFETIME: Duration = Duration::from_secs(1);
/// No useful request or frame is smaller.
const MIN_INPUT_BYTES: u64 = 1024;
/// Counters and rates have 32 bits.
const MAX_NUMBER: usize = u32::MAX as usize;

/// All settings of an installation.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Config {
    /// Address and port to listen on; port 0 chooses a free one.
    #[arg(long, env = "TIDINGS_LISTEN", value_name = "ADDRESS:PORT", help_heading = "Server")]
    #[arg(default_value = "127.0.0.1:8000", value_parser = address)]
    pub listen: SocketAddr,

    /// Origins of other web pages that may use the server, separated by commas; * for all [default: none]
    #[arg(long, env = "TIDINGS_ALLOWED_ORIGINS", value_name = "ORIGINS", help_heading = "Server")]
    #[arg(default_value = "", hide_default_value = true)]
    pub allowed_origins: Origins,

    /// Proxies whose X-Forwarded-For is trusted: addresses or networks (10.0.0.0/8), separated by commas
    /// [default: none]
    #[arg(long, env = "TIDINGS_TRUSTED_PROXIES", value_name = "NETWORKS", help_heading = "Server")]
    #[arg(default_value = "", hide_default_value = true)]
    pub trusted_proxies: Networks,

    /// The address under which clients reach the server.
    #[command(flatten)]
    pub public: PublicAddress,

    /// Host names that the server answers to, separated by commas; * for all [default: on a loopback address without
    /// trusted proxies the names of this machine and the hosts of the allowed origins, else all]
    #[arg(long, env = "TIDINGS_HOSTS", value_name = "NAMES", help_heading = "Server")]
    pub hosts: Option<Hosts>,

    /// Maximum duration of a graceful stop.
    #[arg(long, env = "TIDINGS_SHUTDOWN_GRACE", value_name = "TIME", help_heading = "Server")]
    #[arg(default_value = "10s", value_parser = duration(MILLISECOND))]
    pub shutdown_grace: Duration,

    /// Whether clients may query the schema; if not, errors suggest no names either.
    #[arg(long, env = "TIDINGS_INTROSPECTION", value_name = "BOOL", help_heading = "Server")]
    #[arg(default_value = "true", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    pub introspection: bool,

    /// Whether the GraphiQL page is served.
    #[arg(long, env = "TIDINGS_GRAPHIQL", value_name = "BOOL", help_heading = "Server")]
    #[arg(default_value = "true", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    pub graphiql: bool,

    /// Bearer token for /metrics, 16 characters or more [default: none, /metrics is public]
    #[arg(long, env = "TIDINGS_METRICS_TOKEN", value_name = "TOKEN", help_heading = "Server")]
    #[arg(value_parser = Secret::for_bearers)]
    pub metrics_token: Option<Secret>,

    /// File that contains the bearer token, instead of --metrics-token.
    #[arg(long, env = "TIDINGS_METRICS_TOKEN_FILE", value_name = "FILE", help_heading = "Server")]
    #[arg(value_parser = secret_file::bearer_token, conflicts_with = "metrics_token")]
    pub metrics_token_file: Option<Secret>,

    /// The database.
    #[command(flatten)]
    pub database: Database,

    /// A replica of the database.
    #[command(flatten)]
    pub replica: ReplicaSettings,

    /// Maximum number of concurrent reads.
    // With more, the threads and connections cost more than they can do.
    #[arg(long, env = "TIDINGS_READERS", value_name = "NUMBER", help_heading = "Database")]
    #[arg(default_value = "4", value_parser = number(1..=1_000_usize))]
    pub readers: usize,

    /// Maximum number of changes in one commit.
    // A larger batch would delay all others for seconds.
    #[arg(long, env = "TIDINGS_COMMIT_BATCH", value_name = "NUMBER", help_heading = "Database")]
    #[arg(default_value = "256", value_parser = number(1..=65_536_usize))]
    pub commit_batch: usize,

    /// How long events stay in the log.
    #[command(flatten)]
    pub retention: RetentionSettings,

    /// The log of the program.
    #[command(flatten)]
    pub log: LogSettings,

    /// Whether the log has a line for each operation, at level info, with its duration and outcome.
    #[arg(long, env = "TIDINGS_LOG_REQUESTS", value_name = "BOOL", help_heading = "Log")]
    #[arg(default_value = "false", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    #[arg(num_args = 0..=1, default_missing_value = "true")]
    pub log_requests: bool,

    /// The tokens of users.
    #[command(flatten)]
    pub tokens: TokenSettings,

    /// Sign-in and registration.
    #[command(flatten)]
    pub sessions: Sessions,

    /// Tokens of other issuers.
    #[command(flatten)]
    pub issuers: IssuerSettings,

    /// Connections of clients.
    #[command(flatten)]
    pub sockets: SocketSettings,

    /// Limits on requests.
    #[command(flatten)]
    pub limits: LimitSettings,
}

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Database")]
pub struct Database {
    /// Database: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`
    #[arg(long = "database-url", env = "DATABASE_URL", value_name = "URL", default_value = "sqlite://tidings.db")]
    pub url: DatabaseUrl,

    /// File that contains the database URL, instead of --database-url.
    #[arg(long = "database-url-file", env = "DATABASE_URL_FILE", value_name = "FILE")]
    #[arg(value_parser = secret_file::database_url, conflicts_with = "url")]
    pub url_file: Option<DatabaseUrl>,
}

/// A streaming replica of the database, which serves reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Database")]
pub struct ReplicaSettings {
    /// Streaming replica of the PostgreSQL database, for queries and for reading the log [default: none, the database
    /// serves all reads]
    #[arg(long = "database-read-url", env = "TIDINGS_DATABASE_READ_URL", value_name = "URL")]
    #[arg(value_parser = DatabaseUrl::of_replica)]
    pub read_url: Option<DatabaseUrl>,

    /// File that contains the URL of the replica, instead of --database-read-url.
    #[arg(long = "database-read-url-file", env = "TIDINGS_DATABASE_READ_URL_FILE", value_name = "FILE")]
    #[arg(value_parser = secret_file::replica_url, conflicts_with = "read_url")]
    pub read_url_file: Option<DatabaseUrl>,
}

/// How long an event stays in the log: an event is removed when it is both older than `age` and not among the latest
/// `events`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Database")]
pub struct RetentionSettings {
    /// Time for which events stay in the log, so that clients can resume.
    #[arg(long = "log-retention", env = "TIDINGS_LOG_RETENTION", value_name = "TIME")]
    #[arg(default_value = "7d", value_parser = duration(MILLISECOND))]
    pub age: Duration,

    /// Number of latest events that stay in the log, whatever their age.
    #[arg(long = "log-retention-events", env = "TIDINGS_LOG_RETENTION_EVENTS", value_name = "NUMBER")]
    #[arg(default_value = "100000", value_parser = number(0..=u32::MAX))]
    pub events: u32,
}

/// What the program logs.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Log")]
pub struct LogSettings {
    /// Log level: off, error, warn, info, debug or trace, also per module (info,tidings=debug)
    #[arg(long = "log", env = "TIDINGS_LOG", value_name = "FILTER")]
    #[arg(default_value = log_filter::DEFAULT, value_parser = log_filter::parse)]
    pub filter: String,
}

/// How tokens are signed and how long they are valid.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Sessions")]
pub struct TokenSettings {
    /// Secret that signs tokens, 32 bytes or more. Prefer the variable: other users of the machine can read flags
    /// [default with SQLite: created once and kept beside the database file]
    #[arg(long = "jwt-secret", env = "TIDINGS_JWT_SECRET", value_name = "SECRET", value_parser = Secret::for_signing)]
    pub secret: Option<Secret>,

    /// File that contains the secret, instead of --jwt-secret.
    #[arg(long = "jwt-secret-file", env = "TIDINGS_JWT_SECRET_FILE", value_name = "FILE")]
    #[arg(value_parser = secret_file::signing_secret, conflicts_with = "secret")]
    pub secret_file: Option<Secret>,

    /// Time for which a token is valid.
    #[arg(long, env = "TIDINGS_TOKEN_LIFETIME", value_name = "TIME")]
    #[arg(default_value = "12h", value_parser = duration(MIN_TOKEN_LIFETIME))]
    pub token_lifetime: Duration,

    /// Time for which a refresh token is valid, and for which refreshToken extends a token after signing in.
    #[arg(long, env = "TIDINGS_SESSION_LIFETIME", value_name = "TIME")]
    #[arg(default_value = "30d", value_parser = duration(MILLISECOND))]
    pub session_lifetime: Duration,
}

/// The address under which clients reach the server, for links.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct PublicAddress {
    /// Address under which browsers reach the server, for links in invitations and password resets
    /// [default: http:// and the address that the server listens on]
    #[arg(long, env = "TIDINGS_PUBLIC_URL", value_name = "URL", help_heading = "Server")]
    #[arg(value_parser = web_address)]
    pub public_url: Option<String>,
}

/// Who may read, sign in and register.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Sessions")]
pub struct Sessions {
    /// Whether clients without a token may read public channels.
    #[arg(long, env = "TIDINGS_ANONYMOUS_READ", value_name = "BOOL")]
    #[arg(default_value = "true", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    pub anonymous_read: bool,

    /// Whether everyone may register: open or closed.
    // Hidden values keep `--help` in its short form, which does not describe each value on a line of its own.
    #[arg(long, env = "TIDINGS_REGISTRATION", value_name = "WHO", default_value = "open", hide_possible_values = true)]
    pub registration: Registration,

    /// Whether the first account of an empty installation, if it registers, is an admin.
    #[arg(long, env = "TIDINGS_FIRST_USER_ADMIN", value_name = "BOOL")]
    #[arg(default_value = "true", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    pub first_user_admin: bool,

    /// Sign-in attempts per minute for one address and username; 0 for no limit.
    #[arg(long = "sign-in-attempts", env = "TIDINGS_SIGN_IN_ATTEMPTS", value_name = "NUMBER")]
    #[arg(default_value = "10", value_parser = number(0..=u32::MAX))]
    pub attempts_per_minute: u32,

    /// Sign-in attempts per minute from one address, for all usernames together, and as many uses of refresh tokens; 0
    /// for no limit.
    // Twice what an office behind one address needs in the morning, and a fifth of the passwords that one core can check.
    #[arg(long = "sign-ins-per-address", env = "TIDINGS_SIGN_INS_PER_ADDRESS", value_name = "NUMBER")]
    #[arg(default_value = "300", value_parser = number(0..=u32::MAX))]
    pub sign_ins_per_minute: u32,

    /// New accounts per minute from one address; 0 for no limit.
    // More than a class that registers together needs, and a fifth of the passwords that one core can hash.
    #[arg(long, env = "TIDINGS_REGISTRATIONS_PER_MINUTE", value_name = "NUMBER")]
    #[arg(default_value = "300", value_parser = number(0..=u32::MAX))]
    pub registrations_per_minute: u32,

    /// Passwords checked at the same time, 19 MiB each [default: half of the cores]
    // The other half of the cores serves signed-in users, however many clients sign in.
    #[arg(long, env = "TIDINGS_PASSWORD_THREADS", value_name = "NUMBER", value_parser = number(1..=256_usize))]
    #[arg(default_value_t = available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)))]
    #[arg(hide_default_value = true)]
    pub password_threads: usize,
}

/// Who may create an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Registration {
    /// Everyone may register.
    Open,
    /// Only operators create accounts.
    Closed,
}

/// Limits on the number and the silence of connections.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Connections")]
pub struct SocketSettings {
    /// Maximum number of open connections; further ones get HTTP 503.
    // No machine has the memory for more than ten million.
    #[arg(long, env = "TIDINGS_MAX_CONNECTIONS", value_name = "NUMBER")]
    #[arg(default_value = "10000", value_parser = number(1..=10_000_000_usize))]
    pub max_connections: usize,

    /// Maximum number of open connections of one address, and of requests and sockets of an address behind a trusted
    /// proxy; further ones get HTTP 503; 0 for no limit [default: half of all connections, no limit for loopback addresses]
    #[arg(long = "max-connections-per-address", env = "TIDINGS_MAX_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER")]
    #[arg(value_parser = number(0..=MAX_NUMBER))]
    pub max_per_address: Option<usize>,

    /// Maximum number of sockets of one user on this instance; further ones are closed with 1013, after which clients
    /// reconnect; 0 for no limit.
    #[arg(long = "max-sockets-per-user", env = "TIDINGS_MAX_SOCKETS_PER_USER", value_name = "NUMBER")]
    #[arg(default_value = "0", value_parser = number(0..=MAX_NUMBER))]
    pub max_per_user: usize,

    /// Maximum number of subscriptions on one connection.
    #[arg(long, env = "TIDINGS_MAX_SUBSCRIPTIONS", value_name = "NUMBER")]
    #[arg(default_value = "100", value_parser = number(1..=1_000_000_usize))]
    pub max_subscriptions: usize,

    /// Maximum size of a WebSocket frame from a client.
    #[arg(long = "max-frame", env = "TIDINGS_MAX_FRAME", value_name = "SIZE")]
    #[arg(default_value = "256KiB", value_parser = size(MIN_INPUT_BYTES))]
    pub max_frame_bytes: usize,

    /// Frames per second read from one connection; further frames wait; 0 for no limit.
    #[arg(long, env = "TIDINGS_FRAMES_PER_SECOND", value_name = "NUMBER")]
    #[arg(default_value = "200", value_parser = number(0..=u32::MAX))]
    pub frames_per_second: u32,

    /// Time to receive the head of a request, and the same again for its body.
    #[arg(long, env = "TIDINGS_REQUEST_TIMEOUT", value_name = "TIME")]
    #[arg(default_value = "30s", value_parser = duration(MIN_TIMEOUT))]
    pub request_timeout: Duration,

    /// Time for which a connection stays open between requests; must be longer than that of a proxy in front of the server.
    // Common load balancers close idle connections after 60 s. If the server closed first, a balancer could send a
    // request on a connection that the server is closing.
    #[arg(long, env = "TIDINGS_IDLE_TIMEOUT", value_name = "TIME")]
    #[arg(default_value = "75s", value_parser = duration(MIN_TIMEOUT))]
    pub idle_timeout: Duration,

    /// Time to receive connection_init.
    #[arg(long, env = "TIDINGS_INIT_TIMEOUT", value_name = "TIME")]
    #[arg(default_value = "10s", value_parser = duration(MIN_TIMEOUT))]
    pub init_timeout: Duration,

    /// Time between pings of the server, and between cursors in a quiet event stream.
    #[arg(long, env = "TIDINGS_PING_INTERVAL", value_name = "TIME")]
    #[arg(default_value = "30s", value_parser = duration(MIN_TIMEOUT))]
    pub ping_interval: Duration,

    /// Time without any frame from a client, not even a pong, after which its socket is closed.
    // Two pings without an answer, and time for the second answer.
    #[arg(long, env = "TIDINGS_SILENCE_LIMIT", value_name = "TIME")]
    #[arg(default_value = "75s", value_parser = duration(MIN_TIMEOUT))]
    pub silence_limit: Duration,

    /// Time after which a client that reads nothing is disconnected; it may reconnect.
    #[arg(long, env = "TIDINGS_SEND_TIMEOUT", value_name = "TIME")]
    #[arg(default_value = "30s", value_parser = duration(MIN_TIMEOUT))]
    pub send_timeout: Duration,
}

/// Limits on one request or user.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitSettings {
    /// Maximum size of an HTTP body.
    #[arg(long = "max-body", env = "TIDINGS_MAX_BODY", value_name = "SIZE")]
    #[arg(default_value = "1MiB", value_parser = size(MIN_INPUT_BYTES))]
    pub max_body_bytes: usize,

    /// Maximum length of a title, in characters.
    #[arg(long, env = "TIDINGS_MAX_TITLE", value_name = "NUMBER")]
    #[arg(default_value = "200", value_parser = number(1..=MAX_NUMBER))]
    pub max_title: usize,

    /// Maximum length of the content of a message or comment, in characters.
    #[arg(long, env = "TIDINGS_MAX_CONTENT", value_name = "NUMBER")]
    #[arg(default_value = "40000", value_parser = number(1..=MAX_NUMBER))]
    pub max_content: usize,

    /// Maximum depth of a GraphQL document.
    #[arg(long, env = "TIDINGS_MAX_DEPTH", value_name = "NUMBER")]
    #[arg(default_value = "15", value_parser = number(1..=MAX_NUMBER))]
    pub max_depth: usize,

    /// Maximum number of tokens in a GraphQL document.
    #[arg(long, env = "TIDINGS_MAX_TOKENS", value_name = "NUMBER")]
    #[arg(default_value = "2000", value_parser = number(1..=MAX_NUMBER))]
    pub max_tokens: usize,

    /// Maximum number of aliases in a GraphQL document.
    #[arg(long, env = "TIDINGS_MAX_ALIASES", value_name = "NUMBER")]
    #[arg(default_value = "30", value_parser = number(1..=MAX_NUMBER))]
    pub max_aliases: usize,

    /// Maximum number of directives in a GraphQL document.
    #[arg(long, env = "TIDINGS_MAX_DIRECTIVES", value_name = "NUMBER")]
    #[arg(default_value = "50", value_parser = number(1..=MAX_NUMBER))]
    pub max_directives: usize,

    /// Maximum estimated cost of a GraphQL operation.
    #[arg(long, env = "TIDINGS_MAX_COST", value_name = "NUMBER")]
    #[arg(default_value = "5000", value_parser = number(1..=MAX_NUMBER))]
    pub max_cost: usize,

    /// Maximum number of operations in one HTTP request.
    #[arg(long, env = "TIDINGS_MAX_BATCH", value_name = "NUMBER")]
    #[arg(default_value = "10", value_parser = number(1..=1_000_usize))]
    pub max_batch: usize,

    /// Maximum size of the response to a GraphQL operation, of the responses to a batch together, and of one item of a
    /// subscription.
    #[arg(long = "max-response", env = "TIDINGS_MAX_RESPONSE", value_name = "SIZE")]
    #[arg(default_value = "16MiB", value_parser = size(1))]
    pub max_response_bytes: usize,

    /// Memory for all large responses that are being made or sent, at least eight times --max-response.
    #[arg(long = "response-memory", env = "TIDINGS_RESPONSE_MEMORY", value_name = "SIZE")]
    #[arg(default_value = "128MiB", value_parser = size(1))]
    pub response_memory_bytes: usize,

    /// Maximum time for which one operation reads from the database.
    #[arg(long, env = "TIDINGS_QUERY_TIME", value_name = "TIME")]
    #[arg(default_value = "2s", value_parser = duration(MILLISECOND))]
    pub query_time: Duration,

    /// Mutations per second of one user; 0 for no limit.
    #[arg(long, env = "TIDINGS_MUTATIONS_PER_SECOND", value_name = "NUMBER")]
    #[arg(default_value = "50", value_parser = number(0..=u32::MAX))]
    pub mutations_per_second: u32,

    /// Mutations that a user may send at once before that rate applies.
    #[arg(long, env = "TIDINGS_MUTATION_BURST", value_name = "NUMBER")]
    #[arg(default_value = "200", value_parser = number(1..=u32::MAX))]
    pub mutation_burst: u32,

    /// New rooms of one user per minute; 0 for no limit.
    #[arg(long, env = "TIDINGS_NEW_ROOMS_PER_MINUTE", value_name = "NUMBER")]
    #[arg(default_value = "20", value_parser = number(0..=u32::MAX))]
    pub new_rooms_per_minute: u32,
}

impl Config {
    /// The host names that the server answers to; `None`: every name.
    #[must_use]
    pub fn known_hosts(&self) -> Option<Hosts> {
        // Pages of every origin may use the server, so the name by which they do it does not matter.
        if self.allowed_origins.is_any() {
            return None;
        }
        let is_behind_proxy = !self.trusted_proxies.is_empty();
        // Compose passes an unset variable on as an empty one.
        let hosts = match self.hosts.as_ref().filter(|hosts| **hosts != Hosts::default()) {
            Some(hosts) => hosts.clone(),
            None if self.listen.ip().is_loopback() && !is_behind_proxy => Hosts::default(),
            None => return None,
        };
        if hosts.is_any() { None } else { Some(hosts.and(self.allowed_origins.hosts())) }
    }

    /// The bearer token for `/metrics`; `None`: `/metrics` is public.
    #[must_use]
    pub fn metrics_token(&self) -> Option<&Secret> {
        self.metrics_token.as_ref().or(self.metrics_token_file.as_ref())
    }

    /// Checks settings that depend on each other.
    ///
    /// # Errors
    /// One line that names the settings that conflict.
    pub fn check(&self) -> Result<(), String> {
        let SocketSettings { silence_limit, ping_interval, .. } = self.sockets;
        // Otherwise every client that only listens would be disconnected before the server sends a ping.
        if silence_limit <= ping_interval {
            return Err(format!(
                "--silence-limit (TIDINGS_SILENCE_LIMIT): {} must be longer than the ping interval, {}",
                format_duration(silence_limit),
                format_duration(ping_interval)
            ));
        }
        let LimitSettings { response_memory_bytes, max_response_bytes, .. } = self.limits;
        // One client gets three eighths of the memory, and a response takes three times its size while it is made.
        if response_memory_bytes / 8 < max_response_bytes {
            return Err(format!(
                "--response-memory (TIDINGS_RESPONSE_MEMORY): {response_memory_bytes} bytes must be at least eight \
                 times --max-response, {max_response_bytes} bytes"
            ));
        }
        self.replica.check(&self.database)?;
        self.issuers.check(self.public.public_url.as_deref())?;
        self.tokens.check(&self.database)
    }
}

impl Database {
    /// The URL, from whichever setting has it.
    #[must_use]
    pub fn url(&self) -> &DatabaseUrl {
        self.url_file.as_ref().unwrap_or(&self.url)
    }
}

impl ReplicaSettings {
    /// The URL of the replica, from whichever setting has it.
    #[must_use]
    pub fn url(&self) -> Option<&DatabaseUrl> {
        self.read_url_file.as_ref().or(self.read_url.as_ref())
    }

    /// Checks that the database can have a replica.
    ///
    /// # Errors
    /// One line, if a replica is named and the database is SQLite.
    pub fn check(&self, database: &Database) -> Result<(), String> {
        if self.url().is_some() && matches!(database.url(), DatabaseUrl::Sqlite(_)) {
            return Err("--database-read-url (TIDINGS_DATABASE_READ_URL): needs a PostgreSQL database, but \
                 DATABASE_URL is SQLite, which has no replicas"
                .into());
        }
        Ok(())
    }
}

impl From<DatabaseUrl> for Database {
    fn from(url: DatabaseUrl) -> Self {
        Self { url, url_file: None }
    }
}

impl TokenSettings {
    /// The secret that signs tokens, if the operator has set one.
    #[must_use]
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref().or(self.secret_file.as_ref())
    }

    /// Checks that there is a secret if the database needs one.
    ///
    /// # Errors
    /// One line, if the database is PostgreSQL and there is no secret.
    pub fn check(&self, database: &Database) -> Result<(), String> {
        // Instances that each created a secret would refuse each other's tokens.
        if self.secret().is_none() && matches!(database.url(), DatabaseUrl::Postgres(_)) {
            return Err("TIDINGS_JWT_SECRET: required with PostgreSQL, the same for every instance".into());
        }
        Ok(())
    }
}

impl SocketSettings {
    /// The maximum number of connections of one address; 0: no limit.
    #[must_use]
    pub fn max_per_address(&self) -> usize {
        self.max_per_address.unwrap_or(self.max_connections.div_ceil(2))
    }

    /// Whether the limit per address applies to loopback addresses. By default these may use all connections: they
    /// belong to the operator, or to a proxy that is not listed in `--trusted-proxies` yet.
    #[must_use]
    pub fn limits_loopback(&self) -> bool {
        self.max_per_address.is_some()
    }
}

/// The declared defaults of a group of settings, whatever the environment.
fn defaults<T: Args>() -> T {
    let command = T::augment_args(clap::Command::new("defaults")).mut_args(|arg| arg.env(None));
    let parsed = command.try_get_matches_from(["defaults"]).and_then(|matches| T::from_arg_matches(&matches));
    parsed.expect("every setting is optional or has a valid default")
}

impl Default for Config {
    fn default() -> Self {
        defaults()
    }
}

impl Default for TokenSettings {
    fn default() -> Self {
        defaults()
    }
}

impl Default for IssuerSettings {
    fn default() -> Self {
        defaults()
    }
}

impl Default for SocketSettings {
    fn default() -> Self {
        defaults()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_listener_answers_only_to_local_names_unless_a_proxy_is_trusted() {
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
            database: "postgres://zowi:hunter2@db.example/tidings".parse::<DatabaseUrl>().unwrap().into(),
            metrics_token: secret("scrape-me"),
            tokens: TokenSettings { secret: secret("top-secret"), ..TokenSettings::default() },
            ..Config::default()
        };
        let shown = format!("{config:?}");
        assert!(shown.contains("db.example"), "{shown}");
        for hidden in ["hunter2", "scrape-me", "top-secret"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
}
