//! Several instances on one PostgreSQL, whichever database the other tests use.

mod database_outage;
mod event_order;
mod failover;
mod locked_table;
mod lookups;
mod read_replica;
mod restored_backup;
mod shared_state;
mod tls;
mod unwritable_log;

use serde_json::json;
use tidings::config::Config;

use crate::support::database::{Postgres, SECRET};
use crate::support::{Server, text};

/// The settings of an instance on this database.
fn on_database(url: &str) -> impl FnOnce(&mut Config) {
    let (database, secret) = (url.parse().expect("a URL"), SECRET.parse().expect("a secret"));
    move |config: &mut Config| {
        config.database.url = database;
        config.tokens.secret = Some(secret);
    }
}

/// The settings of an instance on this database, with a replica that serves reads.
fn with_replica(url: &str, read_url: &str) -> impl FnOnce(&mut Config) {
    let (set, read_url) = (on_database(url), read_url.parse().expect("a URL"));
    move |config: &mut Config| {
        set(config);
        config.replica.read_url = Some(read_url);
    }
}

/// Starts instances on a new database.
async fn instances(count: usize) -> Vec<Server> {
    let url = crate::support::database::fresh_postgres();
    let starting = (0..count).map(|_| Server::start_with(on_database(&url)));
    futures_util::future::join_all(starting).await
}

/// Starts a PostgreSQL server for one test, outside the async threads because it takes a while.
async fn postgres(name: &'static str, settings: &'static [&'static str]) -> Postgres {
    tokio::task::spawn_blocking(move || Postgres::start(name, settings)).await.expect("a server")
}

/// The HTTP status of an operation, and the code of its error or `OK`.
async fn outcome(server: &Server, token: &str, query: &str) -> (u16, String) {
    let request = server.http().post(server.url("/graphql")).bearer_auth(token).json(&json!({"query": query}));
    let answer = crate::support::with_timeout("a response", request.send()).await.expect("a response");
    let status = answer.status().as_u16();
    let body: serde_json::Value = answer.json().await.expect("JSON");
    let code = &body["errors"][0]["extensions"]["code"];
    (status, if code.is_null() { "OK".into() } else { text(code) })
}
