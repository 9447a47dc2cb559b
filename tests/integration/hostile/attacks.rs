//! The attacks of [`super::attack_runs`], each with the answer that it must get.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::documents;
use crate::support::raw_socket::{self, RawSocket};
use crate::support::with_timeout;

const MODERN: &str = "graphql-transport-ws";
const LEGACY: &str = "graphql-ws";
const JSON_SOCKET: &str = "/api/v1/websocket/connect";
/// Size of a hostile body, head or frame, in bytes.
const LARGE: usize = 64 << 20;
/// Number of idle connections; `TIDINGS_SIEGE` overrides it (`make siege`: 5,000).
const IDLE_CONNECTIONS: usize = 1_000;
/// How long a write may make no progress before the attack counts as blocked by the server.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an attack with an immediate answer is repeated, so that the background client can be measured meanwhile.
const REPEAT_TIME: Duration = Duration::from_millis(400);

/// One attack.
pub struct Attack {
    pub name: String,
    /// The answer that every attempt must get.
    pub answer: &'static str,
    /// The attack is repeated for this long, at least once.
    repeat_for: Duration,
    run: Box<dyn Fn(SocketAddr) -> BoxFuture<'static, String>>,
}

impl Attack {
    fn new<F: Future<Output = String> + Send + 'static>(
        name: impl Into<String>,
        answer: &'static str,
        run: impl Fn(SocketAddr) -> F + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            answer,
            repeat_for: Duration::ZERO,
            run: Box::new(move |address| run(address).boxed()),
        }
    }

    fn repeated(self) -> Self {
        Self { repeat_for: REPEAT_TIME, ..self }
    }

    /// Runs the attack on the runtime `from`; returns the number of attempts and the duration of the slowest.
    pub async fn run(&self, from: &Handle, address: SocketAddr) -> (usize, Duration) {
        let begun = Instant::now();
        let (mut times, mut slowest) = (0, Duration::ZERO);
        while times == 0 || begun.elapsed() < self.repeat_for {
            let since = Instant::now();
            let answer = from.spawn((self.run)(address)).await.expect("the attack task does not panic");
            times += 1;
            slowest = slowest.max(since.elapsed());
            assert_eq!(answer, self.answer, "{}", self.name);
        }
        (times, slowest)
    }
}

/// All attacks except the ping floods of [`pings`].
pub fn all() -> Vec<Attack> {
    let documents = documents::all().into_iter().map(|case| {
        let body = json!({"query": case.document, "variables": case.variables}).to_string();
        Attack::new(case.name, case.code, move |address| post(address, body.clone().into_bytes()))
    });
    // The idle connections come twice: the second round must fit into the memory that the first one left.
    let alone = documents.chain(bodies()).chain(frames()).map(Attack::repeated);
    alone.chain(idle_connections()).chain(idle_connections()).collect()
}

fn bodies() -> Vec<Attack> {
    let nested = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let request = |variables: String| format!("{{\"query\":\"{{cursor}}\",\"variables\":{{\"a\":{variables}}}}}");
    let body = |name: &'static str, answer: &'static str, body: String| {
        Attack::new(name, answer, move |address| post(address, body.clone().into_bytes()))
    };
    let batch = format!("[{}]", vec!["{\"query\":\"{cursor}\"}"; 1_000].join(","));
    vec![
        body("a batch of 1,000", "400", batch),
        // The outer list is a batch whose one operation is rejected.
        body("a body of 100,000 nested lists", "no error", nested("[", "]")),
        body("a body of 100,000 nested objects", "400", nested("{\"a\":", "}")),
        // The server ignores variables that the operation does not define.
        body("variables of 100,000 nested lists", "no error", request(nested("[", "]"))),
        body("variables of 100,000 nested objects", "400", request(nested("{\"a\":", "1}").replace("11", "1"))),
        Attack::new("a body of 64 MiB", "413", |address| async move {
            let head = head(&format!("Content-Length: {LARGE}"));
            ask(address, &head, |sent| (sent < LARGE).then(|| vec![b' '; 64 << 10])).await
        }),
        Attack::new("a body of 64 MiB in chunks", "413", chunked),
        Attack::new("a body that promises 64 MiB", "413", |address| async move {
            ask(address, &head(&format!("Content-Length: {LARGE}")), |_| None).await
        }),
        Attack::new("a head of 64 MiB", "431", |address| async move {
            ask(address, "GET / HTTP/1.1\r\nX-Large: ", |sent| (sent < LARGE).then(|| vec![b'x'; 64 << 10])).await
        }),
    ]
}

/// Bodies of `POST /api/v1/events` from a user who may publish in the channel `general`. `token` is of that user.
pub fn publishing(token: &str) -> Vec<Attack> {
    const NDJSON: &str = "application/x-ndjson";
    const EVENT: &str = r#"{"channel":"general","type":"t","data":1}"#;
    let head = |content_type: &str, more: &str| {
        format!(
            "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: {content_type}\r\n{more}\r\n\r\n"
        )
    };
    // The pieces come as long as the server reads, up to `LARGE` bytes.
    let endless = |name: &str, answer: &'static str, content_type: &str, piece: Vec<u8>| {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
        let head = head(content_type, "Transfer-Encoding: chunked");
        Attack::new(name, answer, move |address| {
            let (head, chunk) = (head.clone(), chunk.clone());
            async move { ask(address, &head, move |sent| (sent < LARGE).then(|| chunk.clone())).await }
        })
    };
    let whole = |name: &str, answer: &'static str, content_type: &str, body: String| {
        let head = head(content_type, &format!("Content-Length: {}", body.len()));
        Attack::new(name, answer, move |address| {
            let (head, mut body) = (head.clone(), Some(body.clone().into_bytes()));
            async move { ask(address, &head, move |_| body.take()).await }
        })
    };
    let nested = format!(r#"{{"channel":"general","type":"t","data":{}1{}}}"#, "[".repeat(60_000), "]".repeat(60_000));
    let unknown = |number: usize| format!("{{\"channel\":\"c{number}\",\"type\":\"t\",\"data\":1}}\n");
    let attacks = vec![
        endless("events: a line of 64 MiB", "400", NDJSON, vec![b' '; 64 << 10]),
        endless("events: 64 MiB of empty lines", "413", NDJSON, vec![b'\n'; 64 << 10]),
        endless("events: 64 MiB of events", "413", NDJSON, format!("{EVENT}\n").repeat(1_000).into_bytes()),
        endless("events: 64 MiB of a list", "413", "application/json", b"[1,".repeat(20_000)),
        whole("events: a line nested 60,000 deep", "400", NDJSON, nested.clone()),
        whole("events: a list nested 60,000 deep", "400", "application/json", format!("[{nested}]")),
        whole("events: 1,000 names of channels", "400", NDJSON, (0..1_000).map(unknown).collect()),
        whole("events: 100,000 lines, the last one wrong", "400", NDJSON, format!("{EVENT}\n").repeat(99_999) + "{}"),
        whole("events: 100,000 numbers of 300 digits", "400", NDJSON, format!("{}\n", "9".repeat(300)).repeat(100_000)),
    ];
    attacks.into_iter().map(Attack::repeated).collect()
}

fn frames() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (name, path, protocol) in
        [(MODERN, "/graphql", MODERN), (LEGACY, "/graphql", LEGACY), ("JSON socket", JSON_SOCKET, "")]
    {
        attacks.push(Attack::new(
            format!("a frame of 64 MiB before signing in, {name}"),
            "1009",
            move |address| async move {
                // The frame is built before the connection is opened: building takes long at the attackers' low
                // priority, and the server has a timeout.
                let frame = raw_socket::frame(true, raw_socket::TEXT, &vec![b' '; LARGE]);
                let mut raw = RawSocket::open(address, path, protocol).await;
                raw.push(&frame, WRITE_TIMEOUT).await;
                raw.close_frame().await.0.to_string()
            },
        ));
        attacks.push(Attack::new(format!("64 MiB in small fragments, {name}"), "1009", move |address| async move {
            // The frames are built before the connection is opened: building takes long, and the server has a timeout.
            let first = raw_socket::frame(false, raw_socket::TEXT, b" ");
            let all = [first, raw_socket::frame(false, raw_socket::CONTINUATION, &[b' '; 1_000]).repeat(LARGE / 1_000)]
                .concat();
            let mut raw = RawSocket::open(address, path, protocol).await;
            raw.push(&all, WRITE_TIMEOUT).await;
            raw.close_frame().await.0.to_string()
        }));
    }
    for (name, protocol) in [(MODERN, MODERN), (LEGACY, LEGACY)] {
        attacks.push(Attack::new(format!("a frame nested 100,000 deep, {name}"), "4400", move |address| async move {
            let payload = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
            let init = format!("{{\"type\":\"connection_init\",\"payload\":{{\"a\":{payload}}}}}");
            let mut raw = RawSocket::open(address, "/graphql", protocol).await;
            raw.write(&raw_socket::text(&init)).await;
            raw.close_frame().await.0.to_string()
        }));
    }
    attacks.push(Attack::new("a frame nested 100,000 deep, JSON socket", "BAD_USER_INPUT", |address| async move {
        let mut raw = RawSocket::open(address, JSON_SOCKET, "").await;
        raw.write(&raw_socket::text(&"[".repeat(100_000))).await;
        code(&raw.expect(raw_socket::TEXT).await)
    }));
    attacks.push(Attack::new("a legacy start without connection_init", "4401", |address| async move {
        let mut raw = RawSocket::open(address, "/graphql", LEGACY).await;
        let start = json!({"type": "start", "id": "1", "payload": {"query": "subscription { events { cursor } }"}});
        raw.write(&raw_socket::text(&start.to_string())).await;
        raw.close_frame().await.0.to_string()
    }));
    attacks
}

/// Connections that send nothing, or an incomplete request, until the server's timeout ends them.
fn idle_connections() -> Vec<Attack> {
    let idle_connections =
        std::env::var("TIDINGS_SIEGE").map_or(IDLE_CONNECTIONS, |number| number.parse().expect("a number"));
    vec![
        Attack::new(format!("{idle_connections} sockets without connection_init"), "4408", move |address| {
            run_many(idle_connections, address, |address| {
                async move {
                    let mut raw = RawSocket::upgrade(connect(address).await, "/graphql", MODERN).await;
                    raw.close_frame().await.0.to_string()
                }
                .boxed()
            })
        }),
        Attack::new(format!("{idle_connections} heads that never end"), "the end", move |address| {
            run_many(idle_connections, address, |address| {
                async move {
                    let mut connection = connect(address).await;
                    connection.write_all(b"POST /graphql HTTP/1.1\r\nHost:").await.expect("the connection is open");
                    with_timeout("the end of the connection", connection.read(&mut [0; 16])).await.map_or(
                        "a reset".into(),
                        |count| {
                            if count == 0 { "the end".into() } else { "an answer".into() }
                        },
                    )
                }
                .boxed()
            })
        }),
        Attack::new(format!("{idle_connections} bodies that never end"), "408", move |address| {
            run_many(idle_connections, address, |address| {
                async move {
                    ask_on(connect(address).await, &head("Content-Length: 9"), |sent| {
                        (sent == 0).then(|| b"{".to_vec())
                    })
                    .await
                }
                .boxed()
            })
        }),
    ]
}

/// Opens many connections at once; returns the distinct answers, joined by " or ".
async fn run_many(
    idle_connections: usize,
    address: SocketAddr,
    one: fn(SocketAddr) -> BoxFuture<'static, String>,
) -> String {
    let mut answers: Vec<String> =
        stream::iter(0..idle_connections).map(|_| one(address)).buffer_unordered(idle_connections).collect().await;
    answers.sort();
    answers.dedup();
    answers.join(" or ")
}

/// Connects with a long timeout, because some of the many concurrent connections are accepted late.
async fn connect(address: SocketAddr) -> TcpStream {
    with_timeout("a connection", TcpStream::connect(address)).await.expect("a connection")
}

/// Endless pings whose answers are never read.
pub fn pings() -> Vec<Attack> {
    const PINGS: usize = 1_500_000;
    let send_pings = async |address: SocketAddr, protocol: &str, hello: &str, ping: Vec<u8>| {
        let mut raw =
            RawSocket::open(address, if protocol.is_empty() { JSON_SOCKET } else { "/graphql" }, protocol).await;
        raw.write(&raw_socket::text(hello)).await;
        let piece = ping.repeat(1_000);
        for _ in 0..PINGS / 1_000 {
            match raw.push(&piece, WRITE_TIMEOUT).await {
                Some(true) => {}
                Some(false) => return "disconnected".to_owned(),
                None => return "blocked".to_owned(),
            }
        }
        "all accepted".into()
    };
    let init = r#"{"type":"connection_init"}"#;
    let frame_ping = || raw_socket::frame(true, raw_socket::PING, &[b'x'; 125]);
    vec![
        Attack::new("1,500,000 WebSocket pings, nothing read", "blocked", move |address| {
            send_pings(address, MODERN, init, frame_ping())
        }),
        Attack::new("1,500,000 pings, graphql-transport-ws, nothing read", "blocked", move |address| {
            send_pings(
                address,
                MODERN,
                init,
                raw_socket::text(r#"{"type":"ping","payload":{"padding":"as long as the answer is, and longer"}}"#),
            )
        }),
        Attack::new("1,500,000 pings, JSON socket, nothing read", "blocked", move |address| {
            send_pings(address, "", r#"{"type":"ping"}"#, raw_socket::text(r#"{"type":"ping"}"#))
        }),
    ]
}

fn head(more: &str) -> String {
    format!("POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{more}\r\n\r\n")
}

/// The code of the first GraphQL error, or the HTTP status if the status is not 200.
async fn post(address: SocketAddr, body: Vec<u8>) -> String {
    let mut body = Some(body);
    let head = head(&format!("Content-Length: {}", body.as_ref().map_or(0, Vec::len)));
    ask(address, &head, move |_| body.take()).await
}

async fn chunked(address: SocketAddr) -> String {
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000)).into_bytes();
    ask(address, &head("Transfer-Encoding: chunked"), move |sent| (sent < LARGE).then(|| chunk.clone())).await
}

async fn ask(address: SocketAddr, head: &str, more: impl FnMut(usize) -> Option<Vec<u8>>) -> String {
    ask_on(connect(address).await, head, more).await
}

/// Sends a head and then the body pieces that `more` returns for the bytes sent so far; reads the answer meanwhile.
async fn ask_on(connection: TcpStream, head: &str, mut more: impl FnMut(usize) -> Option<Vec<u8>>) -> String {
    let (mut reading, mut writing) = connection.into_split();
    let sending = async move {
        let mut sent = 0;
        writing.write_all(head.as_bytes()).await?;
        while let Some(piece) = more(sent) {
            writing.write_all(&piece).await?;
            sent += piece.len();
        }
        Ok::<_, std::io::Error>(writing)
    };
    let answer = async move {
        let mut answer = Vec::new();
        let mut piece = vec![0; 8 << 10];
        loop {
            let count = reading.read(&mut piece).await.unwrap_or(0);
            answer.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&answer);
            let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned));
                length.and_then(|length| length.trim().parse().ok()).is_none_or(|length: usize| body.len() >= length)
            });
            if whole || count == 0 {
                return text.into_owned();
            }
        }
    };
    let (mut sending, mut answer) = (Box::pin(sending), Box::pin(answer));
    let answer = tokio::select! {
        // If sending ends first, completed or failed, the answer is still read.
        _sent = &mut sending => with_timeout("a response", answer).await,
        answer = &mut answer => answer,
    };
    let status = answer.split(' ').nth(1).unwrap_or("no answer").to_owned();
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) if status == "200" => code(body.as_bytes()),
        _ => status,
    }
}

/// The code of a GraphQL error or of a JSON socket error; "no error" if there is none.
fn code(answer: &[u8]) -> String {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let code = answer.pointer("/errors/0/extensions/code").or_else(|| answer.get("code"));
    code.and_then(|code| code.as_str()).unwrap_or("no error").to_owned()
}
