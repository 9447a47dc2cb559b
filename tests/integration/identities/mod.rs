//! Users of other issuers: their tokens, their accounts, and the keys of the issuers.

mod accounts;
mod examples;
mod forgeries;
mod issuer_keys;
mod provider;
mod sign_in;

use serde_json::{Value, json};

use crate::support::{Server, Session, TestIssuer, TestKey};

const ME: &str = "{ me { id username displayName role disabled } }";

/// An issuer with one key, and a server that trusts it.
async fn issuer_and_server(key: &str) -> (TestIssuer, TestKey, Server) {
    let key = TestKey::named(key);
    let issuer = TestIssuer::start(&[&key]).await;
    let server = Server::start_with(issuer.trusted()).await;
    (issuer, key, server)
}

/// The account of a session.
async fn me(server: &Server, session: &Session) -> Value {
    server.data(Some(session), ME, json!({})).await["me"].take()
}

/// A session with this token.
fn session(token: String) -> Session {
    Session { id: String::new(), username: String::new(), token }
}

/// The code of the error that a token causes, or `OK`.
async fn code(server: &Server, token: &str) -> String {
    let request = server.http().post(server.url("/graphql")).bearer_auth(token).json(&json!({ "query": ME }));
    let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("OK").to_owned()
}

/// A counter of the metrics page.
async fn counter(server: &Server, sample: &str) -> u64 {
    let page = server.http().get(server.url("/metrics")).send().await.expect("a page").text().await.expect("a text");
    let line = page.lines().find_map(|line| line.strip_prefix(sample));
    line.unwrap_or_else(|| panic!("no {sample}")).trim().parse().expect("a number")
}
