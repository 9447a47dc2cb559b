//! Fair sharing of capacity: neither one caller nor many anonymous ones can starve other users.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidings::model::{CapacityKey, Freshness, client_prefix};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::support::database::{fill, is_postgres, sql};
use crate::support::json_socket::CONNECT;
use crate::support::{JsonSocket, Server, Session, Socket, text, with_timeout};

/// The longest accepted response time during an attack. Without fair queues the same requests took many times as long
/// or were rejected.
const ENOUGH: Duration = Duration::from_secs(8);

/// Clients that send a body repeatedly until [`Flood::end`].
struct Flood {
    is_over: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Flood {
    fn begin(server: &Server, clients: usize, body: impl Fn() -> Value + Clone + Send + 'static) -> Self {
        let (is_over, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let url = server.url("/graphql");
        let clients = (0..clients).map(|_| {
            let (is_over, answers, url, body) = (Arc::clone(&is_over), Arc::clone(&answers), url.clone(), body.clone());
            tokio::spawn(async move {
                let client = reqwest::Client::builder().no_proxy().build().expect("a client");
                while !is_over.load(Ordering::Relaxed) {
                    if let Ok(answer) = client.post(&url).json(&body()).send().await {
                        drop(answer.bytes().await);
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        });
        Self { clients: clients.collect(), is_over, answers }
    }

    /// Waits until the first response, so that the flood is under way.
    async fn wait_for_first_response(&self) {
        with_timeout("an answer to the flood", async {
            while self.answers.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    async fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            with_timeout("the end of the flood", client).await.expect("a client");
        }
    }
}

fn sign_in(username: &str) -> String {
    format!("login(input: {{username: \"{username}\", password: \"not the right one\"}}) {{ token }}")
}

fn random_name() -> String {
    format!("u{:x}", rand::random::<u64>())
}

fn batch_of_sign_ins() -> Value {
    let one = || json!({"query": format!("mutation {{ {} }}", sign_in(&random_name()))});
    Value::Array((0..10).map(|_| one()).collect())
}

fn sign_ins_in_order() -> Value {
    let fields: Vec<String> = (0..25).map(|at| format!("a{at}: {}", sign_in(&random_name()))).collect();
    json!({"query": format!("mutation {{ {} }}", fields.join(" "))})
}

async fn assert_member_can_post(server: &Server, ann: &Session, channel: &str) {
    let posting = async {
        for _ in 0..5 {
            server.post(ann, channel, "meanwhile").await;
        }
    };
    tokio::time::timeout(ENOUGH, posting).await.expect("members can write during the flood");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_can_write_during_a_flood_of_sign_ins() {
    let server = Server::start_with(|config| config.sessions.password_threads = 1).await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "garden").await;
    for body in [batch_of_sign_ins as fn() -> Value, sign_ins_in_order] {
        let flood = Flood::begin(&server, 60, body);
        flood.wait_for_first_response().await;
        assert_member_can_post(&server, &ann, &channel).await;
        let mut json_socket = JsonSocket::open(server.address(), CONNECT, Some(&ann)).await;
        let joining = json_socket.request(json!({"type": "join_room", "room": "garden"}), "joined");
        tokio::time::timeout(ENOUGH, joining).await.expect("members can join rooms during the flood");
        flood.end().await;
    }
}

#[tokio::test]
async fn sign_ins_are_limited_per_address_for_all_usernames() {
    let server = Server::start_with(|config| {
        config.sessions.sign_ins_per_minute = 3;
        config.trusted_proxies = "127.0.0.1".parse().expect("a network");
    })
    .await;
    let ask = async |client: &str| {
        let body = json!({"query": format!("mutation {{ {} }}", sign_in(&random_name()))});
        let request = server.http().post(server.url("/graphql")).header("x-forwarded-for", client).json(&body);
        let answer: Value =
            with_timeout("a response", request.send()).await.expect("a response").json().await.expect("JSON");
        answer["errors"][0]["extensions"].clone()
    };
    for _ in 0..3 {
        assert_eq!(ask("192.0.2.1").await["code"], "UNAUTHENTICATED");
    }
    let refused = ask("192.0.2.1").await;
    assert_eq!(refused["code"], "RATE_LIMITED");
    assert!(refused["retryAfterMs"].as_u64().is_some_and(|wait| wait <= 20_000), "{refused}");
    assert_eq!(ask("192.0.2.2").await["code"], "UNAUTHENTICATED", "another address has its own limit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_stay_fast_beside_many_invisible_messages() {
    let server = Server::start_with(|config| config.sessions.password_threads = 1).await;
    let (ann, ben) = (server.register("ann").await, server.register("ben").await);
    let open = server.channel(&ann, "open").await;
    let private = "mutation { createChannel(input: {name: \"private\", visibility: PRIVATE}) { id } }";
    let private = text(&server.data(Some(&ann), private, json!({})).await["createChannel"]["id"]);
    let ticket = "mutation ($c: ID!, $a: ID!) { createMessage(input: {channelId: $c, content: \"open\", \
                  ticket: {assigneeId: $a}}) { id } }";
    let ticket = text(&server.data(Some(&ann), ticket, json!({"c": open, "a": ben.id})).await["createMessage"]["id"]);
    server.post(&ann, &open, "first").await;
    let tickets = (", ticket_status, ticket_priority, assignee_id", format!(", 0, 1, {}", ben.id));
    fill(&server.database_url(), &private, &ann.id, 200_000, (tickets.0, &tickets.1));
    let lists = [
        ("messages(first: 2)", 2),
        ("messages(last: 2)", 2),
        ("messages(first: 1, ticketsOnly: true)", 1),
        ("messages(first: 1, status: OPEN)", 1),
        ("messages(first: 1, assigneeId: $ben)", 1),
        ("messages(first: 3, channelId: $open)", 2),
        ("messages(first: 1, channelId: $private)", 0),
    ];
    for (list, found) in lists {
        let list = list.replace("$ben", &ben.id).replace("$open", &open).replace("$private", &private);
        let fields: Vec<String> = (0..20).map(|at| format!("a{at}: {list} {{ nodes {{ id channelId }} }}")).collect();
        let query = format!("{{ {} }}", fields.join(" "));
        for reader in [None, Some(&ben)] {
            let asking = server.data(reader, &query, json!({}));
            let data = tokio::time::timeout(ENOUGH, asking)
                .await
                .unwrap_or_else(|_| panic!("{list} took longer than {ENOUGH:?}"));
            for at in 0..20 {
                let nodes = data[format!("a{at}")]["nodes"].as_array().expect("a list");
                assert_eq!(nodes.len(), found, "{list}");
                assert!(nodes.iter().all(|node| node["channelId"].as_str() == Some(&open)), "{list}: {data}");
            }
        }
    }
    let all = server.data(Some(&ben), "{ messages(first: 1, ticketsOnly: true) { nodes { id } } }", json!({})).await;
    assert_eq!(all["messages"]["nodes"][0]["id"].as_str(), Some(&*ticket));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_counts_are_capped_at_a_thousand() {
    let server = Server::start().await;
    let (ann, ben) = (server.register("ann").await, server.register("ben").await);
    let channel = server.channel(&ann, "garden").await;
    let unread = async |reader: &Session| {
        let query = "query ($id: ID!) { channel(id: $id) { unreadCount } }";
        server.data(Some(reader), query, json!({"id": channel})).await["channel"]["unreadCount"].clone()
    };
    server.post(&ann, &channel, "one").await;
    server.post(&ben, &channel, "two").await;
    let last = server.post(&ann, &channel, "three").await;
    let delete = "mutation ($id: ID!) { deleteMessage(id: $id) }";
    server.data(Some(&ann), delete, json!({"id": last})).await;
    assert_eq!((unread(&ben).await, unread(&ann).await), (json!(1), json!(1)), "deleted messages are not counted");
    fill(&server.database_url(), &channel, &ann.id, 5_000, ("", ""));
    assert_eq!((unread(&ben).await, unread(&ann).await), (json!(1_000), json!(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_beyond_the_query_time_is_interrupted() {
    let server = Server::start_with(|config| config.limits.query_time = Duration::from_millis(30)).await;
    let ann = server.register("ann").await;
    let insert = "INSERT INTO users (username, display_name, password_hash, role, disabled, token_version, created_at, \
                  skeleton, search) SELECT 'user' || i, 'User ' || i, '', 0, FALSE, 0, 0, 'user ' || i, 'user' || i FROM ";
    let sqlite = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000) {insert} n");
    sql(&server.database_url(), &sqlite, &format!("{insert} generate_series(1, 400000) AS n(i)"));
    let code = server.error_code(Some(&ann), "{ users(search: \"nobody at all\") { nodes { id } } }", json!({})).await;
    assert_eq!(code, "QUERY_TOO_COMPLEX");
    let data = server.data(Some(&ann), "{ users(first: 1, search: \"user\") { nodes { username } } }", json!({})).await;
    assert_eq!(data["users"]["nodes"][0]["username"], "user1", "the connection is usable after the interruption");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_checks_and_events_do_not_wait_for_client_reads() {
    let server = Server::start_with(|config| config.readers = 1).await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "garden").await;
    let mut socket = server.socket(Some(&ann)).await;
    socket.subscribe("1", "subscription { messageAdded { content } }", json!({})).await;
    socket.assert_idle().await;
    // The only reader thread for clients is blocked, and more jobs wait for it.
    let (release, kept) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let anonymous = CapacityKey::Address(client_prefix([192, 0, 2, 1].into()));
    let store = Arc::clone(server.board().store());
    let jobs: Vec<_> = (0..50)
        .map(|_| {
            let (store, release, kept) = (Arc::clone(&store), Arc::clone(&release), Arc::clone(&kept));
            tokio::spawn(async move {
                let job = move || {
                    kept.notify_one();
                    while !release.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                };
                drop(store.run_on_reader(Freshness::Known, anonymous, job).await);
            })
        })
        .collect();
    with_timeout("a blocked reader thread", kept.notified()).await;
    let ready = with_timeout("readiness", server.http().get(server.url("/readyz")).send()).await.expect("a response");
    assert_eq!(ready.status(), 200);
    server.post(&ann, &channel, "heard").await;
    let received = socket.item("1").await;
    assert!(received.to_string().contains("heard"), "{received}");
    release.store(true, Ordering::Relaxed);
    with_timeout("the end of the jobs", join_all(jobs)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_health_checks_share_database_statements() {
    let server = Server::start().await;
    let before = server.board().store().statements();
    let asking = (0..500).map(|_| server.board().health.reach_database());
    assert!(with_timeout("answers", join_all(asking)).await.iter().all(Result::is_ok));
    let statements = server.board().store().statements() - before;
    assert!(statements < 100, "{statements} statements for 500 health checks");
}

#[tokio::test]
async fn mentions_are_limited_per_message_and_per_author() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "garden").await;
    let insert = "INSERT INTO users (username, display_name, password_hash, role, disabled, token_version, created_at) \
                  SELECT 'user' || i, 'User', '', 0, FALSE, 0, 0 FROM ";
    let sqlite = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60) {insert} n");
    sql(&server.database_url(), &sqlite, &format!("{insert} generate_series(1, 60) AS n(i)"));
    let names = |count: usize| (1..=count).map(|at| format!("@user{at}")).collect::<Vec<_>>().join(" ");
    let statements = async |content: &str| {
        let before = server.board().store().statements();
        let head = server.cursor(None).await;
        server.post(&ann, &channel, content).await;
        let tail = server.cursor(None).await;
        let number = |cursor: &str| cursor[1..].split('-').next().and_then(|seq| u64::from_str_radix(seq, 16).ok());
        let events = number(&tail).expect("a number") - number(&head).expect("a number");
        (events, server.board().store().statements() - before)
    };
    let (events, few) = statements(&names(2)).await;
    assert_eq!(events, 3);
    let posting = Instant::now();
    let (events, many) = statements(&names(60)).await;
    // The server looks for rows of the outbox once a second, and reads its log.
    let background = 6 * (1 + posting.elapsed().as_secs());
    let notes = server.board().log.events_after(None).expect("the log").0;
    let notes: Vec<_> = notes.iter().filter_map(|event| event.user).collect();
    assert_eq!(events, 1 + 20, "at most 20 users are notified of one message: {notes:?}");
    // SQLite needs two statements for each notification.
    let apart = if is_postgres() { 0 } else { 2 * 18 };
    assert!(many <= few + apart + 6 + background, "{many} statements for 20 names, {few} for 2");
    let (mut noted, started) = (0, Instant::now());
    for _ in 0..10 {
        noted += statements(&names(60)).await.0 - 1;
    }
    // The budget grows by two a second.
    let most = 110 + 2 * started.elapsed().as_secs();
    assert!(
        (98..=most).contains(&noted),
        "{noted} notifications; the limit is 120 a minute, of which 22 were used before"
    );
}

/// Several sockets with many operations each count as one caller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_can_write_while_sockets_are_full_of_sign_ins() {
    let server = Server::start_with(|config| config.sessions.password_threads = 1).await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "garden").await;
    let mut sockets = Vec::new();
    for _ in 0..4 {
        let mut socket: Socket = server.socket(None).await;
        for at in 0..95 {
            let payload = json!({"query": format!("mutation {{ {} }}", sign_in(&random_name()))});
            socket.send(json!({"id": at.to_string(), "type": "subscribe", "payload": payload})).await;
        }
        sockets.push(socket);
    }
    assert_member_can_post(&server, &ann, &channel).await;
}
