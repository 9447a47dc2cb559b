//! Clients that leave while the first of several root fields of their mutation waits for the writer.

use std::sync::Mutex;

use serde_json::{Value, json};
use tidings::store::{BatchState, Effects};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::support::{Decide, Server, Session, Socket, text, with_timeout};

const TWO_FIELDS: &str = "mutation ($c: ID!) {
    first: createMessage(input: { channelId: $c, content: \"first @ben\" }) { id }
    second: createMessage(input: { channelId: $c, content: \"second\" }) { id } }";

struct Fixture {
    server: Server,
    ann: Session,
    ben: Session,
    channel: String,
    /// The log is read from here.
    begin: String,
}

/// The writer of the server, which waits in a transaction of the test.
struct HeldWriter {
    release: std::sync::mpsc::Sender<()>,
    holding: tokio::task::JoinHandle<tidings::error::Result<()>>,
}

impl Fixture {
    async fn new() -> Self {
        let server = Server::start().await;
        let (ann, ben) = (server.register("ann").await, server.register("ben").await);
        let channel = server.channel(&ann, "general").await;
        let begin = server.cursor(None).await;
        Self { server, ann, ben, channel, begin }
    }

    async fn hold_writer(&self) -> HeldWriter {
        let (entered, entering) = oneshot::channel();
        let (release, released) = std::sync::mpsc::channel();
        let (gate, board) = (Mutex::new((Some(entered), released)), self.server.board().clone());
        let holding = tokio::spawn(async move {
            let command = Decide(move |_: &BatchState, _: &mut Effects| {
                let (entered, released) = &mut *gate.lock().expect("no other thread");
                let _ = entered.take().map(|entered| entered.send(()));
                // The end of the channel is the release.
                let _: Result<(), _> = released.recv();
                Ok(())
            });
            board.store().write(command).await
        });
        with_timeout("a transaction", entering).await.expect("the writer runs the command");
        HeldWriter { release, holding }
    }

    /// The value of a metric of the server.
    async fn metric(&self, name: &str) -> u64 {
        let answer = self.server.http().get(self.server.url("/metrics")).send().await.expect("a response");
        let page = answer.text().await.expect("text");
        let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.trim().parse().expect("a number")
    }

    async fn wait_for_metric(&self, name: &str, value: u64) {
        with_timeout(name, async { while self.metric(name).await != value {} }).await;
    }

    /// Sends the mutation over a socket, and waits until the command of the first field is queued.
    async fn start_over_socket(&self) -> Socket {
        let mut socket = self.server.socket(Some(&self.ann)).await;
        socket.subscribe("m", TWO_FIELDS, json!({"c": self.channel})).await;
        // The server polls its operations between two pings. The first poll queues the command.
        socket.assert_idle().await;
        socket.assert_idle().await;
        socket
    }

    /// Releases the writer after the client has left. Asserts that the command of the first field is committed with
    /// its notification, and that the second field does not run.
    async fn assert_only_first_field_runs(&self, held: HeldWriter) {
        drop(held.release);
        held.holding.await.expect("join").expect("the command of the test");
        // Changes of another client follow the command in the queue of the writer.
        for number in 0..5 {
            self.server.post(&self.ben, &self.channel, &format!("later {number}")).await;
        }
        let mut expected = vec!["MessageAdded first @ben".to_owned(), "NotificationAdded".to_owned()];
        expected.extend((0..5).map(|number| format!("MessageAdded later {number}")));
        assert_eq!(self.log().await, expected);
    }

    /// The events since the start of the test, as the user sees them who is mentioned in the first field.
    async fn log(&self) -> Vec<String> {
        let mut socket = self.server.socket(Some(&self.ben)).await;
        let query = "subscription ($after: Cursor) { events(after: $after) {
            __typename ... on MessageAdded { message { content } } } }";
        socket.subscribe("log", query, json!({"after": self.begin})).await;
        let mut events = Vec::new();
        loop {
            let event = socket.item("log").await["events"].take();
            let content = event["message"]["content"].as_str();
            let name = text(&event["__typename"]);
            events.push(content.map_or(name.clone(), |content| format!("{name} {content}")));
            if content == Some("later 4") {
                return events;
            }
        }
    }
}

const MUTATIONS: &str = "tidings_operations_total{kind=\"mutation\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_client_that_leaves_stops_the_later_root_fields() {
    let fixture = Fixture::new().await;
    let (held, before) = (fixture.hold_writer().await, fixture.metric(MUTATIONS).await);
    let body = json!({"query": TWO_FIELDS, "variables": {"c": fixture.channel}}).to_string();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        fixture.server.address(),
        fixture.ann.token,
        body.len()
    );
    let mut connection = TcpStream::connect(fixture.server.address()).await.expect("a connection");
    connection.write_all((head + &body).as_bytes()).await.expect("a request");
    // The task that counts the mutation also queues the command of the first field before it can notice that its client
    // has left.
    fixture.wait_for_metric(MUTATIONS, before + 1).await;
    connection.shutdown().await.expect("the connection is open");
    // The server ends the connection, and with it the operation.
    let mut response = Vec::new();
    with_timeout("the end of the connection", connection.read_to_end(&mut response)).await.expect("the end");
    assert!(response.is_empty(), "the first field must wait for the writer");
    fixture.assert_only_first_field_runs(held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_client_that_leaves_stops_the_later_root_fields() {
    let fixture = Fixture::new().await;
    let held = fixture.hold_writer().await;
    let socket = fixture.start_over_socket().await;
    drop(socket);
    fixture.wait_for_metric("tidings_lines{kind=\"graphql_ws\"}", 0).await;
    fixture.assert_only_first_field_runs(held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_client_that_completes_the_operation_stops_the_later_root_fields() {
    let fixture = Fixture::new().await;
    let held = fixture.hold_writer().await;
    let mut socket = fixture.start_over_socket().await;
    socket.send(json!({"type": "complete", "id": "m"})).await;
    // The server has handled `complete` when it answers the ping.
    socket.assert_idle().await;
    fixture.assert_only_first_field_runs(held).await;
    socket.assert_idle().await;
}

/// The same mutation, whose client waits for the response.
#[tokio::test]
async fn both_root_fields_run_for_a_client_that_stays() {
    let fixture = Fixture::new().await;
    let data = fixture.server.data(Some(&fixture.ann), TWO_FIELDS, json!({"c": fixture.channel})).await;
    assert!(data["first"]["id"].is_string() && data["second"]["id"] != Value::Null, "{data}");
}
