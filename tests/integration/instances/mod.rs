//! Several instances on one PostgreSQL, whichever database the other tests use.

mod database_outage;
mod event_order;
mod failover;
mod locked_table;
mod lookups;
mod lost_commits;
mod many_external_users;
mod races;
mod read_replica;
mod restored_backup;
mod sessions;
mod shared_state;
mod tls;
mod unwritable_log;

use serde_json::{Value, json};
use tidings::config::Config;

use crate::support::database::{Postgres, SECRET};
use crate::support::{Server, Session, text};

/// The settings of an instance on this database.
pub fn on_database(url: &str) -> impl FnOnce(&mut Config) + use<> {
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

/// The port of the server and the name of the database, from a URL of [`fresh_postgres`].
///
/// [`fresh_postgres`]: crate::support::database::fresh_postgres
fn port_and_name(url: &str) -> (u16, &str) {
    let (place, name) = url.rsplit_once('/').expect("a URL");
    (place.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port"), name)
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
    let body: Value = answer.json().await.expect("JSON");
    let code = &body["errors"][0]["extensions"]["code"];
    (status, if code.is_null() { "OK".into() } else { text(code) })
}

/// The data of an operation, and its outcome: the code of its error, `OK`, or `NONE` if there was no answer.
async fn attempt(server: &Server, session: &Session, query: &str, variables: &Value) -> (Value, String) {
    let request = server.http().post(server.url("/graphql")).bearer_auth(&session.token);
    let answer = request.json(&json!({"query": query, "variables": variables})).send().await;
    let Ok(answer) = answer else { return (Value::Null, "NONE".into()) };
    let Ok(mut answer) = answer.json::<Value>().await else { return (Value::Null, "NONE".into()) };
    let code = answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("OK").to_owned();
    (answer["data"].take(), code)
}
