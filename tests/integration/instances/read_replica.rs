//! Reads from a streaming replica: which server serves them, and which data they show while the replica lags, fails,
//! or has another history.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tidings::model::{ChannelId, EventBody, EventKind};
use tidings::store::{BatchState, Effects, NewEvent};

use super::{on_database, with_replica};
use crate::support::database::{Postgres, SECRET};
use crate::support::{Decide, NetworkFault, Program, Proxy, Server, Session, Socket, text, with_timeout};

const MESSAGES: &str = "{ messages(first: 100) { nodes { content author { displayName } } } }";
const USERS: &str = "query ($name: String!) { users(search: $name) { nodes { username } } }";
const UNREAD: &str = "query ($id: ID!) { cursor channel(id: $id) { unreadCount } }";
const MARK_READ: &str = "mutation ($id: ID!, $upTo: Cursor!) { markChannelRead(channelId: $id, upTo: $upTo) { id } }";
/// Rendering the author's name needs the database.
const ADDED: &str = "subscription ($channel: ID, $after: Cursor) {
    messageAdded(channelId: $channel, after: $after) { content cursor author { displayName } } }";
/// More events than an instance keeps in memory.
const MANY_EVENTS: usize = 9_000;

/// A primary and its replica, and an instance that reads from the replica.
struct Fixture {
    primary: Postgres,
    replica: Postgres,
    server: Server,
    ann: Session,
    channel: String,
}

impl Fixture {
    /// Starts everything, and waits until the replica serves reads.
    async fn new(name: &'static str) -> Self {
        let (primary, replica, database) = servers(name).await;
        let (url, read_url) = (primary.url(primary.port(), &database), replica.url(replica.port(), &database));
        Self::on(primary, replica, &url, &read_url).await
    }

    async fn on(primary: Postgres, replica: Postgres, url: &str, read_url: &str) -> Self {
        let server = Server::start_with(with_replica(url, read_url)).await;
        let ann = server.register("ann").await;
        let channel = server.channel(&ann, "general").await;
        let fixture = Self { primary, replica, server, ann, channel };
        fixture.wait_for_replica().await;
        fixture
    }

    async fn wait_for_replica(&self) {
        // An event that was committed after the start shows that the replica follows the primary.
        self.post("an event").await;
        wait_for(&self.server, "tidings_replica_up", 1.0).await;
    }

    async fn post(&self, content: &str) {
        self.server.post(&self.ann, &self.channel, content).await;
    }

    async fn contents(&self) -> Vec<String> {
        contents(&self.server, &self.ann).await
    }

    /// The names of the users that a search finds.
    async fn found(&self, name: &str) -> Vec<String> {
        let data = self.server.data(Some(&self.ann), USERS, json!({"name": name})).await;
        data["users"]["nodes"].as_array().expect("nodes").iter().map(|user| text(&user["username"])).collect()
    }

    /// Makes a change that has no event, and asserts that the next query shows it.
    async fn assert_mark_is_visible(&self, reader: &Session) {
        let query = || self.server.data(Some(reader), UNREAD, json!({"id": self.channel}));
        let before = query().await;
        assert!(before["channel"]["unreadCount"].as_i64() > Some(0), "{before}");
        let variables = json!({"id": self.channel, "upTo": before["cursor"]});
        self.server.data(Some(reader), MARK_READ, variables).await;
        assert_eq!(query().await["channel"]["unreadCount"], 0);
    }

    /// Writes so many events that earlier ones are only in the log.
    async fn fill_window(&self) {
        let filling = self.server.board().store().write(Decide(|_: &BatchState, effects: &mut Effects| {
            for _ in 0..MANY_EVENTS {
                let event = NewEvent::new(EventKind::MessageDeleted, 1, None).in_channel(ChannelId(999_999));
                effects.record(event, EventBody::None);
            }
            Ok(())
        }));
        filling.await.expect("a commit");
    }
}

/// A primary with a database, and a replica that has it.
async fn servers(name: &'static str) -> (Postgres, Postgres, String) {
    let starting = tokio::task::spawn_blocking(move || {
        let primary = Postgres::start(&format!("{name}-primary"), &["fsync=off", "log_statement=all"]);
        let replica = primary.standby(&format!("{name}-replica"));
        let database = primary.create_database();
        primary.wait_for(&replica);
        (primary, replica, database)
    });
    starting.await.expect("two servers")
}

async fn contents(server: &Server, session: &Session) -> Vec<String> {
    let data = server.data(Some(session), MESSAGES, json!({})).await;
    data["messages"]["nodes"].as_array().expect("nodes").iter().map(|node| text(&node["content"])).collect()
}

/// The value of a metric.
async fn metric(server: &Server, sample: &str) -> f64 {
    let page = server.http().get(server.url("/metrics")).send().await.expect("a response");
    let page = page.text().await.expect("a page");
    let value = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no sample {sample}: {page}"))
}

async fn wait_for(server: &Server, sample: &str, expected: f64) {
    let waiting = async {
        while (metric(server, sample).await - expected).abs() > 0.5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    with_timeout(sample, waiting).await;
}

async fn reads(server: &Server) -> (f64, f64) {
    let reads = async |kind: &str| metric(server, &format!("tidings_reads_total{{server=\"{kind}\"}}")).await;
    (reads("primary").await, reads("replica").await)
}

/// How often this server has executed a statement with this text.
fn executed(server: &Postgres, statement: &str) -> usize {
    server.log().matches(statement).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_renderings_and_pages_of_the_log_are_read_from_the_replica() {
    let fixture = Fixture::new("reads").await;
    let Fixture { server, ann, channel, .. } = &fixture;
    let mut live = server.socket(Some(ann)).await;
    live.subscribe("live", ADDED, json!({"channel": channel})).await;
    live.assert_idle().await;
    // A slow machine may exceed the limit on waiting. Then reads go to the primary for a moment.
    let reading = async {
        for round in 1.. {
            if reads_only_from_the_replica(&fixture, &mut live, round).await {
                return;
            }
            wait_for(server, "tidings_replica_up", 1.0).await;
        }
    };
    with_timeout("a round without a read from the primary", Box::pin(reading)).await;
}

/// Runs a query, a rendering and a subscription that resumes from the log. Returns `false` if the primary served a read.
async fn reads_only_from_the_replica(fixture: &Fixture, live: &mut Socket, round: usize) -> bool {
    const STATEMENTS: [&str; 3] =
        ["\"messages\".\"content\"", "\"users\".\"display_name\"", "octet_length(f.audience)"];
    let Fixture { primary, replica, server, ann, channel } = fixture;
    let executed = |server: &Postgres| STATEMENTS.map(|text| executed(server, text));
    let after = server.cursor(Some(ann)).await;
    let (reads_before, before) = (reads(server).await, (executed(primary), executed(replica)));
    for _ in 0..10 {
        assert_eq!(fixture.contents().await.len(), round);
    }
    fixture.post("one").await;
    assert_eq!(live.item("live").await["messageAdded"]["author"]["displayName"], "ann");
    fixture.fill_window().await;
    let mut resumed = server.socket(Some(ann)).await;
    resumed.subscribe("resumed", ADDED, json!({"channel": channel, "after": after})).await;
    assert_eq!(resumed.item("resumed").await["messageAdded"]["content"], "one");

    let (reads_after, after) = (reads(server).await, (executed(primary), executed(replica)));
    if reads_after.0 > reads_before.0 {
        return false;
    }
    assert!(reads_after.1 - reads_before.1 >= 12.0, "{reads_before:?} {reads_after:?}");
    for (position, text) in STATEMENTS.iter().enumerate() {
        assert!(after.1[position] > before.1[position], "the replica did not execute {text}");
    }
    // The writer reads users, and the log tailer reads the log. Only reads of clients read the content of messages.
    assert_eq!(after.0[0], before.0[0], "the primary executed {}", STATEMENTS[0]);
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_see_what_this_instance_has_acknowledged_while_the_replica_follows() {
    let fixture = Fixture::new("own").await;
    let ben = fixture.server.register("ben").await;
    let mut socket = fixture.server.socket(Some(&fixture.ann)).await;
    let before = reads(&fixture.server).await;
    for number in 0..30 {
        let content = format!("message {number}");
        fixture.post(&content).await;
        assert_eq!(fixture.contents().await[0], content);
        socket.subscribe("q", MESSAGES, json!({})).await;
        assert_eq!(socket.item("q").await["messages"]["nodes"][0]["content"], content);
        assert_eq!(socket.frame().await["type"], "complete");
        fixture.assert_mark_is_visible(&ben).await;
        let name = format!("user{number}x");
        fixture.server.register(&name).await;
        assert_eq!(fixture.found(&name).await, [name]);
    }
    let after = reads(&fixture.server).await;
    // A slow machine may exceed the limit on waiting. Then reads go to the primary for a moment.
    assert!(after.1 - before.1 > 0.0, "the replica served no read: {before:?} {after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_see_what_this_instance_has_acknowledged_while_the_replica_stands_still() {
    let fixture = Fixture::new("lag").await;
    let ben = fixture.server.register("ben").await;
    assert_eq!(fixture.found("ben").await, ["ben"]);
    let pause = || {
        tokio::task::block_in_place(|| {
            fixture.primary.wait_for(&fixture.replica);
            fixture.replica.pause_replay();
        });
    };
    pause();
    let before = reads(&fixture.server).await;
    assert_eq!(fixture.contents().await, ["an event"]);
    let after = reads(&fixture.server).await;
    assert_eq!((after.1 - before.1) as i64, 1, "a replica that lacks nothing serves, although it stands still");
    // The replica has every event, but not this change.
    fixture.assert_mark_is_visible(&ben).await;
    wait_for(&fixture.server, "tidings_replica_up", 0.0).await;
    fixture.post("while the replica stands still").await;
    assert_eq!(fixture.contents().await[0], "while the replica stands still");
    wait_for(&fixture.server, "tidings_replica_lag", 1.0).await;
    assert_eq!(status(&fixture.server, "/readyz").await, 200);

    fixture.replica.resume_replay();
    wait_for(&fixture.server, "tidings_replica_up", 1.0).await;
    pause();
    // The replica serves when this read begins, and the read waits for it in vain.
    fixture.post("while the replica stands still again").await;
    assert_eq!(fixture.contents().await[0], "while the replica stands still again");
    fixture.replica.resume_replay();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_resumes_with_a_cursor_that_the_replica_does_not_have() {
    let fixture = Fixture::new("ahead").await;
    let Fixture { server, ann, channel, .. } = &fixture;
    tokio::task::block_in_place(|| fixture.replica.pause_replay());
    let mut cursors = Vec::new();
    for number in 0..4 {
        fixture.post(&format!("lost {number}")).await;
        cursors.push(server.cursor(Some(ann)).await);
    }
    fixture.fill_window().await;
    let mut socket = server.socket(Some(ann)).await;
    for (number, after) in cursors.iter().enumerate() {
        socket.subscribe(&number.to_string(), ADDED, json!({"channel": channel, "after": after})).await;
        for missed in number + 1..4 {
            let item = socket.item(&number.to_string()).await;
            assert_eq!(item["messageAdded"]["content"], format!("lost {missed}"));
        }
        socket.send(json!({"type": "complete", "id": number.to_string()})).await;
    }
    // The log decides about a cursor that no server has.
    socket.subscribe("invented", ADDED, json!({"channel": channel, "after": "cffffff-0000000000000001"})).await;
    assert_eq!(socket.error_code("invented").await, "CURSOR_EXPIRED");
    socket.subscribe("last", ADDED, json!({"channel": channel, "after": cursors[3]})).await;
    fixture.replica.resume_replay();
    fixture.post("after the lag").await;
    assert_eq!(socket.item("last").await["messageAdded"]["content"], "after the lag");
}

/// The client has the cursor from an instance that is ahead of the one to which it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_resumes_with_a_cursor_that_neither_the_instance_nor_the_replica_has() {
    let (primary, replica, database) = servers("other").await;
    let proxy = Proxy::start(primary.port()).await;
    let (url, through) = (primary.url(primary.port(), &database), primary.url(proxy.port(), &database));
    let read_url = replica.url(replica.port(), &database);
    let fixture = Fixture::on(primary, replica, &through, &read_url).await;
    let other = Server::start_with(on_database(&url)).await;
    let mut socket = fixture.server.socket(Some(&fixture.ann)).await;
    for number in 0..3 {
        tokio::task::block_in_place(|| fixture.replica.pause_replay());
        // The instance reads the next event late.
        proxy.set_fault(NetworkFault::Slow(Duration::from_millis(300)));
        other.post(&fixture.ann, &fixture.channel, "before").await;
        let after = other.cursor(Some(&fixture.ann)).await;
        let id = number.to_string();
        socket.subscribe(&id, ADDED, json!({"channel": fixture.channel, "after": after})).await;
        let content = format!("after {number}");
        other.post(&fixture.ann, &fixture.channel, &content).await;
        assert_eq!(socket.item(&id).await["messageAdded"]["content"], content);
        socket.send(json!({"type": "complete", "id": id})).await;
        proxy.set_fault(NetworkFault::None);
        fixture.replica.resume_replay();
        wait_for(&fixture.server, "tidings_replica_up", 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_fails_when_the_replica_is_lost_and_it_serves_again_when_it_is_back() {
    let fixture = Arc::new(Fixture::new("lost").await);
    let mut socket = fixture.server.socket(Some(&fixture.ann)).await;
    socket.subscribe("m", ADDED, json!({"channel": fixture.channel})).await;
    socket.assert_idle().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (fixture, is_over) = (Arc::clone(&fixture), Arc::clone(&is_over));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    // Panics if the operation has an error.
                    fixture.contents().await;
                }
            })
        })
        .collect();
    for round in 0..3 {
        let (_, served) = reads(&fixture.server).await;
        while reads(&fixture.server).await.1 < served + 20.0 {
            tokio::task::yield_now().await;
        }
        tokio::task::block_in_place(|| fixture.replica.stop());
        let content = format!("without the replica {round}");
        fixture.post(&content).await;
        assert_eq!(socket.item("m").await["messageAdded"]["content"], content);
        wait_for(&fixture.server, "tidings_replica_up", 0.0).await;
        assert_eq!(status(&fixture.server, "/readyz").await, 200);
        tokio::task::block_in_place(|| fixture.replica.start_again());
        wait_for(&fixture.server, "tidings_replica_up", 1.0).await;
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        with_timeout("the end of a client", client).await.expect("no query fails");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_go_to_the_primary_while_the_replica_hangs() {
    let (primary, replica, database) = servers("hangs").await;
    let proxy = Proxy::start(replica.port()).await;
    let (url, read_url) = (primary.url(primary.port(), &database), replica.url(proxy.port(), &database));
    let fixture = Fixture::on(primary, replica, &url, &read_url).await;
    proxy.set_fault(NetworkFault::Stall);
    let query = || fixture.server.execute(Some(&fixture.ann), MESSAGES, json!({}));
    // Reads that have reached the replica hang. Later ones do not wait for them.
    let hanging: Vec<_> = (0..8).map(|_| query()).collect();
    let hanging = futures_util::future::join_all(hanging);
    let answered = async {
        wait_for(&fixture.server, "tidings_replica_up", 0.0).await;
        for _ in 0..20 {
            assert_eq!(fixture.contents().await, ["an event"]);
        }
    };
    tokio::select! {
        () = answered => {}
        answers = hanging => panic!("the replica answered: {answers:?}"),
    }
    proxy.set_fault(NetworkFault::None);
    wait_for(&fixture.server, "tidings_replica_up", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_does_not_serve() {
    let fixture = Fixture::new("promoted").await;
    let database = fixture.server.database_url().rsplit('/').next().expect("a name").to_owned();
    tokio::task::block_in_place(|| fixture.replica.promote());
    let diverge = "UPDATE messages SET content = 'of another history'";
    tokio::task::block_in_place(|| fixture.replica.run("psql", &["-qc", diverge, &database]));
    for _ in 0..20 {
        assert_eq!(fixture.contents().await, ["an event"]);
    }
    wait_for(&fixture.server, "tidings_replica_up", 0.0).await;
    fixture.post("after the promotion").await;
    assert_eq!(fixture.contents().await, ["after the promotion", "an event"]);
    assert_eq!(status(&fixture.server, "/readyz").await, 200);
}

/// The replica has the last changes of the old primary. The standby that takes over lacks them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_served_from_a_replica_that_kept_the_history_of_the_old_primary() {
    for has_lost_events in [true, false] {
        let (primary, replica, database) = servers(if has_lost_events { "events" } else { "eventless" }).await;
        let (primary, standby) = tokio::task::spawn_blocking(move || {
            let standby = primary.standby(&format!("{has_lost_events}-standby"));
            (primary, standby)
        })
        .await
        .expect("a standby");
        let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port());
        let url = format!("postgres://tidings@{hosts}/{database}?target_session_attrs=read-write");
        let server = Server::start_with(with_replica(&url, &replica.url(replica.port(), &database))).await;
        let ann = server.register("ann").await;
        let channel = server.channel(&ann, "general").await;
        let fixture = Fixture { primary, replica, server, ann, channel };
        fixture.wait_for_replica().await;
        tokio::task::block_in_place(|| {
            fixture.primary.wait_for(&standby);
            standby.stop_cleanly();
        });
        fixture.server.register("lost").await;
        if has_lost_events {
            fixture.post("lost").await;
        } else {
            // The WAL of the lost history becomes longer than that of the new primary.
            let fill = "CREATE TABLE lost AS SELECT generate_series(1, 100000)";
            tokio::task::block_in_place(|| fixture.primary.run("psql", &["-qc", fill, &database]));
        }
        tokio::task::block_in_place(|| fixture.primary.wait_for(&fixture.replica));
        assert_eq!(fixture.found("lost").await, ["lost"]);
        tokio::task::block_in_place(|| {
            fixture.primary.stop();
            standby.start_again();
            standby.promote();
        });
        // A registration has no event, so the heads of both histories stay equal if no event was lost.
        until_registered(&fixture.server, "kept").await;
        for _ in 0..10 {
            assert_eq!(fixture.found("kept").await, ["kept"]);
            assert_eq!(fixture.found("lost").await, [""; 0]);
            assert_eq!(fixture.contents().await, ["an event"]);
        }
        fixture.post("kept").await;
        assert_eq!(fixture.contents().await, ["kept", "an event"]);
        wait_for(&fixture.server, "tidings_replica_up", 0.0).await;
    }
}

/// Registers a user as soon as the database accepts changes.
async fn until_registered(server: &Server, name: &str) {
    let query = "mutation ($input: RegisterInput!) { register(input: $input) { token } }";
    let input = json!({"username": name, "password": crate::support::PASSWORD, "displayName": name});
    let request = || {
        let body = json!({"query": query, "variables": {"input": input}});
        server.http().post(server.url("/graphql")).json(&body).send()
    };
    let registering = async {
        loop {
            let answer: Value = request().await.expect("a response").json().await.expect("JSON");
            // The outcome of an attempt may be unknown. Then the next one finds the name taken.
            if answer.get("errors").is_none() || answer["errors"][0]["extensions"]["code"] == "CONFLICT" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    with_timeout("a registration", registering).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_of_another_installation_does_not_serve() {
    let (primary, replica, database) = servers("mine").await;
    let (foreign_primary, foreign_replica, foreign_database) = servers("foreign").await;
    let foreign =
        Server::start_with(on_database(&foreign_primary.url(foreign_primary.port(), &foreign_database))).await;
    let eve = foreign.register("eve").await;
    let channel = foreign.channel(&eve, "general").await;
    for number in 0..20 {
        foreign.post(&eve, &channel, &format!("foreign {number}")).await;
    }
    let url = primary.url(primary.port(), &database);
    let read_url = foreign_replica.url(foreign_replica.port(), &foreign_database);
    let server = Server::start_with(with_replica(&url, &read_url)).await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let checks = || executed(&foreign_replica, "pg_is_in_recovery()");
    let (mut posted, first) = (Vec::new(), checks());
    // The other log is longer at first, and shorter later.
    for number in 0..30 {
        server.post(&ann, &channel, &number.to_string()).await;
        posted.insert(0, number.to_string());
        assert_eq!(contents(&server, &ann).await, posted);
        let checking = async {
            while number % 10 == 0 && checks() < first + number / 10 + 2 {
                assert_eq!(contents(&server, &ann).await, posted);
            }
        };
        with_timeout("two checks of the replica", checking).await;
    }
    assert_eq!((metric(&server, "tidings_replica_up").await as i64, reads(&server).await.1 as i64), (0, 0));
    drop(replica);
}

/// A replica adds capacity, and is not needed for the service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_starts_without_its_replica_and_logs_why_reads_go_to_the_primary() {
    let (primary, replica, database) = servers("start").await;
    let url = primary.url(primary.port(), &database);
    let missing = "postgres://tidings:hidden@127.0.0.1:1/missing";
    let empty = replica.url(replica.port(), "postgres");
    for (read_url, reason) in [
        (missing, "Connection refused"),
        (&url, "it is not a standby"),
        (&empty, "relation \\\"log_head\\\" does not exist"),
    ] {
        let settings = [("DATABASE_URL", url.as_str()), ("TIDINGS_JWT_SECRET", SECRET)];
        let program = Program::new(&[&settings[..], &[("TIDINGS_DATABASE_READ_URL", read_url)]].concat());
        let mut process = program.start();
        process.ready().await.expect("the server starts");
        let logged = async {
            while !program.log().contains(reason) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        with_timeout(reason, logged).await;
        program.cursor().await;
        let warnings: Vec<_> = program.log().lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(!warnings[0].contains("hidden"), "{warnings:?}");
    }
}

async fn status(server: &Server, path: &str) -> u16 {
    let request = server.http().get(server.url(path)).send();
    with_timeout("a response", request).await.expect("a response").status().as_u16()
}
