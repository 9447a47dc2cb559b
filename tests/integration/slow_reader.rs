//! Subscribers that stop reading for a minute while a hundred messages are posted per second. The test compares the
//! server's memory with that of a server without such subscribers. Then they read again, and every message must arrive
//! once and in order.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, interval};

use crate::support::{Disconnected, Process, Program, TestSubscription, text, with_timeout};

const READERS: usize = 20;
/// How long the slow subscribers do not read.
const STOP: Duration = Duration::from_secs(60);
const PER_SECOND: usize = 100;
/// Number of messages in one request: the maximum of a batch.
const BATCH: usize = 10;
/// Number of messages before the measurement, so that one-time allocations are done.
const BEFORE: usize = 200;
/// Number of messages until they read again. It exceeds the server's window and the buffers of the kernel, so that the
/// log must serve them.
const MEANWHILE: usize = tidings::hub::WINDOW + 2_508;
/// The largest accepted memory cost of a slow subscriber, in bytes.
const MOST: i64 = 1_000_000;

const EVENTS: &str = "subscription ($after: Cursor) {
    events(after: $after) { __typename cursor ... on MessageAdded { message { id content authorId createdAt } } } }";
const CREATE: &str = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes about a minute or more: `make test-long` runs it"]
async fn a_subscriber_that_stops_reading_costs_less_than_a_megabyte_and_misses_nothing() {
    let patience = [("TIDINGS_SEND_TIMEOUT", "10m"), ("TIDINGS_SILENCE_LIMIT", "10m")];
    let (control, closing, waiting) =
        tokio::join!(a_server(&[], 0), a_server(&[], READERS), a_server(&patience, READERS));
    println!("without slow readers: {control}");
    for (name, figures) in [("closed by default", &closing), ("waited for", &waiting)] {
        let each = (figures.stopped.process - control.stopped.process) / READERS as i64;
        let kernel = figures.stopped.kernel / READERS as i64;
        println!("{READERS} slow readers, {name}: {figures}");
        println!(
            "a slow reader, {name}: {each} bytes in the process and {kernel} in the kernel while it does not read"
        );
        assert!(each + kernel < MOST, "a slow reader costs {each} + {kernel} bytes");
    }
    for closes in &closing.closes {
        assert!(matches!(closes[..], [1006 | 1013]), "closed once, with a code that allows reconnecting: {closes:?}");
    }
    for closes in &waiting.closes {
        assert!(closes.is_empty(), "the timeouts are long, so no connection may be closed: {closes:?}");
    }
}

/// The measurements of one server.
struct Figures {
    /// The peak memory while the slow subscribers did not read.
    stopped: Memory,
    /// The peak memory while they caught up.
    catching_up: Memory,
    /// The close codes of each slow subscriber.
    closes: Vec<Vec<u16>>,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stopped, catching_up, closes } = self;
        write!(f, "{stopped:?} while they do not read, {catching_up:?} while they catch up; close codes {closes:?}")
    }
}

/// Runs one server with a fast subscriber and `readers` slow ones.
async fn a_server(settings: &[(&'static str, &str)], readers: usize) -> Figures {
    let program = Program::new(settings);
    let mut server = program.start();
    server.ready().await.expect("the server starts");
    let token = program.register("ann").await;
    let posts = Poster { program: &program, channel: program.channel(&token, "general").await, token };
    let mut quick = Reader::new(&program, program.cursor().await, 0);
    quick.subscribe_until_live().await;
    let measuring = async {
        posts.post(BEFORE).await;
        let before = Memory::of(&server, &program);
        let cursor = program.cursor().await;
        let mut slow: Vec<_> = (0..readers).map(|_| Reader::new(&program, cursor.clone(), BEFORE)).collect();
        for reader in &mut slow {
            reader.subscribe_until_live().await;
        }
        let (mut stopped, mut catching_up) = (Memory::default(), Memory::default());
        let since = Instant::now();
        stopped.watch(&server, &program, posts.post_for_a_minute()).await;
        assert!(since.elapsed() >= STOP);
        stopped.watch(&server, &program, posts.post(MEANWHILE - PER_SECOND * STOP.as_secs() as usize)).await;
        let reading = join_all(slow.iter_mut().map(|reader| reader.read_to(BEFORE + MEANWHILE)));
        catching_up.watch(&server, &program, reading).await;
        let closes = slow.into_iter().map(|reader| reader.closes).collect();
        Figures { stopped: stopped.above(before), catching_up: catching_up.above(before), closes }
    };
    let (figures, ()) = tokio::join!(measuring, quick.read_to(BEFORE + MEANWHILE));
    assert!(quick.closes.is_empty(), "the fast subscriber must not be disconnected: {:?}", quick.closes);
    figures
}

/// A client that posts messages.
struct Poster<'p> {
    program: &'p Program,
    channel: String,
    token: String,
}

impl Poster<'_> {
    async fn post_for_a_minute(&self) {
        let ticks = PER_SECOND * STOP.as_secs() as usize / BATCH;
        let mut clock = interval(STOP / ticks as u32);
        for _ in 0..ticks {
            clock.tick().await;
            self.post(BATCH).await;
        }
        clock.tick().await;
    }

    async fn post(&self, mut count: usize) {
        let input = json!({"channelId": self.channel, "content": "three hundred bytes ".repeat(15)});
        let one = json!({"query": CREATE, "variables": {"input": input}});
        while count > 0 {
            let batch = count.min(BATCH);
            let answers =
                self.program.send(Some(&self.token), &vec![one.clone(); batch].into()).await.expect("responses");
            for answer in answers.as_array().expect("a batch") {
                assert!(answer.get("errors").is_none(), "{answer}");
            }
            count -= batch;
        }
    }
}

/// A subscriber.
struct Reader<'p> {
    program: &'p Program,
    after: String,
    /// The id of the last message it received. The ids are consecutive, because the test creates nothing else.
    last: usize,
    subscription: Option<TestSubscription>,
    closes: Vec<u16>,
}

impl<'p> Reader<'p> {
    fn new(program: &'p Program, after: String, last: usize) -> Self {
        Self { program, after, last, subscription: None, closes: Vec::new() }
    }

    /// Subscribes, and reads up to the checkpoint.
    async fn subscribe_until_live(&mut self) {
        self.subscribe().await.expect("a connection");
        while self.read().await.expect("an event") != "Checkpoint" {}
    }

    /// Reads up to this message; reconnects whenever the connection is closed.
    async fn read_to(&mut self, last: usize) {
        while self.last < last {
            if let Err(Disconnected(code)) = self.read().await {
                self.closes.push(code);
                self.subscribe().await.expect("a connection");
            }
        }
    }

    async fn subscribe(&mut self) -> Result<(), Disconnected> {
        let variables = json!({"after": self.after});
        self.subscription = Some(
            with_timeout("a connection", TestSubscription::open(self.program.address(), None, EVENTS, &variables))
                .await?,
        );
        Ok(())
    }

    /// Reads the next event; returns its type.
    async fn read(&mut self) -> Result<String, Disconnected> {
        let subscription = self.subscription.as_mut().expect("the subscription is open");
        let frame = with_timeout("an event", subscription.next_frame()).await?;
        let event = &frame["payload"]["data"]["events"];
        if event["__typename"] == "MessageAdded" {
            self.last += 1;
            assert_eq!(event["message"]["id"], self.last.to_string(), "each message comes once and in order");
        }
        self.after = text(&event["cursor"]);
        Ok(text(&event["__typename"]))
    }
}

/// Memory that a server uses, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    /// Private memory of the process.
    process: i64,
    /// Send queues in the kernel: bytes that clients have not received.
    kernel: i64,
}

impl Memory {
    fn of(server: &Process, program: &Program) -> Self {
        let maps = fs::read_to_string(format!("/proc/{}/smaps_rollup", server.id())).expect("its memory");
        let private = maps.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).expect("a figure");
        let kilobytes: i64 = private.trim().trim_end_matches(" kB").parse().expect("a number");
        Self { process: kilobytes << 10, kernel: sent(program.address().port()) }
    }

    /// Raises the values to the server's peak until `done` completes.
    async fn watch(&mut self, server: &Process, program: &Program, done: impl Future) {
        let mut done = std::pin::pin!(done);
        let mut clock = interval(Duration::from_millis(500));
        loop {
            let now = Self::of(server, program);
            self.process = self.process.max(now.process);
            self.kernel = self.kernel.max(now.kernel);
            tokio::select! {
                _ = clock.tick() => {}
                _ = &mut done => return,
            }
        }
    }

    fn above(self, before: Self) -> Self {
        Self { process: self.process - before.process, kernel: self.kernel - before.kernel }
    }
}

/// Bytes in the kernel's send queues of connections with this local port.
fn sent(port: u16) -> i64 {
    let table = fs::read_to_string("/proc/net/tcp").expect("the table of connections");
    let local = format!(":{port:04X}");
    // The kernel may list a connection twice if many connections change while the table is read.
    let mut queues = BTreeMap::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let queue = fields.get(4).and_then(|queues| queues.split_once(':'));
        if let Some((queue, _)) = queue.filter(|_| fields[1].ends_with(&local)) {
            queues.insert(fields[2], i64::from_str_radix(queue, 16).unwrap_or(0));
        }
    }
    queues.values().sum()
}
