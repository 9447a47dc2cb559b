//! The outbox: other programs publish application events in transactions of their own.

mod fairness;
mod instances;
mod killed;
mod moves;
mod other_program;
mod rejected;

use serde_json::{Value, json};

use crate::support::{Server, Session, Socket, with_timeout};
use other_program::OtherProgram;

const FOLLOW: &str = "subscription ($channel: ID, $after: Cursor) {
    appEvent(channelId: $channel, after: $after) { cursor at actorId channelId type data key } }";

/// A server with an admin and the public channel `orders`, another program with a connection to the database, and a
/// subscriber to the channel.
struct Fixture {
    server: Server,
    root: Session,
    channel: String,
    program: OtherProgram,
    /// The cursor before the first event.
    start: String,
    socket: Socket,
}

impl Fixture {
    async fn new() -> Self {
        Self::of(Server::start().await).await
    }

    async fn of(server: Server) -> Self {
        let root = server.admin("root").await;
        let channel = server.channel(&root, "orders").await;
        let program = OtherProgram::connect(&server.database_url());
        let start = server.cursor(None).await;
        let socket = follow(&server, &channel, &start).await;
        Self { server, root, channel, program, start, socket }
    }

    async fn next(&mut self) -> Value {
        self.socket.item("e").await["appEvent"].take()
    }

    /// The data of the next events.
    async fn next_data(&mut self, count: usize) -> Vec<Value> {
        let mut data = Vec::with_capacity(count);
        while data.len() < count {
            data.push(self.next().await["data"].take());
        }
        data
    }

    /// Waits until a metric of the server has this value. The server counts after the commit.
    async fn wait_for_metric(&self, sample: &str, expected: u64) {
        let waiting = async {
            while metric(&self.server, sample).await != expected {
                tokio::task::yield_now().await;
            }
        };
        with_timeout(&format!("{sample} {expected}"), waiting).await;
    }
}

/// A subscriber to the application events of a channel.
async fn follow(server: &Server, channel: &str, after: &str) -> Socket {
    let mut socket = server.socket(None).await;
    socket.subscribe("e", FOLLOW, json!({"channel": channel, "after": after})).await;
    socket
}

async fn metric(server: &Server, sample: &str) -> u64 {
    let page =
        server.http().get(server.url("/metrics")).send().await.expect("a response").text().await.expect("a page");
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("the page has no sample {sample}")).parse().expect("a number")
}
