//! State that instances share: rate limits, leases and rights.

use serde_json::json;
use tidings::model::Timestamp;
use tidings::store::log;

use super::{instances, on_database};
use crate::support::{PASSWORD, Server, text};

const LOGIN: &str = "mutation ($name: String!, $password: String!) {
    login(input: { username: $name, password: $password }) { token } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_passwords_are_counted_by_all_instances_together() {
    let url = crate::support::database::fresh_postgres();
    let mut servers = Vec::new();
    for _ in 0..2 {
        let set = on_database(&url);
        let server = Server::start_with(|config| {
            set(config);
            config.sessions.attempts_per_minute = 10;
        });
        servers.push(server.await);
    }
    servers[0].register("ann").await;
    let attempts = (0..100).map(|number| {
        let password = format!("wrong {number}");
        let server = &servers[number % servers.len()];
        async move { server.error_code(None, LOGIN, json!({"name": "ann", "password": password})).await }
    });
    let codes = futures_util::future::join_all(attempts).await;
    let tried = codes.iter().filter(|code| *code == "UNAUTHENTICATED").count();
    assert_eq!(tried, 10, "{codes:?}");
    assert!(codes.iter().all(|code| code == "UNAUTHENTICATED" || code == "RATE_LIMITED"), "{codes:?}");
    // Even the right password is rejected, on both instances. Another name has its own count.
    for server in &servers {
        assert_eq!(server.error_code(None, LOGIN, json!({"name": "ann", "password": PASSWORD})).await, "RATE_LIMITED");
    }
    assert_eq!(
        servers[1].error_code(None, LOGIN, json!({"name": "ben", "password": "wrong"})).await,
        "UNAUTHENTICATED"
    );
}

#[tokio::test]
async fn one_instance_at_a_time_gets_the_pruning_lease() {
    let servers = instances(4).await;
    let claim = async |server: &Server, now: Timestamp| {
        let span = std::time::Duration::from_secs(30);
        let claiming = server.board().store().maintain(move |db| log::claim_pruning(db, now, now.before(span)));
        claiming.await.expect("a claim")
    };
    let now = Timestamp::now();
    for (position, server) in servers.iter().enumerate() {
        assert_eq!(claim(server, now).await, position == 0);
    }
    let later = now.after(std::time::Duration::from_secs(60));
    assert!(claim(&servers[2], later).await, "a minute later any instance may claim the lease");
    assert!(!claim(&servers[0], later).await);
}

/// A role that is revoked on one instance is revoked on the other for the next request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_revoked_on_one_instance_are_revoked_on_the_others_at_once() {
    let servers = instances(2).await;
    let (boss, ann) = (servers[0].admin("boss").await, servers[1].register("ann").await);
    let channel = servers[0].channel(&boss, "general").await;
    for round in 0..20 {
        let assign = "mutation ($id: ID!, $role: Role!) { assignUser(input: { userId: $id, role: $role }) { role } }";
        let role = |role: &str| json!({"id": ann.id, "role": role});
        servers[0].data(Some(&boss), assign, role("ADMIN")).await;
        let make = "mutation ($name: String!) { createOrganization(input: { name: $name }) { id } }";
        servers[1].data(Some(&ann), make, json!({"name": format!("organization {round}")})).await;
        servers[0].data(Some(&boss), assign, role("MEMBER")).await;
        let refused = servers[1].error_code(Some(&ann), make, json!({"name": format!("more {round}")})).await;
        assert_eq!(refused, "FORBIDDEN");
    }
    // The same for a session.
    let disable = "mutation ($id: ID!) { setUserDisabled(userId: $id, disabled: true) { id } }";
    let mut socket = servers[1].socket(Some(&ann)).await;
    servers[0].data(Some(&boss), disable, json!({"id": ann.id})).await;
    assert_eq!(socket.close_code().await, 4403);
    let post = "mutation ($channel: ID!) { createMessage(input: { channelId: $channel, content: \"?\" }) { id } }";
    let answer = servers[1].http().post(servers[1].url("/graphql")).bearer_auth(&ann.token);
    let answer =
        answer.json(&json!({"query": post, "variables": {"channel": channel}})).send().await.expect("a response");
    assert_eq!(answer.status(), 401, "{}", text(&json!(post)));
}
