//! Several instances on one PostgreSQL, whatever database the rest of the run is on.

mod away;
mod failover;
mod locked;
mod lost_log;
mod names;
mod order;
mod restored;
mod sharing;
mod tls;

use serde_json::json;
use tidings::config::Config;

use crate::support::database::{Postgres, SECRET};
use crate::support::{Server, text};

/// Settings of an instance on this database.
fn on(url: &str) -> impl FnOnce(&mut Config) {
    let (database, secret) = (url.parse().expect("a URL"), SECRET.parse().expect("a secret"));
    move |config: &mut Config| {
        config.database.url = database;
        config.tokens.secret = Some(secret);
    }
}

/// So many instances on one fresh database.
async fn instances(count: usize) -> Vec<Server> {
    let url = crate::support::database::fresh_postgres();
    let starting = (0..count).map(|_| Server::start_with(on(&url)));
    futures_util::future::join_all(starting).await
}

/// A PostgreSQL server of one test, off the async threads: starting one takes a while.
async fn postgres(name: &'static str, settings: &'static [&'static str]) -> Postgres {
    tokio::task::spawn_blocking(move || Postgres::start(name, settings)).await.expect("a server")
}

/// The status and the code of the answer to an operation.
async fn outcome(server: &Server, token: &str, query: &str) -> (u16, String) {
    let request = server.http().post(server.url("/graphql")).bearer_auth(token).json(&json!({"query": query}));
    let answer = crate::support::soon("an answer", request.send()).await.expect("an answer");
    let status = answer.status().as_u16();
    let body: serde_json::Value = answer.json().await.expect("JSON");
    let code = &body["errors"][0]["extensions"]["code"];
    (status, if code.is_null() { "OK".into() } else { text(code) })
}
