//! The load: messages published over HTTP, in the ways that the table has columns for.

use std::{
    cell::Cell,
    future::Future,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use tokio::time::timeout;

use crate::{Outcome, documents, implementation::Server, ledger::Ledger, subscribers::Subscribers};

/// Mutations in flight in the streamed measurement.
pub const PUBLISHERS: u64 = 8;
/// How many messages the slowest subscriber may be behind before publishers wait. It keeps the broadcast channel of
/// stock juniper from overflowing, which would lose messages, and bounds the buffers of all servers.
pub const BACKLOG: u64 = 64;
/// The longest time that a measurement takes on a working server.
const LIMIT: Duration = Duration::from_secs(180);
/// How long all subscribers may take to receive a warm-up message before the next one is sent.
const WARMING: Duration = Duration::from_secs(5);

/// Publishes until every subscriber receives a message. From then on no message may be missed.
pub async fn warm(server: &Server, subscribers: &Subscribers, ledger: &Ledger) -> Outcome<()> {
    let mut connections = server.connections(1).await?;
    for number in 0..10 {
        ledger.expect_warming(subscribers.count(), number);
        connections[0].post(&documents::publish(server.channel(), number)).await?;
        if let Ok(outcome) = timeout(WARMING, ledger.all_have(1)).await {
            return outcome;
        }
    }
    Err(format!("not every subscriber receives messages: {}", ledger.missing()))
}

/// Publishes `count` messages on [`PUBLISHERS`] connections; returns the time until every subscriber has every message.
pub async fn streamed(server: &Server, subscribers: &Subscribers, ledger: &Ledger, count: u64) -> Outcome<Duration> {
    let connections = server.connections(PUBLISHERS).await?;
    ledger.expect(subscribers.count(), PUBLISHERS);
    let sent = Rc::new(Cell::new(0));
    let started = Instant::now();
    let publishers = connections.into_iter().zip(0..).map(|(mut connection, publisher)| {
        let sent = sent.clone();
        async move {
            for number in (publisher..count).step_by(PUBLISHERS as usize) {
                ledger.all_have((sent.get() + 1_u64).saturating_sub(BACKLOG)).await?;
                sent.set(sent.get() + 1);
                connection.post(&documents::publish(server.channel(), number)).await?;
            }
            Outcome::Ok(())
        }
    });
    limited(ledger, async {
        try_join_all(publishers).await?;
        ledger.all_have(count).await
    })
    .await?;
    Ok(started.elapsed())
}

/// Publishes `count` messages, each after all subscribers have the one before; returns how long each took to reach the
/// last subscriber.
pub async fn sequential(
    server: &Server,
    subscribers: &Subscribers,
    ledger: &Ledger,
    count: u64,
) -> Outcome<Vec<Duration>> {
    let mut connection = server.connections(1).await?.remove(0);
    ledger.expect(subscribers.count(), 1);
    let mut delays = Vec::new();
    limited(ledger, async {
        for number in 0..count {
            let started = Instant::now();
            connection.post(&documents::publish(server.channel(), number)).await?;
            ledger.all_have(number + 1).await?;
            delays.push(ledger.completed(number).saturating_duration_since(started));
        }
        Outcome::Ok(())
    })
    .await?;
    Ok(delays)
}

/// Sends `count` requests over `publishers` connections to a server without subscribers.
pub async fn requests(server: &Server, publishers: u64, count: u64, body: impl Fn(u64) -> String) -> Outcome<()> {
    answers(server, publishers, count, body).await.map(drop)
}

/// The same; returns the responses.
pub async fn answers(
    server: &Server,
    publishers: u64,
    count: u64,
    body: impl Fn(u64) -> String,
) -> Outcome<Vec<String>> {
    let body = &body;
    let connections = server.connections(publishers).await?;
    let publishers = connections.into_iter().zip(0..).map(|(mut connection, publisher)| async move {
        let mut answers = Vec::new();
        for number in (publisher..count).step_by(publishers as usize) {
            answers.push(connection.post(&body(number)).await?.to_owned());
        }
        Outcome::Ok(answers)
    });
    let answers = timeout(LIMIT, try_join_all(publishers))
        .await
        .map_err(|_| format!("{count} requests took over {LIMIT:?}"))??;
    Ok(answers.concat())
}

/// Limits the time of a measurement; the error says what is missing.
pub async fn limited(ledger: &Ledger, part: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    timeout(LIMIT, part).await.unwrap_or_else(|_| Err(format!("not done after {LIMIT:?}: {}", ledger.missing())))
}
