//! All readers receive the same events in the same order, on every instance.

use std::sync::Arc;

use serde_json::{Value, json};

use super::instances;
use crate::support::{Server, Session, Socket, text, with_timeout};

const INSTANCES: usize = 4;
const WRITERS: usize = 12;
/// Number of mutations in one request.
const BATCH: usize = 10;
const READERS: usize = 8;
const EVENTS: &str = "subscription ($after: Cursor) { events(after: $after) { cursor __typename } }";

/// `TIDINGS_CLUSTER_EVENTS` sets the number of events (default: 5,000).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_on_four_instances_receive_the_same_events_in_the_same_order() {
    let events: usize = std::env::var("TIDINGS_CLUSTER_EVENTS").map_or(5_000, |count| count.parse().expect("a number"));
    let servers: Vec<Arc<Server>> = instances(INSTANCES).await.into_iter().map(Arc::new).collect();
    let ann = servers[0].register("ann").await;
    let channel = servers[0].channel(&ann, "general").await;
    let start = servers[0].cursor(None).await;
    let rounds = events.div_ceil(WRITERS * BATCH);
    let expected = rounds * WRITERS * BATCH;

    let readers: Vec<_> = (0..READERS)
        .map(|number| {
            let (servers, start) = (servers.clone(), start.clone());
            // Every other reader changes the instance four times.
            let hops = if number % 2 == 0 { 1 } else { 5 };
            tokio::spawn(async move { read(&servers, number, &start, expected, hops).await })
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let server = Arc::clone(&servers[number % INSTANCES]);
            let (ann, channel) = (ann.clone(), channel.clone());
            tokio::spawn(async move {
                for _ in 0..rounds {
                    write(&server, &ann, &channel).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer");
    }
    let mut streams = Vec::new();
    for reader in readers {
        streams.push(reader.await.expect("a reader"));
    }
    let log: Vec<String> = {
        let (mut all, mut after) = (Vec::new(), Some(start.parse().expect("a cursor")));
        while all.len() < expected {
            let (page, end) = servers[0].board().log.events_after(after).expect("the log");
            all.extend(page.iter().map(|event| event.cursor.to_string()));
            after = Some(end);
        }
        all
    };
    assert_eq!(log.len(), expected);
    for (number, stream) in streams.iter().enumerate() {
        assert!(*stream == log, "the events of reader {number} differ from the log");
    }
    println!("{READERS} readers on {INSTANCES} instances received the same {expected} events");
}

async fn write(server: &Server, session: &Session, channel: &str) {
    let query = format!("mutation {{ createMessage(input: {{ channelId: {channel}, content: \"hello\" }}) {{ id }} }}");
    let batch: Vec<Value> = (0..BATCH).map(|_| json!({"query": query})).collect();
    let request = server.http().post(server.url("/graphql")).bearer_auth(&session.token).json(&batch);
    let answers: Vec<Value> = request.send().await.expect("a response").json().await.expect("JSON");
    let failed = answers.iter().find(|answer| answer.get("errors").is_some());
    assert!(failed.is_none() && answers.len() == BATCH, "{failed:?}");
}

/// Reads `count` events over `hops` connections, each to another instance.
async fn read(servers: &[Arc<Server>], number: usize, start: &str, count: usize, hops: usize) -> Vec<String> {
    let mut seen: Vec<String> = Vec::with_capacity(count);
    for hop in 0..hops {
        let server = &servers[(number + hop) % servers.len()];
        let after = seen.last().map_or(start, String::as_str).to_owned();
        let mut socket = Socket::connect_and_init(server.address(), None).await;
        socket.subscribe("e", EVENTS, json!({"after": after})).await;
        while seen.len() < count * (hop + 1) / hops {
            let item = socket.item("e").await["events"].take();
            if item["__typename"] == "MessageAdded" {
                seen.push(text(&item["cursor"]));
            }
        }
    }
    seen
}

#[tokio::test]
async fn instances_that_start_together_share_one_migrated_log() {
    let servers = with_timeout("the start of all instances", instances(INSTANCES)).await;
    let (events, _) = servers[0].board().log.events_after(None).expect("the log");
    assert_eq!(events.len(), 0);
    // All instances have the same genesis event, so each accepts the others' cursors.
    let start = servers[0].cursor(None).await;
    for server in &servers {
        let mut socket = server.socket(None).await;
        socket.subscribe("e", EVENTS, json!({"after": start})).await;
        assert_eq!(socket.item("e").await["events"]["__typename"], "Checkpoint");
    }
}
