//! Every code with which a socket is closed, provoked on every protocol it applies to, as a table. The rows are
//! held against `src/web/socket/close.rs` and `docs/clients.md`: a new code without a row fails here.

use std::collections::BTreeSet;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::json;
use tidings::config::{Config, DatabaseUrl};

use crate::support::raw::{self, Raw};
use crate::support::{Report, Server, Session};

const MODERN: &str = "graphql-transport-ws";
const LEGACY: &str = "graphql-ws";
const PLAIN: &str = "plain JSON";
const ALL: &[&str] = &[MODERN, LEGACY, PLAIN];
const GRAPHQL: &[&str] = &[MODERN, LEGACY];
/// A frame that each protocol takes at first.
const SHORT: Duration = Duration::from_millis(200);

/// A socket of a protocol to a server, and somebody with an account.
struct Scene {
    server: Server,
    ann: Session,
    protocol: &'static str,
}

type Provoked = BoxFuture<'static, (u16, String)>;

/// One reason to close.
struct Row {
    variant: &'static str,
    code: u16,
    when: &'static str,
    protocols: &'static [&'static str],
    settings: fn(&mut Config),
    provoke: fn(Scene) -> Provoked,
}

fn row(
    variant: &'static str,
    code: u16,
    when: &'static str,
    protocols: &'static [&'static str],
    provoke: fn(Scene) -> Provoked,
) -> Row {
    Row { variant, code, when, protocols, settings: |_| {}, provoke }
}

impl Row {
    fn with(self, settings: fn(&mut Config)) -> Self {
        Self { settings, ..self }
    }
}

impl Scene {
    async fn open(&self, query: &str) -> Raw {
        match self.protocol {
            PLAIN => Raw::open(self.server.address(), &format!("/api/v1/websocket/connect{query}"), "").await,
            protocol => Raw::open(self.server.address(), &format!("/graphql{query}"), protocol).await,
        }
    }

    /// A socket that has come in.
    async fn enter(&self, token: Option<&str>) -> Raw {
        let query = token.map_or_else(String::new, |token| format!("?token={token}"));
        let mut raw = self.open(&query).await;
        if self.protocol != PLAIN {
            raw.write(&raw::text(r#"{"type":"connection_init"}"#)).await;
        }
        raw
    }

    /// A frame that runs something without end.
    fn start(&self, id: &str) -> Vec<u8> {
        let kind = if self.protocol == MODERN { "subscribe" } else { "start" };
        let payload = json!({"query": "subscription { events { cursor } }"});
        raw::text(&json!({"type": kind, "id": id, "payload": payload}).to_string())
    }
}

/// What comes of these bytes, sent by somebody who has come in.
async fn said(scene: Scene, bytes: Vec<u8>) -> (u16, String) {
    let mut raw = scene.enter(None).await;
    raw.write(&bytes).await;
    raw.closed().await
}

fn rows() -> Vec<Row> {
    [of_frames(), of_the_server(), of_the_protocols()].into_iter().flatten().collect()
}

fn of_frames() -> Vec<Row> {
    vec![
        row("BrokenFrame", 1002, "a frame that is none: reserved bits", ALL, |scene| {
            said(scene, vec![0xf1, 0x80, 0, 0, 0, 0]).boxed()
        }),
        row("BrokenFrame", 1002, "a control frame of 126 bytes", ALL, |scene| {
            said(scene, raw::frame(true, raw::PING, &[0; 126])).boxed()
        }),
        row("BrokenFrame", 1002, "a control frame in two parts", ALL, |scene| {
            said(scene, raw::frame(false, raw::PING, &[])).boxed()
        }),
        row("BrokenFrame", 1002, "a continuation of nothing", ALL, |scene| {
            said(scene, raw::frame(true, raw::CONTINUATION, b"{}")).boxed()
        }),
        row("BrokenText", 1007, "text that is not UTF-8", ALL, |scene| {
            said(scene, raw::frame(true, raw::TEXT, &[b'"', 0xff, b'"'])).boxed()
        }),
        row("TooLarge", 1009, "a frame over the limit", ALL, |scene| {
            said(scene, raw::frame(true, raw::TEXT, &vec![b' '; (256 << 10) + 1])).boxed()
        }),
        row("TooLarge", 1009, "fragments that are over it together", ALL, |scene| {
            let (first, piece) =
                (raw::frame(false, raw::TEXT, b" "), raw::frame(false, raw::CONTINUATION, &[b' '; 10_000]));
            said(scene, [first, piece.repeat(30)].concat()).boxed()
        }),
        row("TooLarge", 1009, "a head that promises too much", ALL, |scene| {
            said(scene, raw::head(true, raw::TEXT, 1 << 40)).boxed()
        }),
    ]
}

fn of_the_server() -> Vec<Row> {
    vec![
        row("Restarting", 1012, "the server stops", ALL, |mut scene| {
            async move {
                let mut raw = scene.enter(None).await;
                let (closed, ()) = tokio::join!(raw.closed(), scene.server.close());
                closed
            }
            .boxed()
        }),
        row("TooSlow", 1013, "nothing is heard of the client", ALL, |scene| {
            async move { scene.enter(None).await.closed().await }.boxed()
        })
        .with(|config| {
            config.sockets.ping_interval = SHORT;
            config.sockets.silence_limit = 2 * SHORT;
        }),
        row("Busy", 1013, "the disk fails while somebody comes in", ALL, |scene| {
            async move {
                lose_the_latest_writes(&scene.server);
                scene.enter(Some(&scene.ann.token)).await.closed().await
            }
            .boxed()
        }),
        row("Fault", 4500, "the schema is broken when somebody comes in", ALL, |scene| {
            async move {
                break_the_schema(&scene.server);
                scene.enter(Some(&scene.ann.token)).await.closed().await
            }
            .boxed()
        }),
        row("Crowded", 1013, "one socket too many of a user", ALL, |scene| {
            async move {
                let _first = scene.server.socket(Some(&scene.ann)).await;
                scene.enter(Some(&scene.ann.token)).await.closed().await
            }
            .boxed()
        })
        .with(|config| config.sockets.max_per_user = 1),
    ]
}

/// What was written last cannot be read any more, which is an I/O error: it may go well the next time.
fn lose_the_latest_writes(server: &Server) {
    let log = format!("{}-wal", database_file(server));
    std::fs::File::options().write(true).open(log).and_then(|log| log.set_len(0)).expect("a log of the database");
}

/// Every statement about users fails from now on, however often it is tried.
fn break_the_schema(server: &Server) {
    let mut database = SqliteConnection::establish(&database_file(server)).expect("the database");
    database
        .batch_execute("PRAGMA busy_timeout = 5000; ALTER TABLE users RENAME COLUMN display_name TO gone")
        .expect("a wreck");
}

fn database_file(server: &Server) -> String {
    server.database_url().replace("sqlite://", "")
}

fn of_the_protocols() -> Vec<Row> {
    vec![
        row("Goodbye", 1000, "connection_terminate", &[LEGACY], |scene| {
            said(scene, raw::text(r#"{"type":"connection_terminate"}"#)).boxed()
        }),
        row("BadMessage", 4400, "a message that is none", GRAPHQL, |scene| said(scene, raw::text("[]")).boxed()),
        row("BadMessage", 4400, "a binary frame", GRAPHQL, |scene| {
            said(scene, raw::frame(true, raw::BINARY, b"{}")).boxed()
        }),
        row("BadMessage", 4400, "an empty id", GRAPHQL, |scene| {
            let start = scene.start("");
            said(scene, start).boxed()
        }),
        row("Unauthorized", 4401, "an operation before connection_init", GRAPHQL, |scene| {
            async move {
                let mut raw = scene.open("").await;
                raw.write(&scene.start("1")).await;
                raw.closed().await
            }
            .boxed()
        }),
        row("Unauthorized", 4401, "no token where one is needed", ALL, |scene| {
            async move { scene.enter(None).await.closed().await }.boxed()
        })
        .with(|config| config.sessions.anonymous_read = false),
        row("Forbidden", 4403, "a bad token", ALL, |scene| {
            async move { scene.enter(Some("wrong")).await.closed().await }.boxed()
        }),
        row("Forbidden", 4403, "the session ends", ALL, |scene| {
            async move {
                let mut raw = scene.enter(Some(&scene.ann.token)).await;
                raw.closed().await
            }
            .boxed()
        })
        .with(|config| config.tokens.token_lifetime = Duration::from_secs(1)),
        row("NoProtocol", 4406, "no sub-protocol in common", &[MODERN], |scene| {
            async move { Raw::open(scene.server.address(), "/graphql", "soap").await.closed().await }.boxed()
        }),
        row("InitTimeout", 4408, "no connection_init in time", GRAPHQL, |scene| {
            async move { scene.open("").await.closed().await }.boxed()
        })
        .with(|config| config.sockets.init_timeout = SHORT),
        row("Duplicate", 4409, "the id of a running operation, a long one", GRAPHQL, |scene| {
            let start = scene.start(&"é".repeat(500));
            said(scene, start.repeat(2)).boxed()
        }),
        row("SecondInit", 4429, "a second connection_init", GRAPHQL, |scene| {
            said(scene, raw::text(r#"{"type":"connection_init"}"#)).boxed()
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_close_code_is_provoked_on_every_protocol() {
    let (rows, documented) = (rows(), documented());
    let mut report = Report::new("close codes, each provoked on each protocol beside it:");
    report.line(format_args!("{:<5} {:<12} {:<11} {:<45} protocols", "code", "", "comes back", "when"));
    for Row { variant, code, when, protocols, settings, provoke } in &rows {
        let (_, comes_back) = documented.iter().find(|(known, _)| known == code).expect("a row in docs/clients.md");
        for protocol in *protocols {
            let directory = tempfile::tempdir().expect("a directory");
            let database = DatabaseUrl::Sqlite(directory.path().join("tidings.db"));
            let server = Server::start_with(|config| {
                settings(config);
                // Two of the rows spoil it, in ways of SQLite.
                config.database.url = database;
            })
            .await;
            let ann = server.register("ann").await;
            let (got, reason) = provoke(Scene { server, ann, protocol }).await;
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
    assert_eq!(tested, variants().iter().map(String::as_str).collect(), "each in src/web/socket/close.rs has a row");
    let codes: BTreeSet<u16> = rows.iter().map(|row| row.code).chain([1006]).collect();
    assert_eq!(codes, documented.into_iter().map(|(code, _)| code).collect(), "each in docs/clients.md has a row");
}

/// The reasons to close that there are.
fn variants() -> Vec<String> {
    let source = include_str!("../../../src/web/socket/close.rs");
    let (_, rest) = source.split_once("pub enum Close {").expect("the codes");
    let (body, _) = rest.split_once("\n}").expect("their end");
    let lines = body.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.map(|line| line.split(['(', ',']).next().unwrap_or_default().to_owned()).collect()
}

/// The codes that clients are told of, and whether graphql-ws comes back after them.
fn documented() -> Vec<(u16, bool)> {
    let (_, rest) = include_str!("../../../docs/clients.md").split_once("## Close codes").expect("the table");
    let (table, _) = rest.split_once("\n\n\"Comes back\"").expect("its end");
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
async fn pings_are_answered_in_both_ways_and_pongs_are_heard() {
    let server = Server::start_with(|config| config.sockets.ping_interval = SHORT).await;
    let mut raw = Raw::open(server.address(), "/graphql", MODERN).await;
    raw.write(&raw::frame(true, raw::PING, b"before anything")).await;
    assert_eq!(raw.expect(raw::PONG).await, b"before anything");
    raw.write(&raw::text(r#"{"type":"connection_init"}"#)).await;
    for frame in
        [r#"{"type":"pong"}"#, r#"{"type":"pong","payload":{"a":[1]}}"#, r#"{"type":"ping","payload":{"b":null}}"#]
    {
        raw.write(&raw::text(frame)).await;
    }
    let mut kinds = BTreeSet::new();
    while kinds.len() < 3 {
        let frame: serde_json::Value = serde_json::from_slice(&raw.expect(raw::TEXT).await).expect("JSON");
        if frame["type"] != "pong" {
            assert!(frame["payload"]["cursor"].is_string(), "{frame}");
        }
        kinds.insert(crate::support::text(&frame["type"]));
    }
    assert_eq!(kinds, ["connection_ack", "ping", "pong"].map(str::to_owned).into());
}

#[tokio::test]
async fn a_message_may_come_in_fragments_with_pings_in_between() {
    let server = Server::start().await;
    for (path, protocol, hello, answer) in [
        ("/graphql", MODERN, r#"{"type":"connection_init","payload":{"é":1}}"#, "connection_ack"),
        ("/graphql", LEGACY, r#"{"type":"connection_init","payload":{"é":1}}"#, "connection_ack"),
        ("/api/v1/websocket/connect", "", r#"{"type":"ping","é":1}"#, "pong"),
    ] {
        let mut raw = Raw::open(server.address(), path, protocol).await;
        let bytes = hello.as_bytes();
        // Each byte a fragment, also between the two of one letter.
        for (at, byte) in bytes.iter().enumerate() {
            let opcode = if at == 0 { raw::TEXT } else { raw::CONTINUATION };
            raw.write(&raw::frame(at + 1 == bytes.len(), opcode, &[*byte])).await;
            if at == 5 {
                raw.write(&raw::frame(true, raw::PING, b"in between")).await;
                assert_eq!(raw.expect(raw::PONG).await, b"in between");
            }
        }
        let frame: serde_json::Value = serde_json::from_slice(&raw.expect(raw::TEXT).await).expect("JSON");
        assert_eq!(frame["type"], answer);
    }
}

#[tokio::test]
async fn a_client_that_says_goodbye_is_answered() {
    let server = Server::start().await;
    for protocol in GRAPHQL {
        let mut raw = Raw::open(server.address(), "/graphql", protocol).await;
        raw.write(&raw::text(r#"{"type":"connection_init"}"#)).await;
        raw.expect(raw::TEXT).await;
        raw.write(&raw::frame(true, raw::CLOSE, &4_321_u16.to_be_bytes())).await;
        assert_eq!(raw.closed().await.0, 4_321, "{protocol}");
        assert_eq!(raw.next().await, None, "and then the line ends");
    }
}
