//! Pages of the log are bounded in bytes, and so is the memory of pages that subscribers have not consumed.

use serde_json::json;
use tidings::model::{KindSet, Seq, Topic};
use tidings::store::{ReadPurpose, log, log_pages};

use crate::support::json_socket::{CONNECT, JsonSocket};
use crate::support::{Server, text};

/// The longest text that the default settings allow: 160,000 bytes.
fn long_text() -> String {
    "\u{1F600}".repeat(40_000)
}

/// The weight in bytes and the number of events of each page of the log, and the number of `MessageAdded` events.
fn pages(server: &Server) -> (Vec<(usize, usize)>, usize) {
    let mut snapshot = server.board().store().snapshot(ReadPurpose::Own).expect("a snapshot");
    let db = snapshot.db();
    let (mut after, head) = (log::oldest(db).expect("the beginning"), log::head(db).expect("the head"));
    let (mut seen, mut messages) = (Vec::new(), 0);
    while after != head {
        let page = log_pages::page(db, Topic::Everything, KindSet::all(), after, Seq(i64::MAX)).expect("a page");
        assert!(page.end.seq > after.seq, "each page advances the cursor");
        messages += page.events.iter().filter(|event| event.event.kind.name() == "MessageAdded").count();
        seen.push((page.weight(), page.events.len()));
        after = page.end;
    }
    (seen, messages)
}

#[tokio::test]
async fn pages_of_the_log_are_bounded_in_bytes() {
    let server = Server::start().await;
    let eva = server.register("eva").await;
    let room = server.channel(&eva, "general").await;
    for _ in 0..30 {
        server.post(&eva, &room, &long_text()).await;
    }
    let (pages, messages) = pages(&server);
    assert_eq!(messages, 30, "the pages contain every message");
    assert!(pages.len() >= 5, "{pages:?}");
    for (weight, _) in pages {
        assert!(weight <= log_pages::PAGE_BYTES + (16 << 10), "{weight} bytes");
    }
}

#[tokio::test]
async fn events_larger_than_a_page_are_delivered() {
    let server = Server::start_with(|config| {
        config.limits.max_content = 500_000;
        config.limits.max_body_bytes = 8 << 20;
    })
    .await;
    let eva = server.register("eva").await;
    let room = server.channel(&eva, "general").await;
    for _ in 0..2 {
        server.post(&eva, &room, &"\u{1F600}".repeat(500_000)).await;
        server.post(&eva, &room, "short").await;
    }
    let (pages, messages) = pages(&server);
    assert_eq!(messages, 4);
    assert!(pages.iter().all(|(weight, _)| *weight < 3 << 20), "{pages:?}");
    let mut socket = server.socket(None).await;
    let after = text(&json!(log_start(&server)));
    socket
        .subscribe("1", "subscription ($after: Cursor) { messageAdded(after: $after) { id } }", json!({"after": after}))
        .await;
    for id in ["1", "2", "3", "4"] {
        assert_eq!(socket.item("1").await["messageAdded"]["id"], id);
    }
}

fn log_start(server: &Server) -> String {
    log::oldest(server.board().store().snapshot(ReadPurpose::Own).expect("a snapshot").db())
        .expect("the beginning")
        .to_string()
}

#[tokio::test]
async fn broadcast_data_counts_towards_the_page_size() {
    let server = Server::start().await;
    let admin = server.admin("root").await;
    server.channel(&admin, "general").await;
    let query = "mutation ($data: JSON!) { broadcast(input: { room: \"general\", data: $data }) }";
    for _ in 0..40 {
        server.data(Some(&admin), query, json!({"data": {"text": "x".repeat(60_000)}})).await;
    }
    let (pages, _) = pages(&server);
    assert!(pages.len() > 2 && pages.iter().all(|(weight, _)| *weight <= log_pages::PAGE_BYTES), "{pages:?}");
}

#[tokio::test]
async fn many_lagging_readers_get_every_event_and_return_their_memory() {
    const READERS: usize = 20;
    let server = Server::start_with(|config| {
        // Pages may use a quarter of the memory, and one client a sixteenth. That is less than one page for each
        // reader.
        config.limits.max_response_bytes = 1 << 20;
        config.limits.response_memory_bytes = 16 << 20;
    })
    .await;
    let eva = server.register("eva").await;
    let room = server.channel(&eva, "general").await;
    let after = server.cursor(None).await;
    // More than the hub's window holds.
    for _ in 0..120 {
        server.post(&eva, &room, &long_text()).await;
    }
    let mut socket = server.socket(None).await;
    let query = "subscription ($after: Cursor) { messageAdded(after: $after) { id } }";
    for reader in 0..READERS {
        socket.subscribe(&reader.to_string(), query, json!({"after": after})).await;
    }
    let mut seen = [0; READERS];
    while seen.iter().any(|seen| *seen < 120) {
        let frame = socket.frame().await;
        let reader: usize = text(&frame["id"]).parse().expect("a number");
        seen[reader] += 1;
        assert_eq!(
            frame["payload"]["data"]["messageAdded"]["id"],
            seen[reader].to_string(),
            "each message comes once and in order"
        );
        let lent = server.board().page_memory.lent();
        assert!(lent <= 1 << 20, "{lent} bytes of pages for one client");
    }
    socket.assert_idle().await;
    assert_eq!(server.board().page_memory.lent(), 0);
}

#[tokio::test]
async fn the_json_socket_replays_long_texts_and_unread_notifications() {
    let server = Server::start().await;
    let admin = server.admin("root").await;
    let room = server.channel(&admin, "general").await;
    let after = server.cursor(None).await;
    let notify = "mutation ($text: String!) { notifyUser(input: { title: \"n\", message: $text }) { id } }";
    for _ in 0..30 {
        server.data(Some(&admin), notify, json!({"text": long_text()})).await;
    }
    for _ in 0..30 {
        server.post(&admin, &room, &long_text()).await;
    }
    let mut json_socket = JsonSocket::open(server.address(), CONNECT, Some(&admin)).await;
    json_socket.request(json!({"type": "subscribe", "channel": "notifications"}), "subscribed").await;
    for id in 1..=30 {
        assert_eq!(json_socket.expect("notification").await["id"], id.to_string());
    }
    json_socket.request(json!({"type": "join_room", "room": "general", "after": after}), "joined").await;
    for id in 1..=30 {
        let message = json_socket.expect("message").await;
        assert_eq!((&message["id"], message["text"].as_str().map(str::len)), (&json!(id.to_string()), Some(160_000)));
    }
    json_socket.assert_idle().await;
    assert_eq!(server.board().page_memory.lent(), 0);
}
