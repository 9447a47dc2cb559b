//! Transactions of other programs on PostgreSQL, and several instances.

mod follow;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::other_program::OtherProgram;
use super::{Fixture, follow};
use crate::instances::on_database;
use crate::support::database::fresh_postgres;
use crate::support::{Server, Socket, with_timeout};

/// A fixture on a new PostgreSQL database, and its URL.
async fn on_postgres() -> (Fixture, String) {
    let url = fresh_postgres();
    (Fixture::of(Server::start_with(on_database(&url)).await).await, url)
}

/// A program with a transaction that has published a number and is open.
fn open_transaction(url: &str, begin: &str, number: usize) -> OtherProgram {
    let mut program = OtherProgram::connect(url);
    program.execute(begin);
    program.publish_number(number);
    program
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_commits_late_with_lower_ids_is_published_late_and_complete() {
    let (mut fixture, url) = on_postgres().await;
    for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        let mut late = open_transaction(&url, &format!("BEGIN ISOLATION LEVEL {level}"), 1);
        fixture.program.publish_number(2);
        assert_eq!(fixture.next_data(1).await, [json!(2)], "{level}");
        late.publish_number(3);
        fixture.program.publish_number(4);
        assert_eq!(fixture.next_data(1).await, [json!(4)], "{level}");
        late.execute("COMMIT");
        assert_eq!(fixture.next_data(2).await, [json!(1), json!(3)], "{level}");
    }
    fixture.socket.assert_idle().await;
}

/// An open transaction has inserted rows, read the whole log, and keeps its snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_open_transactions_block_neither_clients_nor_other_programs() {
    let (mut fixture, url) = on_postgres().await;
    let mut open: Vec<OtherProgram> = (0..3)
        .map(|number| {
            let mut program = open_transaction(&url, "BEGIN ISOLATION LEVEL SERIALIZABLE", 1_000 + number);
            program.number("SELECT count(*) FROM events");
            program
        })
        .collect();
    for number in 0..20 {
        fixture.program.publish_number(number);
        fixture.server.post(&fixture.root, &fixture.channel, "a change").await;
        assert_eq!(fixture.next_data(1).await, [json!(number)]);
    }
    open[0].execute("ROLLBACK");
    open[2].execute("COMMIT");
    assert_eq!(fixture.next_data(1).await, [json!(1_002)]);
    open[1].execute("COMMIT");
    assert_eq!(fixture.next_data(1).await, [json!(1_001)]);
    fixture.socket.assert_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_another_program_has_locked_wait_and_block_no_other() {
    let (mut fixture, url) = on_postgres().await;
    // The server is down, so that the rows are there to be locked.
    fixture.server.close().await;
    (0..10).for_each(|number| fixture.program.publish_number(number));
    let mut operator = OtherProgram::connect(&url);
    operator.execute("BEGIN; DELETE FROM outbox WHERE id IN (3, 5); SELECT FROM outbox WHERE id = 1 FOR UPDATE");
    fixture.server.open().await;
    fixture.socket = follow(&fixture.server, &fixture.channel, &fixture.start).await;
    assert_eq!(fixture.next_data(7).await, [1, 3, 5, 6, 7, 8, 9].map(|number| json!(number)));
    fixture.program.publish_number(10);
    fixture.server.post(&fixture.root, &fixture.channel, "a change").await;
    assert_eq!(fixture.next_data(1).await, [json!(10)]);
    operator.execute("ROLLBACK");
    assert_eq!(fixture.next_data(3).await, [0, 2, 4].map(|number| json!(number)));
}

/// PostgreSQL lets transactions that send notifications commit one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_send_no_notification_while_an_instance_is_awake() {
    let (mut fixture, url) = on_postgres().await;
    let mut listener = PgConnection::establish(&url).expect("a connection");
    listener.batch_execute("LISTEN tidings_outbox").expect("a subscription");
    let mut notifications = || {
        listener.batch_execute("SELECT 1").expect("a statement");
        listener.notifications_iter().count()
    };
    fixture.program.publish_number(0);
    assert_eq!((fixture.next_data(1).await, notifications()), (vec![json!(0)], 1));
    wait_for_awake_instances(&mut fixture.program, 1).await;
    for number in 1..50 {
        fixture.program.publish_number(number);
        assert_eq!(fixture.next_data(1).await, [json!(number)]);
    }
    assert_eq!(notifications(), 0);
    wait_for_awake_instances(&mut fixture.program, 0).await;
    fixture.program.publish_number(50);
    assert_eq!((fixture.next_data(1).await, notifications()), (vec![json!(50)], 1));
}

/// Waits until this many instances hold the advisory lock.
async fn wait_for_awake_instances(program: &mut OtherProgram, count: i64) {
    let locks = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted";
    let waiting = async {
        while program.number(locks) != count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    with_timeout(&format!("{count} awake instances"), waiting).await;
}

/// What one of several programs does.
#[derive(Debug, Clone, Copy)]
enum Step {
    Begin,
    Publish,
    Commit,
    RollBack,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        2 => Just(Step::Begin),
        4 => Just(Step::Publish),
        2 => Just(Step::Commit),
        1 => Just(Step::RollBack),
    ];
    prop::collection::vec((0_usize..4, step), 1..60)
}

/// The state of one program: the numbers of its open transaction.
struct Actor {
    program: OtherProgram,
    open: Option<Vec<usize>>,
}

/// Runs a script. Returns the numbers of each committed transaction, and the next unused number.
fn run_script(actors: &mut [Actor], script: &[(usize, Step)], mut number: usize) -> (Vec<Vec<usize>>, usize) {
    let mut committed = Vec::new();
    let steps = script.iter().copied().chain((0..actors.len()).map(|index| (index, Step::Commit)));
    for (index, step) in steps {
        let actor = &mut actors[index];
        match (step, &mut actor.open) {
            (Step::Begin, open @ None) => {
                actor.program.execute("BEGIN");
                *open = Some(Vec::new());
            }
            (Step::Publish, open) => {
                actor.program.publish_number(number);
                match open {
                    Some(numbers) => numbers.push(number),
                    None => committed.push(vec![number]),
                }
                number += 1;
            }
            (Step::Commit, open @ Some(_)) => {
                actor.program.execute("COMMIT");
                committed.extend(open.take());
            }
            (Step::RollBack, open @ Some(_)) => {
                actor.program.execute("ROLLBACK");
                *open = None;
            }
            (Step::Begin, Some(_)) | (Step::Commit | Step::RollBack, None) => {}
        }
    }
    (committed, number)
}

/// Reads this many numbers from a subscriber.
async fn numbers(socket: &mut Socket, count: usize) -> Vec<(Value, usize)> {
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        let event = socket.item("e").await["appEvent"].take();
        let number = event["data"].as_u64().and_then(|number| usize::try_from(number).ok()).expect("a number");
        found.push((event["cursor"].clone(), number));
    }
    found
}

/// Random transactions of four programs that overlap, on two instances. `PROPTEST_CASES` sets the number of scripts.
#[test]
fn exactly_the_committed_rows_are_published_in_one_order_that_keeps_each_transaction_together() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (fixture, url) = runtime.block_on(on_postgres());
    let other = runtime.block_on(Server::start_with(on_database(&url)));
    let actors = (0..4).map(|_| Actor { program: OtherProgram::connect(&url), open: None }).collect();
    let mut sockets = [fixture.socket, runtime.block_on(follow(&other, &fixture.channel, &fixture.start))];
    let state = std::cell::RefCell::new((actors, &mut sockets, 0));
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(40);
    let config = ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() };
    proptest!(config, |(script in steps())| {
        let (actors, sockets, next): &mut (Vec<Actor>, &mut [Socket; 2], usize) = &mut state.borrow_mut();
        let (committed, number) = run_script(actors, &script, *next);
        *next = number;
        let count = committed.iter().map(Vec::len).sum();
        let [one, two] = runtime.block_on(async {
            let [first, second] = &mut **sockets;
            [numbers(first, count).await, numbers(second, count).await]
        });
        prop_assert_eq!(&one, &two, "the instances differ");
        let places: BTreeMap<usize, usize> = one.iter().enumerate().map(|(place, (_, number))| (*number, place)).collect();
        prop_assert_eq!(places.len(), count, "a number came twice");
        for transaction in &committed {
            let order: Option<Vec<usize>> = transaction.iter().map(|number| places.get(number).copied()).collect();
            let order = order.ok_or_else(|| TestCaseError::fail(format!("{transaction:?} is incomplete")))?;
            prop_assert!(order.is_sorted(), "{:?} came in the order {:?}", transaction, order);
        }
    });
    runtime.block_on(async {
        for socket in &mut sockets {
            socket.assert_idle().await;
        }
    });
}

/// Instances that compete for the same rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_instances_publish_each_row_once_and_all_deliver_the_same_order() {
    const ROWS: usize = 4_000;
    let (fixture, url) = on_postgres().await;
    let mut servers = vec![fixture.server];
    for _ in 1..4 {
        servers.push(Server::start_with(on_database(&url)).await);
    }
    let mut sockets = Vec::new();
    for server in &servers {
        sockets.push(follow(server, &fixture.channel, &fixture.start).await);
    }
    let url = Arc::new(url);
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let url = Arc::clone(&url);
            std::thread::spawn(move || {
                let mut program = OtherProgram::connect(&url);
                (writer * ROWS / 4..(writer + 1) * ROWS / 4).for_each(|number| program.publish_number(number));
            })
        })
        .collect();
    let first = numbers(&mut sockets[0], ROWS).await;
    writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
    let mut sorted: Vec<usize> = first.iter().map(|(_, number)| *number).collect();
    sorted.sort_unstable();
    assert!(sorted.iter().copied().eq(0..ROWS), "each row once");
    for socket in &mut sockets[1..] {
        assert_eq!(numbers(socket, ROWS).await, first);
    }
    for socket in &mut sockets {
        socket.assert_idle().await;
    }
}
