//! One flag and one environment variable per setting. The defaults are `Config`'s own, so that the
//! help cannot say another one.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use super::file;
use crate::cli::log::filter;
use crate::config::{
    Bytes, Config, Count, DatabaseUrl, Hosts, Limits, Networks, Origins, PerAddress, Positive, Registration, Retention,
    Secret, Sessions, Sockets, Span, Switch,
};

/// Below, every client would be closed before it can do anything.
const SHORTEST_TIME: Duration = Duration::from_millis(100);
/// Tokens count whole seconds.
const SHORTEST_TOKEN: Duration = Duration::from_secs(1);
/// Below, no request and no frame of any use fits in.
const SMALLEST_INPUT: usize = 1024;
/// Above, threads and connections to the database cost more than they can do.
const MOST_READERS: u32 = 1_000;
const MOST_PASSWORD_THREADS: u32 = 256;
/// Above, one batch would hold up all others for seconds.
const LARGEST_BATCH: u32 = 65_536;
/// Above, the memory of no machine would do.
const MOST_CONNECTIONS: u32 = 10_000_000;
const MOST_SUBSCRIPTIONS: u32 = 1_000_000;
const MOST_OPERATIONS: u32 = 1_000;

/// Where the data is and how much to tell: for every command that opens the database.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Where the data is: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/DATABASE` [default: sqlite://tidings.db]
    #[arg(long, env = "DATABASE_URL", value_name = "URL", help_heading = "Database")]
    database_url: Option<DatabaseUrl>,
    /// File that holds the database URL, instead of --database-url
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE", help_heading = "Database")]
    #[arg(value_parser = file::database_url)]
    database_url_file: Option<DatabaseUrl>,
    /// What to tell on standard error: off, error, warn, info, debug or trace, also by module (info,tidings=debug)
    #[arg(long, env = "TIDINGS_LOG", value_name = "FILTER", help_heading = "Log")]
    #[arg(default_value_t = Config::default().log, value_parser = filter::parse)]
    log: String,
}

impl Place {
    pub(super) fn into_config(self) -> Result<Config, String> {
        let database = file::one_of("DATABASE_URL", self.database_url, self.database_url_file)?;
        Ok(Config { database: database.unwrap_or_default(), log: self.log, ..Config::default() })
    }
}

/// For every command that makes tokens.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sessions")]
pub(super) struct SessionSettings {
    /// What tokens are signed with, 32 bytes or more. Better set the variable: others on the machine can read flags
    /// [default with SQLite: made once and kept beside the file]
    #[arg(long, env = "TIDINGS_JWT_SECRET", value_name = "SECRET", value_parser = Secret::for_signing)]
    jwt_secret: Option<Secret>,
    /// File that holds that secret, instead of --jwt-secret
    #[arg(long, env = "TIDINGS_JWT_SECRET_FILE", value_name = "FILE", value_parser = file::signing_secret)]
    jwt_secret_file: Option<Secret>,
    /// How long a token holds
    #[arg(long, env = "TIDINGS_TOKEN_LIFETIME", value_name = "TIME", value_parser = Span::at_least(SHORTEST_TOKEN))]
    #[arg(default_value_t = Span(Sessions::default().token_lifetime))]
    token_lifetime: Span,
    /// How long after signing in a session can be extended by new tokens; then users sign in again
    #[arg(long, env = "TIDINGS_SESSION_LIFETIME", value_name = "TIME")]
    #[arg(default_value_t = Span(Sessions::default().session_lifetime))]
    session_lifetime: Span,
}

impl SessionSettings {
    pub(super) fn into_config(self, place: Place) -> Result<Config, String> {
        let mut config = place.into_config()?;
        let secret = file::one_of("TIDINGS_JWT_SECRET", self.jwt_secret, self.jwt_secret_file)?;
        // Instances that each made up a secret would refuse each other's tokens.
        if secret.is_none() && matches!(config.database, DatabaseUrl::Postgres(_)) {
            return Err("TIDINGS_JWT_SECRET: required with PostgreSQL, the same for every instance".into());
        }
        config.sessions.secret = secret;
        config.sessions.token_lifetime = self.token_lifetime.0;
        config.sessions.session_lifetime = self.session_lifetime.0;
        Ok(config)
    }
}

/// Everything that `serve` can be told.
#[derive(Debug, Args)]
pub(super) struct ServeSettings {
    #[command(flatten)]
    server: ServerSettings,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    sessions: SessionSettings,
    #[command(flatten)]
    entry: EntrySettings,
    #[command(flatten)]
    sockets: SocketSettings,
    #[command(flatten)]
    limits: LimitSettings,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
struct ServerSettings {
    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "TIDINGS_LISTEN", value_name = "ADDRESS:PORT", value_parser = address)]
    #[arg(default_value_t = Config::default().listen)]
    listen: SocketAddr,
    /// Web pages of other origins that may use the server, separated by commas; * for all [default: none]
    #[arg(long, env = "TIDINGS_ALLOWED_ORIGINS", value_name = "ORIGINS")]
    #[arg(default_value_t, hide_default_value = true)]
    allowed_origins: Origins,
    /// Proxies whose X-Forwarded-For is believed: addresses or networks (10.0.0.0/8), separated by commas
    /// [default: none]
    #[arg(long, env = "TIDINGS_TRUSTED_PROXIES", value_name = "NETWORKS")]
    trusted_proxies: Option<Networks>,
    /// Names by which the server may be addressed, separated by commas; * for all [default: on a loopback address without
    /// trusted proxies those of this machine, else all]
    #[arg(long, env = "TIDINGS_HOSTS", value_name = "NAMES")]
    hosts: Option<Hosts>,
    /// How long a stop waits for what is in flight
    #[arg(long, env = "TIDINGS_SHUTDOWN_GRACE", value_name = "TIME")]
    #[arg(default_value_t = Span(Config::default().shutdown_grace))]
    shutdown_grace: Span,
    /// Whether clients may ask for the schema: true or false
    #[arg(long, env = "TIDINGS_INTROSPECTION", value_name = "BOOL")]
    #[arg(default_value_t = Switch(Config::default().introspection))]
    introspection: Switch,
    /// Whether the GraphiQL page is served: true or false
    #[arg(long, env = "TIDINGS_GRAPHIQL", value_name = "BOOL")]
    #[arg(default_value_t = Switch(Config::default().graphiql))]
    graphiql: Switch,
    /// Bearer token that /metrics asks for [default: none, everybody may read it]
    #[arg(long, env = "TIDINGS_METRICS_TOKEN", value_name = "TOKEN", value_parser = Secret::for_bearers)]
    metrics_token: Option<Secret>,
    /// File that holds that token, instead of --metrics-token
    #[arg(long, env = "TIDINGS_METRICS_TOKEN_FILE", value_name = "FILE", value_parser = file::bearer_token)]
    metrics_token_file: Option<Secret>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Database")]
struct DatabaseSettings {
    /// Queries that read at once
    #[arg(long, env = "TIDINGS_READERS", value_name = "NUMBER", value_parser = Positive::at_most(MOST_READERS))]
    #[arg(default_value_t = Config::default().readers.into())]
    readers: Positive,
    /// Changes committed together at most
    #[arg(long, env = "TIDINGS_COMMIT_BATCH", value_name = "NUMBER", value_parser = Positive::at_most(LARGEST_BATCH))]
    #[arg(default_value_t = Config::default().commit_batch.into())]
    commit_batch: Positive,
    /// How long events stay in the log for clients to resume from
    #[arg(long, env = "TIDINGS_LOG_RETENTION", value_name = "TIME")]
    #[arg(default_value_t = Span(Retention::default().age))]
    log_retention: Span,
    /// How many of the latest events stay, however old
    #[arg(long, env = "TIDINGS_LOG_RETENTION_EVENTS", value_name = "NUMBER")]
    #[arg(default_value_t = Count(Retention::default().events))]
    log_retention_events: Count,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Sessions")]
struct EntrySettings {
    /// Whether readers without a token see public channels: true or false
    #[arg(long, env = "TIDINGS_ANONYMOUS_READ", value_name = "BOOL")]
    #[arg(default_value_t = Switch(Sessions::default().anonymous_read))]
    anonymous_read: Switch,
    /// Whether strangers may register: open or closed
    #[arg(long, env = "TIDINGS_REGISTRATION", value_name = "WHO")]
    #[arg(default_value_t = Sessions::default().registration)]
    registration: Registration,
    /// Sign-in attempts per minute for one address and username; 0 for no limit
    #[arg(long, env = "TIDINGS_SIGN_IN_ATTEMPTS", value_name = "NUMBER")]
    #[arg(default_value_t = Count(Sessions::default().attempts_per_minute))]
    sign_in_attempts: Count,
    /// Sign-in attempts per minute from one address, whatever the username; 0 for no limit
    #[arg(long, env = "TIDINGS_SIGN_INS_PER_ADDRESS", value_name = "NUMBER")]
    #[arg(default_value_t = Count(Sessions::default().sign_ins_per_minute))]
    sign_ins_per_address: Count,
    /// Accounts made per minute from one address; 0 for no limit
    #[arg(long, env = "TIDINGS_REGISTRATIONS_PER_MINUTE", value_name = "NUMBER")]
    #[arg(default_value_t = Count(Sessions::default().registrations_per_minute))]
    registrations_per_minute: Count,
    /// Passwords checked at once, 19 MiB each [default: half of the cores]
    #[arg(long, env = "TIDINGS_PASSWORD_THREADS", value_name = "NUMBER")]
    #[arg(value_parser = Positive::at_most(MOST_PASSWORD_THREADS))]
    password_threads: Option<Positive>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Connections")]
struct SocketSettings {
    /// Open connections; more get HTTP 503
    #[arg(long, env = "TIDINGS_MAX_CONNECTIONS", value_name = "NUMBER")]
    #[arg(value_parser = Positive::at_most(MOST_CONNECTIONS))]
    #[arg(default_value_t = Sockets::default().max_connections.into())]
    max_connections: Positive,
    /// Open connections of one address, and requests of one that a trusted proxy names; more get HTTP 503; 0 for no limit
    /// [default: half of them, and all for this machine itself]
    #[arg(long, env = "TIDINGS_MAX_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER")]
    max_connections_per_address: Option<Count>,
    /// Sockets of one user on this instance; more are closed, and may come back; 0 for no limit
    #[arg(long, env = "TIDINGS_MAX_SOCKETS_PER_USER", value_name = "NUMBER")]
    #[arg(default_value_t = Count::from(Sockets::default().max_per_user))]
    max_sockets_per_user: Count,
    /// Subscriptions on one connection
    #[arg(long, env = "TIDINGS_MAX_SUBSCRIPTIONS", value_name = "NUMBER")]
    #[arg(value_parser = Positive::at_most(MOST_SUBSCRIPTIONS))]
    #[arg(default_value_t = Sockets::default().max_subscriptions.into())]
    max_subscriptions: Positive,
    /// Size of a WebSocket frame from a client
    #[arg(long, env = "TIDINGS_MAX_FRAME", value_name = "SIZE", value_parser = Bytes::at_least(SMALLEST_INPUT))]
    #[arg(default_value_t = Bytes(Sockets::default().max_frame_bytes))]
    max_frame: Bytes,
    /// Frames read per second from one connection, which waits if it sends more; 0 for no limit
    #[arg(long, env = "TIDINGS_FRAMES_PER_SECOND", value_name = "NUMBER")]
    #[arg(default_value_t = Count(Sockets::default().frames_per_second))]
    frames_per_second: Count,
    /// Time a client has for the head of a request, and again for its body
    #[arg(long, env = "TIDINGS_REQUEST_TIMEOUT", value_name = "TIME", value_parser = Span::at_least(SHORTEST_TIME))]
    #[arg(default_value_t = Span(Sockets::default().request_timeout))]
    request_timeout: Span,
    /// Time a connection is kept open between requests: longer than a proxy in front keeps it
    #[arg(long, env = "TIDINGS_IDLE_TIMEOUT", value_name = "TIME", value_parser = Span::at_least(SHORTEST_TIME))]
    #[arg(default_value_t = Span(Sockets::default().idle_timeout))]
    idle_timeout: Span,
    /// Time a client has for `connection_init`
    #[arg(long, env = "TIDINGS_INIT_TIMEOUT", value_name = "TIME", value_parser = Span::at_least(SHORTEST_TIME))]
    #[arg(default_value_t = Span(Sockets::default().init_timeout))]
    init_timeout: Span,
    /// Time between the server's pings
    #[arg(long, env = "TIDINGS_PING_INTERVAL", value_name = "TIME", value_parser = Span::at_least(SHORTEST_TIME))]
    #[arg(default_value_t = Span(Sockets::default().ping_interval))]
    ping_interval: Span,
    /// A client that says nothing for so long, not even a pong, is closed
    #[arg(long, env = "TIDINGS_SILENCE_LIMIT", value_name = "TIME", value_parser = Span::at_least(SHORTEST_TIME))]
    #[arg(default_value_t = Span(Sockets::default().silence_limit))]
    silence_limit: Span,
    /// A client that takes nothing for so long is closed, and may come back
    #[arg(long, env = "TIDINGS_SEND_TIMEOUT", value_name = "TIME", value_parser = Span::at_least(SHORTEST_TIME))]
    #[arg(default_value_t = Span(Sockets::default().send_timeout))]
    send_timeout: Span,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitSettings {
    /// Size of an HTTP body
    #[arg(long, env = "TIDINGS_MAX_BODY", value_name = "SIZE", value_parser = Bytes::at_least(SMALLEST_INPUT))]
    #[arg(default_value_t = Bytes(Limits::default().max_body_bytes))]
    max_body: Bytes,
    /// Characters of a title
    #[arg(long, env = "TIDINGS_MAX_TITLE", value_name = "NUMBER")]
    #[arg(default_value_t = Limits::default().max_title.into())]
    max_title: Positive,
    /// Characters of a message's or comment's content
    #[arg(long, env = "TIDINGS_MAX_CONTENT", value_name = "NUMBER")]
    #[arg(default_value_t = Limits::default().max_content.into())]
    max_content: Positive,
    /// Levels of a GraphQL document
    #[arg(long, env = "TIDINGS_MAX_DEPTH", value_name = "NUMBER")]
    #[arg(default_value_t = Limits::default().max_depth.into())]
    max_depth: Positive,
    /// Tokens of a GraphQL document
    #[arg(long, env = "TIDINGS_MAX_TOKENS", value_name = "NUMBER")]
    #[arg(default_value_t = Limits::default().max_tokens.into())]
    max_tokens: Positive,
    /// Aliases in a GraphQL document
    #[arg(long, env = "TIDINGS_MAX_ALIASES", value_name = "NUMBER")]
    #[arg(default_value_t = Limits::default().max_aliases.into())]
    max_aliases: Positive,
    /// Directives in a GraphQL document
    #[arg(long, env = "TIDINGS_MAX_DIRECTIVES", value_name = "NUMBER")]
    #[arg(default_value_t = Limits::default().max_directives.into())]
    max_directives: Positive,
    /// Estimated cost of a GraphQL operation
    #[arg(long, env = "TIDINGS_MAX_COST", value_name = "NUMBER")]
    #[arg(default_value_t = Limits::default().max_cost.into())]
    max_cost: Positive,
    /// Operations in one HTTP request
    #[arg(long, env = "TIDINGS_MAX_BATCH", value_name = "NUMBER", value_parser = Positive::at_most(MOST_OPERATIONS))]
    #[arg(default_value_t = Limits::default().max_batch.into())]
    max_batch: Positive,
    /// Size of a response to a GraphQL operation, or to a batch of them, and of one item of a subscription
    #[arg(long, env = "TIDINGS_MAX_RESPONSE", value_name = "SIZE")]
    #[arg(default_value_t = Bytes(Limits::default().max_response_bytes))]
    max_response: Bytes,
    /// Memory for large responses that are being made or sent, all together: at least eight times --max-response
    #[arg(long, env = "TIDINGS_RESPONSE_MEMORY", value_name = "SIZE")]
    #[arg(default_value_t = Bytes(Limits::default().response_memory_bytes))]
    response_memory: Bytes,
    /// How long an operation may read from the database
    #[arg(long, env = "TIDINGS_QUERY_TIME", value_name = "TIME")]
    #[arg(default_value_t = Span(Limits::default().query_time))]
    query_time: Span,
    /// Mutations per second and user; 0 for no limit
    #[arg(long, env = "TIDINGS_MUTATIONS_PER_SECOND", value_name = "NUMBER")]
    #[arg(default_value_t = Count(Limits::default().mutations_per_second))]
    mutations_per_second: Count,
    /// Mutations a user may do at once, before that rate counts
    #[arg(long, env = "TIDINGS_MUTATION_BURST", value_name = "NUMBER")]
    #[arg(default_value_t = Positive(Limits::default().mutation_burst))]
    mutation_burst: Positive,
    /// Rooms a user may make per minute; 0 for no limit
    #[arg(long, env = "TIDINGS_NEW_ROOMS_PER_MINUTE", value_name = "NUMBER")]
    #[arg(default_value_t = Count(Limits::default().new_rooms_per_minute))]
    new_rooms_per_minute: Count,
}

impl ServeSettings {
    /// All settings together.
    ///
    /// # Errors
    /// One line that names the settings that do not go together.
    pub(super) fn into_config(self) -> Result<Config, String> {
        let Self { server, place, database, sessions, entry, sockets, limits } = self;
        let base = sessions.into_config(place)?;
        Ok(Config {
            listen: server.listen,
            readers: database.readers.get(),
            commit_batch: database.commit_batch.get(),
            allowed_origins: server.allowed_origins,
            trusted_proxies: server.trusted_proxies.unwrap_or_default(),
            // An empty variable, as Compose passes one on that is not set, is none.
            hosts: server.hosts.filter(|hosts| *hosts != Hosts::default()),
            shutdown_grace: server.shutdown_grace.0,
            introspection: server.introspection.0,
            graphiql: server.graphiql.0,
            metrics_token: file::one_of("TIDINGS_METRICS_TOKEN", server.metrics_token, server.metrics_token_file)?,
            retention: database.into_retention(),
            sessions: entry.into_sessions(base.sessions),
            sockets: sockets.into_sockets()?,
            limits: limits.into_limits()?,
            database: base.database,
            log: base.log,
        })
    }
}

impl DatabaseSettings {
    fn into_retention(self) -> Retention {
        Retention { age: self.log_retention.0, events: self.log_retention_events.0 }
    }
}

impl EntrySettings {
    fn into_sessions(self, base: Sessions) -> Sessions {
        Sessions {
            anonymous_read: self.anonymous_read.0,
            registration: self.registration,
            attempts_per_minute: self.sign_in_attempts.0,
            sign_ins_per_minute: self.sign_ins_per_address.0,
            registrations_per_minute: self.registrations_per_minute.0,
            password_threads: self.password_threads.map_or(base.password_threads, Positive::get),
            ..base
        }
    }
}

impl SocketSettings {
    fn into_sockets(self) -> Result<Sockets, String> {
        // Otherwise every client that only listens would be closed before it is pinged.
        if self.silence_limit.0 <= self.ping_interval.0 {
            let Self { silence_limit, ping_interval, .. } = self;
            return Err(format!(
                "--silence-limit (TIDINGS_SILENCE_LIMIT): {silence_limit} must be longer than the ping interval, {ping_interval}"
            ));
        }
        Ok(Sockets {
            max_connections: self.max_connections.get(),
            per_address: match self.max_connections_per_address {
                Some(most) => PerAddress::exactly(most.get()),
                None => PerAddress::half_of(self.max_connections.get()),
            },
            max_per_user: self.max_sockets_per_user.get(),
            max_subscriptions: self.max_subscriptions.get(),
            max_frame_bytes: self.max_frame.0,
            frames_per_second: self.frames_per_second.0,
            request_timeout: self.request_timeout.0,
            idle_timeout: self.idle_timeout.0,
            init_timeout: self.init_timeout.0,
            ping_interval: self.ping_interval.0,
            silence_limit: self.silence_limit.0,
            send_timeout: self.send_timeout.0,
        })
    }
}

impl LimitSettings {
    fn into_limits(self) -> Result<Limits, String> {
        // One client gets three eighths of it, and while it is made a response takes three times its size.
        if self.response_memory.0 / 8 < self.max_response.0 {
            let Self { response_memory, max_response, .. } = self;
            return Err(format!(
                "--response-memory (TIDINGS_RESPONSE_MEMORY): {response_memory} must be at least eight times --max-response, {max_response}"
            ));
        }
        Ok(Limits {
            max_body_bytes: self.max_body.0,
            max_title: self.max_title.get(),
            max_content: self.max_content.get(),
            max_depth: self.max_depth.get(),
            max_tokens: self.max_tokens.get(),
            max_aliases: self.max_aliases.get(),
            max_directives: self.max_directives.get(),
            max_cost: self.max_cost.get(),
            max_batch: self.max_batch.get(),
            max_response_bytes: self.max_response.0,
            response_memory_bytes: self.response_memory.0,
            query_time: self.query_time.0,
            mutations_per_second: self.mutations_per_second.0,
            mutation_burst: self.mutation_burst.0,
            new_rooms_per_minute: self.new_rooms_per_minute.0,
        })
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("'{text}' is not an address and port like 127.0.0.1:8000, 0.0.0.0:8000 or [::]:8000"))
}
