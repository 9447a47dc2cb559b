//! A Python backend writes orders in its own transactions, a third of which it rolls back, while servers are killed.
//! Subscribers on all instances get exactly the committed orders, each once, in one order.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use super::FOLLOW;
use super::other_program::OtherProgram;
use crate::support::database::{SECRET, fresh_postgres};
use crate::support::{Program, Report, TestSubscription, clients, text};

const CONNECTIONS: usize = 4;
/// How often each server is killed at least.
const MIN_KILLS: usize = 2;
/// How long all events may take after the last transaction.
const CATCH_UP: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_of_a_python_backend_arrive_once_on_two_instances_that_are_killed() {
    on_postgres(1_500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_of_another_process_arrive_once_from_a_server_on_sqlite_that_is_killed() {
    on_sqlite(300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes about a minute or more: `make test-long` runs it"]
async fn ten_thousand_orders_arrive_once_on_two_instances_that_are_killed() {
    on_postgres(10_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes about a minute or more: `make test-long` runs it"]
async fn ten_thousand_orders_arrive_once_from_a_server_on_sqlite_that_is_killed() {
    on_sqlite(10_000).await;
}

async fn on_postgres(orders: usize) {
    let Some(python) = tokio::task::spawn_blocking(clients::python).await.expect("run") else {
        return drop(Report::new("no python3 with venv on this machine: orders of psycopg were not tested"));
    };
    let url = fresh_postgres();
    let settings = [("DATABASE_URL", url.as_str()), ("TIDINGS_JWT_SECRET", SECRET)];
    let python = python.to_str().expect("a path");
    run([Program::new(&settings), Program::new(&settings)], python, orders).await;
}

async fn on_sqlite(orders: usize) {
    run([Program::new(&[])], "python3", orders).await;
}

/// What a subscriber has received: positions, types and numbers of orders.
type Received = Vec<(String, String, u64)>;

async fn run<const INSTANCES: usize>(programs: [Program; INSTANCES], python: &str, orders: usize) {
    let mut servers = Vec::new();
    for program in &programs {
        let mut server = program.start();
        server.ready().await.expect("the server starts");
        servers.push(server);
    }
    let token = programs[0].register("ann").await;
    let channel = programs[0].channel(&token, "orders").await;
    let start = programs[0].cursor().await;
    let database = programs[0].database_url();
    let mut other = OtherProgram::connect(&database);
    other.execute("CREATE TABLE shop_orders (id BIGINT PRIMARY KEY)");

    let mut backend = tokio::process::Command::new(python);
    backend.arg("outbox_orders.py").arg(database.trim_start_matches("sqlite://"));
    backend.args([orders.to_string(), CONNECTIONS.to_string()]).current_dir(clients::CLIENTS).stdin(Stdio::null());
    let writing = backend.kill_on_drop(true).output();
    let expected = (0..orders).filter(|number| number % 3 != 0).count();
    let readers = programs.iter().map(|program| read(program, &channel, &start, 2 * expected));
    let reading = tokio::time::timeout(CATCH_UP * 4, futures_util::future::join_all(readers));
    let killing = async {
        tokio::pin!(writing);
        let (mut kills, mut output) = (0, None);
        while output.is_none() || kills < MIN_KILLS * INSTANCES {
            // Also right after the start, and while rows wait for the start.
            let pause = tokio::time::sleep(Duration::from_millis(rand::random_range(20..400)));
            tokio::select! {
                ended = &mut writing, if output.is_none() => output = Some(ended.expect("python runs")),
                () = pause => {
                    let index = kills % INSTANCES;
                    servers[index].kill().await.expect("the server runs");
                    servers[index] = programs[index].start();
                    servers[index].ready().await.expect("the server starts again");
                    kills += 1;
                }
            }
        }
        (output.expect("python has ended"), kills)
    };
    let (received, (output, kills)) = tokio::join!(reading, killing);
    let logs = || programs.iter().map(Program::log).collect::<Vec<_>>().join("\n--\n");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let committed = String::from_utf8_lossy(&output.stdout).trim().parse();
    assert_eq!(committed, Ok(expected));
    let received = received.unwrap_or_else(|_| panic!("events are missing\n{}", logs()));
    check(&received, orders);
    assert_eq!(other.number("SELECT count(*) FROM outbox"), 0);
    assert_eq!(other.number("SELECT count(*) FROM outbox_rejected"), 0);
    assert_eq!(other.number("SELECT count(*) FROM events WHERE app_type IS NOT NULL"), 2 * expected as i64);
    let mut report =
        Report::new(format!("{orders} orders of Python on {CONNECTIONS} connections, {INSTANCES} server(s):"));
    report.line(format!("{expected} were committed and arrived once, in one order; {kills} kills"));
}

/// Each committed order was received once: placed, then paid. All subscribers have received the same.
fn check(received: &[Received], orders: usize) {
    for other in &received[1..] {
        assert!(*other == received[0], "the instances have delivered different events");
    }
    let mut places: HashMap<(&str, u64), usize> = HashMap::new();
    for (place, (_, app_type, number)) in received[0].iter().enumerate() {
        assert_eq!(places.insert((app_type.as_str(), *number), place), None, "{app_type} {number} came twice");
    }
    for number in (0..orders as u64).filter(|number| number % 3 != 0) {
        let mut place =
            |app_type| places.remove(&(app_type, number)).unwrap_or_else(|| panic!("{app_type} {number} is missing"));
        assert!(place("order.placed") < place("order.paid"), "order {number} was paid before it was placed");
    }
    assert!(places.is_empty(), "these were rolled back: {places:?}");
}

/// Reads this many events from an instance, and goes on after its last cursor when the connection breaks.
async fn read(program: &Program, channel: &str, start: &str, count: usize) -> Received {
    let mut received: Received = Vec::with_capacity(count);
    while received.len() < count {
        let after = received.last().map_or(start, |(cursor, ..)| cursor.as_str());
        let variables = json!({"channel": channel, "after": after});
        let Ok(mut subscription) = TestSubscription::open(program.address(), None, FOLLOW, &variables).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        while received.len() < count {
            let Ok(frame) = subscription.next_frame().await else { break };
            assert_eq!(frame["type"], "next", "{frame}");
            let event: &Value = &frame["payload"]["data"]["appEvent"];
            let number = event["data"]["id"].as_u64().expect("a number");
            received.push((text(&event["cursor"]), text(&event["type"]), number));
        }
    }
    received
}
