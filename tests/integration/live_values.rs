//! Metrics and presence: live values that are no events, also across instances.

use std::time::Instant;

use serde_json::{Value, json};
use tidings::store::presence;

use crate::support::database::{SECRET, is_postgres};
use crate::support::{Program, Server, Socket, soon};

/// Another instance on the same database.
async fn twin(server: &Server) -> Server {
    let database = server.database_url().parse().expect("a database");
    Server::start_with(|config| config.database.url = database).await
}

/// Waits until a metric has this value on a subscription to it.
async fn becomes(socket: &mut Socket, id: &str, value: f64) {
    let wait = async { while socket.item(id).await["metricUpdated"]["value"] != json!(value) {} };
    soon("the value", wait).await;
}

#[tokio::test]
async fn a_metric_has_a_current_value_and_changes_once_a_second() {
    let server = Server::start().await;
    let other = twin(&server).await;
    let admin = server.admin("root").await;
    let publish =
        "mutation ($v: Float!) { publishMetric(input: { metric: \"load\", value: $v }) { metric value updatedAt } }";
    let follow = "subscription { metricUpdated(metric: \"load\") { metric value } }";
    server.data(Some(&admin), publish, json!({"v": 1.5})).await;
    let mut sockets = Vec::new();
    for (server, session) in [(&server, Some(&admin)), (&other, None)] {
        let mut socket = server.socket(session).await;
        socket.subscribe("m", follow, json!({})).await;
        assert_eq!(socket.item("m").await["metricUpdated"], json!({"metric": "load", "value": 1.5}));
        sockets.push(socket);
    }
    let (since, mut heard) = (Instant::now(), 0);
    for value in 2..40 {
        server.data(Some(&admin), publish, json!({"v": value})).await;
    }
    let mut last = Value::Null;
    while last != json!(39.0) {
        last = sockets[0].item("m").await["metricUpdated"]["value"].take();
        heard += 1;
    }
    assert!(heard <= 2 + since.elapsed().as_secs(), "{heard} changes in {:?}", since.elapsed());
    becomes(&mut sockets[1], "m", 39.0).await;
    let shown = server.data(None, "{ metrics { metric value } }", json!({})).await;
    assert!(shown["metrics"].as_array().unwrap().contains(&json!({"metric": "load", "value": 39.0})), "{shown}");
    for (name, value) in [("active_users", 1.0), ("", 1.0)] {
        let query = "mutation ($n: String!, $v: Float!) { publishMetric(input: { metric: $n, value: $v }) { metric } }";
        assert_eq!(server.refusal(Some(&admin), query, json!({"n": name, "v": value})).await, "BAD_USER_INPUT");
    }
}

#[tokio::test]
async fn the_server_measures_itself() {
    let server = Server::start().await;
    let other = twin(&server).await;
    let (ann, bob) = (server.register("ann").await, server.register("bob").await);
    let channel = server.channel(&ann, "general").await;
    let mut watcher = server.socket(None).await;
    let follow = "subscription ($m: String) { metricUpdated(metric: $m) { value } }";
    for name in ["active_users", "open_tickets", "messages_per_minute"] {
        watcher.subscribe(name, follow, json!({"m": name})).await;
        becomes(&mut watcher, name, 0.0).await;
    }
    let sockets = (server.socket(Some(&ann)).await, other.socket(Some(&ann)).await, other.socket(Some(&bob)).await);
    becomes(&mut watcher, "active_users", 2.0).await;
    let create = "mutation ($c: ID!) { createMessage(input: { channelId: $c, content: \"!\", ticket: {} }) { id } }";
    let made = server.data(Some(&ann), create, json!({"c": channel})).await;
    let mut values = [Value::Null, Value::Null];
    while values != [json!(1.0), json!(1.0)] {
        let frame = watcher.frame().await;
        let at = usize::from(frame["id"] == "messages_per_minute");
        values[at] = frame["payload"]["data"]["metricUpdated"]["value"].clone();
    }
    let close = "mutation ($m: ID!) { updateMessage(input: { id: $m, ticket: { status: CLOSED } }) { id } }";
    server.data(Some(&bob), close, json!({"m": made["createMessage"]["id"]})).await;
    becomes(&mut watcher, "open_tickets", 0.0).await;
    drop(sockets);
    becomes(&mut watcher, "active_users", 0.0).await;
}

#[tokio::test]
async fn who_is_present_is_known_on_all_instances_without_flicker() {
    let server = Server::start().await;
    let other = twin(&server).await;
    let (ann, bob) = (server.register("ann").await, server.register("bob").await);
    let channel = server.channel(&ann, "general").await;
    let before = server.cursor(None).await;
    let follow = "subscription ($c: ID!) { presenceChanged(channelId: $c) { user { username } present } }";
    let mut watcher = server.socket(Some(&bob)).await;
    watcher.subscribe("p", follow, json!({"c": channel})).await;
    let change = |name: &str, present| json!({"presenceChanged": {"user": {"username": name}, "present": present}});
    assert_eq!(watcher.item("p").await, change("bob", true));

    let listen = "subscription ($c: ID) { messageAdded(channelId: $c) { id } }";
    for _ in 0..3 {
        // Lost and back: nobody notices.
        let mut socket = other.socket(Some(&ann)).await;
        socket.subscribe("m", listen, json!({"c": channel})).await;
        socket.settled().await;
    }
    assert_eq!(watcher.item("p").await, change("ann", true));
    let mut socket = other.socket(Some(&ann)).await;
    socket.subscribe("m", listen, json!({"c": channel})).await;
    socket.settled().await;
    let present = "query ($c: ID!) { presence(channelId: $c) { username } }";
    let shown = server.data(Some(&bob), present, json!({"c": channel})).await;
    assert_eq!(shown["presence"], json!([{"username": "ann"}, {"username": "bob"}]));

    // An instance that others took for gone, as after a long pause, says again who is there.
    server
        .board()
        .store()
        .write(|tx| {
            for instance in presence::instances(tx.read())? {
                presence::forget(tx.write(), instance.id)?;
            }
            Ok(())
        })
        .await
        .expect("they are forgotten");
    assert_eq!(watcher.item("p").await, change("ann", false));
    assert_eq!(watcher.item("p").await, change("ann", true));

    drop(socket);
    assert_eq!(watcher.item("p").await, change("ann", false));
    assert_eq!(server.cursor(None).await, before, "nothing of it is in the log");
}

/// Nobody says goodbye for a process that was killed.
#[tokio::test]
async fn who_was_on_a_crashed_instance_is_gone_within_half_a_minute() {
    let server = Server::start().await;
    let (ann, bob) = (server.register("ann").await, server.register("bob").await);
    let channel = server.channel(&ann, "general").await;
    let database = server.database_url();
    let mut settings = vec![("DATABASE_URL", database.as_str())];
    // With SQLite it lies beside the file.
    if is_postgres() {
        settings.push(("TIDINGS_JWT_SECRET", SECRET));
    }
    let program = Program::new(&settings);
    let mut process = program.start();
    process.ready().await.expect("it starts");
    let mut watcher = server.socket(Some(&bob)).await;
    let follow = "subscription ($c: ID!) { presenceChanged(channelId: $c) { user { username } present } }";
    watcher.subscribe("p", follow, json!({"c": channel})).await;
    let change = |name: &str, present| json!({"presenceChanged": {"user": {"username": name}, "present": present}});
    assert_eq!(watcher.item("p").await, change("bob", true));
    let mut socket = Socket::enter(program.address(), Some(&ann)).await;
    socket.subscribe("m", "subscription ($c: ID) { messageAdded(channelId: $c) { id } }", json!({"c": channel})).await;
    assert_eq!(watcher.item("p").await, change("ann", true));
    let killed = Instant::now();
    process.kill().await.expect("it runs");
    // Nobody waits for an item for more than the 30 s that were promised.
    assert_eq!(watcher.item("p").await, change("ann", false));
    println!("gone after {:.1?}", killed.elapsed());
}
