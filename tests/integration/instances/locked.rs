//! A table locked by another program: statements on it time out although the database is available.

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use serde_json::json;

use super::on;
use crate::support::database::fresh_postgres;
use crate::support::{Server, Session, Socket, soon};

const ADDED: &str = "subscription { messageAdded { content comments { nodes { id } } } }";

/// A server with a user and a channel, and a connection of another program.
struct Scene {
    server: Server,
    ada: Session,
    channel: String,
    other: PgConnection,
}

impl Scene {
    async fn new() -> Self {
        let url = fresh_postgres();
        let server = Server::start_with(on(&url)).await;
        let ada = server.register("ada").await;
        let channel = server.channel(&ada, "room").await;
        let other = PgConnection::establish(&url).expect("a connection");
        Self { server, ada, channel, other }
    }

    fn lock(&mut self, table: &str) {
        self.other.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).expect("locked");
    }

    fn unlock(&mut self) {
        self.other.batch_execute("COMMIT").expect("unlocked");
    }

    async fn follow(&self, session: Option<&Session>) -> Socket {
        let mut socket = self.server.socket(session).await;
        socket.subscribe("s", ADDED, json!({})).await;
        socket.settled().await;
        socket
    }

    async fn metric(&self, name: &str) -> String {
        let answer = self.server.http().get(self.server.url("/metrics")).send().await.expect("an answer");
        let page = answer.text().await.expect("text");
        let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.trim().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_waits_for_a_locked_table_longer_than_an_operation_may_read() {
    let mut scene = Scene::new().await;
    let mut sockets = [scene.follow(Some(&scene.ada)).await, scene.follow(None).await];
    scene.lock("comments");
    for number in 0..3 {
        scene.server.post(&scene.ada, &scene.channel, &format!("message {number}")).await;
    }
    // Each query waits for the lock until its own timeout. Together they take longer than one operation may.
    for _ in 0..3 {
        let query = "{ messages { nodes { comments { nodes { id } } } } }";
        assert_eq!(scene.server.refusal(Some(&scene.ada), query, json!({})).await, "UNAVAILABLE");
    }
    scene.unlock();
    for socket in &mut sockets {
        for number in 0..3 {
            let item = socket.item("s").await;
            assert_eq!(item["messageAdded"]["content"], format!("message {number}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_are_not_rendered_for_readers_that_have_left() {
    let mut scene = Scene::new().await;
    let mut sockets = vec![scene.follow(Some(&scene.ada)).await, scene.follow(None).await];
    scene.lock("comments");
    scene.server.post(&scene.ada, &scene.channel, "a message").await;
    // One rendering is shared by all signed-in readers, another one by all anonymous readers.
    let rendering = async { while scene.metric("tidings_items_total{made=\"rendered\"}").await != "2" {} };
    soon("a rendering", rendering).await;
    // The two subscriptions share no rendering. They end one after the other.
    while let Some(socket) = sockets.pop() {
        drop(socket);
        let left = sockets.len().to_string();
        let gone = async { while scene.metric("tidings_subscriptions ").await != left {} };
        soon("the end of the subscription", gone).await;
    }
    scene.unlock();
}
