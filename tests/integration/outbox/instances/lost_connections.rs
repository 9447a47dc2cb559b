//! Connections that PostgreSQL ends while rows are moved.

use std::time::Duration;

use super::super::follow;
use super::super::other_program::OtherProgram;
use super::{numbers, on_postgres};
use crate::instances::on_database;
use crate::support::{Report, Server};

const ROWS: usize = 400;
/// After how many rows connections are ended.
const ROUND: usize = 20;

/// Ends every connection of the servers. Some are in the middle of a batch, or of its commit.
const END_CONNECTIONS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'tidings%'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_published_once_although_connections_are_lost_while_they_are_moved() {
    let (mut fixture, url) = on_postgres().await;
    let other = Server::start_with(on_database(&url)).await;
    let mut sockets = [fixture.socket, follow(&other, &fixture.channel, &fixture.start).await];
    let writing = std::thread::spawn(move || {
        let mut operator = OtherProgram::connect(&url);
        let mut ended = 0;
        for number in 0..ROWS {
            fixture.program.publish_number(number);
            if number % ROUND == ROUND - 1 {
                ended += operator.number(END_CONNECTIONS);
                // The servers connect again, so that the next round ends connections that are in use.
                while operator.number("SELECT count(*) FROM outbox") >= 5 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        ended
    });
    let first = numbers(&mut sockets[0], ROWS).await;
    let mut sorted: Vec<usize> = first.iter().map(|(_, number)| *number).collect();
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(0..ROWS), "each row once");
    assert_eq!(numbers(&mut sockets[1], ROWS).await, first);
    for socket in &mut sockets {
        socket.assert_idle().await;
    }
    let mut report = Report::new("rows of the outbox while connections are lost:");
    report
        .line(format!("{ROWS} rows were published once, {} connections were ended", writing.join().expect("a writer")));
}
