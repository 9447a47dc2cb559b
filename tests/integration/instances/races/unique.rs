//! What may happen once, and is tried on all instances at the same time: idempotency keys, names, sign-in attempts.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidings::model::EventKind;
use tokio::time::Instant;

use super::{Cluster, SHORT, until};
use crate::support::{PASSWORD, text};

/// Requests for each instance.
const EACH: usize = 3;

/// The code of the error of a response, or `OK`.
fn outcome(response: &Value) -> String {
    let code = &response["errors"][0]["extensions"]["code"];
    if response.get("errors").is_none() { "OK".into() } else { text(code) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_idempotency_key_on_all_instances_creates_one_object() {
    const CREATE: &str = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) {
        id content cursor createdAt updatedAt } }";
    const COMMENT: &str = "mutation ($input: CreateCommentInput!) { createComment(input: $input) {
        id content cursor createdAt updatedAt } }";
    let cluster = Cluster::start(4).await;
    let boss = cluster.servers[0].admin("boss").await;
    let channel = cluster.servers[0].channel(&boss, "general").await;
    let parent = cluster.post(&boss, &channel).await;
    let (until, mut created) = (until(SHORT), HashSet::new());
    while Instant::now() < until {
        let is_comment = created.len() % 2 == 1;
        let key = format!("key {}", created.len());
        let (query, input) = if is_comment {
            (COMMENT, json!({"messageId": parent, "content": "a comment", "idempotencyKey": key}))
        } else {
            (CREATE, json!({"channelId": channel, "content": "a message", "idempotencyKey": key}))
        };
        let requests = (0..4 * EACH).map(|request| {
            let server = cluster.server(request);
            server.data(Some(&boss), query, json!({"input": input}))
        });
        let answers = join_all(requests).await;
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        let object = answers[0].as_object().and_then(|fields| fields.values().next()).expect("an object");
        assert!(created.insert((is_comment, text(&object["id"]))), "{object} was created before");
    }
    let log = cluster.log();
    let count = |kind| log.iter().filter(|event| event.kind == kind).count();
    let comments = created.iter().filter(|(is_comment, _)| *is_comment).count();
    assert_eq!(count(EventKind::CommentAdded), comments);
    assert_eq!(count(EventKind::MessageAdded), created.len() - comments + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_idempotency_key_with_different_texts_on_all_instances_creates_one_message() {
    const CREATE: &str = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id content } }";
    let cluster = Cluster::start(4).await;
    let boss = cluster.servers[0].admin("boss").await;
    let channel = cluster.servers[0].channel(&boss, "general").await;
    let (until, mut rounds) = (until(SHORT), 0);
    while Instant::now() < until {
        let requests = (0..4 * EACH).map(|request| {
            let input =
                json!({"channelId": channel, "content": format!("{request}"), "idempotencyKey": format!("{rounds}")});
            cluster.server(request).execute(Some(&boss), CREATE, json!({"input": input}))
        });
        let answers = join_all(requests).await;
        let mut outcomes: Vec<String> = answers.iter().map(outcome).collect();
        outcomes.sort_unstable();
        let mut expected = vec!["CONFLICT"; 4 * EACH - 1];
        expected.push("OK");
        assert_eq!(outcomes, expected);
        rounds += 1;
    }
    assert_eq!(cluster.log().iter().filter(|event| event.kind == EventKind::MessageAdded).count(), rounds);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_equal_or_confusable_channel_names_on_all_instances_one_wins() {
    const CREATE: &str = "mutation ($name: String!) { createChannel(input: { name: $name }) { id } }";
    let cluster = Cluster::start(4).await;
    let boss = cluster.servers[0].admin("boss").await;
    let (until, mut rounds) = (until(SHORT), 0);
    while Instant::now() < until {
        let names = ["alice", "ALICE", "ａlice", "аlice"].map(|name| format!("{name}-{rounds}"));
        let requests = (0..4 * EACH).map(|request| {
            let name = &names[(request + rounds) / EACH % names.len()];
            cluster.server(request).execute(Some(&boss), CREATE, json!({"name": name}))
        });
        let answers = join_all(requests).await;
        let won = answers.iter().filter(|answer| outcome(answer) == "OK").count();
        assert_eq!(won, 1, "{answers:?}");
        assert!(answers.iter().all(|answer| ["OK", "CONFLICT"].contains(&outcome(answer).as_str())), "{answers:?}");
        rounds += 1;
    }
    assert_eq!(cluster.log().iter().filter(|event| event.kind == EventKind::ChannelAdded).count(), rounds);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_equal_or_confusable_usernames_on_all_instances_one_wins() {
    const REGISTER: &str = "mutation ($input: RegisterInput!) { register(input: $input) { user { id } } }";
    let cluster = Cluster::start(4).await;
    for round in 0..2 {
        let names = ["alice", "ALICE", "ａlice", "аlice"].map(|name| format!("{name}{round}"));
        let requests = names.iter().enumerate().map(|(instance, name)| {
            let input = json!({"username": name, "password": PASSWORD, "displayName": format!("user {instance}")});
            cluster.server(instance + round).execute(None, REGISTER, json!({"input": input}))
        });
        let answers = join_all(requests).await;
        let mut outcomes: Vec<String> = answers.iter().map(outcome).collect();
        outcomes.sort_unstable();
        assert_eq!(outcomes, ["CONFLICT", "CONFLICT", "CONFLICT", "OK"], "{answers:?}");
    }
}

/// Each instance also counts in its memory, which alone would allow the limit once for each of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_instances_together_allow_exactly_the_limit_of_sign_in_attempts() {
    const LIMIT: u32 = 5;
    const LOGIN: &str =
        "mutation ($password: String!) { login(input: { username: \"ann\", password: $password }) { token } }";
    let cluster = Cluster::start_with(4, |config| config.sessions.attempts_per_minute = LIMIT).await;
    cluster.servers[0].register("ann").await;
    let tried = AtomicU32::new(0);
    let attempts = (0..40).map(async |attempt| {
        let password = json!({"password": format!("wrong {attempt}")});
        match cluster.server(attempt).error_code(None, LOGIN, password).await.as_str() {
            "UNAUTHENTICATED" => drop(tried.fetch_add(1, Ordering::SeqCst)),
            code => assert_eq!(code, "RATE_LIMITED"),
        }
    });
    join_all(attempts).await;
    assert_eq!(tried.into_inner(), LIMIT);
}
