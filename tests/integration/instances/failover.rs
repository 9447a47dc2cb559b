//! A failover to a standby that lacks the last events, below two instances with continuous writers and subscribers.
//! Another failover has a read replica that keeps the lost events.
//! `TIDINGS_FAILOVER` sets the number of failovers; `make failover` runs 20.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{attempt, on_database, with_replica};
use crate::support::database::Postgres;
use crate::support::{Report, Server, Session, Socket, text, with_timeout};

const ADDED: &str = "subscription ($channel: ID, $after: Cursor) {
    messageAdded(channelId: $channel, after: $after) { content cursor } }";
const PAGE: &str =
    "query ($channel: ID, $page: String) { cursor messages(channelId: $channel, first: 100, after: $page) {
    nodes { content } pageInfo { hasNextPage endCursor } } }";
const DISABLE: &str = "mutation ($id: ID!) { setUserDisabled(userId: $id, disabled: true) { disabled } }";
const ME: &str = "{ me { username } }";
const RETRY_DELAY: Duration = Duration::from_millis(20);
/// Number of mutations that each writer must have acknowledged after the failover.
const WRITES_AFTER_FAILOVER: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_that_loses_events_clients_converge_on_the_surviving_messages() {
    let rounds = std::env::var("TIDINGS_FAILOVER").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let mut report = Report::new(format!("failovers to a standby that lacks the last events: {rounds}"));
    for number in 0..rounds {
        let line = Box::pin(failover(number, false)).await;
        report.line(format!("{number}: {line}"));
    }
}

/// The instances read from a replica that receives the lost events, and that cannot follow the new primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_no_client_reads_lost_events_from_a_read_replica() {
    for number in [1_000, 1_001] {
        Box::pin(failover(number, true)).await;
    }
}

/// Runs one failover, with or without a read replica; returns a line for the report.
async fn failover(number: usize, has_replica: bool) -> String {
    let begun = Instant::now();
    let Pair { primary, standby, url } = pair(number).await;
    let replica = has_replica.then(|| tokio::task::block_in_place(|| primary.standby(&format!("replica{number}"))));
    let start = || async {
        let server = match &replica {
            Some(replica) => Server::start_with(with_replica(&url, &replica.url(replica.port(), name_in(&url)))).await,
            None => Server::start_with(on_database(&url)).await,
        };
        Arc::new(server)
    };
    let servers = [start().await, start().await];
    let [one, two] = &servers;
    let boss = one.admin("boss").await;
    let (ann, victim) = (one.register("ann").await, one.register("victim").await);
    let channel = one.channel(&ann, "general").await;
    for server in &servers {
        server.data(Some(&victim), ME, json!({})).await;
    }
    let followers = servers.each_ref().map(|server| Follower::start(server, &ann, &channel));
    for kept in 0..3 {
        one.post(&ann, &channel, &format!("kept {kept}")).await;
    }
    let kept = one.cursor(Some(&ann)).await;
    for server in servers.iter().filter(|_| has_replica) {
        let is_serving = || server.board().store().replica().is_some_and(|replica| replica.is_serving);
        let serving = async {
            while !is_serving() {
                tokio::time::sleep(RETRY_DELAY).await;
            }
        };
        with_timeout("a replica that serves", serving).await;
    }
    tokio::task::block_in_place(|| {
        primary.wait_for(&standby);
        standby.stop_cleanly();
    });

    // The messages from here on are lost. In odd rounds, writers already run and their messages are lost, too.
    let taken_over = Arc::new(AtomicBool::new(false));
    let write = || [0, 1].map(|at| Writer::start(&servers[at], &ann, &channel, at, &taken_over));
    let mut writers = (number % 2 == 1).then(write);
    for lost in 0..=number % 4 {
        one.post(&ann, &channel, &format!("lost {lost}")).await;
    }
    let lost = one.cursor(Some(&ann)).await;
    for follower in &followers {
        with_timeout("delivery of a message that is about to be lost", follower.has("lost 0")).await;
    }
    if let Some(replica) = &replica {
        tokio::task::block_in_place(|| primary.wait_for(replica));
    }
    tokio::task::block_in_place(|| {
        primary.stop();
        standby.start_again();
        standby.promote();
    });
    taken_over.store(true, Ordering::SeqCst);
    let writers = writers.take().unwrap_or_else(write);

    let checked_server = &servers[number % 2];
    with_timeout("a user who is disabled", until(checked_server, &boss, DISABLE, &json!({"id": victim.id}), "OK"))
        .await;
    let victim_outcome = attempt(checked_server, &victim, ME, &json!({})).await.1;
    assert_eq!(victim_outcome, "UNAUTHENTICATED", "the instance that disabled the user serves it");
    while writers.iter().any(|writer| writer.survived().len() < WRITES_AFTER_FAILOVER) {
        for server in &servers {
            let outcome = post(server, &victim, &channel, "by the victim").await;
            assert_ne!(outcome, "OK", "a disabled user has written");
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
    for server in &servers {
        with_timeout("the end of a session", until(server, &victim, ME, &json!({}), "UNAUTHENTICATED")).await;
    }
    let acknowledged: Vec<String> = futures_util::future::join_all(writers.map(Writer::stop)).await.concat();

    let stored = contents(&standby, &url);
    let stored_set: BTreeSet<&String> = stored.iter().collect();
    assert!(
        acknowledged.iter().all(|content| stored_set.contains(content)),
        "an acknowledged message is not in the database"
    );
    assert!(!stored.iter().any(|content| content.contains("lost") || content.contains("victim")), "{stored:?}");
    let mut expired = 0;
    for follower in followers {
        expired += follower.converges_to(&stored).await;
    }
    assert!(expired >= 2, "clients that had received lost events did not all get CURSOR_EXPIRED: {expired}");
    for server in [one, two] {
        let mut socket = server.socket(Some(&ann)).await;
        socket.subscribe("lost", ADDED, json!({"channel": channel, "after": lost})).await;
        assert_eq!(socket.error_code("lost").await, "CURSOR_EXPIRED");
        socket.subscribe("kept", ADDED, json!({"channel": channel, "after": kept})).await;
        for content in &stored[3..] {
            assert_eq!(text(&socket.item("kept").await["messageAdded"]["content"]), *content);
        }
    }
    // Free all resources before the next round.
    for mut server in servers.into_iter().filter_map(Arc::into_inner) {
        server.close().await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    format!(
        "{} acknowledged afterwards and all stored, {expired} CURSOR_EXPIRED errors, {seconds:.1} s",
        acknowledged.len()
    )
}

/// A primary, its standby, and a URL that connects to whichever of them accepts writes.
struct Pair {
    primary: Postgres,
    standby: Postgres,
    url: String,
}

async fn pair(number: usize) -> Pair {
    let starting = tokio::task::spawn_blocking(move || {
        let primary = Postgres::start(&format!("primary{number}"), &["fsync=off"]);
        let standby = primary.standby(&format!("standby{number}"));
        let (name, ports) = (primary.create_database(), (primary.port(), standby.port()));
        let hosts = format!("127.0.0.1:{},127.0.0.1:{}", ports.0, ports.1);
        let url = format!("postgres://tidings@{hosts}/{name}?target_session_attrs=read-write");
        Pair { primary, standby, url }
    });
    starting.await.expect("two servers")
}

/// The content of every message in the database, in order of the ids.
fn contents(server: &Postgres, url: &str) -> Vec<String> {
    let query = "SELECT content FROM messages ORDER BY id";
    server.run("psql", &["-qAt", "-d", name_in(url), "-c", query]).lines().map(str::to_owned).collect()
}

/// The name of the database in a URL.
fn name_in(url: &str) -> &str {
    url.rsplit('/').next().and_then(|rest| rest.split('?').next()).expect("a name")
}

/// Repeats an operation until its outcome is `code`.
async fn until(server: &Server, session: &Session, query: &str, variables: &Value, code: &str) {
    while attempt(server, session, query, variables).await.1 != code {
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

async fn post(server: &Server, session: &Session, channel: &str, content: &str) -> String {
    let query = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }";
    let input = json!({"channelId": channel, "content": content});
    attempt(server, session, query, &json!({"input": input})).await.1
}

/// Writes one message after the other.
struct Writer {
    /// The acknowledged messages that were sent after the failover.
    survived: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    running: JoinHandle<()>,
}

impl Writer {
    fn start(server: &Arc<Server>, by: &Session, channel: &str, name: usize, taken_over: &Arc<AtomicBool>) -> Self {
        let (survived, stopped) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (server, by, channel, taken_over) =
            (Arc::clone(server), by.clone(), channel.to_owned(), Arc::clone(taken_over));
        let (done, stop) = (Arc::clone(&survived), Arc::clone(&stopped));
        let running = tokio::spawn(async move {
            for number in 0.. {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (content, is_safe) = (format!("writer {name}: {number}"), taken_over.load(Ordering::SeqCst));
                if post(&server, &by, &channel, &content).await == "OK" && is_safe {
                    done.lock().expect("a list").push(content);
                }
            }
        });
        Self { survived, stopped, running }
    }

    fn survived(&self) -> Vec<String> {
        self.survived.lock().expect("a list").clone()
    }

    async fn stop(self) -> Vec<String> {
        self.stopped.store(true, Ordering::SeqCst);
        with_timeout("the end of a writer", self.running).await.expect("a writer");
        let survived = self.survived.lock().expect("a list");
        survived.clone()
    }
}

/// A client that follows docs/clients.md: it queries, subscribes, and queries again when its cursor has expired.
struct Follower {
    seen: Arc<Mutex<BTreeSet<String>>>,
    expired: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

impl Follower {
    fn start(server: &Arc<Server>, by: &Session, channel: &str) -> Self {
        let (seen, expired) = (Arc::default(), Arc::default());
        let client = Client {
            server: Arc::clone(server),
            session: by.clone(),
            channel: channel.to_owned(),
            seen: Arc::clone(&seen),
            expired: Arc::clone(&expired),
        };
        Self { seen, expired, running: tokio::spawn(client.run()) }
    }

    async fn has(&self, content: &str) {
        while !self.seen.lock().expect("a set").contains(content) {
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    /// Waits until the client has exactly the messages of the database; returns how often its cursor had expired.
    async fn converges_to(self, stored: &[String]) -> usize {
        let stored: BTreeSet<String> = stored.iter().cloned().collect();
        let agreeing = async {
            while *self.seen.lock().expect("a set") != stored {
                tokio::time::sleep(RETRY_DELAY).await;
            }
        };
        let has_agreed = tokio::time::timeout(crate::support::TIMEOUT, agreeing).await.is_ok();
        let seen = self.seen.lock().expect("a set").clone();
        let missing: Vec<_> = stored.difference(&seen).take(10).collect();
        let wrong: Vec<_> = seen.difference(&stored).take(10).collect();
        assert!(has_agreed, "missing in the client: {missing:?}; not in the database: {wrong:?}");
        self.running.abort();
        drop(self.running.await);
        self.expired.load(Ordering::SeqCst)
    }
}

struct Client {
    server: Arc<Server>,
    session: Session,
    channel: String,
    seen: Arc<Mutex<BTreeSet<String>>>,
    expired: Arc<AtomicUsize>,
}

impl Client {
    async fn run(self) {
        let mut after = self.query().await;
        loop {
            let mut socket = Socket::connect_and_init(self.server.address(), Some(&self.session)).await;
            while self.follow(&mut socket, &mut after).await {}
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    /// Runs one subscription to its end; returns whether the socket is still open.
    async fn follow(&self, socket: &mut Socket, after: &mut String) -> bool {
        socket.subscribe("m", ADDED, json!({"channel": self.channel, "after": after})).await;
        loop {
            let Ok(frame) = socket.next().await else { return false };
            if frame["type"] == "next" {
                let message = &frame["payload"]["data"]["messageAdded"];
                *after = text(&message["cursor"]);
                self.seen.lock().expect("a set").insert(text(&message["content"]));
            } else if frame["payload"][0]["extensions"]["code"] == "CURSOR_EXPIRED" {
                self.expired.fetch_add(1, Ordering::SeqCst);
                *after = self.query().await;
                return true;
            } else {
                assert_eq!(frame["payload"][0]["extensions"]["code"], "UNAVAILABLE", "{frame}");
                tokio::time::sleep(RETRY_DELAY).await;
                return true;
            }
        }
    }

    /// Queries all messages; returns the cursor at which to subscribe.
    async fn query(&self) -> String {
        'again: loop {
            let (mut all, mut first, mut page) = (BTreeSet::new(), None, Value::Null);
            loop {
                let variables = json!({"channel": self.channel, "page": page});
                let (data, code) = attempt(&self.server, &self.session, PAGE, &variables).await;
                if code != "OK" {
                    tokio::time::sleep(RETRY_DELAY).await;
                    continue 'again;
                }
                let cursor = first.get_or_insert(text(&data["cursor"])).clone();
                let nodes = data["messages"]["nodes"].as_array().expect("a list");
                all.extend(nodes.iter().map(|node| text(&node["content"])));
                if data["messages"]["pageInfo"]["hasNextPage"] == false {
                    *self.seen.lock().expect("a set") = all;
                    return cursor;
                }
                page = data["messages"]["pageInfo"]["endCursor"].clone();
            }
        }
    }
}
