//! Metrics and presence, which are not events of the log, on one and on several instances.

use std::time::Instant;

use serde_json::{Value, json};
use tidings::store::presence;

use crate::support::database::{SECRET, is_postgres};
use crate::support::{Program, Server, Socket, with_timeout};

/// Starts another instance on the same database.
async fn second_instance(server: &Server) -> Server {
    let database = server.database_url().parse().expect("a database");
    Server::start_with(|config| config.database.url = database).await
}

/// Waits until a subscription to a metric delivers this value.
async fn wait_for_value(socket: &mut Socket, id: &str, value: f64) {
    let wait = async { while socket.item(id).await["metricUpdated"]["value"] != json!(value) {} };
    with_timeout("the metric value", wait).await;
}

#[tokio::test]
async fn a_metric_has_a_current_value_and_changes_at_most_once_a_second() {
    let server = Server::start().await;
    let other = second_instance(&server).await;
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
    let (since, mut received) = (Instant::now(), 0);
    for value in 2..40 {
        server.data(Some(&admin), publish, json!({"v": value})).await;
    }
    let mut last = Value::Null;
    while last != json!(39.0) {
        last = sockets[0].item("m").await["metricUpdated"]["value"].take();
        received += 1;
    }
    assert!(received <= 2 + since.elapsed().as_secs(), "{received} changes in {:?}", since.elapsed());
    wait_for_value(&mut sockets[1], "m", 39.0).await;
    let shown = server.data(None, "{ metrics { metric value } }", json!({})).await;
    assert!(shown["metrics"].as_array().unwrap().contains(&json!({"metric": "load", "value": 39.0})), "{shown}");
    for (name, value) in [("active_users", 1.0), ("", 1.0)] {
        let query = "mutation ($n: String!, $v: Float!) { publishMetric(input: { metric: $n, value: $v }) { metric } }";
        assert_eq!(server.error_code(Some(&admin), query, json!({"n": name, "v": value})).await, "BAD_USER_INPUT");
    }
}

#[tokio::test]
async fn the_server_publishes_its_own_metrics() {
    let server = Server::start().await;
    let other = second_instance(&server).await;
    let (ann, bob) = (server.register("ann").await, server.register("bob").await);
    let channel = server.channel(&ann, "general").await;
    let mut watcher = server.socket(None).await;
    let follow = "subscription ($m: String) { metricUpdated(metric: $m) { value } }";
    for name in ["active_users", "open_tickets", "messages_per_minute"] {
        watcher.subscribe(name, follow, json!({"m": name})).await;
        wait_for_value(&mut watcher, name, 0.0).await;
    }
    let sockets = (server.socket(Some(&ann)).await, other.socket(Some(&ann)).await, other.socket(Some(&bob)).await);
    wait_for_value(&mut watcher, "active_users", 2.0).await;
    let create = "mutation ($c: ID!) { createMessage(input: { channelId: $c, content: \"!\", ticket: {} }) { id } }";
    let created = server.data(Some(&ann), create, json!({"c": channel})).await;
    let mut values = [Value::Null, Value::Null];
    while values != [json!(1.0), json!(1.0)] {
        let frame = watcher.frame().await;
        let at = usize::from(frame["id"] == "messages_per_minute");
        values[at] = frame["payload"]["data"]["metricUpdated"]["value"].clone();
    }
    let close = "mutation ($m: ID!) { updateMessage(input: { id: $m, ticket: { status: CLOSED } }) { id } }";
    server.data(Some(&bob), close, json!({"m": created["createMessage"]["id"]})).await;
    wait_for_value(&mut watcher, "open_tickets", 0.0).await;
    drop(sockets);
    wait_for_value(&mut watcher, "active_users", 0.0).await;
}

#[tokio::test]
async fn presence_is_shared_by_all_instances_without_flicker() {
    let server = Server::start().await;
    let other = second_instance(&server).await;
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
        // A short disconnection does not change the presence.
        let mut socket = other.socket(Some(&ann)).await;
        socket.subscribe("m", listen, json!({"c": channel})).await;
        socket.assert_idle().await;
    }
    assert_eq!(watcher.item("p").await, change("ann", true));
    let mut socket = other.socket(Some(&ann)).await;
    socket.subscribe("m", listen, json!({"c": channel})).await;
    socket.assert_idle().await;
    let present = "query ($c: ID!) { presence(channelId: $c) { username } }";
    let shown = server.data(Some(&bob), present, json!({"c": channel})).await;
    assert_eq!(shown["presence"], json!([{"username": "ann"}, {"username": "bob"}]));

    // After a long pause, the presence rows of an instance have expired. The instance then writes its connected users again.
    server
        .board()
        .store()
        .maintain(|db| {
            for instance in presence::instances(db)? {
                presence::forget(db, instance.id)?;
            }
            Ok(())
        })
        .await
        .expect("the presence rows are deleted");
    assert_eq!(watcher.item("p").await, change("ann", false));
    assert_eq!(watcher.item("p").await, change("ann", true));

    drop(socket);
    assert_eq!(watcher.item("p").await, change("ann", false));
    assert_eq!(server.cursor(None).await, before, "presence is not written to the log");
}

/// A killed process cannot report that its users have left.
#[tokio::test]
async fn users_of_a_crashed_instance_are_absent_within_half_a_minute() {
    let server = Server::start().await;
    let (ann, bob) = (server.register("ann").await, server.register("bob").await);
    let channel = server.channel(&ann, "general").await;
    let database = server.database_url();
    let mut settings = vec![("DATABASE_URL", database.as_str())];
    // With SQLite, the instances share the secret file beside the database.
    if is_postgres() {
        settings.push(("TIDINGS_JWT_SECRET", SECRET));
    }
    let program = Program::new(&settings);
    let mut process = program.start();
    process.ready().await.expect("the server starts");
    let mut watcher = server.socket(Some(&bob)).await;
    let follow = "subscription ($c: ID!) { presenceChanged(channelId: $c) { user { username } present } }";
    watcher.subscribe("p", follow, json!({"c": channel})).await;
    let change = |name: &str, present| json!({"presenceChanged": {"user": {"username": name}, "present": present}});
    assert_eq!(watcher.item("p").await, change("bob", true));
    let mut socket = Socket::connect_and_init(program.address(), Some(&ann)).await;
    socket.subscribe("m", "subscription ($c: ID) { messageAdded(channelId: $c) { id } }", json!({"c": channel})).await;
    assert_eq!(watcher.item("p").await, change("ann", true));
    let killed = Instant::now();
    process.kill().await.expect("the process runs");
    // `item` waits for at most 30 s, which is the documented limit.
    assert_eq!(watcher.item("p").await, change("ann", false));
    println!("gone after {:.1?}", killed.elapsed());
}
