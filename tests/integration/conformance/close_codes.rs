//! Every close code, provoked on every protocol that uses it. The rows are compared with `src/web/socket/close.rs` and
//! `docs/clients.md`: a close code without a row fails the test.

use std::collections::BTreeSet;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::json;
use tidings::config::{Config, DatabaseUrl};

use crate::support::raw_socket::{self, RawSocket};
use crate::support::{Report, Server, Session};

const MODERN: &str = "graphql-transport-ws";
const LEGACY: &str = "graphql-ws";
const JSON_SOCKET: &str = "JSON socket";
const ALL: &[&str] = &[MODERN, LEGACY, JSON_SOCKET];
const GRAPHQL: &[&str] = &[MODERN, LEGACY];
/// A short timeout or interval.
const SHORT_TIMEOUT: Duration = Duration::from_millis(200);

/// A server, a registered user, and the protocol under test.
struct Client {
    server: Server,
    ann: Session,
    protocol: &'static str,
}

type Provoked = BoxFuture<'static, (u16, String)>;

/// One reason to close a socket.
struct Row {
    variant: &'static str,
    code: u16,
    when: &'static str,
    protocols: &'static [&'static str],
    settings: fn(&mut Config),
    provoke: fn(Client) -> Provoked,
}

fn row(
    variant: &'static str,
    code: u16,
    when: &'static str,
    protocols: &'static [&'static str],
    provoke: fn(Client) -> Provoked,
) -> Row {
    Row { variant, code, when, protocols, settings: |_| {}, provoke }
}

impl Row {
    fn with(self, settings: fn(&mut Config)) -> Self {
        Self { settings, ..self }
    }
}

impl Client {
    async fn open(&self, query: &str) -> RawSocket {
        match self.protocol {
            JSON_SOCKET => {
                RawSocket::open(self.server.address(), &format!("/api/v1/websocket/connect{query}"), "").await
            }
            protocol => RawSocket::open(self.server.address(), &format!("/graphql{query}"), protocol).await,
        }
    }

    /// Connects with this token and, for GraphQL, sends `connection_init`.
    async fn connect_and_init(&self, token: Option<&str>) -> RawSocket {
        let query = token.map_or_else(String::new, |token| format!("?token={token}"));
        let mut raw = self.open(&query).await;
        if self.protocol != JSON_SOCKET {
            raw.write(&raw_socket::text(r#"{"type":"connection_init"}"#)).await;
        }
        raw
    }

    /// A frame that starts a subscription, which runs until the client stops it.
    fn start(&self, id: &str) -> Vec<u8> {
        let kind = if self.protocol == MODERN { "subscribe" } else { "start" };
        let payload = json!({"query": "subscription { events { cursor } }"});
        raw_socket::text(&json!({"type": kind, "id": id, "payload": payload}).to_string())
    }
}

/// Connects anonymously and sends these bytes; returns the close code and reason.
async fn close_after(client: Client, bytes: Vec<u8>) -> (u16, String) {
    let mut raw = client.connect_and_init(None).await;
    raw.write(&bytes).await;
    raw.close_frame().await
}

fn rows() -> Vec<Row> {
    [frame_rows(), server_rows(), protocol_rows()].into_iter().flatten().collect()
}

fn frame_rows() -> Vec<Row> {
    vec![
        row("BrokenFrame", 1002, "a frame with reserved bits", ALL, |client| {
            close_after(client, vec![0xf1, 0x80, 0, 0, 0, 0]).boxed()
        }),
        row("BrokenFrame", 1002, "a control frame of 126 bytes", ALL, |client| {
            close_after(client, raw_socket::frame(true, raw_socket::PING, &[0; 126])).boxed()
        }),
        row("BrokenFrame", 1002, "a fragmented control frame", ALL, |client| {
            close_after(client, raw_socket::frame(false, raw_socket::PING, &[])).boxed()
        }),
        row("BrokenFrame", 1002, "a continuation without a first frame", ALL, |client| {
            close_after(client, raw_socket::frame(true, raw_socket::CONTINUATION, b"{}")).boxed()
        }),
        row("BrokenText", 1007, "text that is not UTF-8", ALL, |client| {
            close_after(client, raw_socket::frame(true, raw_socket::TEXT, &[b'"', 0xff, b'"'])).boxed()
        }),
        row("TooLarge", 1009, "a frame over the limit", ALL, |client| {
            close_after(client, raw_socket::frame(true, raw_socket::TEXT, &vec![b' '; (256 << 10) + 1])).boxed()
        }),
        row("TooLarge", 1009, "fragments that exceed it together", ALL, |client| {
            let (first, piece) = (
                raw_socket::frame(false, raw_socket::TEXT, b" "),
                raw_socket::frame(false, raw_socket::CONTINUATION, &[b' '; 10_000]),
            );
            close_after(client, [first, piece.repeat(30)].concat()).boxed()
        }),
        row("TooLarge", 1009, "a frame header with too large a length", ALL, |client| {
            close_after(client, raw_socket::head(true, raw_socket::TEXT, 1 << 40)).boxed()
        }),
    ]
}

fn server_rows() -> Vec<Row> {
    vec![
        row("Restarting", 1012, "the server stops", ALL, |mut client| {
            async move {
                let mut raw = client.connect_and_init(None).await;
                let (closed, ()) = tokio::join!(raw.close_frame(), client.server.close());
                closed
            }
            .boxed()
        }),
        row("TooSlow", 1013, "the client is silent for too long", ALL, |client| {
            async move { client.connect_and_init(None).await.close_frame().await }.boxed()
        })
        .with(|config| {
            config.sockets.ping_interval = SHORT_TIMEOUT;
            config.sockets.silence_limit = 2 * SHORT_TIMEOUT;
        }),
        row("Busy", 1013, "a disk error while a user is authenticated", ALL, |client| {
            async move {
                truncate_wal(&client.server);
                client.connect_and_init(Some(&client.ann.token)).await.close_frame().await
            }
            .boxed()
        }),
        row("Fault", 4500, "a broken schema while a user is authenticated", ALL, |client| {
            async move {
                break_the_schema(&client.server);
                client.connect_and_init(Some(&client.ann.token)).await.close_frame().await
            }
            .boxed()
        }),
        row("TooManySockets", 1013, "more sockets of a user than allowed", ALL, |client| {
            async move {
                let _first = client.server.socket(Some(&client.ann)).await;
                client.connect_and_init(Some(&client.ann.token)).await.close_frame().await
            }
            .boxed()
        })
        .with(|config| config.sockets.max_per_user = 1),
    ]
}

/// Truncates the write-ahead log. The next read fails with an I/O error, which counts as temporary.
fn truncate_wal(server: &Server) {
    let log = format!("{}-wal", database_file(server));
    std::fs::File::options()
        .write(true)
        .open(log)
        .and_then(|log| log.set_len(0))
        .expect("the write-ahead log can be truncated");
}

/// Renames a column, so that every statement about users fails permanently.
fn break_the_schema(server: &Server) {
    let mut database = SqliteConnection::establish(&database_file(server)).expect("the database");
    database
        .batch_execute("PRAGMA busy_timeout = 5000; ALTER TABLE users RENAME COLUMN display_name TO gone")
        .expect("the column can be renamed");
}

fn database_file(server: &Server) -> String {
    server.database_url().replace("sqlite://", "")
}

fn protocol_rows() -> Vec<Row> {
    vec![
        row("Goodbye", 1000, "connection_terminate", &[LEGACY], |client| {
            close_after(client, raw_socket::text(r#"{"type":"connection_terminate"}"#)).boxed()
        }),
        row("BadMessage", 4400, "a message that is not an object", GRAPHQL, |client| {
            close_after(client, raw_socket::text("[]")).boxed()
        }),
        row("BadMessage", 4400, "a binary frame", GRAPHQL, |client| {
            close_after(client, raw_socket::frame(true, raw_socket::BINARY, b"{}")).boxed()
        }),
        row("BadMessage", 4400, "an empty id", GRAPHQL, |client| {
            let start = client.start("");
            close_after(client, start).boxed()
        }),
        row("Unauthorized", 4401, "an operation before connection_init", GRAPHQL, |client| {
            async move {
                let mut raw = client.open("").await;
                raw.write(&client.start("1")).await;
                raw.close_frame().await
            }
            .boxed()
        }),
        row("Unauthorized", 4401, "no token where one is needed", ALL, |client| {
            async move { client.connect_and_init(None).await.close_frame().await }.boxed()
        })
        .with(|config| config.sessions.anonymous_read = false),
        row("Forbidden", 4403, "a bad token", ALL, |client| {
            async move { client.connect_and_init(Some("wrong")).await.close_frame().await }.boxed()
        }),
        row("Forbidden", 4403, "the session ends", ALL, |client| {
            async move {
                let mut raw = client.connect_and_init(Some(&client.ann.token)).await;
                raw.close_frame().await
            }
            .boxed()
        })
        .with(|config| config.tokens.token_lifetime = Duration::from_secs(1)),
        row("NoProtocol", 4406, "no sub-protocol in common", &[MODERN], |client| {
            async move { RawSocket::open(client.server.address(), "/graphql", "soap").await.close_frame().await }
                .boxed()
        }),
        row("InitTimeout", 4408, "no connection_init in time", GRAPHQL, |client| {
            async move { client.open("").await.close_frame().await }.boxed()
        })
        .with(|config| config.sockets.init_timeout = SHORT_TIMEOUT),
        row("Duplicate", 4409, "a long id of a running operation", GRAPHQL, |client| {
            let start = client.start(&"é".repeat(500));
            close_after(client, start.repeat(2)).boxed()
        }),
        row("SecondInit", 4429, "a second connection_init", GRAPHQL, |client| {
            close_after(client, raw_socket::text(r#"{"type":"connection_init"}"#)).boxed()
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_close_code_is_provoked_on_every_protocol() {
    let (rows, documented) = (rows(), documented());
    let mut report = Report::new("close codes, each provoked on the listed protocols:");
    report.line(format_args!("{:<5} {:<12} {:<11} {:<45} protocols", "code", "", "reconnects", "when"));
    for Row { variant, code, when, protocols, settings, provoke } in &rows {
        let (_, comes_back) = documented.iter().find(|(known, _)| known == code).expect("a row in docs/clients.md");
        for protocol in *protocols {
            let directory = tempfile::tempdir().expect("a directory");
            let database = DatabaseUrl::Sqlite(directory.path().join("tidings.db"));
            let server = Server::start_with(|config| {
                settings(config);
                // Some rows damage the database in ways that are specific to SQLite.
                config.database.url = database;
            })
            .await;
            let ann = server.register("ann").await;
            let (got, reason) = provoke(Client { server, ann, protocol }).await;
            assert_eq!(got, *code, "{when}, {protocol}: {reason}");
            assert!(reason.len() <= 123, "{reason}");
        }
        report.line(format_args!(
            "{code:<5} {variant:<12} {:<11} {when:<45} {}",
            if *comes_back { "yes" } else { "no" },
            protocols.join(", ")
        ));
    }
    let tested: BTreeSet<&str> = rows.iter().map(|row| row.variant).collect();
    assert_eq!(
        tested,
        variants().iter().map(String::as_str).collect(),
        "every variant in src/web/socket/close.rs has a row"
    );
    let codes: BTreeSet<u16> = rows.iter().map(|row| row.code).chain([1006]).collect();
    assert_eq!(
        codes,
        documented.into_iter().map(|(code, _)| code).collect(),
        "every code in docs/clients.md has a row"
    );
}

/// The variants of `Close`, from its source.
fn variants() -> Vec<String> {
    let source = include_str!("../../../src/web/socket/close.rs");
    let (_, rest) = source.split_once("pub enum Close {").expect("close.rs has the enum");
    let (body, _) = rest.split_once("\n}").expect("the enum ends");
    let lines = body.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.map(|line| line.split(['(', ',']).next().unwrap_or_default().to_owned()).collect()
}

/// The close codes in docs/clients.md, and whether clients reconnect after each.
fn documented() -> Vec<(u16, bool)> {
    let (_, rest) = include_str!("../../../docs/clients.md")
        .split_once("## Close codes")
        .expect("docs/clients.md has the table of close codes");
    let (table, _) = rest.split_once("\n\n\"Comes back\"").expect("the table ends");
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    rows.flat_map(|cells| {
        let comes_back = cells[3] == "comes back";
        let codes: Vec<u16> = cells[1].split(", ").filter_map(|code| code.parse().ok()).collect();
        codes.into_iter().map(move |code| (code, comes_back))
    })
    .collect()
}

#[tokio::test]
async fn protocol_and_websocket_pings_are_answered_and_pongs_are_accepted() {
    let server = Server::start_with(|config| config.sockets.ping_interval = SHORT_TIMEOUT).await;
    let mut raw = RawSocket::open(server.address(), "/graphql", MODERN).await;
    raw.write(&raw_socket::frame(true, raw_socket::PING, b"before anything")).await;
    assert_eq!(raw.expect(raw_socket::PONG).await, b"before anything");
    raw.write(&raw_socket::text(r#"{"type":"connection_init"}"#)).await;
    for frame in
        [r#"{"type":"pong"}"#, r#"{"type":"pong","payload":{"a":[1]}}"#, r#"{"type":"ping","payload":{"b":null}}"#]
    {
        raw.write(&raw_socket::text(frame)).await;
    }
    let mut kinds = BTreeSet::new();
    while kinds.len() < 3 {
        let frame: serde_json::Value = serde_json::from_slice(&raw.expect(raw_socket::TEXT).await).expect("JSON");
        if frame["type"] != "pong" {
            assert!(frame["payload"]["cursor"].is_string(), "{frame}");
        }
        kinds.insert(crate::support::text(&frame["type"]));
    }
    assert_eq!(kinds, ["connection_ack", "ping", "pong"].map(str::to_owned).into());
}

#[tokio::test]
async fn a_message_may_be_fragmented_with_pings_in_between() {
    let server = Server::start().await;
    for (path, protocol, hello, answer) in [
        ("/graphql", MODERN, r#"{"type":"connection_init","payload":{"é":1}}"#, "connection_ack"),
        ("/graphql", LEGACY, r#"{"type":"connection_init","payload":{"é":1}}"#, "connection_ack"),
        ("/api/v1/websocket/connect", "", r#"{"type":"ping","é":1}"#, "pong"),
    ] {
        let mut raw = RawSocket::open(server.address(), path, protocol).await;
        let bytes = hello.as_bytes();
        // Each byte is a fragment of its own, so that a fragment boundary also splits a two-byte character.
        for (at, byte) in bytes.iter().enumerate() {
            let opcode = if at == 0 { raw_socket::TEXT } else { raw_socket::CONTINUATION };
            raw.write(&raw_socket::frame(at + 1 == bytes.len(), opcode, &[*byte])).await;
            if at == 5 {
                raw.write(&raw_socket::frame(true, raw_socket::PING, b"in between")).await;
                assert_eq!(raw.expect(raw_socket::PONG).await, b"in between");
            }
        }
        let frame: serde_json::Value = serde_json::from_slice(&raw.expect(raw_socket::TEXT).await).expect("JSON");
        assert_eq!(frame["type"], answer);
    }
}

#[tokio::test]
async fn a_close_frame_is_answered_with_the_same_code() {
    let server = Server::start().await;
    for protocol in GRAPHQL {
        let mut raw = RawSocket::open(server.address(), "/graphql", protocol).await;
        raw.write(&raw_socket::text(r#"{"type":"connection_init"}"#)).await;
        raw.expect(raw_socket::TEXT).await;
        raw.write(&raw_socket::frame(true, raw_socket::CLOSE, &4_321_u16.to_be_bytes())).await;
        assert_eq!(raw.close_frame().await.0, 4_321, "{protocol}");
        assert_eq!(raw.next().await, None, "the connection ends after the close frame");
    }
}
