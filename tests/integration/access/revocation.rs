//! Revoked access ends subscriptions and sockets. The delays are measured and printed.

use std::time::{Duration, Instant};

use serde_json::json;
use tidings::model::Timestamp;

use crate::support::{Server, Session, Socket, text};

const SUBSCRIBERS: usize = 1_000;

#[tokio::test]
async fn subscriptions_end_for_a_removed_member_and_sockets_close_for_a_disabled_user() {
    let server = Server::start().await;
    let admin = server.admin("root").await;
    let (owner, member) = (server.register("owner").await, server.register("member").await);
    let make = "mutation { createChannel(input: { name: \"secret\", visibility: PRIVATE }) { id } }";
    let channel = text(&server.data(Some(&owner), make, json!({})).await["createChannel"]["id"]);
    let membership = json!({"c": channel, "u": member.id});
    let add = "mutation ($c: ID!, $u: ID!) { addMember(channelId: $c, userId: $u) { id } }";
    server.data(Some(&owner), add, membership.clone()).await;
    let mut sockets = listeners(&server, &member, &channel).await;

    let removed = Instant::now();
    let remove = "mutation ($c: ID!, $u: ID!) { removeMember(channelId: $c, userId: $u) { id } }";
    let (times, ()) = tokio::join!(
        delays_until(&mut sockets, removed, async |socket| assert_eq!(socket.error_code("m").await, "FORBIDDEN")),
        async {
            drop(server.data(Some(&owner), remove, membership.clone()).await);
        }
    );
    report("removeMember", times);

    let disabled = Instant::now();
    let disable = "mutation ($id: ID!) { setUserDisabled(userId: $id, disabled: true) { id } }";
    let (times, ()) = tokio::join!(
        delays_until(&mut sockets, disabled, async |socket| assert_eq!(socket.close_code().await, 4403)),
        async {
            drop(server.data(Some(&admin), disable, json!({"id": member.id})).await);
        }
    );
    report("setUserDisabled", times);
}

#[tokio::test]
async fn a_token_closes_its_sockets_when_it_expires_and_not_before() {
    let server = Server::start_with(|config| config.tokens.token_lifetime = Duration::from_secs(20)).await;
    let member = server.register("member").await;
    let session = server.board().accounts.token_for("member").expect("a token");
    let member = Session { token: session.token, ..member };
    let mut sockets = Vec::new();
    for _ in 0..SUBSCRIBERS {
        sockets.push(server.socket(Some(&member)).await);
    }
    let waiting = sockets.iter_mut().map(|socket| async {
        assert_eq!(socket.close_code().await, 4403);
        let now = Timestamp::now();
        assert!(now >= session.expires_at, "the socket was closed before the token expired");
        session.expires_at.until(now)
    });
    report("expiry", futures_util::future::join_all(waiting).await);
}

async fn listeners(server: &Server, member: &Session, channel: &str) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let mut socket = server.socket(Some(member)).await;
        let after = server.board().log.head().to_string();
        let added = "subscription ($c: ID!, $after: Cursor) { messageAdded(channelId: $c, after: $after) { content } }";
        socket.subscribe("m", added, json!({"c": channel, "after": after})).await;
        sockets.push(socket);
    }
    // When every subscriber has received a message, every subscription is live.
    let owner = server.login("owner").await;
    server.post(&owner, channel, "hello").await;
    for socket in &mut sockets {
        assert_eq!(socket.item("m").await["messageAdded"]["content"], "hello");
    }
    sockets
}

/// Waits until `end` holds for each socket; returns the delays since the change was requested.
async fn delays_until(sockets: &mut [Socket], since: Instant, end: impl AsyncFn(&mut Socket)) -> Vec<Duration> {
    let waiting = sockets.iter_mut().map(|socket| async {
        end(socket).await;
        since.elapsed()
    });
    futures_util::future::join_all(waiting).await
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let (first, median, worst) = (times[0], times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{what}: delay until the end of {} subscribers: first {first:?}, median {median:?}, worst {worst:?}",
        times.len()
    );
}
