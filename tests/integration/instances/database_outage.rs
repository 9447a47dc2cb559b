//! Database outages, and commits whose answer is lost.

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use serde_json::json;

use super::{on_database, outcome, port_and_name, postgres};
use crate::support::database::SECRET;
use crate::support::{NetworkFault, Proxy, Server, Socket, with_timeout};

/// Rendering the author's name needs the database.
const ADDED: &str = "subscription ($after: Cursor) {
    messageAdded(after: $after) { content author { displayName } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_a_database_outage_operations_are_unavailable_and_sockets_stay_open() {
    let database = postgres("away", &["fsync=off"]).await;
    let url = database.url(database.port(), &database.create_database());
    let server = Server::start_with(on_database(&url)).await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let mut socket = server.socket(Some(&ann)).await;
    socket.subscribe("m", ADDED, json!({})).await;
    socket.assert_idle().await;
    let post = format!("mutation {{ createMessage(input: {{ channelId: {channel}, content: \"hello\" }}) {{ id }} }}");

    for _ in 0..3 {
        tokio::task::block_in_place(|| database.stop());
        for query in ["{ channels { nodes { id } } }", &post, "{ cursor }", &post] {
            let (_, code) = outcome(&server, &ann.token, query).await;
            assert_eq!(code, "UNAVAILABLE", "{query}");
        }
        assert_eq!(status(&server, "/readyz").await, 503);
        assert_eq!(status(&server, "/healthz").await, 200);
        // The socket is still open and answers pings.
        socket.assert_idle().await;
        tokio::task::block_in_place(|| database.start_again());
        with_timeout("a server that is ready", async {
            while status(&server, "/readyz").await != 200 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
        with_timeout("a change", async {
            while outcome(&server, &ann.token, &post).await.1 != "OK" {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
        let item = socket.item("m").await;
        assert_eq!(item["messageAdded"], json!({"content": "hello", "author": {"displayName": "ann"}}));
    }
}

/// Messages written through another instance during the disconnection arrive once this instance reconnects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_of_a_disconnected_instance_get_missed_events_after_it_reconnects() {
    let (url, proxy, through) = database_behind_a_proxy().await;
    let far = Server::start_with(on_database(&through)).await;
    let near = Server::start_with(on_database(&url)).await;
    let ann = near.register("ann").await;
    let channel = near.channel(&ann, "general").await;
    let mut socket = far.socket(Some(&ann)).await;
    socket.subscribe("m", ADDED, json!({})).await;
    socket.assert_idle().await;
    for fault in [NetworkFault::Cut, NetworkFault::Stall] {
        proxy.set_fault(fault);
        for number in 0..3 {
            near.post(&ann, &channel, &format!("{fault:?} {number}")).await;
        }
        socket.assert_idle().await;
        proxy.set_fault(NetworkFault::None);
        for number in 0..3 {
            let content = socket.item("m").await["messageAdded"]["content"].take();
            assert_eq!(content, json!(format!("{fault:?} {number}")));
        }
    }
}

/// The client sent `connection_init` in time, so it must not be closed with 4408.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_whose_user_cannot_be_loaded_is_closed_with_1013() {
    let (url, proxy, through) = database_behind_a_proxy().await;
    let far = Server::start_with(|config| {
        on_database(&through)(config);
        config.sockets.init_timeout = std::time::Duration::from_secs(1);
    })
    .await;
    let ann = Server::start_with(on_database(&url)).await.register("ann").await;
    let come = || async {
        let mut socket = Socket::connect(far.address(), "/graphql", "graphql-transport-ws").await;
        socket.send(json!({"type": "connection_init", "payload": {"token": ann.token}})).await;
        socket
    };
    proxy.set_fault(NetworkFault::Stall);
    assert_eq!(come().await.close_code().await, 1013);
    proxy.set_fault(NetworkFault::None);
    let coming = async { while come().await.next().await.is_err() {} };
    with_timeout("an acknowledged socket", Box::pin(coming)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_applied_and_acknowledged_once() {
    let (_, proxy, through) = database_behind_a_proxy().await;
    let server = Server::start_with(on_database(&through)).await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let mut posted = Vec::new();
    for (number, fault) in
        [NetworkFault::DropCommit, NetworkFault::DropCommitAnswer, NetworkFault::DropCommit].into_iter().enumerate()
    {
        proxy.set_fault(fault);
        // Without an idempotency key, a wrong guess about the commit would lose or duplicate the message.
        posted.push(server.post(&ann, &channel, &number.to_string()).await);
        assert_eq!(proxy.fault(), NetworkFault::None, "the proxy saw no COMMIT");
    }
    let query = "{ messages { nodes { id content } } }";
    let data = server.data(Some(&ann), query, json!({})).await;
    let expected: Vec<_> =
        posted.iter().enumerate().rev().map(|(number, id)| json!({"id": id, "content": number.to_string()})).collect();
    assert_eq!(data["messages"]["nodes"], json!(expected));
}

#[tokio::test]
async fn an_unreachable_database_stops_the_start_with_one_line() {
    let url = format!("postgres://tidings:hidden@127.0.0.1:{}/nothing", free_port());
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidings"))
        .env("DATABASE_URL", &url)
        .env("TIDINGS_JWT_SECRET", SECRET)
        .env("TIDINGS_LISTEN", "127.0.0.1:0")
        .env("TIDINGS_LOG", "off")
        .output();
    let output = with_timeout("the end of the process", output).await.expect("tidings runs");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert!(!output.status.success() && stderr.lines().count() == 1, "{stderr}");
    assert!(stderr.contains("Connection refused") && !stderr.contains("hidden"), "{stderr}");
}

/// Creates a database: returns its URL, a proxy in front of it, and its URL through the proxy.
pub async fn database_behind_a_proxy() -> (String, Proxy, String) {
    let url = crate::support::database::fresh_postgres();
    let (port, name) = port_and_name(&url);
    let proxy = Proxy::start(port).await;
    let through = format!("postgres://tidings@127.0.0.1:{}/{name}", proxy.port());
    (url, proxy, through)
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

async fn status(server: &Server, path: &str) -> u16 {
    let request = server.http().get(server.url(path)).send();
    with_timeout("a response", request).await.expect("a response").status().as_u16()
}

/// A transaction of an operator that takes the locks in the opposite order, so that PostgreSQL aborts one of the two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_postgresql_aborts_as_a_deadlock_is_retried() {
    let url = crate::support::database::fresh_postgres();
    let server = Server::start_with(on_database(&url)).await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let (locked, is_locked) = tokio::sync::oneshot::channel();
    let operator = tokio::task::spawn_blocking(move || {
        let mut psql = PgConnection::establish(&url).expect("a connection");
        // With a longer `deadlock_timeout`, this transaction checks for deadlocks later than the writer does. So
        // PostgreSQL aborts the writer's transaction.
        psql.batch_execute("SET deadlock_timeout = '20s'; BEGIN; LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
            .expect("a lock");
        locked.send(()).expect("the test waits for the lock");
        // Wait until the writer, which holds the lock on the head row, waits for the table.
        let waiting = "SELECT 1 / count(*) FROM pg_locks WHERE NOT granted AND relation = 'messages'::regclass";
        while psql.batch_execute(&format!("SAVEPOINT s; {waiting}")).is_err() {
            psql.batch_execute("ROLLBACK TO s").expect("the transaction goes on");
        }
        psql.batch_execute("SELECT head FROM log_head FOR UPDATE; COMMIT")
    });
    is_locked.await.expect("a lock");
    let message = server.post(&ann, &channel, "once").await;
    operator.await.expect("a thread").expect("PostgreSQL aborts the writer's transaction and not this one");
    let data = server.data(Some(&ann), "{ messages { nodes { id content } } }", json!({})).await;
    assert_eq!(data["messages"]["nodes"], json!([{"id": message, "content": "once"}]));
}
