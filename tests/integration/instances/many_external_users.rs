//! Many users of another issuer who arrive for the first time at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::on_database;
use crate::support::database::fresh_postgres;
use crate::support::{Report, Server, TestIssuer, TestKey, text};

const ME: &str = "{ me { id } }";
const USERS: usize = 1_000;
const INSTANCES: usize = 4;

/// Each user sends the first token to every instance at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_users_seen_first_on_four_instances_are_a_thousand_users() {
    let key = TestKey::named("ec-1");
    let issuer = TestIssuer::start(&[&key]).await;
    let url = fresh_postgres();
    let start = |_| {
        let (trust, set) = (issuer.trusted(), on_database(&url));
        Server::start_with(move |config| {
            trust(config);
            set(config);
        })
    };
    let servers: Vec<Server> = join_all((0..INSTANCES).map(start)).await;
    // All of them have the same name, so each but one needs a suffix.
    let more = json!({ "preferred_username": "ann", "name": "Ann" });
    let sessions: Vec<_> = (0..USERS).map(|number| issuer.session(&key, &number.to_string(), &more)).collect();
    let began = Instant::now();
    let requests = servers.iter().flat_map(|server| sessions.iter().map(move |session| (server, session)));
    let busy = AtomicUsize::new(0);
    let answers = join_all(requests.map(|(server, session)| async {
        let id = id_of(server, &session.token, &busy).await;
        (session.username.clone(), id)
    }))
    .await;
    let took = began.elapsed();
    let mut ids: HashMap<String, String> = HashMap::new();
    for (subject, id) in answers {
        assert_eq!(*ids.entry(subject).or_insert_with(|| id.clone()), id, "one identity has two users");
    }
    let mut distinct: Vec<_> = ids.values().collect();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), USERS);
    assert_eq!(count_users(&servers[0], &sessions[0]).await, USERS);
    let mut report = Report::new("external identities seen for the first time at once:");
    let busy = busy.into_inner();
    report.line(format!(
        "{USERS} identities, each on {INSTANCES} instances: {USERS} users after {took:?}; {busy} requests were repeated"
    ));
}

/// The id of the token's user. Repeats the request while the server is busy, as clients do, and counts that.
async fn id_of(server: &Server, token: &str, busy: &AtomicUsize) -> String {
    loop {
        let request = server.http().post(server.url("/graphql")).bearer_auth(token);
        let answer = request.json(&json!({ "query": ME })).send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        let Some(error) = answer["errors"].get(0) else { return text(&answer["data"]["me"]["id"]) };
        assert_eq!(error["extensions"]["code"], "UNAVAILABLE", "{error}");
        busy.fetch_add(1, Ordering::Relaxed);
    }
}

async fn count_users(server: &Server, session: &crate::support::Session) -> usize {
    let (mut count, mut after) = (0, Value::Null);
    loop {
        let query = "query ($after: String) { users(first: 100, after: $after) {
            nodes { id } pageInfo { endCursor hasNextPage } } }";
        let users = server.data(Some(session), query, json!({ "after": after })).await["users"].take();
        count += users["nodes"].as_array().expect("nodes").len();
        after = users["pageInfo"]["endCursor"].clone();
        if users["pageInfo"]["hasNextPage"] == false {
            return count;
        }
    }
}
