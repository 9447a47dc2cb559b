//! Floods of anonymous clients against the real binary. Each measures the response times of a member, the server's
//! memory and its readiness. `make siege` asserts the documented bounds; the default run is small, with bounds that
//! hold on any machine.
#![cfg(target_os = "linux")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::sleep;

use super::attack_runs::attacker_runtime;
use crate::support::database::fill;
use crate::support::{Program, Report, Socket, text, with_timeout};

/// Characters in a large message: the default limit.
const LARGE: usize = 40_000;
/// Number of large messages.
const LARGE_MESSAGES: usize = 300;
/// Number of messages that anonymous users may not see. They are newer than all visible messages.
const INVISIBLE: u32 = 200_000;
/// Number of concurrent operations on one socket.
const OPERATIONS: usize = 95;
/// The pause of a lagging subscriber between two frames.
const READ_PAUSE: Duration = Duration::from_secs(3);

/// The bounds of a run.
struct Bounds {
    connections: &'static [usize],
    duration: Duration,
    /// The longest accepted 95th percentile of members' response times, from the one without a flood.
    p95: fn(Duration) -> Duration,
    memory: usize,
}

/// The documented bounds, for `make siege` with the release build.
const DOCUMENTED_BOUNDS: Bounds = Bounds {
    connections: &[1, 10, 100],
    duration: Duration::from_secs(5),
    p95: |before_flood| before_flood * 2 + Duration::from_millis(50),
    memory: 300 << 20,
};

/// The bounds for a debug build on a machine that runs other tests as well.
const DEFAULT_BOUNDS: Bounds = Bounds {
    connections: &[10],
    duration: Duration::from_secs(2),
    p95: |before_flood| before_flood * 10 + Duration::from_secs(5),
    memory: 800 << 20,
};

struct Flood {
    name: &'static str,
    run: fn(Target) -> BoxFuture<'static, ()>,
    /// Whether the default run includes it.
    is_small: bool,
}

/// What a connection of a flood needs to know.
#[derive(Clone)]
struct Target {
    url: String,
    address: std::net::SocketAddr,
    /// The log cursor before the large messages.
    before: String,
    is_over: Arc<AtomicBool>,
}

impl Target {
    fn is_running(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }
}

const FLOODS: [Flood; 6] = [
    Flood { name: "sign-ins, ten in a batch", run: |target| batches(target, sign_ins).boxed(), is_small: true },
    Flood { name: "sign-ins, 95 on a socket", run: |target| sockets(target).boxed(), is_small: true },
    Flood { name: "searches for invisible rows", run: |target| batches(target, searches).boxed(), is_small: true },
    Flood { name: "large responses", run: |target| batches(target, large).boxed(), is_small: false },
    Flood {
        name: "large responses, ten in a batch",
        run: |target| batches(target, large_batch).boxed(),
        is_small: false,
    },
    Flood { name: "lagging subscriptions, 95 on a socket", run: |target| lagging(target).boxed(), is_small: false },
];

fn sign_in() -> String {
    let name = format!("u{:x}", rand::random::<u64>());
    format!("mutation {{ login(input: {{username: \"{name}\", password: \"not the right one\"}}) {{ token }} }}")
}

fn sign_ins() -> Value {
    Value::Array((0..10).map(|_| json!({"query": sign_in()})).collect())
}

fn searches() -> Value {
    let fields: String = (0..30).map(|at| format!("a{at}: messages(first: 1) {{ nodes {{ id }} }} ")).collect();
    let tickets = fields.replace("first: 1", "first: 1, ticketsOnly: true");
    let both = [fields, tickets].map(|fields| json!({"query": format!("{{ {fields} }}")}));
    Value::Array(both.iter().cycle().take(10).cloned().collect())
}

fn large() -> Value {
    let fields: String = (0..24).map(|at| format!("a{at}: messages(first: 100) {{ nodes {{ content }} }} ")).collect();
    json!({"query": format!("{{ {fields} }}")})
}

fn large_batch() -> Value {
    Value::Array(vec![large(); 10])
}

/// Sends a body repeatedly and reads the responses.
async fn batches(target: Target, body: fn() -> Value) {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client");
    while target.is_running() {
        let Ok(mut answer) = client.post(&target.url).json(&body()).send().await else { continue };
        // The response is not kept, because only the memory of the server is measured.
        while let Ok(Some(_)) = answer.chunk().await {}
    }
}

async fn sockets(target: Target) {
    while target.is_running() {
        let mut socket = Socket::connect_and_init(target.address, None).await;
        for at in 0..OPERATIONS {
            socket.subscribe(&at.to_string(), &sign_in(), json!({})).await;
        }
        let mut next = OPERATIONS;
        while target.is_running() {
            let Ok(frame) = socket.next().await else { break };
            if frame["type"] == "complete" || frame["type"] == "error" {
                next += 1;
                socket.subscribe(&next.to_string(), &sign_in(), json!({})).await;
            }
        }
    }
}

async fn lagging(target: Target) {
    let query = "subscription ($after: Cursor) { messageAdded(after: $after) { id content } }";
    let mut socket = Socket::connect_and_init(target.address, None).await;
    for at in 0..OPERATIONS {
        socket.subscribe(&at.to_string(), query, json!({"after": target.before})).await;
    }
    while target.is_running() {
        if socket.next().await.is_err() {
            break;
        }
        let slowly = Instant::now();
        while target.is_running() && slowly.elapsed() < READ_PAUSE {
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The response times of a member, how often `/readyz` failed, and the server's peak memory in bytes.
#[derive(Default)]
struct Measurements {
    queries: Vec<Duration>,
    changes: Vec<Duration>,
    not_ready: usize,
    peak: usize,
}

fn percentile(waits: &[Duration], part: f64) -> Duration {
    let mut sorted = waits.to_vec();
    sorted.sort();
    sorted.get((sorted.len().saturating_sub(1) as f64 * part) as usize).copied().unwrap_or_default()
}

/// Reads and writes as a member, on its own thread, until `is_over` is set.
fn member(url: String, token: String, channel: String, is_over: Arc<AtomicBool>) -> thread::JoinHandle<Measurements> {
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let client =
                reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client");
            let ask = async |query: &str| {
                let since = Instant::now();
                let body = json!({"query": query, "variables": {"id": channel}});
                let answer = client.post(format!("{url}/graphql")).bearer_auth(&token).json(&body).send().await;
                let answer: Value = answer.expect("a response").json().await.expect("JSON");
                assert!(answer.get("errors").is_none(), "{query}: {answer}");
                since.elapsed()
            };
            let change = "mutation ($id: ID!) { createMessage(input: {channelId: $id, content: \"small\"}) { id } }";
            let query = "query ($id: ID!) { messages(channelId: $id, first: 5) { nodes { id } } }";
            let mut seen = Measurements::default();
            while !is_over.load(Ordering::Relaxed) {
                seen.queries.push(ask(query).await);
                seen.changes.push(ask(change).await);
                let ready = client.get(format!("{url}/readyz")).send().await;
                seen.not_ready += usize::from(!ready.is_ok_and(|answer| answer.status() == 200));
                sleep(Duration::from_millis(5)).await;
            }
            seen
        })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_served_within_bounds_during_floods_of_anonymous_clients() {
    let is_siege = std::env::var_os("TIDINGS_SIEGE").is_some();
    let bounds = if is_siege { DOCUMENTED_BOUNDS } else { DEFAULT_BOUNDS };
    let program = Program::new(&[("TIDINGS_SIGN_INS_PER_ADDRESS", "0"), ("TIDINGS_LOG", "error,tidings::app=info")]);
    let mut server = program.start();
    server.ready().await.expect("the server starts");
    let url = format!("http://{}", program.address());
    let ann = program.register("ann").await;
    let me = text(&program.data(Some(&ann), "{ me { id } }", &json!({})).await["me"]["id"]);
    let channel = program.channel(&ann, "small").await;
    let before = program.cursor().await;
    if is_siege {
        let large = program.channel(&ann, "large").await;
        let query = "mutation ($id: ID!, $c: String!) { createMessage(input: {channelId: $id, content: $c}) { id } }";
        for _ in 0..LARGE_MESSAGES {
            program.data(Some(&ann), query, &json!({"id": large, "c": "\u{1F600}".repeat(LARGE)})).await;
        }
    }
    let private = "mutation { createChannel(input: {name: \"private\", visibility: PRIVATE}) { id } }";
    let private = text(&program.data(Some(&ann), private, &json!({})).await["createChannel"]["id"]);
    let invisible = if is_siege { INVISIBLE } else { INVISIBLE / 10 };
    fill(&program.database_url(), &private, &me, invisible, (", ticket_status, ticket_priority", ", 0, 1"));

    let measure_member = async |duration: Duration| {
        let is_over = Arc::new(AtomicBool::new(false));
        let member = member(url.clone(), ann.clone(), channel.clone(), Arc::clone(&is_over));
        let (since, mut peak) = (Instant::now(), 0);
        while since.elapsed() < duration {
            peak = peak.max(server.resident());
            sleep(Duration::from_millis(20)).await;
        }
        is_over.store(true, Ordering::Relaxed);
        let seen = tokio::task::spawn_blocking(move || member.join()).await.expect("a thread");
        Measurements { peak, ..seen.expect("the member thread does not panic") }
    };
    measure_member(Duration::from_millis(500)).await;
    let mut report =
        Report::new("floods of anonymous clients: response times of a member (median / 95th percentile, ms):");
    report.line(format_args!(
        "{:<40} {:>5} {:>18} {:>18} {:>18} {:>18} {:>9} {:>9}",
        "", "conns", "query before", "during", "change before", "during", "peak MiB", "not ready"
    ));
    let show = |waits: &[Duration]| {
        let ms = |part| percentile(waits, part).as_secs_f64() * 1_000.0;
        format!("{:.2} / {:.2}", ms(0.5), ms(0.95))
    };
    let attacker_runtime = attacker_runtime();
    let mut violations = Vec::new();
    for flood in FLOODS.iter().filter(|flood| is_siege || flood.is_small) {
        for connections in bounds.connections {
            let before_flood = measure_member(bounds.duration / 2).await;
            let is_over = Arc::new(AtomicBool::new(false));
            let target = Target {
                url: format!("{url}/graphql"),
                address: program.address(),
                before: before.clone(),
                is_over: Arc::clone(&is_over),
            };
            let attackers: Vec<_> =
                (0..*connections).map(|_| attacker_runtime.spawn((flood.run)(target.clone()))).collect();
            sleep(bounds.duration / 4).await;
            let during_flood = measure_member(bounds.duration).await;
            is_over.store(true, Ordering::Relaxed);
            for attacker in attackers {
                drop(with_timeout("the end of an attacker", attacker).await);
            }
            report.line(format_args!(
                "{:<40} {connections:>5} {:>18} {:>18} {:>18} {:>18} {:>9} {:>9}",
                flood.name,
                show(&before_flood.queries),
                show(&during_flood.queries),
                show(&before_flood.changes),
                show(&during_flood.changes),
                during_flood.peak >> 20,
                during_flood.not_ready
            ));
            let name = format!("{} from {connections} connections", flood.name);
            for (what, before, during) in [
                ("queries", &before_flood.queries, &during_flood.queries),
                ("changes", &before_flood.changes, &during_flood.changes),
            ] {
                let (most, waited) = ((bounds.p95)(percentile(before, 0.95)), percentile(during, 0.95));
                if waited > most {
                    violations.push(format!(
                        "{name}: the 95th percentile of members' {what} is {waited:?}; the bound is {most:?}"
                    ));
                }
            }
            if during_flood.peak > bounds.memory {
                violations.push(format!("{name}: peak memory is {} MiB", during_flood.peak >> 20));
            }
            if during_flood.not_ready > 0 {
                violations.push(format!("{name}: /readyz failed {} times", during_flood.not_ready));
            }
        }
    }
    attacker_runtime.shutdown_background();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}
