//! A table locked by another program: statements on it time out although the database is available.

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use serde_json::json;

use super::on_database;
use crate::support::database::fresh_postgres;
use crate::support::{Server, Session, Socket, with_timeout};

const ADDED: &str = "subscription { messageAdded { content comments { nodes { id } } } }";

/// A server with a user and a channel, and a connection of another program.
struct Fixture {
    server: Server,
    ada: Session,
    channel: String,
    other: PgConnection,
}

impl Fixture {
    async fn new() -> Self {
        let url = fresh_postgres();
        let server = Server::start_with(on_database(&url)).await;
        let ada = server.register("ada").await;
        let channel = server.channel(&ada, "room").await;
        let other = PgConnection::establish(&url).expect("a connection");
        Self { server, ada, channel, other }
    }

    fn lock(&mut self, table: &str) {
        self.other
            .batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
            .expect("the table is locked");
    }

    fn unlock(&mut self) {
        self.other.batch_execute("COMMIT").expect("the table is unlocked");
    }

    async fn follow(&self, session: Option<&Session>) -> Socket {
        let mut socket = self.server.socket(session).await;
        socket.subscribe("s", ADDED, json!({})).await;
        socket.assert_idle().await;
        socket
    }

    async fn metric(&self, name: &str) -> String {
        let answer = self.server.http().get(self.server.url("/metrics")).send().await.expect("a response");
        let page = answer.text().await.expect("text");
        let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.trim().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscription_items_wait_for_a_locked_table_longer_than_an_operation() {
    let mut fixture = Fixture::new().await;
    let mut sockets = [fixture.follow(Some(&fixture.ada)).await, fixture.follow(None).await];
    fixture.lock("comments");
    for number in 0..3 {
        fixture.server.post(&fixture.ada, &fixture.channel, &format!("message {number}")).await;
    }
    // Each query waits for the lock until its own timeout. Together they take longer than one operation may.
    for _ in 0..3 {
        let query = "{ messages { nodes { comments { nodes { id } } } } }";
        assert_eq!(fixture.server.error_code(Some(&fixture.ada), query, json!({})).await, "UNAVAILABLE");
    }
    fixture.unlock();
    for socket in &mut sockets {
        for number in 0..3 {
            let item = socket.item("s").await;
            assert_eq!(item["messageAdded"]["content"], format!("message {number}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_end_while_their_items_wait_for_a_locked_table() {
    let mut fixture = Fixture::new().await;
    let mut sockets = vec![fixture.follow(Some(&fixture.ada)).await, fixture.follow(None).await];
    fixture.lock("comments");
    fixture.server.post(&fixture.ada, &fixture.channel, "a message").await;
    // One rendering is shared by all signed-in readers, another one by all anonymous readers.
    let rendering = async { while fixture.metric("tidings_items_total{made=\"rendered\"}").await != "2" {} };
    with_timeout("a rendering", rendering).await;
    // The two subscriptions share no rendering. They end one after the other.
    while let Some(socket) = sockets.pop() {
        drop(socket);
        let left = sockets.len().to_string();
        let gone = async { while fixture.metric("tidings_subscriptions ").await != left {} };
        with_timeout("the end of the subscription", gone).await;
    }
    fixture.unlock();
}
